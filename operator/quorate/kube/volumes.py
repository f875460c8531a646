"""Volumes and claims that are made of Storages: what is there of them, and the calls that make and take them away.

NFS: a PersistentVolume that is held for one claim, and that claim, in each namespace. StorageClass: a claim for each guest,
made just before its Pod and never taken away. Both carry our label; what does not is somebody else's.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from quorate.core.actions import ProvideVolume, RemoveVolume
from quorate.core.storage import NfsExport, nfs_claim, nfs_volume, own_claim
from quorate.core.types import GUEST_LABEL, STORAGE_LABEL, GuestKey, NodeName, Uid
from quorate.core.volumes import Seen, Thing, wanted
from quorate.core.world import StorageView
from quorate.kube.calls import ApiError, Calls, NotFound, Permanent
from quorate.kube.resources import CLAIMS, STORAGE_CLASSES, VOLUMES

Json = dict[str, Any]
LOOK_EVERY_S: Final = 5.0
"""What is as it should be is looked at again after so long."""
SIZE: Final = "1Gi"
"""Kubernetes wants a number; an NFS server heeds none."""
NODE_ANNOTATION: Final = "volume.kubernetes.io/selected-node"
"""What the scheduler tells a provisioner: where the volume is to be. Our Pods name their node and meet no scheduler."""
LATE: Final = "WaitForFirstConsumer"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"


class Look:
    """Looks at what Storages need. What it cannot look at is left out: nothing is decided about it."""

    def __init__(self, api: Calls, clock: Callable[[], float]) -> None:
        self.api = api
        self.clock = clock
        self._known: dict[tuple[str, str], tuple[float, Seen]] = {}
        self._classes: dict[str, float] = {}

    def forget(self) -> None:
        """Something is being changed: look anew."""
        self._known.clear()

    async def sight(self, storages: Iterable[StorageView]) -> dict[tuple[str, str], Seen]:
        """What is there of each NFS Storage, in each namespace that wants it or has had it."""
        found: dict[tuple[str, str], Seen] = {}
        for storage in storages:
            if storage.nfs is None:
                continue
            had = {one.namespace: one.problem for one in storage.status.volumes}
            for namespace in dict.fromkeys([*had, *wanted(storage)]):
                key = storage.name, namespace
                seen = await self._seen(storage, storage.nfs, namespace, settled=had.get(namespace) == "")
                if seen is not None:
                    found[key] = seen
        self._known = {key: known for key, known in self._known.items() if key in found}
        return found

    async def _seen(self, storage: StorageView, nfs: NfsExport, namespace: str, *, settled: bool) -> Seen | None:
        key, now_s = (storage.name, namespace), self.clock()
        known = self._known.get(key)
        if settled and known is not None and now_s < known[0] + LOOK_EVERY_S:
            return known[1]
        try:
            volume = await self._find(VOLUMES.path(nfs_volume(storage.name, namespace)))
            claim = await self._find(CLAIMS.path(nfs_claim(storage.name), namespace))
        except ApiError:
            return None
        seen = Seen(_volume(storage.name, nfs, volume), _claim(storage.name, namespace, claim))
        self._known[key] = now_s, seen
        return seen

    async def _find(self, path: str) -> Json | None:
        try:
            return await self.api.get(path)
        except NotFound:
            return None

    async def classes(self, storages: Iterable[StorageView]) -> frozenset[str]:
        """The StorageClasses that exist, of those that are named; one that could not be looked at counts as there."""
        found, now_s = set(), self.clock()
        for name in {one.volume_class.name for one in storages if one.volume_class is not None}:
            if now_s >= self._classes.get(name, float("-inf")) + LOOK_EVERY_S:
                self._classes.pop(name, None)
                try:
                    await self.api.get(STORAGE_CLASSES.path(name))
                except NotFound:
                    continue
                except ApiError:
                    found.add(name)
                    continue
                self._classes[name] = now_s
            found.add(name)
        return frozenset(found)


def _ours(storage: str, raw: Json) -> bool:
    return bool((raw["metadata"].get("labels") or {}).get(STORAGE_LABEL) == storage)


def _volume(storage: str, nfs: NfsExport, raw: Json | None) -> Thing | None:
    if raw is None:
        return None
    spec, source = raw.get("spec") or {}, (raw.get("spec") or {}).get("nfs") or {}
    same = (source.get("server"), source.get("path")) == (nfs.server, nfs.export)
    return Thing(
        uid=Uid(raw["metadata"].get("uid", "")),
        ours=_ours(storage, raw) and same,
        deleting=raw["metadata"].get("deletionTimestamp") is not None,
        bound=_phase(raw) == "Bound",
        holder=(spec.get("claimRef") or {}).get("uid") or None,
    )


def _claim(storage: str, namespace: str, raw: Json | None) -> Thing | None:
    if raw is None:
        return None
    same = (raw.get("spec") or {}).get("volumeName") == nfs_volume(storage, namespace)
    return Thing(
        uid=Uid(raw["metadata"].get("uid", "")),
        ours=_ours(storage, raw) and same,
        deleting=raw["metadata"].get("deletionTimestamp") is not None,
        bound=_phase(raw) == "Bound",
    )


def _phase(raw: Json) -> str:
    return str((raw.get("status") or {}).get("phase", ""))


async def provide(api: Calls, storage: StorageView, action: ProvideVolume) -> None:
    """Make the volume and the claim, as far as they are missing. A taken name is a Conflict, and the next look says so."""
    if storage.nfs is None:
        return
    made = action.volume
    try:
        await api.get(VOLUMES.path(made.volume))
    except NotFound:
        await api.create(VOLUMES.path(), nfs_volume_of(storage.name, storage.nfs, action))
    if action.claim is None:
        await api.create(CLAIMS.path(namespace=made.namespace), nfs_claim_of(storage.name, action))


async def remove(api: Calls, action: RemoveVolume) -> None:
    """Delete exactly what was judged. Kubernetes keeps a claim until no Pod uses it, and a volume until no claim does."""
    made = action.volume
    for path, uid in (
        (CLAIMS.path(made.claim, made.namespace), action.claim_uid),
        (VOLUMES.path(made.volume), action.volume_uid),
    ):
        if uid is None:
            continue
        try:
            await api.delete(path, uid=uid)
        except NotFound:
            continue


def nfs_volume_of(storage: str, nfs: NfsExport, action: ProvideVolume) -> Json:
    """The PersistentVolume: retained whatever becomes of its claim, and held for that one claim."""
    made = action.volume
    holder = {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "namespace": made.namespace,
        "name": made.claim,
        **({"uid": action.claim} if action.claim is not None else {}),
    }
    spec: Json = {
        "capacity": {"storage": SIZE},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "nfs": {"server": nfs.server, "path": nfs.export},
        "claimRef": holder,
    }
    if nfs.options:
        spec["mountOptions"] = list(nfs.options)
    metadata = {"name": made.volume, "labels": {STORAGE_LABEL: storage}}
    return {"apiVersion": VOLUMES.api_version, "kind": VOLUMES.kind, "metadata": metadata, "spec": spec}


def nfs_claim_of(storage: str, action: ProvideVolume) -> Json:
    """The claim, which can be bound to that volume only."""
    made = action.volume
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": made.volume,
        "resources": {"requests": {"storage": SIZE}},
    }
    metadata = {"name": made.claim, "namespace": made.namespace, "labels": {STORAGE_LABEL: storage}}
    return {"apiVersion": CLAIMS.api_version, "kind": CLAIMS.kind, "metadata": metadata, "spec": spec}


async def own_claims(api: Calls, guest: GuestKey, storages: Iterable[StorageView], node: NodeName) -> None:
    """The claims that a guest has of its own, before its Pod is made there. Raises Permanent where one is not its own."""
    for storage in storages:
        if storage.volume_class is not None:
            await _own_claim(api, guest, storage, node)


async def _own_claim(api: Calls, guest: GuestKey, storage: StorageView, node: NodeName) -> None:
    """One of them; not bound yet, its provisioner is told where: what it could not make on another node, it may here."""
    name = own_claim(guest, storage.name)
    path = CLAIMS.path(name, guest.namespace)
    try:
        raw = await api.get(path)
    except NotFound:
        annotations = {NODE_ANNOTATION: node} if await _late(api, storage) else {}
        await api.create(CLAIMS.path(namespace=guest.namespace), own_claim_of(guest, storage, annotations))
        return
    if not _ours(storage.name, raw):
        words = (
            f"PersistentVolumeClaim {guest.namespace}/{name} is not of Storage {storage.name}: delete it, or give it to "
            f"the guest with the label {STORAGE_LABEL}={storage.name}"
        )
        raise Permanent(f"GET {path}", 409, "NotOurs", words)
    if _phase(raw) == "Bound" or planned_for(raw, node) or not await _late(api, storage):
        return
    version = raw["metadata"]["resourceVersion"]
    await api.merge(path, {"metadata": {"resourceVersion": version, "annotations": {NODE_ANNOTATION: node}}})


def planned_for(claim: Json, node: NodeName) -> bool:
    """Is its provisioner told to make the volume for that node?"""
    return bool((claim["metadata"].get("annotations") or {}).get(NODE_ANNOTATION) == node)


async def _late(api: Calls, storage: StorageView) -> bool:
    """Is a volume of that class made once it is known for which node? Where none is made, the scheduler chooses one."""
    if storage.volume_class is None:
        return False
    found = await api.get(STORAGE_CLASSES.path(storage.volume_class.name))
    return found.get("volumeBindingMode") == LATE and found.get("provisioner") != NO_PROVISIONER


def own_claim_of(guest: GuestKey, storage: StorageView, annotations: Json) -> Json:
    """A guest's own claim. No owner: it stays when the guest goes."""
    of_class = storage.volume_class
    spec: Json = {"accessModes": ["ReadWriteOnce"]}
    if of_class is not None:
        spec = {
            "accessModes": [of_class.access_mode],
            "storageClassName": of_class.name,
            "resources": {"requests": {"storage": of_class.size}},
        }
    metadata = {
        "name": own_claim(guest, storage.name),
        "namespace": guest.namespace,
        "labels": {STORAGE_LABEL: storage.name, GUEST_LABEL: guest.name},
        "annotations": annotations,
    }
    return {"apiVersion": CLAIMS.api_version, "kind": CLAIMS.kind, "metadata": metadata, "spec": spec}

"""What was seen of protected workloads: StatefulSets, Deployments and Pods, in the namespaces of their HAResources.

Nothing is watched elsewhere. A namespace is listed before anything is said of it, and again with every sweep.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from math import inf
from operator import is_
from typing import Any, Final

from quorate.core.quick import replace
from quorate.core.selectors import Taint, Toleration
from quorate.core.types import FENCE_TAINT, GUEST_LABEL, GuestKey, NodeName, Uid, Wanted
from quorate.core.workloads import (
    Asking,
    KubeletLook,
    Matched,
    VolumesLook,
    WorkloadKind,
    WorkloadObject,
    WorkloadPod,
    assign,
)
from quorate.core.world import GuestView, WorkloadView
from quorate.kube.calls import ApiError, Calls, NotFound, Permanent
from quorate.kube.machines import Machines, absent_because
from quorate.kube.resources import (
    DEPLOYMENTS,
    MACHINE_RUNS,
    MACHINES,
    MIGRATIONS,
    STATEFUL_SETS,
    Key,
    Resource,
    key_of,
    version_of,
)

log = logging.getLogger(__name__)
Raw = Mapping[str, Any]
WORKLOAD_PODS: Final = Resource("", "v1", "pods", namespaced=True, kind="Pod")
"""Pods that others made; those of container guests are seen by their label."""
FOLLOWED: Final = (STATEFUL_SETS, DEPLOYMENTS, WORKLOAD_PODS)
KUBEVIRT: Final = (MACHINES, MACHINE_RUNS, MIGRATIONS)
"""Followed as well where an HAResource names a virtual machine, if they are served."""
SELECT: Final = {WORKLOAD_PODS: f"!{GUEST_LABEL}"}
AGAIN_S: Final = 1.0
_LOSS: Final = tuple(
    Taint(key, "NoExecute") for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
)
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_OURS: Final = Taint(FENCE_TAINT, "NoExecute", "an-incident")


class Workloads:
    """Objects and Pods by namespace. `changed` is told of what a round may want to know."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float]) -> None:
        self._changed = changed
        self._clock = clock
        self._objects: dict[str, dict[tuple[Resource, str], WorkloadObject]] = {}
        self._pods: dict[str, dict[str, WorkloadPod]] = {}
        self._versions: dict[tuple[Resource, Key], tuple[str, int]] = {}
        self._deleted: dict[str, float] = {}
        """uid -> the version as of which it was gone."""
        self._guests: dict[GuestKey, str] = {}
        """Who protects something, and in which namespace."""
        self.listed: set[str] = set()
        self.asked = asyncio.Event()
        self.moved = asyncio.Event()
        """The namespaces that matter are others than before: for who lists them, and who watches them."""
        self._namespaces: frozenset[str] = frozenset()
        self.kubelets: dict[NodeName, KubeletLook] = {}
        self._volumes: dict[GuestKey, VolumesLook] = {}
        self._touched: set[str] = set()
        self._known: dict[str, tuple[tuple[GuestView, ...], dict[GuestKey, WorkloadView]]] = {}
        self.machines = Machines()
        self._split: dict[str, tuple[tuple[GuestView, ...], tuple[GuestView, ...], tuple[GuestView, ...]]] = {}

    # -- feeding ----------------------------------------------------------------------------------------------------

    def mind(self, key: GuestKey, view: GuestView | None) -> None:
        """An HAResource as it is now, None: it is gone."""
        wanted = view is not None and (
            bool(view.spec.machine) or (view.spec.workload is not None and view.spec.wanted is not Wanted.IGNORED)
        )
        news = self.machines.mind(key, view)
        before = self._namespaces
        if wanted:
            self._guests[key] = key.namespace
        else:
            self._guests.pop(key, None)
        if view is None:
            self._volumes.pop(key, None)
        self._touched.add(key.namespace)
        after = self._namespaces = frozenset(self._guests.values())
        if news:
            self.listed.discard(key.namespace)
        if after != before or news:
            for gone in before - after:
                self._forget(gone)
            self.asked.set()
            self.moved.set()

    def namespaces(self) -> frozenset[str]:
        """Where something is protected."""
        return self._namespaces

    def followed(self, namespace: str = "") -> tuple[Resource, ...]:
        """What is followed there, or anywhere."""
        machines = self.machines.namespaces
        return (*FOLLOWED, *KUBEVIRT) if (namespace in machines if namespace else machines) else FOLLOWED

    def served(self, absent: str) -> None:
        """Are KubeVirt's kinds served, or why can they not be read?"""
        if self.machines.absent == absent:
            return
        self.machines.absent = absent
        for namespace in self.machines.namespaces:
            self._touch(namespace)
        self.moved.set()

    def lose_machines(self, namespace: str) -> None:
        """KubeVirt's kinds cannot be read there: what was known of them may not be so any more."""
        self.machines.empty(namespace)
        self._versions = {
            place: known
            for place, known in self._versions.items()
            if place[0] not in KUBEVIRT or place[1][0] != namespace
        }

    def _forget(self, namespace: str) -> None:
        self.listed.discard(namespace)
        self.machines.forget(namespace)
        self._objects.pop(namespace, None)
        self._pods.pop(namespace, None)
        self._versions = {place: known for place, known in self._versions.items() if place[1][0] != namespace}

    def put(self, resource: Resource, raw: Raw) -> None:
        """A version of an object; an older one never replaces a newer one."""
        metadata = raw["metadata"]
        key, uid, version = key_of(raw), str(metadata.get("uid", "")), version_of(raw)
        before = self._versions.get((resource, key))
        if key[0] not in self.namespaces() or version < self._deleted.get(uid, 0):
            return
        if before is not None and (before[1] > version or before == (uid, version)):
            return  # also where an object of that name before this one is told of late
        self._versions[resource, key] = (uid, version)
        if resource is WORKLOAD_PODS:
            self._pod(key, raw)
        elif resource in KUBEVIRT:
            self.machines.put(resource, key, raw)
        else:
            self._objects.setdefault(key[0], {})[resource, key[1]] = workload(resource, raw)
        self._touch(key[0])

    def _pod(self, key: Key, raw: Raw) -> None:
        namespace = self._pods.setdefault(key[0], {})
        view, before, now_s = pod(raw), namespace.get(key[1]), self._clock()
        ending_s = now_s if view.deleting else None
        if before is not None and before.uid == view.uid and before.ending_s is not None:
            ending_s = before.ending_s
        made = namespace[key[1]] = replace(view, seen_s=now_s, ending_s=ending_s)
        self.machines.pod(key, raw, made)

    def deleted(self, resource: Resource, last: Raw) -> None:
        """A watch has told of its end, and of the last version of it."""
        self.gone(resource, key_of(last), last["metadata"].get("uid", ""), version_of(last))

    def gone(self, resource: Resource, key: Key, uid: str, version: float = inf) -> None:
        """It has been deleted."""
        if uid:
            self._deleted[uid] = version
            if len(self._deleted) > 4096:
                del self._deleted[next(iter(self._deleted))]
        known = self._versions.get((resource, key))
        if known is None or (uid and known[0] != uid):
            return
        del self._versions[resource, key]
        if resource is WORKLOAD_PODS:
            self._pods.get(key[0], {}).pop(key[1], None)
            self.machines.pod(key, None, None)
        elif resource in KUBEVIRT:
            self.machines.put(resource, key, None)
        else:
            self._objects.get(key[0], {}).pop((resource, key[1]), None)
        self._touch(key[0])

    def sweep(self, resource: Resource, namespace: str, listed: Iterable[Raw], version: int) -> None:
        """A complete list of a namespace: what it lacks is gone, unless it is newer than the list."""
        kept = set()
        for raw in listed:
            kept.add(raw["metadata"]["name"])
            self.put(resource, raw)
        for (kind, key), (uid, known) in list(self._versions.items()):
            if kind is resource and key[0] == namespace and key[1] not in kept and known <= version:
                self.gone(resource, key, uid, version)

    def forget_all(self) -> None:
        """Somebody restored the store: no version of before means anything."""
        for namespace in list(self.namespaces()):
            self._forget(namespace)
        self._deleted.clear()
        self.kubelets.clear()
        self._volumes.clear()
        self._known.clear()
        self.asked.set()
        self.moved.set()

    def opened(self, namespace: str) -> None:
        """It was listed."""
        if namespace in self.namespaces() and namespace not in self.listed:
            self.listed.add(namespace)
            self._touch(namespace)

    def looked(self, node: NodeName, look: KubeletLook) -> None:
        """What a live GET found of a kubelet's Lease."""
        self.kubelets[node] = look
        self._changed()

    def saw_volumes(self, guest: GuestKey, look: VolumesLook) -> None:
        """Where a guest's claims are attached. It wakes only when that has changed."""
        before = self._volumes.get(guest)
        self._volumes[guest] = look
        self._touched.add(guest.namespace)
        if before is None or replace(before, at_s=look.at_s) != look:
            self._changed()

    def _touch(self, namespace: str) -> None:
        self._touched.add(namespace)
        self.machines.touch(namespace)
        self._changed()

    # -- reading ----------------------------------------------------------------------------------------------------

    def split(
        self, cluster: str, guests: tuple[GuestView, ...], everyone: tuple[GuestView, ...]
    ) -> tuple[tuple[GuestView, ...], tuple[WorkloadView, ...]]:
        """The guests of a Cluster: those that Quorate runs, and the workloads that it protects.

        `everyone`: the guests of all Clusters; of two that mean the same workload the older protects it.
        """
        known = self._split.get(cluster)
        if known is None or known[0] is not guests:
            ours = tuple(one for one in guests if one.spec.workload is None)
            theirs = tuple(one for one in guests if one.spec.workload is not None)
            known = self._split[cluster] = (guests, guests if not theirs else ours, theirs)
        ours = self.machines.seen(cluster, known[1], everyone, self.listed)
        if not known[2]:
            return ours, ()
        views = self._views(everyone)
        return ours, tuple(views[one.key] for one in known[2])

    def _views(self, everyone: tuple[GuestView, ...]) -> dict[GuestKey, WorkloadView]:
        by_namespace: dict[str, list[GuestView]] = {}
        for guest in everyone:
            if guest.spec.workload is not None:
                by_namespace.setdefault(guest.key.namespace, []).append(guest)
        found: dict[GuestKey, WorkloadView] = {}
        for namespace, members in by_namespace.items():
            guests, known = tuple(members), self._known.get(namespace)
            same = known is not None and len(known[0]) == len(guests) and all(map(is_, known[0], guests))
            if known is None or not same or namespace in self._touched:
                known = self._known[namespace] = (guests, self._put_together(namespace, guests))
            found |= known[1]
        self._touched.clear()
        return found

    def _put_together(self, namespace: str, guests: tuple[GuestView, ...]) -> dict[GuestKey, WorkloadView]:
        if namespace not in self.listed:
            return {one.key: WorkloadView(one) for one in guests}
        objects = tuple(
            one for _, one in sorted(self._objects.get(namespace, {}).items(), key=lambda item: str(item[1]))
        )
        pods = tuple(one for _, one in sorted(self._pods.get(namespace, {}).items()))
        asking = tuple(
            Asking(one.key, one.created, one.spec.workload, frozenset(pod.uid for pod in one.status.pods))
            for one in guests
            if one.spec.workload is not None and one.spec.wanted is not Wanted.IGNORED and not one.deleting
        )
        matched = assign(asking, objects, pods)
        return {
            one.key: WorkloadView(one, matched.get(one.key, Matched()), self._volumes.get(one.key)) for one in guests
        }


# -- objects as they are seen -------------------------------------------------------------------------------------------


def workload(resource: Resource, raw: Raw) -> WorkloadObject:
    """A StatefulSet or a Deployment. Never raises: anybody may have written it."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    template = ((spec.get("template") or {}).get("spec")) or {}
    replicas = spec.get("replicas", 1)
    return WorkloadObject(
        kind=WorkloadKind(resource.kind),
        name=metadata["name"],
        uid=Uid(metadata.get("uid", "")),
        replicas=replicas if isinstance(replicas, int) else 1,
        labels=metadata.get("labels") or {},
        deleting=metadata.get("deletionTimestamp") is not None,
        patient=all(_tolerates(template, taint, for_ever=True) for taint in _LOSS),
    )


def pod(raw: Raw) -> WorkloadPod:
    """A Pod that some controller made. Never raises: anybody may have written it."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    owner: Raw = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), {})
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or [])
    volumes = [one for one in spec.get("volumes") or [] if "persistentVolumeClaim" in one]
    return WorkloadPod(
        name=metadata["name"],
        uid=Uid(metadata.get("uid", "")),
        resource_version=metadata.get("resourceVersion", ""),
        owner=(owner.get("kind", ""), owner.get("name", ""), Uid(owner.get("uid", ""))),
        node=NodeName(spec["nodeName"]) if spec.get("nodeName") else None,
        revision=(metadata.get("labels") or {}).get("pod-template-hash", ""),
        phase=status.get("phase") or "Pending",
        ready=ready,
        deleting=metadata.get("deletionTimestamp") is not None,
        running=any("running" in (one.get("state") or {}) for one in _statuses(status)),
        finalizers=tuple(metadata.get("finalizers") or ()),
        claims=tuple(sorted(name for one in volumes if _NAME.fullmatch(name := _claim(one)))),
        marks=marks_of(raw),
        heedless=_tolerates(spec, _OURS),
    )


def _claim(volume: Raw) -> str:
    """Kubernetes checks no claim's name in a Pod; one that no claim can have must not get into a path."""
    return str((volume["persistentVolumeClaim"] or {}).get("claimName") or "")


def marks_of(raw: Raw) -> str:
    """A digest of the containers that the kubelet has reported and their restarts: another one for every start."""
    found = sorted(
        (one.get("name", ""), one.get("containerID") or "", one.get("restartCount") or 0)
        for one in _statuses(raw.get("status") or {})
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12] if found else ""


def _statuses(status: Raw) -> list[Raw]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _tolerates(spec: Raw, taint: Taint, *, for_ever: bool = False) -> bool:
    for one in spec.get("tolerations") or []:
        toleration = Toleration(
            one.get("key") or "", one.get("operator") or "Equal", one.get("value") or "", one.get("effect") or ""
        )
        if toleration.tolerates(taint) and (not for_ever or one.get("tolerationSeconds") is None):
            return True
    return False


# -- listing ------------------------------------------------------------------------------------------------------------


async def list_namespace(workloads: Workloads, api: Calls, namespace: str) -> None:
    """List what may belong to a protected workload there."""
    for resource in workloads.followed(namespace):
        query = {"labelSelector": SELECT[resource]} if resource in SELECT else None
        listed: Raw = {"items": [], "metadata": {}}
        try:
            listed = await api.get(resource.path(namespace=namespace), query)
        except (NotFound, Permanent) as error:
            if resource not in KUBEVIRT:
                raise
            workloads.served(absent_because(error))
            workloads.lose_machines(namespace)
            break
        if resource in KUBEVIRT:
            workloads.served("")
        workloads.sweep(resource, namespace, listed.get("items") or [], version_of(listed))
    workloads.opened(namespace)


async def list_all(workloads: Workloads, api: Calls) -> None:
    """Every namespace once more. One that cannot be listed must not keep everything else from being planned."""
    for namespace in sorted(workloads.namespaces()):
        try:
            await list_namespace(workloads, api, namespace)
        except ApiError as error:
            log.warning("workloads of namespace %s could not be listed: %s", namespace, error)


async def keep_listing(workloads: Workloads, api: Calls) -> None:
    """List each namespace as soon as something in it is to be protected."""
    while True:
        missing = sorted(workloads.namespaces() - workloads.listed)
        if not missing:
            await workloads.asked.wait()
            workloads.asked.clear()
            continue
        try:
            for namespace in missing:
                await list_namespace(workloads, api, namespace)
        except ApiError as error:
            log.warning("listing workloads failed: %s", error)
            await asyncio.sleep(AGAIN_S)

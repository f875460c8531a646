"""Volumes and claims on an API server: what is made, what is recognised as ours, and what is left alone."""

from typing import Any

import pytest

from quorate.core.actions import ProvideVolume, RemoveVolume
from quorate.core.quick import replace
from quorate.core.storage import NfsExport, Volume, VolumeClass, nfs_volume, own_claim
from quorate.core.types import GuestKey, Kind, NodeName, Ref, StorageType, Uid
from quorate.core.volumes import Seen
from quorate.core.world import StorageView
from quorate.kube.calls import Calls, Conflict, Json, NotFound, Permanent, Transient
from quorate.kube.volumes import LOOK_EVERY_S, NODE_ANNOTATION, Look, own_claims, planned_for, provide, remove

NFS = StorageView(
    "media",
    Uid("s"),
    StorageType.NFS,
    namespaces=("default",),
    nfs=NfsExport("nas", "/guests", ("nfsvers=4.2", "hard")),
    used_by=("ct:default/web",),
)
FAST = StorageView(
    "fast", Uid("f"), StorageType.STORAGE_CLASS, volume_class=VolumeClass("ssd", "20Gi", "ReadWriteOnce")
)
VOLUME = Volume("default", nfs_volume("media", "default"), "quorate-media")
REF = Ref(Kind.STORAGE, "media")
PV = f"/api/v1/persistentvolumes/{VOLUME.volume}"
PVC = "/api/v1/namespaces/default/persistentvolumeclaims/quorate-media"
WEB = GuestKey("default", "web")
OWN = f"/api/v1/namespaces/default/persistentvolumeclaims/{own_claim(WEB, 'fast')}"
CLASS = "/apis/storage.k8s.io/v1/storageclasses/ssd"
LATE = {"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "csi"}


class Server(Calls):
    """Objects by path. `down`: it answers nothing."""

    def __init__(self, **objects: Json) -> None:
        self.objects: dict[str, Json] = dict(objects)
        self.asked: list[tuple[str, str]] = []
        self.down = False

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> Json:
        self.asked.append((method, path))
        if self.down:
            raise Transient(f"{method} {path}", 503, "", "down")
        if method == "POST":
            return self._create(path, body)
        if path not in self.objects:
            raise NotFound(f"{method} {path}", 404, "NotFound", "")
        if method == "DELETE":
            if body["preconditions"]["uid"] != self.objects[path]["metadata"]["uid"]:
                raise Conflict(f"{method} {path}", 409, "Conflict", "uid")
            return self.objects.pop(path)
        if method == "PATCH":
            metadata = self.objects[path]["metadata"]
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **body["metadata"]["annotations"]}
        return self.objects[path]

    def _create(self, path: str, body: Json) -> Json:
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            raise Conflict(f"POST {where}", 409, "AlreadyExists", "")
        metadata = {**body["metadata"], "uid": f"uid-{len(self.asked)}", "resourceVersion": "1"}
        self.objects[where] = {**body, "metadata": metadata, "status": {"phase": "Pending"}}
        return self.objects[where]

    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.asked if one[0] != "GET"]


async def seen(server: Server, storage: StorageView = NFS) -> Seen:
    return (await Look(server, lambda: 0.0).sight([storage]))["media", "default"]


async def made() -> Server:
    server = Server()
    await provide(server, NFS, ProvideVolume(REF, VOLUME, None))
    return server


async def test_a_volume_that_is_retained_and_held_for_its_claim():
    server = await made()
    spec = server.objects[PV]["spec"]
    assert spec["nfs"] == {"server": "nas", "path": "/guests"}
    assert spec["mountOptions"] == ["nfsvers=4.2", "hard"]
    assert (spec["persistentVolumeReclaimPolicy"], spec["storageClassName"]) == ("Retain", "")
    assert (spec["claimRef"]["namespace"], spec["claimRef"]["name"]) == ("default", "quorate-media")
    claim = server.objects[PVC]["spec"]
    assert (claim["volumeName"], claim["storageClassName"]) == (VOLUME.volume, "")
    assert spec["accessModes"] == claim["accessModes"] == ["ReadWriteMany"]


async def test_both_are_seen_to_be_ours():
    server = await made()
    found = await seen(server)
    assert found.volume is not None
    assert found.claim is not None
    assert found.volume.ours
    assert found.claim.ours
    assert not found.claim.bound
    server.objects[PVC]["status"]["phase"] = "Bound"
    again = (await seen(server)).claim
    assert again is not None
    assert again.bound


async def test_a_claim_that_is_there_gets_its_volume_back():
    server = await made()
    claim = server.objects[PVC]["metadata"]["uid"]
    del server.objects[PV]
    await provide(server, NFS, ProvideVolume(REF, VOLUME, Uid(claim)))
    assert server.objects[PV]["spec"]["claimRef"]["uid"] == claim


@pytest.mark.parametrize("path", [PV, PVC])
async def test_one_without_our_label_or_of_another_server_is_not_ours(path):
    for change in ({"metadata": {"name": "x", "uid": "u"}}, {"spec": {"nfs": {"server": "evil", "path": "/guests"}}}):
        server = await made()
        server.objects[path] = {**server.objects[path], **change}
        found = await seen(server)
        thing = found.volume if path == PV else found.claim
        assert thing is not None
        assert not thing.ours


async def test_they_are_taken_away_by_uid():
    server = await made()
    with pytest.raises(Conflict):
        await remove(server, RemoveVolume(REF, VOLUME, Uid("other"), None))
    volume, claim = (Uid(server.objects[path]["metadata"]["uid"]) for path in (PV, PVC))
    await remove(server, RemoveVolume(REF, VOLUME, volume, claim))
    assert server.objects == {}
    await remove(server, RemoveVolume(REF, VOLUME, volume, claim))


async def test_what_is_settled_is_looked_at_now_and_then_and_what_is_not_each_time():
    server, now = await made(), [0.0]
    look = Look(server, lambda: now[0])
    settled = replace(NFS, status=replace(NFS.status, volumes=(VOLUME,)))
    for storage, expected in ((NFS, 4), (settled, 2)):
        look.forget()
        server.asked.clear()
        for _ in range(2):
            await look.sight([storage])
        assert len(server.asked) == expected
    now[0] = LOOK_EVERY_S
    await look.sight([settled])
    assert len(server.asked) == 4


async def test_nothing_is_said_of_what_could_not_be_looked_at():
    server = await made()
    server.down = True
    assert await Look(server, lambda: 0.0).sight([NFS]) == {}
    assert await Look(server, lambda: 0.0).classes([FAST]) == {"ssd"}


async def test_a_class_that_does_not_exist():
    assert await Look(Server(), lambda: 0.0).classes([FAST, NFS]) == frozenset()
    assert await Look(Server(**{CLASS: LATE}), lambda: 0.0).classes([FAST]) == {"ssd"}


class TestOwnClaims:
    async def test_it_is_made_for_the_node_that_was_chosen(self):
        server = Server(**{CLASS: LATE})
        await own_claims(server, WEB, [FAST, NFS], NodeName("n2"))
        claim = server.objects[OWN]
        assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
        assert (claim["spec"]["storageClassName"], claim["spec"]["accessModes"]) == ("ssd", ["ReadWriteOnce"])
        assert planned_for(claim, NodeName("n2"))
        assert "ownerReferences" not in claim["metadata"], "it stays when the guest goes"

    async def test_not_bound_yet_it_goes_where_the_guest_goes_next(self):
        server = Server(**{CLASS: LATE})
        await own_claims(server, WEB, [FAST], NodeName("n2"))
        await own_claims(server, WEB, [FAST], NodeName("n3"))
        assert planned_for(server.objects[OWN], NodeName("n3"))
        server.asked.clear()
        await own_claims(server, WEB, [FAST], NodeName("n3"))
        assert server.writes() == []

    async def test_once_bound_it_is_left_as_it_is(self):
        server = Server(**{CLASS: LATE})
        await own_claims(server, WEB, [FAST], NodeName("n2"))
        server.objects[OWN]["status"]["phase"] = "Bound"
        server.asked.clear()
        await own_claims(server, WEB, [FAST], NodeName("n3"))
        assert server.writes() == []

    @pytest.mark.parametrize(
        "other",
        [
            {"volumeBindingMode": "Immediate", "provisioner": "csi"},
            {"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "kubernetes.io/no-provisioner"},
        ],
    )
    async def test_where_no_provisioner_waits_for_a_node_none_is_told_one(self, other):
        server = Server(**{CLASS: other})
        for node in ("n2", "n3"):
            await own_claims(server, WEB, [FAST], NodeName(node))
        assert NODE_ANNOTATION not in server.objects[OWN]["metadata"]["annotations"]

    async def test_somebody_elses_is_left_alone_and_said(self):
        server = Server(**{CLASS: LATE, OWN: {"metadata": {"uid": "x"}, "status": {"phase": "Bound"}}})
        with pytest.raises(
            Permanent, match="is not of Storage fast: delete it, or give it to the guest with the label"
        ):
            await own_claims(server, WEB, [FAST], NodeName("n2"))
        assert server.writes() == []

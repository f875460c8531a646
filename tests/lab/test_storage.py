"""Storages of type NFS and StorageClass in a lab on both API servers: what is made of them, and what becomes of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from quorate.core.loss import CONDITION
from quorate.core.storage import nfs_volume, own_claim
from quorate.core.types import GuestKey
from quorate.kube.resources import CLAIMS, HARESOURCES, STORAGE_CLASSES, STORAGES, VOLUMES
from quorate.lab.options import Options
from tests import real
from tests.ganesha import EXPORT, Server, serving
from tests.lab.conftest import KINDS, Run
from tests.lab.nas import gate
from tests.lab.scene import STORAGE, WEB, Scene, judged, own_cache, running, writer
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab
MEDIA, CLAIM = nfs_volume("media", "default"), "quorate-media"
ADDRESS = "127.76.0.3"
MOUNTS = {"storage": [{"name": STORAGE, "path": "/data"}, {"name": "media", "path": "/media"}]}


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real NFS server, which the agents of all nodes reach."""
    with serving(tmp_path_factory.mktemp("nas"), ADDRESS) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def lab(request: pytest.FixtureRequest, cache: None) -> Iterator[object]:
    if request.param == "real":
        real.programs()
    with running(Options("storage", control_plane=request.param, profile="Fast")) as lab:
        yield lab


@pytest.fixture
async def scene(lab: object) -> AsyncIterator[Scene]:
    with judged(lab) as scene:  # type: ignore[arg-type]
        await scene.until_whole()
        scene.share_storage()
        yield scene
        await scene.heal()
        for name in ("media", "fast"):
            scene.api.delete(STORAGES.path(name))
            await scene.until(f"Storage {name} to go", lambda name=name: not scene.raw(STORAGES, name))


def nfs(scene: Scene, port: int, address: str = ADDRESS, **spec: Any) -> None:
    where = {"server": address, "export": EXPORT, "options": [f"port={port}", "nfsvers=4.2"]}
    scene.create(STORAGES, "media", {"type": "NFS", "nfs": where, "allowedNamespaces": ["default"], **spec})


async def test_a_volume_and_a_claim_come_and_go_with_the_guests_that_use_them(scene: Scene, nas: Server) -> None:
    nfs(scene, nas.port)
    await scene.until("it to be looked at", lambda: scene.storage("media").state)
    assert not scene.raw(VOLUMES, MEDIA)
    await scene.start_guest(**MOUNTS)
    volume, claim = scene.raw(VOLUMES, MEDIA), scene.raw(CLAIMS, CLAIM, "default")
    assert volume["spec"]["nfs"] == {"server": ADDRESS, "path": EXPORT}
    assert volume["spec"]["mountOptions"] == [f"port={nas.port}", "nfsvers=4.2"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert claim["spec"]["volumeName"] == MEDIA
    mounted = {one["name"]: one.get("persistentVolumeClaim") for one in scene.pod()["spec"]["volumes"]}
    assert {"claimName": CLAIM} in mounted.values()
    scene.switch("node1", "power-off")
    await scene.until_runs("node2")
    assert scene.raw(VOLUMES, MEDIA)["metadata"]["uid"] == volume["metadata"]["uid"]
    scene.switch("node1", "power-on")
    scene.api.delete(STORAGES.path("media")).ok()
    words = "waits to be deleted: in use by ct:default/web"
    await scene.until("its deletion to wait", lambda: scene.storage("media").message == words)
    await scene.clear_away()
    await scene.until("the Storage to go", lambda: not scene.raw(STORAGES, "media"))
    assert not scene.raw(CLAIMS, CLAIM, "default")
    assert not scene.raw(VOLUMES, MEDIA)


async def test_a_claim_of_that_name_that_is_somebody_elses_is_left_alone(scene: Scene, nas: Server) -> None:
    size = {"requests": {"storage": "1Gi"}}
    scene.create(CLAIMS, CLAIM, {"accessModes": ["ReadWriteMany"], "resources": size}, "default")
    nfs(scene, nas.port)
    scene.create(HARESOURCES, "web", {**writer("web"), **MOUNTS}, "default")
    scene.judged.append(WEB)
    words = f"there is a PersistentVolumeClaim default/{CLAIM} that is not this Storage's, and it is left alone"
    await scene.until("it to be said on the guest", lambda: words in scene.guest().message)
    assert (scene.storage("media").state, words in scene.storage("media").message) == ("Degraded", True)
    scene.api.delete(CLAIMS.path(CLAIM, "default")).ok()
    await scene.until_runs("node1")
    assert scene.raw(CLAIMS, CLAIM, "default")["spec"]["volumeName"] == MEDIA


async def test_a_guest_has_a_claim_of_its_own_which_stays(scene: Scene) -> None:
    fast = {"type": "StorageClass", "storageClass": {"name": "ssd", "size": "20Gi"}, "allowedNamespaces": ["default"]}
    scene.create(STORAGES, "fast", fast)
    words = "StorageClass ssd (spec.storageClass.name) does not exist: create it or name another one"
    await scene.until("it to be missed", lambda: words in scene.storage("fast").message)
    late = {"provisioner": "example.org/csi", "volumeBindingMode": "WaitForFirstConsumer"}
    body = {"apiVersion": STORAGE_CLASSES.api_version, "kind": "StorageClass", "metadata": {"name": "ssd"}, **late}
    scene.api.post(STORAGE_CLASSES.path(), body).ok()
    await scene.until("it to be available", lambda: scene.storage("fast").state == "Available")
    mounts = [{"name": STORAGE, "path": "/data"}, {"name": "fast", "path": "/fast"}]
    name = own_claim(GuestKey("default", "web"), "fast")
    size = {"requests": {"storage": "1Gi"}}
    scene.create(CLAIMS, name, {"accessModes": ["ReadWriteMany"], "resources": size}, "default")
    scene.create(HARESOURCES, "web", {**writer("web"), "storage": mounts}, "default")
    scene.judged.append(WEB)
    words = f"PersistentVolumeClaim default/{name} is not of Storage fast: delete it, or give it to the guest"
    await scene.until("somebody else's claim to be said", lambda: words in scene.guest().message)
    scene.api.delete(CLAIMS.path(name, "default")).ok()
    await scene.until_runs("node1")
    claim = scene.raw(CLAIMS, name, "default")
    assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "node1"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert scene.pod()["spec"]["nodeName"] == "node1"
    await scene.clear_away()
    assert scene.raw(CLAIMS, name, "default")["metadata"]["uid"] == claim["metadata"]["uid"]
    scene.api.delete(CLAIMS.path(name, "default")).ok()
    scene.api.delete(STORAGE_CLASSES.path("ssd")).ok()


async def test_a_node_that_does_not_reach_the_server_loses_the_guests_that_need_it(
    scene: Scene, run: Run, nas: Server
) -> None:
    """Something stands between the server and one node."""
    async with gate(scene.lab_id, nas.address, nas.port) as way:
        nfs(scene, way.port, "127.0.0.1", onLoss="Relocate")
        await scene.until("all nodes to reach it", lambda: scene.storage("media").nodes == "3/3")
        assert scene.storage("media").used.endswith("iB")
        await scene.start_guest(**MOUNTS)
        way.refuses.add("node1")
        await scene.until("node1 to miss it", lambda: scene.storage("media").nodes == "2/3")
        (away,) = scene.storage("media").unreached
        assert (away.node, away.why) == ("node1", "127.0.0.1: it closes the connection without an answer")
        words = "it does not reach storage media (127.0.0.1: it closes the connection without an answer)"
        explained = await asyncio.to_thread(run, "explain", "web")
        assert words in explained.out
        await scene.until("it to be said", lambda: "node1 does not reach Storage media" in lost(scene))
        before = scene.guest()
        await eventually(lambda: scene.guest().node != "node1", "it to leave, a minute later", limit_s=180)
        await scene.until_another_runs(before)
        assert scene.guest().node in {"node2", "node3"}
        assert lost(scene) == ""
        told = await asyncio.to_thread(run, "history", "web")
        assert "node1 does not reach Storage media: it moves to node" in told.out


async def test_a_server_that_hangs_costs_no_heartbeat_and_moves_nothing(scene: Scene, nas: Server) -> None:
    nfs(scene, nas.port, onLoss="Relocate")
    await scene.until("all nodes to reach it", lambda: scene.storage("media").nodes == "3/3")
    before = await scene.start_guest(**MOUNTS)
    boots = {name: scene.machine(name)["boot"] for name in scene.names()}
    os.kill(nas.process.pid, signal.SIGSTOP)
    try:
        await scene.until("all nodes to miss it", lambda: scene.storage("media").state == "Unreachable")
        assert {one.node for one in scene.storage("media").unreached} == set(boots)
        assert "does not answer in time" in scene.storage("media").unreached[0].why
        await scene.until("it to be said", lambda: "node1 does not reach Storage media" in lost(scene))
        for name in scene.names():
            assert scene.is_online(name)
        scene.assert_stays(before)
    finally:
        os.kill(nas.process.pid, signal.SIGCONT)
    await scene.until("all nodes to reach it again", lambda: scene.storage("media").nodes == "3/3")
    await scene.until("nothing to be said any more", lambda: lost(scene) == "")
    assert {name: scene.machine(name)["boot"] for name in scene.names()} == boots
    scene.assert_stays(before)


def lost(scene: Scene) -> str:
    """What the guest's condition says; "" where it has none."""
    return next((one.message for one in scene.guest().conditions if one.type == CONDITION), "")

"""Everything is restored to what it was a while ago: nothing is done, and it is said, until a person accepts it.

Once as etcd is restored, from a copy of its files, and once object by object, as backup tools do it. What came after the
copy is unknown to the store then: the guest that was added late is nobody's.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from quorate.cli.main import main
from quorate.core.status import GuestStatus
from quorate.core.types import AGENT_NAMESPACE, GuestKey
from quorate.kube.resources import CLUSTERS, HARESOURCES, LEASES, NODES, PODS, Resource
from quorate.lab import processes
from quorate.lab.options import Options
from tests.faults.conftest import KINDS
from tests.lab.scene import Scene, container, played

Json = dict[str, Any]
BACKWARDS = "history runs backwards"
LATE = GuestKey("default", "late")


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    """Relaxed: etcd is away for some seconds while it is restored, and that resets nobody here."""
    with played(Options("own", profile="Relaxed", control_plane=kind)) as scene:
        await scene.until_whole()
        scene.share_storage()
        yield scene


async def renewed(scene: Scene, more: int) -> None:
    """Every node has renewed so many times more."""
    before = {name: sequence(scene, name) for name in scene.names()}
    await scene.until(
        "some renewals", lambda: all(sequence(scene, name) >= before[name] + more for name in scene.names())
    )


def sequence(scene: Scene, node: str) -> int:
    said = scene.attested(node)
    return said.sequence if said is not None else 0


async def accepted(scene: Scene, web: GuestStatus) -> None:
    """Nothing moves before, everything goes on after."""
    await scene.until("it to be said", lambda: BACKWARDS in scene.cluster().message)
    rewind = scene.cluster().rewind
    assert rewind is not None
    assert rewind.accepted is None
    await renewed(scene, 2)
    assert BACKWARDS in scene.cluster().message, "it waits for a person"
    scene.api.delete(PODS.path("web", "default"), {"gracePeriodSeconds": 0})
    await renewed(scene, 2)
    assert scene.raw(HARESOURCES, "web", "default")["status"]["state"] == "Started", "nothing is done"
    code = await asyncio.to_thread(
        main, ["--kubeconfig", str(scene.files.kubeconfig), "cluster", "accept-history", "-y"]
    )
    assert code == 0
    await scene.until("all to have renewed", lambda: (scene.cluster().rewind or rewind).ended is not None)
    assert BACKWARDS not in scene.cluster().message
    await scene.until("the guest that was deleted meanwhile to run again", lambda: scene.runs(str(scene.guest().node)))
    await scene.until_runs(str(scene.guest().node))


async def test_object_by_object(scene: Scene) -> None:
    web = await scene.start_guest()
    await renewed(scene, 1)
    kept = {
        (resource, name, namespace): scene.raw(resource, name, namespace)
        for resource, name, namespace in (
            *((LEASES, name, AGENT_NAMESPACE) for name in scene.names()),
            *((NODES, name, "") for name in scene.names()),
            (HARESOURCES, "web", "default"),
            (CLUSTERS, scene.name, ""),
        )
    }
    await renewed(scene, 2)
    for (resource, name, namespace), raw in kept.items():
        await scene.until(f"{name} to be put back", lambda at=(resource, name, namespace, raw): put_back(scene, *at))
    await accepted(scene, web)


def put_back(scene: Scene, resource: Resource, name: str, namespace: str, raw: Json) -> bool:
    """A compare-and-swap that its owner may win a few times."""
    now = scene.raw(resource, name, namespace)
    raw["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
    path = resource.path(name, namespace, "" if resource is LEASES else "status")
    return scene.api.put(path, raw).code == 200


@pytest.mark.parametrize("kind", KINDS[1:], indirect=True)
async def test_as_etcd_is_restored(scene: Scene, kind: str) -> None:
    """Of the real one only: the embedded one has no files, what it is given back it is given object by object."""
    web = await scene.start_guest()
    await renewed(scene, 1)
    data, copy = scene.files.root / "control-plane" / "etcd", scene.files.root / "copy"
    copy_of(scene, data, copy)
    scene.create(HARESOURCES, LATE.name, {"guest": container("sleep", "1000")}, LATE.namespace)
    await scene.until("the late guest to run", lambda: scene.guest(LATE).ready)
    await renewed(scene, 2)
    restore(scene, data, copy)
    await scene.until("the API server to answer", lambda: answers(scene))
    assert not scene.raw(HARESOURCES, LATE.name, LATE.namespace)
    await accepted(scene, web)
    await scene.until("nothing of the late guest to run", lambda: scene.seen_on(LATE) == [])


def program(scene: Scene, name: str) -> processes.Process:
    """The leash of a program of the control plane, or the process that starts them (its module's name)."""
    found = scene.find(name)
    assert found is not None, name
    return found


def answers(scene: Scene) -> bool:
    try:
        return scene.api.get("/readyz").code == 200
    except urllib3.exceptions.HTTPError:
        return False


def copy_of(scene: Scene, data: Path, copy: Path) -> None:
    """As a snapshot of the disk: etcd stands still for a moment."""
    etcd = _running(scene, "etcd")
    for process in etcd:
        processes.send(process, signal.SIGSTOP)
    shutil.copytree(data, copy)
    for process in etcd:
        processes.send(process, signal.SIGCONT)


def _running(scene: Scene, name: str) -> list[processes.Process]:
    """The processes of that program, by its file's name."""
    found = []
    for process in processes.scan({processes.LAB: scene.lab_id}):
        command = (processes.read_bytes(f"/proc/{process.pid}/cmdline") or b"").split(b"\0")
        if command[0].rsplit(b"/", 1)[-1] == name.encode():
            found.append(process)
    return found


def restore(scene: Scene, data: Path, copy: Path) -> None:
    """Both are killed, etcd's files are exchanged, and then they are started again."""
    starter = program(scene, "quorate.lab.control_plane")
    processes.send(starter, signal.SIGSTOP)
    for name in ("kube-apiserver", "etcd"):
        for process in _running(scene, name):
            processes.send(process, signal.SIGKILL)
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    processes.send(starter, signal.SIGCONT)

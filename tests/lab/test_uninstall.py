"""Quorate is taken out of a running lab: in its order, in the wrong order, and without a manager.

Judged from outside: nothing of ours is left, no guest runs, no machine was reset (its boot number), every watchdog is idle.
The lab's agents and managers are no Pods: they live on and find nothing to do.
"""

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE, GuestKey
from quorate.kube.resources import (
    CLUSTERS,
    HARESOURCES,
    KUBE_NODES,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REVISIONS,
    STORAGES,
)
from quorate.lab import client, processes
from quorate.lab.options import Options
from quorate.lab.processes import Process
from tests import real
from tests.lab.conftest import Run
from tests.lab.scene import Scene, own_cache, played

pytestmark = pytest.mark.lab
DB = GuestKey("default", "db")
MANAGERS = ("manager-1", "manager-2")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OURS = (HARESOURCES, CLUSTERS, NODES, STORAGES)


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    """A lab of its own with two guests on two of its three nodes."""
    if kind == "real":
        real.garbage_collector()
    with played(Options("gone", control_plane=kind, profile="Fast")) as scene:
        await scene.until_whole()
        scene.share_storage()
        await scene.start_guest(node="node1")
        await scene.start_guest(DB, node="node2")
        yield scene


def items(scene: Scene, path: str) -> list[dict[str, Any]]:
    """What is there; nothing where the API server no longer knows the kind."""
    answer = scene.api.get(path)
    return [] if answer.code == 404 else list(answer.ok()["items"])


async def nothing_is_left(scene: Scene) -> None:
    """Neither an object, nor a mark on those of others; and no machine was reset for it."""
    for resource in OURS:
        assert items(scene, resource.path()) == [], resource.plural
    assert [one for one in items(scene, CRDS) if one["metadata"]["name"].endswith("quorate.dev")] == []
    names = [one["metadata"]["name"] for one in items(scene, NAMESPACES.path())]
    assert not {AGENT_NAMESPACE, SYSTEM_NAMESPACE} & set(names)
    assert [one for one in items(scene, PODS.path()) if "quorate.dev/guest" in one["metadata"].get("labels", {})] == []
    await scene.until("the templates that were kept to go", lambda: items(scene, REVISIONS.path()) == [])
    leases = {one["metadata"]["namespace"] for one in items(scene, LEASES.path())}
    assert not {AGENT_NAMESPACE, SYSTEM_NAMESPACE} & leases
    for node in items(scene, KUBE_NODES.path()):
        metadata = node["metadata"]
        marks = [*metadata.get("labels", {}), *metadata.get("annotations", {}), *metadata.get("finalizers", ())]
        marks += [taint["key"] for taint in node["spec"].get("taints") or ()]
        assert [mark for mark in marks if "quorate" in mark] == []
    await scene.until("the observer to see nothing run", lambda: not any(scene.observer.running().values()))


def no_machine_was_reset(scene: Scene) -> None:
    assert {one["name"]: (one["state"], one["boot"]) for one in client.status(scene.name)["nodes"]} == {
        f"node{number}": ("running", 1) for number in (1, 2, 3)
    }
    assert "not petted" not in scene.log("watchdog")


def agents(scene: Scene) -> list[Process | None]:
    return [scene.find("quorate.agent.loop_main", NODE=f"node{number}") for number in (1, 2, 3)]


def idle(scene: Scene) -> bool:
    """Every agent's last word is that it is no member, or that its Lease is gone for good; none is armed."""
    return all(last_word(scene, number).startswith(("idle", "lost")) for number in (1, 2, 3))


def last_word(scene: Scene, number: int) -> str:
    """What the agent of a node said last of its Lease."""
    said = (scene.files.node(f"node{number}").log / "agent.log").read_text().splitlines()
    return [line.partition(": Lease ")[2] for line in said if ": Lease " in line][-1]


async def test_with_two_guests_running_it_leaves_nothing_and_resets_no_node(scene: Scene, run: Run) -> None:
    before = agents(scene)
    ended = run("uninstall", "-y", "--timeout", "2m")
    assert ended.code == 0, ended.err
    assert "Quorate is uninstalled: nothing of it is left" in ended.out
    await nothing_is_left(scene)
    await scene.until("every agent to be idle", lambda: idle(scene))
    no_machine_was_reset(scene)
    assert agents(scene) == before, "the same processes as before"
    assert run("uninstall", "-y").out == "nothing of Quorate is there\n"


class Managers:
    """Both managers of a lab, stopped as they are; the lab would start killed ones again."""

    def __init__(self, scene: Scene) -> None:
        found = [scene.find(name) for name in MANAGERS]
        self.processes = [one for one in found if one is not None]
        assert len(self.processes) == 2

    def signal(self, number: int) -> None:
        for process in self.processes:
            processes.send(process, number)


@pytest.fixture
def managers(scene: Scene) -> Iterator[Managers]:
    both = Managers(scene)
    yield both
    both.signal(signal.SIGCONT)


def kubectl(scene: Scene, *arguments: str) -> str:
    command = [real.kubectl(), f"--kubeconfig={scene.files.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


async def test_in_the_wrong_order_everything_waits_and_it_finishes_once_a_manager_is_back(
    scene: Scene, run: Run, managers: Managers
) -> None:
    before = scene.guest()
    managers.signal(signal.SIGSTOP)
    kubectl(scene, "delete", "har", "--all", "-n", "default", "--wait=false")
    kubectl(scene, "delete", "qc", "--all", "--wait=false")

    ended = run("uninstall", "-y")
    assert ended.code == 1
    assert "refused: no manager leads Cluster gone, so nothing can prove that guests have stopped" in ended.err
    assert "2 guests (ct:default/db, ct:default/web)" in ended.err
    for resource, name, namespace in ((HARESOURCES, "web", "default"), (CLUSTERS, "gone", ""), (NODES, "node1", "")):
        assert scene.raw(resource, name, namespace)["metadata"]["finalizers"], f"{name} is held"
    scene.assert_stays(before)
    assert scene.seen_on(DB) == ["node2"]

    managers.signal(signal.SIGCONT)
    await scene.until("a manager to lead again", lambda: scene.raw(HARESOURCES, "web", "default") == {})
    ended = run("uninstall", "-y", "--timeout", "2m")
    assert ended.code == 0, ended.err
    await nothing_is_left(scene)
    no_machine_was_reset(scene)


async def test_without_a_manager_for_good_it_goes_by_force_and_says_what_that_risks(
    scene: Scene, run: Run, managers: Managers
) -> None:
    managers.signal(signal.SIGSTOP)
    ended = run("uninstall", "--force", "-y", "--timeout", "2m")
    assert ended.code == 0, ended.err
    for name, node in (("web", "node1"), ("db", "node2")):
        assert f"! ct:default/{name} may still run on {node}: nothing proves that it has stopped" in ended.err
        assert f"! {node} is still armed" in ended.err
    await nothing_is_left(scene)
    no_machine_was_reset(scene)


async def test_a_node_that_is_off_does_not_hold_it_up(scene: Scene, run: Run) -> None:
    scene.switch("node2", "power-off")
    await scene.until_runs("node3", DB)
    ended = run("uninstall", "-y", "--timeout", "2m")
    assert ended.code == 0, ended.err
    await nothing_is_left(scene)
    assert [scene.machine(name)["boot"] for name in ("node1", "node3")] == [1, 1]

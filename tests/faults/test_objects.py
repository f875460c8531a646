"""Objects are deleted or changed by others: see the table `Objects` in docs/failures.md."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.core.status import GuestStatus
from quorate.kube.resources import HARESOURCES, NODES, STORAGES
from tests import real
from tests.faults.looks import armed, finalizers, gone, last_seen_before_first_seen
from tests.lab.scene import STORAGE, Scene

Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(scene: Scene, tmp_path: Path) -> Kubectl:
    program = real.kubectl()

    def run(*arguments: str) -> str:
        command = [program, f"--kubeconfig={scene.files.kubeconfig}", f"--cache-dir={tmp_path}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    return run


class TestPods:
    """Somebody deletes the guest's Pod, more or less rudely: it is stopped and started anew, and that is no failure."""

    async def restarted(self, scene: Scene, before: GuestStatus) -> None:
        def anew() -> bool:
            status = scene.guest()
            return status.ready and status.instance is not None and status.instance != before.instance

        await scene.until("a new instance", anew)
        now = scene.guest()
        assert now.node is not None
        await scene.until_runs(now.node)
        assert (now.restarts, now.failed_nodes) == (0, ()), "a planned end is no failure"
        assert scene.ran_on() == ["node1", now.node]
        assert last_seen_before_first_seen(scene)

    async def test_deleted_by_hand(self, scene: Scene, web: GuestStatus, kubectl: Kubectl) -> None:
        kubectl("delete", "pod", "web", "--wait=false")
        await self.restarted(scene, web)

    async def test_deleted_by_force(self, scene: Scene, web: GuestStatus, kubectl: Kubectl) -> None:
        kubectl("delete", "pod", "web", "--force", "--grace-period=0", "--wait=false")
        await self.restarted(scene, web)

    async def test_deleted_by_force_and_without_our_finalizer(
        self, scene: Scene, web: GuestStatus, kubectl: Kubectl
    ) -> None:
        """The object is gone at once and proves nothing: the agent is asked."""
        kubectl("patch", "pod", "web", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        kubectl("delete", "pod", "web", "--force", "--grace-period=0", "--wait=false")
        await self.restarted(scene, web)
        last = scene.guest().last_termination
        assert last is not None
        assert last.reason == "PodVanished"


class TestObjects:
    """Objects of ours, and the Kubernetes node, are deleted under a guest that runs."""

    async def test_a_deleted_haresource_stops_its_guest_and_everything_lets_go(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        held = [scene.raw(NODES, "node1"), scene.raw(STORAGES, STORAGE), scene.raw(HARESOURCES, "web", "default")]
        assert [bool(one["metadata"].get("finalizers")) for one in held] == [True, True, True]
        scene.api.delete(HARESOURCES.path("web", "default")).ok()
        await gone(scene)
        for resource, name in ((NODES, "node1"), (STORAGES, STORAGE)):
            await scene.until(
                f"{name} to be let go", lambda of=resource, name=name: not finalizers(scene.raw(of, name))
            )
        await scene.until("node1 to be disarmed", lambda: not armed(scene, "node1"))
        assert scene.ran_on() == ["node1"]

    async def test_a_deleted_node_of_ours_stays_until_its_guest_has_left(self, scene: Scene, web: GuestStatus) -> None:
        uid = scene.raw(NODES, "node1")["metadata"]["uid"]
        scene.api.delete(NODES.path("node1")).ok()
        await scene.until("it to say so", lambda: scene.node("node1").message == "leaving the cluster")
        assert (await scene.command("relocate node1")).result == "it is on node1 already"
        scene.assert_stays(web)
        assert (await scene.command("relocate node2")).result == "relocating from node1 to node2"
        await scene.until_runs("node2")
        await scene.until("it to go", lambda: scene.raw(NODES, "node1").get("metadata", {}).get("uid") != uid)
        assert scene.ran_on() == ["node1", "node2"]

    async def test_a_storage_in_use_waits_and_says_for_whom(self, scene: Scene, web: GuestStatus) -> None:
        scene.api.delete(STORAGES.path(STORAGE)).ok()
        await scene.until("it to say for whom", lambda: scene.storage().state == "Deleting")
        assert scene.storage().message == "waits to be deleted: in use by ct:default/web"
        assert scene.storage().used_by == ("ct:default/web",)
        scene.assert_stays(web)
        scene.api.delete(HARESOURCES.path("web", "default")).ok()
        await gone(scene)
        await scene.until("the Storage to go", lambda: not scene.raw(STORAGES, STORAGE))

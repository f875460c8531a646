"""Objects are deleted or changed by others: see the table `Objects` in docs/failures.md."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import AGENT_NAMESPACE, GuestKey, Stage
from quorate.kube.resources import CLUSTERS, HARESOURCES, LEASES, NODES, PODS, STORAGES
from tests import real
from tests.faults.looks import armed, finalizers, gone, last_seen_before_first_seen
from tests.lab.scene import STORAGE, Scene, container

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
        await scene.until("it to say so", lambda: scene.node("node1").message.startswith("leaving the cluster"))
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


class TestPodsAndLeases:
    """Somebody writes what only a kubelet or an agent should."""

    async def test_a_pod_that_somebody_set_to_failed_is_stopped_before_the_guest_starts_again(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        """As PodGC does. The phase proves nothing: its process runs."""
        path = PODS.path("web", "default", "status")
        failed = {"status": {"phase": "Failed", "reason": "NodeLost", "message": "said by somebody"}}
        scene.api.merge(path, failed).ok()
        await scene.until_another_runs(web)
        assert scene.guest().failed_nodes == (), "its kubelet ended it: a failed try, if any, of the first node"
        assert last_seen_before_first_seen(scene)

    async def test_a_deleted_lease_is_made_again_by_its_agent(self, scene: Scene, web: GuestStatus) -> None:
        uid, boot = scene.raw(LEASES, "node1", AGENT_NAMESPACE)["metadata"]["uid"], scene.machine("node1")["boot"]
        suspicions = scene.suspicions("node1")
        scene.api.delete(LEASES.path("node1", AGENT_NAMESPACE)).ok()

        def renewed() -> bool:
            raw, said = scene.raw(LEASES, "node1", AGENT_NAMESPACE), scene.attested("node1")
            return bool(raw) and raw["metadata"]["uid"] != uid and said is not None and said.armed

        await scene.until("it to be there again, armed", renewed)
        assert (scene.machine("node1")["boot"], scene.suspicions("node1")) == (boot, suspicions)
        scene.assert_stays(web)

    async def test_a_lease_restored_from_an_old_copy_is_no_beat_and_is_renewed_over(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        old, boot = scene.raw(LEASES, "node1", AGENT_NAMESPACE), scene.machine("node1")["boot"]
        before = scene.attested("node1")
        assert before is not None
        await scene.until("some renewals", lambda: (scene.attested("node1") or before).sequence > before.sequence + 3)

        def restored() -> bool:
            """A compare-and-swap that its agent may win a few times."""
            raw = scene.raw(LEASES, "node1", AGENT_NAMESPACE)
            old["metadata"]["resourceVersion"] = raw["metadata"]["resourceVersion"]
            return scene.api.put(LEASES.path("node1", AGENT_NAMESPACE), old).code == 200

        await scene.until("the old copy to be there", restored)
        await scene.until("it to be renewed over", lambda: _rewound(scene, "node1") > 0)
        said = scene.attested("node1")
        assert said is not None
        assert said.sequence > before.sequence + 3, "sequences only grow"
        assert scene.cluster().rewind is None, "one Lease alone is no restore"
        assert scene.machine("node1")["boot"] == boot
        scene.assert_stays(web)


def _rewound(scene: Scene, node: str) -> int:
    said = scene.attested(node)
    return said.rewound if said is not None else 0


class TestDuringAnIncident:
    """Something of ours is changed or deleted while a node is lost."""

    async def test_a_haresource_deleted_and_made_again_starts_only_after_the_old_instance_is_proven_ended(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        spec = scene.raw(HARESOURCES, "web", "default")["spec"]
        await scene.lose("node1")
        scene.api.delete(HARESOURCES.path("web", "default")).ok()

        def made_again() -> bool:
            """Refused as long as the one that is being deleted holds the name."""
            body = {"apiVersion": HARESOURCES.api_version, "kind": "HAResource"}
            body |= {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
            return scene.api.post(HARESOURCES.path(namespace="default"), body).code == 201

        assert not made_again(), "its finalizer holds it"
        assert scene.incident("node1") is not None
        await scene.until("it to be made again", made_again)
        incident = scene.incident("node1")
        assert incident is not None
        assert incident.stage is Stage.FENCED, "not before the node was fenced"
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]

    async def test_forced_away_and_made_again_it_still_waits_for_the_proof(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        """Somebody takes the finalizer off the HAResource: its Pod is still there, and names the instance."""
        spec = scene.raw(HARESOURCES, "web", "default")["spec"]
        await scene.lose("node1")
        scene.api.merge(HARESOURCES.path("web", "default"), {"metadata": {"finalizers": None}}).ok()
        scene.api.delete(HARESOURCES.path("web", "default"))
        await scene.until(
            "it to be gone, or held again", lambda: not scene.raw(HARESOURCES, "web", "default") or _held(scene)
        )
        if not scene.raw(HARESOURCES, "web", "default"):
            scene.create(HARESOURCES, "web", spec, "default")
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]
        assert last_seen_before_first_seen(scene)

    async def test_a_longer_profile_counts_at_once_and_a_shorter_one_not_against_what_was_attested(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        custom = {"renewEvery": "500ms", "timeout": "1s", "watchdog": "3500ms"}
        incident = await scene.lose("node1")
        try:
            scene.change_cluster(timing={"profile": "Custom", "custom": custom})
            await scene.until("the shorter times", lambda: _timing(scene) == ("Custom", 3.5))
            now = scene.incident("node1")
            assert now is not None
            assert now.id == incident.id
            await scene.until_runs("node2")
            found = scene.incident("node1")
            assert found is not None
            assert found.evidence[0].detail == f"armed and silent for {PROFILES[Profile.FAST].release_after_s:g}s", (
                "what node1 had attested is what counts"
            )
        finally:
            scene.change_cluster(timing={"profile": "Fast", "custom": None})
        await scene.until("the times of before", lambda: _timing(scene) == ("Fast", 5.0))
        assert scene.ran_on() == ["node1", "node2"]

    async def test_cluster_and_nodes_deleted_with_guests_wait_for_them(self, own: Scene) -> None:
        web = await own.start_guest()
        for resource, name in ((CLUSTERS, own.name), (NODES, "node1")):
            own.api.delete(resource.path(name)).ok()
        await own.until("the Cluster to say so", lambda: own.cluster().message.startswith("being deleted"))
        own.assert_stays(web)
        assert finalizers(own.raw(CLUSTERS, own.name))
        own.switch("node1", "power-off")
        await own.until_runs("node2")
        own.api.delete(HARESOURCES.path("web", "default")).ok()
        await gone(own)
        await own.until("the Cluster to go", lambda: not own.raw(CLUSTERS, own.name))
        assert own.ran_on() == ["node1", "node2"]


def _held(scene: Scene) -> bool:
    return bool(finalizers(scene.raw(HARESOURCES, "web", "default")))


def _timing(scene: Scene) -> tuple[str, float] | None:
    timing = scene.cluster().timing
    return (timing.profile, timing.watchdog_s) if timing is not None else None


class TestNamespaces:
    """A namespace is deleted, with all that is in it."""

    async def test_a_guests_namespace_waits_until_its_guest_has_stopped(self, scene: Scene) -> None:
        key = GuestKey("shop", "db")
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        scene.api.post("/api/v1/namespaces", body).ok()
        scene.create(HARESOURCES, "db", {"guest": container("sleep", "1000")}, "shop")
        await scene.until("the guest to run", lambda: scene.guest(key).ready and scene.seen_on(key))
        scene.api.delete("/api/v1/namespaces/shop").ok()
        await scene.until("the guest to stop", lambda: scene.seen_on(key) == [])
        await scene.until("all to be gone", lambda: not scene.raw(HARESOURCES, "db", "shop"))
        assert not scene.raw(PODS, "db", "shop")

    async def test_without_the_namespace_of_the_leases_armed_nodes_reset_and_all_comes_back_with_it(
        self, own: Scene
    ) -> None:
        web = await own.start_guest()
        boots = {name: own.machine(name)["boot"] for name in own.names()}
        own.api.delete(f"/api/v1/namespaces/{AGENT_NAMESPACE}").ok()
        await own.until("node1 to be reset", lambda: own.machine("node1")["boot"] > boots["node1"])
        assert own.ran_on() == ["node1"]
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENT_NAMESPACE}}
        await own.until("the namespace to be there again", lambda: own.api.post("/api/v1/namespaces", body).code == 201)
        await own.until_whole()
        await own.until_another_runs(web)
        assert web.instance is not None
        assert [run.instance for run in own.journal()].count(web.instance.id) == 1

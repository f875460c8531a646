"""A node is lost, or part of it, in several ways: see the table `Nodes` in docs/failures.md."""

import signal
from collections.abc import AsyncIterator

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import EvidenceKind, GuestKey, GuestState, NodeState, Stage
from quorate.kube.resources import HARESOURCES, KUBE_NODES
from quorate.lab import processes
from quorate.lab.options import Options
from tests.control_plane.client import STRATEGIC
from tests.faults.looks import finalizers, gone, last_seen_before_first_seen
from tests.lab.scene import Scene, container, played


class TestNodes:
    """A node is lost, in several ways."""

    async def test_cut_from_the_network_it_is_reset_before_its_guest_starts_elsewhere(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        old_boot, boot = scene.node("node1").nonce, scene.machine("node1")["boot"]
        scene.switch("node1", "network-off")
        await scene.until("node1's watchdog to kill it", lambda: "node1: not petted for 5s" in scene.log("watchdog"))
        assert scene.ran_on() == ["node1"], "it had not been started elsewhere by then"
        await scene.until_runs("node2")
        assert last_seen_before_first_seen(scene)
        await scene.until("node1 to boot again", lambda: scene.machine("node1")["boot"] == boot + 1)
        there = scene.guest()

        scene.switch("node1", "network-on")
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert scene.node("node1").nonce != old_boot
        assert scene.machine("node1")["boot"] == boot + 1, "it is the boot after the reset that came back"
        assert scene.guest().instance == there.instance, "nothing moves it back"
        assert scene.ran_on() == ["node1", "node2"]

    async def test_shut_down_cleanly_it_says_that_it_is_drained_and_nobody_waits_for_its_lease(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        scene.switch("node1", "shutdown")
        await scene.until_runs("node2")
        said, incident = scene.attested("node1"), scene.node("node1").incident
        assert said is not None
        assert said.drained
        if incident is not None:  # the farewell may come after the guest has left already: then nothing is to be proven
            assert {one.kind for one in incident.evidence} == {EvidenceKind.DRAINED}
        status = scene.guest()
        assert status.last_termination is not None
        assert (status.last_termination.node, status.last_termination.reason) == ("node1", "Terminated")
        assert (status.restarts, status.failed_nodes) == (0, ()), "a planned end is no failure"
        assert scene.machine("node1")["state"] == "off"
        assert scene.ran_on() == ["node1", "node2"]

    async def test_a_haresource_deleted_while_its_node_is_off_waits_for_the_proof(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        scene.switch("node1", "power-off")
        scene.api.delete(HARESOURCES.path("web", "default")).ok()

        def waits() -> bool:
            return scene.guest().message.startswith("waiting for proof that node1 is off")

        await scene.until("it to say what it waits for", waits)
        assert finalizers(scene.raw(HARESOURCES, "web", "default"))
        assert scene.pod() != {}
        await gone(scene)
        incident = scene.node("node1").incident
        assert incident is not None
        assert incident.stage is Stage.FENCED
        assert scene.ran_on() == ["node1"]

    async def test_a_deleted_kubernetes_node_keeps_its_guest_and_its_vote(self, scene: Scene, web: GuestStatus) -> None:
        suspicions = scene.suspicions("node1")
        scene.api.delete(KUBE_NODES.path("node1")).ok()
        await scene.until("the Node to say so", lambda: scene.node("node1").state is NodeState.GONE)
        assert (await scene.command("relocate node1")).result == "it is on node1 already"
        scene.assert_stays(web)
        assert scene.cluster().votes.text == "3/3"
        assert scene.suspicions("node1") == suspicions
        scene.switch("node1", "power-off")
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]


class TestFrozenNode:
    """A node is stopped as it is, with its agent and its guest; its watchdog outside goes on counting."""

    @pytest.fixture
    async def scene(self, kind: str) -> AsyncIterator[Scene]:
        """A lab whose machines take longer to boot than it takes to release their guests, as real ones do."""
        release_after_s = PROFILES[Profile.FAST].release_after_s
        with played(Options("own", profile="Fast", control_plane=kind, firmware_s=release_after_s)) as scene:
            await scene.until_whole()
            scene.share_storage()
            yield scene

    async def test_frozen_it_is_killed_from_outside_as_it_is_and_comes_back_by_itself(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        scene.switch("node1", "freeze")
        (before,) = scene.journal()
        await scene.until_runs("node2")
        assert scene.journal()[0] == before, "it did not write one line more"
        assert "node1: killed" in scene.log("watchdog")
        there = scene.guest()
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert scene.machine("node1")["boot"] == 2
        assert scene.guest().instance == there.instance
        assert scene.ran_on() == ["node1", "node2"]


class TestPartly:
    """A node is away for a moment, or only its kubelet is."""

    async def test_without_power_its_guest_starts_elsewhere_when_its_lease_has_expired(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        scene.switch("node1", "power-off")
        await scene.until_runs("node2")
        incident = scene.incident("node1")
        assert incident is not None
        assert [one.kind for one in incident.evidence] == [EvidenceKind.LEASE_EXPIRED]
        assert last_seen_before_first_seen(scene)
        recovery = scene.guest().recovery
        assert recovery is not None
        assert None not in (recovery.fenced, recovery.released, recovery.created, recovery.ready)

    async def test_rebooted_within_three_seconds_nobody_waits_and_the_old_pod_never_starts(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        boot, suspicions = scene.node("node1").nonce, scene.suspicions("node1")
        scene.switch("node1", "power-off")
        scene.switch("node1", "power-on")
        await scene.until_another_runs(web)
        assert web.instance is not None
        assert web.instance.id not in [run.instance for run in scene.journal()[1:]]
        assert len(scene.journal()) == 2
        reasons = scene.suspicions("node1")[len(suspicions) :]
        assert not any(reason.startswith("no heartbeat") for reason in reasons), "it was back before it was missed"
        assert scene.guest().restarts == 0
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert scene.node("node1").nonce != boot

    async def test_thawed_before_its_watchdog_fires_it_goes_on(self, scene: Scene, web: GuestStatus) -> None:
        boot, attested = scene.machine("node1")["boot"], scene.attested("node1")
        assert attested is not None
        scene.switch("node1", "freeze")
        scene.switch("node1", "thaw")
        await scene.until("it to renew", lambda: (scene.attested("node1") or attested).sequence > attested.sequence + 2)
        assert scene.machine("node1")["boot"] == boot
        scene.assert_stays(web)

    async def test_a_dead_kubelet_takes_its_node_out_of_the_running_but_not_its_guest(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        """Its agent renews, so it may run what it runs. NotReady is Kubernetes' own word; in the lab the test says it."""
        kubelet = scene.find("quorate.lab.kubelet", NODE="node1")
        assert kubelet is not None
        processes.send(kubelet, signal.SIGSTOP)
        path = KUBE_NODES.path("node1", subresource="status")
        try:
            condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "stopped"}
            scene.api.call("PATCH", path, {"status": {"conditions": [condition]}}, content=STRATEGIC).ok()
            refused = await scene.command("relocate node1")
            assert refused.result == "it is on node1 already"
            scene.assert_stays(web)
            scene.create(HARESOURCES, "other", {"guest": container("sleep", "1000")}, "default")
            other = GuestKey("default", "other")
            await scene.until("the other guest to run", lambda: scene.guest(other).ready)
            assert scene.guest(other).node != "node1"
            answer = await scene.command("relocate node1", other)
            assert not answer.accepted
            assert "its kubelet is not ready" in answer.result
            # A stop there cannot be confirmed by the kubelet: it waits, and says for what.
            scene.api.merge(HARESOURCES.path("web", "default"), {"spec": {"state": "Stopped"}}).ok()
            await scene.until("it to wait", lambda: scene.guest().state is GuestState.REQUEST_STOP)
            await scene.until("it to say for what", lambda: "node1" in scene.guest().message)
            assert scene.seen_on() == ["node1"]
        finally:
            processes.send(kubelet, signal.SIGCONT)
            condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "goes on"}
            scene.api.call("PATCH", path, {"status": {"conditions": [condition]}}, content=STRATEGIC).ok()
        await scene.until("it to stop", lambda: scene.guest().state is GuestState.STOPPED)
        scene.api.delete(HARESOURCES.path("other", "default"))
        await scene.until("the other guest to go", lambda: not scene.raw(HARESOURCES, "other", "default"))

    async def test_a_stop_that_hangs_resets_its_node_where_the_guest_says_so(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        boot, said = scene.machine("node1")["boot"], len(scene.log("watchdog"))
        kubelet = scene.find("quorate.lab.kubelet", NODE="node1")
        assert kubelet is not None
        processes.send(kubelet, signal.SIGSTOP)  # the reset takes it along
        patience = {"stopTimeout": "10s", "stopTimeoutPolicy": "Fence"}
        scene.api.merge(HARESOURCES.path("web", "default"), {"spec": patience}).ok()
        assert (await scene.command("relocate node2")).accepted
        await scene.until("node1 to be reset", lambda: scene.machine("node1")["boot"] == boot + 1)
        await scene.until_runs("node2")
        told = scene.log("watchdog")[said:]
        assert "node1: killed" in told
        assert "node1: not petted" not in told, "its agent did it at once"
        assert last_seen_before_first_seen(scene)
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert scene.node("node1").reset_request is None

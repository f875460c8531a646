"""What may befall a node, an agent, a manager or an object, played for real: the guest comes back, and it never runs twice.

Labs of three nodes and two managers, and a guest that writes its journal. Every test is judged by the observer, which
samples the processes, and by that journal: see `Scene.judge`. A test that loses a machine has a lab of its own.
"""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import EvidenceKind, NodeState, Stage
from quorate.kube.resources import HARESOURCES, KUBE_NODES, NODES, STORAGES
from quorate.lab import processes
from quorate.lab.options import Options
from tests import real
from tests.lab.scene import STORAGE, Scene, judged, own_cache, played, running

pytestmark = pytest.mark.lab
OTHER = {"manager-1": "manager-2", "manager-2": "manager-1"}
Json = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A lab of one's own: three nodes that vote, and storage that all of them reach."""
    with played(Options("own", profile="Fast")) as scene:
        await scene.until_whole()
        scene.share_storage()
        yield scene


@pytest.fixture(scope="module")
def steady() -> Iterator[Json]:
    """A lab for all tests that lose no machine."""
    with running(Options("steady", profile="Fast")) as lab:
        yield lab


class Steady:
    """Tests in that lab: each finds it whole, with storage and without guests, and leaves it so."""

    @pytest.fixture
    async def scene(self, steady: Json) -> AsyncIterator[Scene]:
        with judged(steady) as scene:
            await scene.until_whole()
            if not scene.raw(STORAGES, STORAGE):
                scene.share_storage()
            yield scene
            await scene.clear_away()


@pytest.fixture
async def web(scene: Scene) -> GuestStatus:
    """The guest on node1."""
    return await scene.start_guest()


def last_seen_before_first_seen(scene: Scene) -> bool:
    """The observer saw the end of the first instance before the beginning of the second."""
    first, second = scene.observer.history()["default/web"]
    return first.last_s < second.first_s


async def gone(scene: Scene) -> None:
    """The guest has stopped, and nothing of it is left."""
    await scene.until("the HAResource to go", lambda: not scene.raw(HARESOURCES, "web", "default"))
    assert scene.pod() == {}
    await scene.until("the observer to see nothing run", lambda: scene.seen_on() == [])


class TestNodes:
    """A node is lost, in several ways."""

    async def test_cut_from_the_network_it_is_reset_before_its_guest_starts_elsewhere(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        old_boot = scene.node("node1").nonce
        scene.switch("node1", "network-off")
        await scene.until("node1's watchdog to kill it", lambda: "node1: not petted for 5s" in scene.log("watchdog"))
        assert scene.ran_on() == ["node1"], "it had not been started elsewhere by then"
        await scene.until_runs("node2")
        assert last_seen_before_first_seen(scene)
        await scene.until("node1 to boot again", lambda: scene.machine("node1")["boot"] == 2)
        there = scene.guest()

        scene.switch("node1", "network-on")
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert scene.node("node1").nonce != old_boot
        assert scene.machine("node1")["boot"] == 2, "it is the boot after the reset that came back"
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
        assert _finalizers(scene.raw(HARESOURCES, "web", "default"))
        assert scene.pod() != {}
        await gone(scene)
        incident = scene.node("node1").incident
        assert incident is not None
        assert incident.stage is Stage.FENCED
        assert scene.ran_on() == ["node1"]

    async def test_a_deleted_kubernetes_node_keeps_its_guest_and_its_vote(self, scene: Scene, web: GuestStatus) -> None:
        scene.api.delete(KUBE_NODES.path("node1")).ok()
        await scene.until("the Node to say so", lambda: scene.node("node1").state is NodeState.GONE)
        assert (await scene.command("relocate node1")).result == "it is on node1 already"
        scene.assert_stays(web)
        assert scene.cluster().votes.text == "3/3"
        assert scene.suspicions("node1") == []
        scene.switch("node1", "power-off")
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]


class TestFrozenNode:
    """A node is stopped as it is, with its agent and its guest; its watchdog outside goes on counting."""

    @pytest.fixture
    async def scene(self) -> AsyncIterator[Scene]:
        """A lab whose machines take longer to boot than it takes to release their guests, as real ones do."""
        with played(Options("own", profile="Fast", firmware_s=PROFILES[Profile.FAST].release_after_s)) as scene:
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


class TestManagers:
    """The leader is lost in the middle of a recovery: the standby's timers have been running all along."""

    async def suspected(self, scene: Scene) -> str:
        """Node1 has lost its power and is suspected, not yet released: who leads now?"""
        scene.switch("node1", "power-off")

        def stage() -> Stage | None:
            incident = scene.node("node1").incident
            return incident.stage if incident is not None else None

        assert await scene.until("node1 to be suspected", stage) is Stage.SUSPECTED
        return scene.leader()

    async def test_killed_between_suspicion_and_release(self, scene: Scene, web: GuestStatus) -> None:
        leader = await self.suspected(scene)
        term = scene.cluster().term
        process = scene.find(leader)
        assert process is not None
        processes.send(process, signal.SIGKILL)
        await scene.until_runs("node2")
        assert scene.leader() == OTHER[leader]
        assert scene.cluster().term > term
        assert scene.ran_on() == ["node1", "node2"]

    async def test_stopped_until_the_standby_is_done_it_does_nothing_wrong_when_it_goes_on(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        leader = await self.suspected(scene)
        process = scene.find(leader)
        assert process is not None
        processes.send(process, signal.SIGSTOP)
        await scene.until_runs("node2")
        there, term = scene.guest(), scene.cluster().term

        processes.send(process, signal.SIGCONT)
        await scene.until(
            "it to see that it leads no more", lambda: "no longer leading manager-own" in scene.log(leader)
        )
        scene.switch("node1", "power-on")
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert (scene.leader(), scene.cluster().manager, scene.cluster().term) == (OTHER[leader], OTHER[leader], term)
        assert scene.guest().instance == there.instance
        assert scene.ran_on() == ["node1", "node2"]


class TestAgents(Steady):
    """A process of the agent is killed: the watchdog's countdown goes on, and the next one is in time."""

    async def outlived(self, scene: Scene, web: GuestStatus, word: str) -> None:
        """Kill the agent's process with that word: another one renews, and nothing else has changed."""
        boot, before = scene.node("node1").nonce, scene.find(word, NODE="node1")
        assert before is not None
        processes.send(before, signal.SIGKILL)
        await scene.until(f"another {word}", lambda: pid(scene, word) not in {None, before.pid})
        attested = scene.attested("node1")
        assert attested is not None
        await scene.until("it to renew, armed", lambda: _renewed_armed(scene, attested.sequence))
        assert (scene.node("node1").state, scene.node("node1").nonce) == (NodeState.ONLINE, boot)
        assert scene.machine("node1")["boot"] == 1
        assert scene.suspicions("node1") == []
        scene.assert_stays(web)

    async def test_the_loop_dies_and_the_keeper_starts_another(self, scene: Scene, web: GuestStatus) -> None:
        keeper = pid(scene, "quorate.agent")
        await self.outlived(scene, web, "quorate.agent.loop_main")
        assert pid(scene, "quorate.agent") == keeper

    async def test_the_keeper_dies_and_the_machine_starts_the_agent_anew(self, scene: Scene, web: GuestStatus) -> None:
        loop = pid(scene, "quorate.agent.loop_main")
        await self.outlived(scene, web, "quorate.agent")
        assert pid(scene, "quorate.agent.loop_main") not in {None, loop}


def pid(scene: Scene, word: str) -> int | None:
    """Of the process of node1 with that word in its command line."""
    found = scene.find(word, NODE="node1")
    return found.pid if found is not None else None


def _renewed_armed(scene: Scene, sequence: int) -> bool:
    """Is a later renewal than that one there, and one more after it, with an armed watchdog?"""
    said = scene.attested("node1")
    return said is not None and said.sequence > sequence + 1 and said.armed


class TestThirdManager(Steady):
    """One replica more, by hand."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        return tmp_path / "log"

    @pytest.fixture
    def third(self, scene: Scene, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        where = ("--kubeconfig", str(scene.files.kubeconfig), "--listen", "127.0.0.1:0", "--identity", "third")
        with log.open("wb") as written:
            process = subprocess.Popen([sys.executable, "-m", "quorate.cli.main", "manager", *where], stderr=written)
        yield process
        process.kill()
        process.wait()

    async def test_told_to_end_as_soon_as_it_works_it_does(
        self, scene: Scene, web: GuestStatus, log: Path, third: "subprocess.Popen[bytes]"
    ) -> None:
        await scene.until("it to begin", lambda: "everything was listed once" in log.read_text())
        third.terminate()
        await scene.until("it to end", lambda: third.poll() is not None)
        assert third.returncode == 0
        scene.assert_stays(web)


Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(scene: Scene, tmp_path: Path) -> Kubectl:
    program = real.kubectl()

    def run(*arguments: str) -> str:
        command = [program, f"--kubeconfig={scene.files.kubeconfig}", f"--cache-dir={tmp_path}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    return run


class TestPods(Steady):
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


class TestObjects(Steady):
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
                f"{name} to be let go", lambda of=resource, name=name: not _finalizers(scene.raw(of, name))
            )
        await scene.until("node1 to be disarmed", lambda: not _armed(scene, "node1"))
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


def _finalizers(raw: dict[str, object]) -> list[str]:
    metadata = raw["metadata"]
    assert isinstance(metadata, dict)
    return list(metadata.get("finalizers") or [])


def _armed(scene: Scene, node: str) -> bool:
    said = scene.attested(node)
    return said is not None and said.armed

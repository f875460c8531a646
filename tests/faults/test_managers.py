"""The managers are lost: see the table `Managers` in docs/failures.md."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Stage
from quorate.lab import processes
from tests.lab.scene import Scene

OTHER = {"manager-1": "manager-2", "manager-2": "manager-1"}


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
            "it to see that it leads no more", lambda: f"no longer leading manager-{scene.name}" in scene.log(leader)
        )
        scene.switch("node1", "power-on")
        await scene.until("node1 to be a member again", lambda: scene.is_online("node1"))
        assert (scene.leader(), scene.cluster().manager, scene.cluster().term) == (OTHER[leader], OTHER[leader], term)
        assert scene.guest().instance == there.instance
        assert scene.ran_on() == ["node1", "node2"]


class TestThirdManager:
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


class TestAll:
    """More than one thing is lost at once."""

    async def test_the_leader_dies_with_the_node_of_the_guest(self, scene: Scene, web: GuestStatus) -> None:
        leader, term = scene.leader(), scene.cluster().term
        process = scene.find(leader)
        assert process is not None
        scene.switch("node1", "power-off")
        processes.send(process, signal.SIGKILL)
        await scene.until_runs("node2")
        assert scene.leader() == OTHER[leader]
        assert scene.cluster().term > term
        assert scene.ran_on() == ["node1", "node2"]

    async def test_without_any_manager_nothing_moves_and_with_the_first_one_it_is_recovered(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        """Stopped for longer than T: whoever goes on first counts from its own first look, and still fences once."""
        managers = [scene.find(name) for name in OTHER]
        for process in managers:
            assert process is not None
            processes.send(process, signal.SIGSTOP)
        scene.switch("node1", "power-off")
        await scene.until("node1's guest to be gone", lambda: scene.seen_on() == [])
        agents_go_on = scene.attested("node2")
        assert agents_go_on is not None
        later = agents_go_on.sequence + round(PROFILES[Profile.FAST].release_after_s) + 3
        await scene.until("T to pass", lambda: (scene.attested("node2") or agents_go_on).sequence > later)
        assert scene.guest().instance == web.instance
        for process in managers:
            assert process is not None
            processes.send(process, signal.SIGKILL)
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]
        await scene.until("both to be there again", lambda: all(scene.find(name) for name in OTHER))

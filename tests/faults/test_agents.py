"""The agent of a node is lost: see the table `Agents` in docs/failures.md."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.agent import handover
from quorate.core.status import GuestStatus
from quorate.core.types import AGENT_NAMESPACE, NodeState
from quorate.kube.resources import LEASES
from quorate.lab import processes
from tests.faults.looks import pid
from tests.lab.scene import Scene


class TestAgents:
    """A process of the agent is killed: the watchdog's countdown goes on, and the next one is in time."""

    async def outlived(self, scene: Scene, web: GuestStatus, word: str) -> None:
        """Kill the agent's process with that word: another one renews, and nothing else has changed."""
        boot, before = scene.node("node1").nonce, scene.find(word, NODE="node1")
        machine, suspicions = scene.machine("node1")["boot"], scene.suspicions("node1")
        assert before is not None
        processes.send(before, signal.SIGKILL)
        await scene.until(f"another {word}", lambda: pid(scene, word) not in {None, before.pid})
        attested = scene.attested("node1")
        assert attested is not None
        await scene.until("it to renew, armed", lambda: _renewed_armed(scene, attested.sequence))
        assert (scene.node("node1").state, scene.node("node1").nonce) == (NodeState.ONLINE, boot)
        assert scene.machine("node1")["boot"] == machine
        assert scene.suspicions("node1") == suspicions
        scene.assert_stays(web)

    async def test_the_loop_dies_and_the_keeper_starts_another(self, scene: Scene, web: GuestStatus) -> None:
        keeper = pid(scene, "quorate.agent")
        await self.outlived(scene, web, "quorate.agent.loop_main")
        assert pid(scene, "quorate.agent") == keeper

    async def test_the_keeper_dies_and_the_machine_starts_the_agent_anew(self, scene: Scene, web: GuestStatus) -> None:
        loop = pid(scene, "quorate.agent.loop_main")
        await self.outlived(scene, web, "quorate.agent")
        assert pid(scene, "quorate.agent.loop_main") not in {None, loop}


def _renewed_armed(scene: Scene, sequence: int) -> bool:
    """Is a later renewal than that one there, and one more after it, with an armed watchdog?"""
    said = scene.attested("node1")
    return said is not None and said.sequence > sequence + 1 and said.armed


async def test_killed_again_and_again_within_the_watchdogs_time_it_still_renews_first(
    scene: Scene, web: GuestStatus
) -> None:
    """Loop, keeper, loop, each as soon as it is there again: every new one renews before it pets."""
    machine, suspicions = scene.machine("node1")["boot"], scene.suspicions("node1")
    for word in ("quorate.agent.loop_main", "quorate.agent", "quorate.agent.loop_main"):
        before = await scene.until(f"a {word}", lambda word=word: scene.find(word, NODE="node1"))
        processes.send(before, signal.SIGKILL)
        await scene.until(
            f"another {word}", lambda word=word, before=before: pid(scene, word) not in {None, before.pid}
        )
    attested = scene.attested("node1")
    assert attested is not None
    await scene.until("it to renew, armed", lambda: _renewed_armed(scene, attested.sequence))
    assert (scene.machine("node1")["boot"], scene.suspicions("node1")) == (machine, suspicions)
    scene.assert_stays(web)


async def test_hung_its_node_is_reset_and_what_is_bound_to_it_does_not_start_in_the_new_boot(
    scene: Scene, web: GuestStatus
) -> None:
    """SIGSTOP of the agent alone: guest and kubelet go on until the watchdog resets the node, which boots within T."""
    boot, machine, old = scene.node("node1").nonce, scene.machine("node1")["boot"], web.instance
    assert old is not None
    for word in ("quorate.agent", "quorate.agent.loop_main"):
        process = scene.find(word, NODE="node1")
        assert process is not None
        processes.send(process, signal.SIGSTOP)
    await scene.until("the watchdog to reset the node", lambda: scene.machine("node1")["boot"] == machine + 1)
    await scene.until("the new boot to renew", lambda: _holder(scene, "node1") not in {boot, ""})

    def recovered() -> bool:
        now = scene.guest()
        return now.ready and now.instance is not None and now.instance.id != old.id

    await scene.until("the guest to run again", recovered)
    now = scene.guest()
    assert now.instance is not None
    await scene.until_runs(str(now.node))
    assert (now.node, now.instance.nonce) != ("node1", boot)
    assert (now.restarts, now.failed_nodes) == (0, ()), "no failure of the guest's"
    assert [run.instance for run in scene.journal()] == [old.id, now.instance.id], "nothing else ever ran"
    assert now.last_termination is not None
    await scene.until("its node to be a member again", lambda: scene.is_online("node1"))


def _holder(scene: Scene, node: str) -> str:
    return str((scene.raw(LEASES, node, AGENT_NAMESPACE).get("spec") or {}).get("holderIdentity") or "")


Beside = Callable[[], "tuple[subprocess.Popen[bytes], Path]"]


@pytest.fixture
def beside(scene: Scene, tmp_path: Path) -> Iterator[Beside]:
    """Starts another agent on node1 beside the one that runs there, as a DaemonSet with maxSurge does; and its log."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "tuple[subprocess.Popen[bytes], Path]":
        old = scene.find("quorate.agent", NODE="node1")
        assert old is not None
        command = (processes.read_bytes(f"/proc/{old.pid}/cmdline") or b"").rstrip(b"\0").split(b"\0")
        environ = (processes.read_bytes(f"/proc/{old.pid}/environ") or b"").rstrip(b"\0").split(b"\0")
        log = tmp_path / f"agent-{len(started)}.log"
        with log.open("wb") as output:
            env = dict(one.partition(b"=")[::2] for one in environ)
            started.append(subprocess.Popen(command, env=env, stderr=output, start_new_session=True))
        return started[-1], log

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_upgraded_while_armed_the_new_one_takes_over_between_two_pets(
    scene: Scene, web: GuestStatus, beside: Beside
) -> None:
    boot, machine = scene.node("node1").nonce, scene.machine("node1")["boot"]
    suspicions, before = scene.suspicions("node1"), scene.attested("node1")
    old = scene.find("quorate.agent", NODE="node1")
    assert old is not None
    assert before is not None
    new, log = beside()
    await scene.until("the new agent to take over", lambda: "took over from the agent" in log.read_text())
    await scene.until("it to renew, armed", lambda: _renewed_armed(scene, before.sequence))
    assert (scene.find("quorate.agent", NODE="node1") or old).pid == old.pid, "the old one waits to be told to go"

    processes.send(old, signal.SIGTERM)  # the machine starts a third one, which takes over in its turn
    await scene.until("the third one to take over", lambda: "another agent has taken over" in log.read_text())
    new.terminate()
    await scene.until("the second one to go", lambda: new.poll() is not None)
    assert new.returncode == 0
    attested = scene.attested("node1")
    assert attested is not None
    await scene.until("the third one to renew, armed", lambda: _renewed_armed(scene, attested.sequence))
    assert (scene.node("node1").state, scene.node("node1").nonce) == (NodeState.ONLINE, boot)
    assert scene.machine("node1")["boot"] == machine
    assert scene.suspicions("node1") == suspicions
    scene.assert_stays(web)


@pytest.mark.parametrize("word", [b"", b"no"])
async def test_one_that_asks_and_does_not_take_over_costs_nothing(scene: Scene, web: GuestStatus, word: bytes) -> None:
    """It was sent everything, the open device as well, and died, or said something else: the old one goes on."""
    machine, before = scene.machine("node1")["boot"], scene.attested("node1")
    assert before is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(str(scene.files.node("node1").run / "agent" / handover.SOCKET))
        message, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, asking, 1 << 17, 1)
        assert handover.decode(message).device.open
        for descriptor in descriptors:
            os.close(descriptor)
        if word:
            asking.send(word)
    await scene.until("the old one to renew, armed", lambda: _renewed_armed(scene, before.sequence + 3))
    assert scene.machine("node1")["boot"] == machine
    scene.assert_stays(web)

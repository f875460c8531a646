"""The agent of a node is lost: see the table `Agents` in docs/failures.md."""

import signal

from quorate.core.status import GuestStatus
from quorate.core.types import NodeState
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

"""Disarm: hands off everything for a while, with the watchdogs released (Proxmox: `disarm-ha`, `arm-ha`).

wished -> deferred while something is in flight, and nothing new begins -> hands off, recorded -> every agent is told to
release its watchdog, and does so in the order of every disarming: attested first, closed after, renewing on -> Disarmed.

Over when it is taken back, or at its end. What a disarmed node ran is not proven over by its silence, neither then nor
later: its last word is that it is not armed. A new boot of it proves it, or a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quorate.core.conditions import Finding
from quorate.core.quick import quick, replace
from quorate.core.status import DisarmState, DisarmStatus, GuestStatus, NodeStatus
from quorate.core.types import HEARD, GuestState, NodeName, clock
from quorate.core.world import Disarm, NodeView, World

S = GuestState
NAMED: Final = 3
MOVING: Final = frozenset({S.FENCE, S.RECOVERY, S.MIGRATE, S.RELOCATE, S.REQUEST_STOP})
RESTING: Final = frozenset({S.STARTED, S.ERROR, S.IGNORED})


class Hold(StrEnum):
    """What is held: nothing; what has not begun; everything."""

    NOTHING = "Nothing"
    NEW = "New"
    ALL = "All"


@quick
@dataclass(frozen=True, slots=True)
class Brake:
    """What disarming means in one round. `waiting`: what it is deferred for. `release`: the agents are told to let go."""

    wish: Disarm | None = None
    hold: Hold = Hold.NOTHING
    waiting: str = ""
    release: bool = False

    def holds(self, before: GuestStatus, now: GuestStatus) -> bool:
        """Is nothing done with this guest, which was so before this round and has come so far in it?

        What was in flight goes on to its end, and no further.
        """
        if self.hold is not Hold.NEW:
            return self.hold is Hold.ALL
        return not in_flight(now) and (not in_flight(before) or now.state in RESTING)

    @property
    def sentence(self) -> str:
        """Why nothing is done, until when; empty when something is."""
        if self.wish is None:
            return ""
        so = "disarmed" if self.hold is Hold.ALL else "being disarmed"
        return f"HA is {so} until {clock(self.wish.until)} UTC ({self.wish.reason})"


FREE: Final = Brake()


def in_flight(status: GuestStatus) -> bool:
    """Would leaving this guest as it is leave it half moved? One that starts for the first time and has no node is not.

    One that was stopped to be moved is, also while its target has gone and no other node is found: it ran before.
    """
    if status.state is not S.STARTING:
        return status.state in MOVING
    recovers = status.recovery is not None and status.recovery.ready is None
    begun = status.instance is not None or status.target is not None or status.next_try is not None
    return begun or status.interrupted or recovers


def judge(world: World, *, quorate: bool) -> Brake:
    """What is held in this round, from what was recorded before it.

    Once hands are off they stay off, whatever happens: what fails meanwhile is seen and left.
    """
    wish, before = world.cluster.spec.disarm, world.cluster.status.disarm
    if wish is None or world.wall >= wish.until or world.cluster.deleting:
        return FREE
    if before is not None and before.hands_off:
        return Brake(wish, Hold.ALL, release=True)
    guests = (*world.guests, *(view.guest for view in world.workloads))
    busy = sorted(f"{one.status.guest or one.key.sid} ({_word(one.status)})" for one in guests if in_flight(one.status))
    if busy:
        more = f" and {len(busy) - NAMED} more" if len(busy) > NAMED else ""
        return Brake(wish, Hold.NEW, f"{', '.join(busy[:NAMED])}{more}, which must not be left half-way")
    if not quorate:
        return Brake(wish, Hold.NEW, "quorum, or nobody knows what is in flight")
    return Brake(wish, Hold.ALL)


def _word(status: GuestStatus) -> str:
    return "is stopping" if status.state is S.REQUEST_STOP else f"in {status.state.lower()}"


def record(world: World, brake: Brake, nodes: Mapping[NodeName, NodeStatus]) -> DisarmStatus | None:
    """What goes into the status: Disarmed only once every agent that renews has attested that it holds no watchdog."""
    wish, before = brake.wish, world.cluster.status.disarm
    if wish is None:
        return None
    done = brake.release and not _holding(world, nodes)
    state = DisarmState.DISARMED if done else DisarmState.DISARMING
    now = DisarmStatus(state, wish.mode, wish.reason, wish.until, world.wall, hands_off=brake.hold is Hold.ALL)
    return replace(now, since=before.since) if before is not None and before.state is state else now


def sentence(world: World, brake: Brake, nodes: Mapping[NodeName, NodeStatus]) -> str:
    """What is so or awaited, and until when; empty when HA is armed."""
    wish = brake.wish
    if wish is None:
        return ""
    end = f"until {clock(wish.until)} UTC ({wish.reason})"
    if brake.waiting:
        return f"disarming {end}: waits for {brake.waiting}; nothing new begins"
    holding = _holding(world, nodes)
    if holding or not brake.release:
        who = ", ".join(holding) or "the nodes"
        return f"disarming {end}: nothing is done any more; waits for {who} to release the watchdog"
    return f"disarmed {end}: nothing is fenced, recovered, started or moved"


def finding(world: World, brake: Brake, nodes: Mapping[NodeName, NodeStatus]) -> tuple[Finding, ...]:
    """What is to be said while a disarm is wished or lies about."""
    wish = world.cluster.spec.disarm
    if wish is None:
        return ()
    if brake.wish is None:
        text = f"spec.disarm is over since {clock(wish.until)} UTC: remove it (quorate arm), it does nothing any more"
        return (Finding("Armed", True, "DisarmIsOver", text),)
    state = record(world, brake, nodes)
    return (Finding("Armed", False, str(state.state) if state is not None else "", sentence(world, brake, nodes)),)


def _holding(world: World, nodes: Mapping[NodeName, NodeStatus]) -> list[NodeName]:
    """Who renews and has not yet said, in answer to the order to let go, that it is not armed."""
    return [node.name for node in world.nodes if nodes[node.name].state in HEARD and not _let_go(node, nodes)]


def _let_go(node: NodeView, nodes: Mapping[NodeName, NodeStatus]) -> bool:
    said = node.beat.attestation if node.beat is not None else None
    return said is not None and not said.armed and said.generation == nodes[node.name].arming.generation

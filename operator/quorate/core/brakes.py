"""When fence devices must wait (safety: brakes). Evidence that harms nobody, like LeaseExpired and HumanAck, never
does.

* `maxConcurrent`: so many devices at a time in the whole Cluster. A level that has more of them by itself goes alone.
* Another remediator has the machine in hand, or may have: two that switch one machine off and on do not know of each other.
* A storm: more than a third of the votes, of two nodes at least, vanish together. That is more likely a network than so
  many machines, and shooting them all would make it worse: devices wait for a person.
* Doubt: with the members that have missed a beat it would be a storm. The first node of one is suspected before the second,
  so its devices do not begin before those members are heard or suspected. A beat is missed after r + d: a renewal every r
  is confirmed within d, or has failed. Who is suspected was last heard S ago, so members that vanished up to S - 2 r - d
  after it have missed one by then (Fast 5.1 s, Balanced 7.2 s); and where all beats are fresh nothing waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from quorate.core.conditions import some
from quorate.core.liveness import Pulse, leaves
from quorate.core.quick import quick
from quorate.core.sequence import ASKS, Power, Purpose, Sequence, Step, at_work, level_of, usable
from quorate.core.status import NodeStatus
from quorate.core.types import HEARD, TAKEN, Answer, EvidenceKind, Instant, NodeName, Stage
from quorate.core.world import NodeView, World

TOGETHER_MS: Final = 120_000
"""Losses within so long of each other are one event."""
NAMED: Final = 4
PAUSE_MS: Final = 60_000
"""After all levels have failed."""


@quick
@dataclass(frozen=True, slots=True)
class Brakes:
    """`may_begin`: the nodes whose devices may be used in this round. `storms`: those whose devices wait for a person, and
    why. `doubts`: those whose devices do not begin yet, and why. `silent`: the members that are not heard any more; `late`:
    those that have missed a beat. `live` of the `needed` votes are heard, by the count of this round.
    """

    may_begin: frozenset[NodeName] = frozenset()
    storms: Mapping[NodeName, str] = field(default_factory=dict)
    doubts: Mapping[NodeName, str] = field(default_factory=dict)
    silent: frozenset[NodeName] = frozenset()
    late: frozenset[NodeName] = frozenset()
    live: int = 0
    needed: int = 0


def judge(world: World, pulses: Mapping[NodeName, Pulse]) -> Brakes:
    """The brakes of one round, from what was recorded before it. A new incident's devices begin with the next one."""
    if not any(node.devices for node in world.nodes):
        return Brakes()
    silent = frozenset(
        node.name for node in world.nodes if (pulse := pulses[node.name]).alive is Answer.NO and pulse.age_s is not None
    )
    late = frozenset(node.name for node in world.nodes if _late(node, pulses[node.name]))
    vanished = _vanished(world, silent)
    storms = _storms(world, vanished)
    return Brakes(_slots(world, storms, silent), storms, _doubts(world, vanished, storms, late), silent, late)


def running(sequence: Sequence | None, term: int) -> bool:
    """Is a device being asked by it now?"""
    return sequence is not None and sequence.term == term and sequence.step in ASKS


def _slots(world: World, storms: Mapping[NodeName, str], silent: frozenset[NodeName]) -> frozenset[NodeName]:
    """Who goes on, and who may begin, as far as the limit allows: incidents before drills, the oldest first.

    Who is at work keeps its place, and waits in it while its next level is too large for what is free. In a storm nothing
    is switched off, but what is off is switched on.
    """
    limit, used, granted = world.cluster.spec.max_concurrent, 0, set()

    def rank(node: NodeView) -> tuple[bool, bool, int, NodeName]:
        incident = node.status.incident
        return not _works(world, node), incident is None, incident.opened if incident is not None else 0, node.name

    for node in sorted((one for one in world.nodes if one.name not in storms or gives_power(world, one)), key=rank):
        if not (_works(world, node) or _wants(world, node, silent)):
            continue
        size = _size(node)
        if used and used + size > limit:
            if _works(world, node):
                continue
            break
        used += size
        granted.add(node.name)
    return frozenset(granted)


def asked(node: NodeView, power: Power) -> bool:
    """Is a drill asked for that has not been judged yet?"""
    return bool(node.drill) and (power.drilled is None or power.drilled.id != node.drill)


def _works(world: World, node: NodeView) -> bool:
    return running(node.status.sequence, world.term)


def _wants(world: World, node: NodeView, silent: frozenset[NodeName]) -> bool:
    """Has it something for its devices to do, that they are not doing yet?"""
    incident, power = node.status.incident, node.status.power or Power()
    sequence = power.sequence
    if not node.devices:
        return False
    if sequence is not None and sequence.term == world.term and sequence.step is not Step.OVER:
        match sequence.step:
            case Step.PAUSED:
                return world.wall >= sequence.since + PAUSE_MS and bool(usable(node.devices, power))
            case Step.SILENT:
                return node.name in silent
            case Step.IS_OFF:
                return sequence.purpose is Purpose.INCIDENT and owes_power(world, node, node.status)
        return False
    if incident is None:
        return at_work(sequence) or (sequence is None and asked(node, power))
    if incident.stage in TAKEN:
        again = sequence is None or sequence.purpose is Purpose.INCIDENT or sequence.term != world.term
        return again and owes_power(world, node, node.status)
    renews = node.beat is not None and node.beat.held_by_another(incident.nonce)
    return not renews and not incident.evidence and bool(usable(node.devices, power))


def owes_power(world: World, node: NodeView, status: NodeStatus) -> bool:
    """Is it to be switched on again, now that its Lease is taken: was it asked off in this incident, and is not back?

    By what is recorded of the asking, whatever was answered and whatever evidence was faster: a device that did not answer
    in time may have done it all the same.
    """
    incident, sequence = status.incident, status.sequence
    if incident is None or incident.stage is not Stage.FENCED or not world.cluster.spec.power_on:
        return False
    said_off = any(one.kind is EvidenceKind.POWER_OFF for one in incident.evidence)
    asked_off = sequence is not None and sequence.subject == incident.id
    if asked_off and sequence is not None and _is_on(sequence):
        return False
    return (said_off or asked_off) and (node.beat is None or node.beat.nonce is None)


def _is_on(sequence: Sequence) -> bool:
    """Have its devices said that it is on again? Who has switched it off since then, to mend it, is let alone."""
    return (sequence.purpose, sequence.step) == (Purpose.POWER_ON, Step.OVER) and not sequence.failures


def gives_power(world: World, node: NodeView) -> bool:
    """Are its devices wanted only to switch on what we have switched off? That harms nobody, and no brake is for it."""
    if node.status.incident is None:
        return node.status.sequence is not None
    return owes_power(world, node, node.status)


def _size(node: NodeView) -> int:
    """How many devices it uses at once: those of the level that it is at."""
    sequence = node.status.sequence
    level = sequence.level if sequence is not None else min((one.level for one in node.devices), default=1)
    return max(1, len(level_of(node.devices, level)))


def _vanished(world: World, silent: frozenset[NodeName]) -> dict[NodeName, Instant]:
    """When each member with a vote vanished that is silent: by what was recorded of it, else now."""
    found = {}
    for node in world.nodes:
        if node.name in silent and node.votes and not _over(node):
            since = node.status.since
            found[node.name] = world.wall if node.status.state in HEARD or since is None else since
    return found


def _storms(world: World, vanished: Mapping[NodeName, Instant]) -> dict[NodeName, str]:
    """Whoever vanished within two minutes of so many others that it is a storm, and in words."""
    found = {}
    for name in vanished:
        if said := _together(world, vanished, name):
            found[name] = f"{said[0]} vanished together ({said[1]})"
    for node in world.nodes:
        if node.devices and node.remediator:
            found[node.name] = node.remediator
    return found


def _doubts(
    world: World, vanished: Mapping[NodeName, Instant], storms: Mapping[NodeName, str], late: frozenset[NodeName]
) -> dict[NodeName, str]:
    """Whoever would be in a storm if those that are late had vanished now, and in words."""
    found = {}
    perhaps = {**dict.fromkeys(late, world.wall), **vanished}
    for name in vanished if late else ():
        if name not in storms and (said := _together(world, perhaps, name)):
            waits = f"until {some(sorted(late), NAMED)} is heard or suspected"
            found[name] = f"{said[0]} may be vanishing together ({said[1]}): it waits {waits}"
    return found


def _together(world: World, vanished: Mapping[NodeName, Instant], name: NodeName) -> tuple[str, str] | None:
    """How many votes vanished with it, and whose, if they are a storm."""
    together = sorted(one for one, moment in vanished.items() if abs(moment - vanished[name]) <= TOGETHER_MS)
    gone = sum(node.votes for node in world.nodes if node.name in together)
    total = sum(node.votes for node in world.nodes)
    if len(together) < 2 or 3 * gone <= total:
        return None
    return f"{gone} of {total} votes", some(together, NAMED)


def _late(node: NodeView, pulse: Pulse) -> bool:
    """Has a member with a vote missed a beat, or was it not heard by this manager so far, and is it not lost yet?"""
    if pulse.alive is Answer.NO or node.status.state not in HEARD or not node.votes or _over(node) or leaves(node):
        return False
    orders = node.status.orders
    renews_s = max(pulse.timing.renew_s, orders.renew_every_s if orders is not None else 0.0)
    return pulse.alive is Answer.NOT_YET or (pulse.age_s or 0.0) > renews_s + pulse.timing.timeout_s


def _over(node: NodeView) -> bool:
    """Was its power switched by us, so that its silence is no surprise?"""
    return node.status.incident is None and at_work(node.status.sequence)

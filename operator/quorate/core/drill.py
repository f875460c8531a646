"""A drill: a node without guests is switched off and on again on purpose, to see that its devices do what they say.

asked -> refused, or: off, said twice -> its Lease stops -> on -> another boot renews -> the level is proven, for this
spec of it. Until then the node takes no guests. What goes wrong fails the drill; power comes on again in any case. A
failed drill proves nothing, and a level that says off while the node renews is distrusted.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from quorate.core.conditions import plural
from quorate.core.sequence import Drilled, Power, Proven, Purpose, Sequence, Step, spec_of
from quorate.core.types import Answer, NodeState
from quorate.core.world import NodeView

if TYPE_CHECKING:
    from quorate.core.devices import Switch

BOOT_MS: Final = 900_000
"""A machine that is not back by then does not come back by itself."""
SILENT_MS: Final = 15_000
"""What is left of a renewal that was under way, beyond S."""


def under_way(power: Power | None) -> bool:
    """Is the node switched off and on again by a drill now?"""
    return power is not None and power.sequence is not None and power.sequence.purpose is Purpose.DRILL


def begin(switch: "Switch") -> None:
    """Refuse it, or begin."""
    node, world = switch.node, switch.world
    refused = _refusal(switch)
    if refused:
        refuse(switch, refused)
        return
    if node.name not in switch.brakes.may_begin:
        return  # with the next round, unless another drill was faster
    levels = sorted({one.level for one in node.devices})
    known = {one.level for one in switch.power.proven}
    level = next((one for one in levels if one not in known), levels[0])
    nonce, now = switch.status.nonce, world.wall
    if nonce is None:
        return
    switch.set(
        Sequence(
            id=f"{node.name}-{world.entropy[:8]}",
            term=world.term,
            purpose=Purpose.DRILL,
            subject=node.drill,
            nonce=nonce,
            level=level,
            spec=spec_of(node.devices, level),
            attempt=1,
            step=Step.OFF,
            began=now,
            since=now,
        )
    )
    switch.say("DrillBegun", f"drill {node.drill}: {switch.names(level)} switches it off and on again")


def refuse(switch: "Switch", why: str) -> None:
    """It is not tried again: who asked for it asks anew."""
    _judge(switch, switch.node.drill, passed=False, result=f"refused: {why}")


def _refusal(switch: "Switch") -> str:
    """Why not now; empty: nothing speaks against it. Quorum was asked before."""
    node, world, status = switch.node, switch.world, switch.status
    others = [one for one in world.nodes if one.name != node.name]
    votes = world.cluster.status.votes
    if switch.instances or status.guests:
        return "guests run there: put it into maintenance first"
    if status.state not in {NodeState.ONLINE, NodeState.MAINTENANCE} or switch.pulse.alive is not Answer.YES:
        return f"it is {status.state}"
    busy = [one.name for one in others if _busy(one)]
    if busy:
        return f"{', '.join(busy)}: another incident or sequence is under way"
    if votes.live - node.votes < votes.needed:
        return f"without it {plural(votes.live - node.votes, 'vote')} would be left, and quorum needs {votes.needed}"
    return ""


def _busy(node: NodeView) -> bool:
    return node.status.incident is not None or node.status.sequence is not None


def step(switch: "Switch", sequence: Sequence) -> None:
    """What is waited for between off and proven."""
    world, node, pulse = switch.world, switch.node, switch.pulse
    if any((one.level == sequence.level and one.at >= sequence.began) for one in switch.power.distrusted):
        failed(switch, sequence, "the devices are distrusted")
        return
    match sequence.step:
        case Step.IS_OFF:
            switch.set(replace(sequence, step=Step.SILENT, since=world.wall))
        case Step.SILENT:
            until = sequence.since + SILENT_MS + round(pulse.timing.suspect_after_s * 1000)
            same = node.beat is not None and node.beat.nonce == sequence.nonce
            switch.wake_at(until)
            if same and pulse.alive is Answer.NO:
                if node.name not in switch.brakes.may_begin:
                    return  # others are at work
                switch.set(replace(sequence, step=Step.ON, attempt=1, since=world.wall))
            elif world.wall >= until:
                switch.distrust(sequence.level, "it said off twice, and the node renews its Lease")
                failed(switch, sequence, "its Lease did not stop")
        case Step.BOOT:
            boot = node.beat.nonce if node.beat is not None else None
            switch.wake_at(sequence.since + BOOT_MS)
            if boot not in {None, sequence.nonce} and pulse.alive is Answer.YES:
                _passed(switch, sequence)
            elif world.wall >= sequence.since + BOOT_MS:
                failed(switch, sequence, "it did not boot again")


def _passed(switch: "Switch", sequence: Sequence) -> None:

    level, world, beat = sequence.level, switch.world, switch.node.beat
    if beat is None or beat.nonce is None:
        return
    found = Proven(level, spec_of(switch.node.devices, level), world.wall, world.term, sequence.nonce, beat.nonce)
    others = tuple(one for one in switch.power.proven if one.level != level)
    trusted = tuple(one for one in switch.power.distrusted if one.level != level)
    switch.power = replace(switch.power, proven=(*others, found), distrusted=trusted)
    took_s = (world.wall - sequence.began) / 1000
    _judge(
        switch,
        sequence.subject,
        passed=True,
        result=f"{switch.names(level)}: off, silent, on, back after {took_s:.0f}s",
    )
    switch.set(None)


def failed(switch: "Switch", sequence: Sequence, why: str) -> None:
    """It proves nothing. Whatever is off by now is switched on again."""
    level = sequence.level
    switch.power = replace(switch.power, proven=tuple(one for one in switch.power.proven if one.level != level))
    _judge(switch, sequence.subject, passed=False, result=f"{switch.names(level)}: {why}")
    on = sequence.step is Step.BOOT
    now = switch.world.wall
    switch.set(None if on else replace(sequence, purpose=Purpose.POWER_ON, step=Step.ON, attempt=1, since=now))


def _judge(switch: "Switch", drill_id: str, *, passed: bool, result: str) -> None:
    switch.power = replace(switch.power, drilled=Drilled(drill_id, passed, result, switch.world.wall))
    switch.say("DrillPassed" if passed else "DrillFailed", f"drill {drill_id}: {result}", warning=not passed)

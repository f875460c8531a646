"""A drill: a node without guests is switched off and on again on purpose, to see that its devices do what they say.

asked -> refused, or: off, said twice -> its Lease stops -> on -> another boot renews -> the level is proven, for this
spec of it. Until then the node takes no guests. What it would be refused for fails it also later, as long as `Off` is
asked; so does who takes the request away, and so does the loss of quorum before it is switched on. What fails it, power
comes on again in any case, also without quorum: what starts on a node is not decided by its power, but by the start gate
and by us, and here nothing did run. A failed drill proves nothing, and a level that says off while the node renews is
distrusted.
"""

from typing import TYPE_CHECKING, Final

from quorate.core import trust
from quorate.core.brakes import Brakes, asked
from quorate.core.conditions import plural
from quorate.core.quick import replace
from quorate.core.sequence import Drilled, Power, Proven, Purpose, Sequence, Step, at_work, spec_of
from quorate.core.types import HEARD, Answer
from quorate.core.world import NodeView

if TYPE_CHECKING:
    from quorate.core.devices import Switch

BOOT_MS: Final = 900_000
"""A machine that is not back by then does not come back by itself."""
SILENT_MS: Final = 15_000
"""What is left of a renewal that was under way, beyond S."""


def under_way(power: Power | None) -> bool:
    """Is the node switched off and on again by a drill now, or on after one that failed?"""
    sequence = power.sequence if power is not None else None
    return sequence is not None and sequence.purpose is not Purpose.INCIDENT


def begin(switch: "Switch") -> None:
    """Refuse it, or begin."""
    node, world = switch.node, switch.world
    unread = [one for one in node.devices if not one.readable]
    tried = {one.device: one.detail for one in node.health}
    if any(one.name not in tried for one in unread):
        return  # their Secrets are read within a moment, and make other devices of them
    refused = "; ".join(f"{one.name}: {tried[one.name]}" for one in unread) or _refusal(switch)
    if refused:
        refuse(switch, refused)
        return
    if switch.brakes.late:
        switch.look_again()  # whether another incident begins is known soon
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


def without_quorum(switch: "Switch") -> None:
    """None is begun, and one that has taken the power away gives it back."""
    sequence, why = switch.sequence, "without quorum, or while HA is disarmed, nothing is switched off"
    if sequence is None and asked(switch.node, switch.power):
        refuse(switch, why)
    elif sequence is not None and sequence.purpose is Purpose.DRILL and sequence.step not in {Step.ON, Step.BOOT}:
        failed(switch, sequence, why)


def _refusal(switch: "Switch") -> str:
    """Why not now; empty: nothing speaks against it. Quorum was asked before."""
    node, status = switch.node, switch.status
    busy = [one.name for one in switch.world.nodes if one.name != node.name and at_work(one.status.sequence)]
    if status.state not in HEARD or switch.pulse.alive is not Answer.YES:
        return f"it is {status.state}"
    if busy:
        return f"{', '.join(busy)}: another sequence is under way"
    return node.remediator or hazard(switch)


def of_another_machine(power: Power) -> Power:
    """What was shown was of the machine before, and a drill that is under way (by its spec) shows nothing of this one."""
    sequence = power.sequence
    if sequence is not None and sequence.purpose is Purpose.DRILL:
        sequence = replace(sequence, spec="")
    return replace(power, proven=(), sequence=sequence)


def spoilt(switch: "Switch", sequence: Sequence) -> str:
    """Why it has failed as it stands; empty: it goes on."""
    if not sequence.spec:
        return "another machine renews under this name"
    if sequence.spec != spec_of(switch.node.devices, sequence.level):
        return "its devices were changed meanwhile"
    if any(one.level == sequence.level and one.at >= sequence.began for one in switch.power.distrusted):
        return "the devices are distrusted"
    return hazard(switch) if sequence.step is Step.OFF else ""


def hazard(switch: "Switch") -> str:
    """Why its power must not be taken away, or not any more, by what is known in this round; empty: nothing forbids it."""
    node, brakes = switch.node, switch.brakes
    if switch.instances or switch.status.guests:
        return "guests run there: put it into maintenance first"
    lost = [one.name for one in switch.world.nodes if one.name != node.name and _lost(one, brakes)]
    if lost:
        return f"{', '.join(lost)}: another incident is under way"
    left = brakes.live - (node.votes if switch.pulse.alive is Answer.YES else 0)
    if left < brakes.needed:
        return f"without it {plural(left, 'vote')} would be left, and quorum needs {brakes.needed}"
    return ""


def _lost(node: NodeView, brakes: Brakes) -> bool:
    """Has it an incident, or one about to be: it has just fallen silent, or is asked to reset itself?"""
    silent = node.name in brakes.silent and node.status.state in HEARD and node.status.sequence is None
    return node.status.incident is not None or node.status.resets or silent


def step(switch: "Switch", sequence: Sequence) -> None:
    """What is waited for between off and proven."""
    world, node, pulse = switch.world, switch.node, switch.pulse
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
                _back(switch, sequence)
            elif world.wall >= sequence.since + BOOT_MS:
                failed(switch, sequence, "it did not boot again")


def _back(switch: "Switch", sequence: Sequence) -> None:
    """It has booted again. Has another member gone meanwhile?"""
    unknown = trust.open_for(switch, sequence)
    if not trust.shots(switch, sequence):  # a leader before asked them, and took the answers along
        since_s = switch.world.now_s - (switch.world.wall - sequence.since) / 1000
        unknown = trust.unheard_since(switch, sequence, since_s)
        if lost := [name for name in unknown if name in switch.brakes.silent]:
            failed(switch, sequence, f"{', '.join(lost)} fell silent, and nobody can tell whether it was hit")
            return
    if unknown:
        switch.look_again()
    else:
        _passed(switch, sequence)


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
    if sequence.step is Step.BOOT:
        switch.over(sequence)
    else:
        on = replace(sequence, purpose=Purpose.POWER_ON, step=Step.ON, attempt=1, since=switch.world.wall)
        switch.set(on)


def _judge(switch: "Switch", drill_id: str, *, passed: bool, result: str) -> None:
    switch.power = replace(switch.power, drilled=Drilled(drill_id, passed, result, switch.world.wall))
    switch.say("DrillPassed" if passed else "DrillFailed", f"drill {drill_id}: {result}", warning=not passed)

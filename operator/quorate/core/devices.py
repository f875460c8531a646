"""A node's fence devices: what is to be asked of them next, and what their answers are worth.

An open incident, quorum, no brake -> a sequence is recorded in the Node's status -> every device of the first level is
asked `Off`, and when all have said so, `Status` -> all have said off twice: that is `PowerOff` in `evidence.py`, if the
level is proven. A level that fails or does not answer is tried twice, then the next one; when all have failed there is
a pause, and all over again. The other kinds of evidence race beside it, and whichever comes first releases.

* One sequence for each node. It belongs to one leader's term: a later leader knows nothing of what was answered, so it
  begins anew. Just before each `Off` the shell reads the manager's Lease, the recorded sequence and the node's Lease
  (`AskDevice`).
* An answer counts only for the sequence, term, incident and boot that its order names.
* A level is *proven* by a drill (`drill.py`) since its spec changed last. Unproven it counts beside T of an armed node.
* A level is distrusted once it said off and the node renewed, or another node fell silent (`trust.py`): it is not used
  again before its spec changes or a drill passes.
* Afterwards, when the Lease is taken, power comes on again by policy, as a sequence of its own: nothing waits for it. So
  it does for every node that was asked off, whatever evidence released it.
* Without quorum nothing is switched off, and what we have switched off is switched on: that takes nothing from anybody, a
  node that boots runs nothing of before (the start gate), and its vote may be the one that is missing.

The shell's part is `kube/power.py`: it carries an order out as long as it stands in the plans, with a hard time-out.
"""

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Final

from quorate.core import drill, trust
from quorate.core.actions import AskDevice, Note
from quorate.core.brakes import PAUSE_MS, Brakes, asked, owes_power
from quorate.core.liveness import Pulse
from quorate.core.quick import replace
from quorate.core.sequence import (
    ASKS,
    Distrust,
    FenceDevice,
    Order,
    Power,
    Purpose,
    Report,
    Said,
    Sequence,
    Step,
    level_of,
    spec_of,
    usable,
)
from quorate.core.status import Incident, Instance, NodeStatus
from quorate.core.types import TAKEN, Answer, EvidenceKind, Instant, Nonce, clock, node_ref
from quorate.core.world import NodeView, World

TRIES: Final = 2
GRACE_MS: Final = 5_000
"""A shell that says nothing so long after a device's time-out never will."""
KEPT_FAILURES: Final = 6


@dataclass(slots=True)
class Switch:
    """One round of one node's power. `power` is what was recorded, and then what is to be."""

    world: World
    node: NodeView
    status: NodeStatus
    pulse: Pulse
    instances: Many[Instance]
    brakes: Brakes
    acts: bool
    power: Power = field(init=False)
    actions: list[AskDevice] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.power = self.status.power or Power()

    def run(self) -> Power | None:
        """What is to be recorded; None: nothing."""
        if not self.node.devices:
            if drill.under_way(self.power):
                self.say(
                    "NodeStaysOff", "the fence devices that switched it off are gone: see that it is on", warning=True
                )
            if asked(self.node, self.power):
                drill.refuse(self, "it has no fence devices")
            drilled = self.power.drilled  # or who is given devices again would be switched off for a drill of long ago
            return Power(drilled=drilled) if drilled is not None else None
        self._forget()
        trust.judge(self)
        self._end()
        blocked = ""
        if not self.acts:
            drill.without_quorum(self)
        if self.acts or self._gives_power():
            blocked = self._begin()
            self._advance()
            self._ask()
        self.power = replace(self.power, blocked=blocked)
        return self.power if self.power != Power() else None

    # -- what is known ----------------------------------------------------------------------------------------------

    @property
    def sequence(self) -> Sequence | None:
        return self.power.sequence

    def set(self, sequence: Sequence | None) -> None:
        self.power = replace(self.power, sequence=sequence)

    def say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.notes.append(Note(node_ref(self.node.name), reason, message, warning))

    def wake_at(self, moment: int) -> None:
        if moment > self.world.wall:
            self.wakes.append(self.world.after(Instant(moment)))

    def usable(self) -> list[int]:
        """The levels that may be used, in order."""
        return usable(self.node.devices, self.power)

    def _forget(self) -> None:
        """What was found out about a level holds for that spec of it. Of one whose Secret was not read yet, as by a new
        leader, nobody knows whether it is another one.
        """
        now = {one.level: spec_of(self.node.devices, one.level) for one in self.node.devices}
        unread = {one.level for one in self.node.devices if not one.readable}
        self.power = replace(
            self.power,
            proven=tuple(one for one in self.power.proven if now.get(one.level) == one.spec or one.level in unread),
            distrusted=tuple(
                one for one in self.power.distrusted if now.get(one.level) == one.spec or one.level in unread
            ),
        )

    def _end(self) -> None:
        """What nobody asks for any more is over; what was asked off is remembered until it is on again, or may stay off."""
        sequence = self.sequence
        if sequence is None:
            return
        if sequence.purpose is Purpose.DRILL and not asked(self.node, self.power):
            drill.failed(self, sequence, "it was called off")
        elif not self._wanted(sequence):
            self.over(sequence)
        elif sequence.purpose is Purpose.INCIDENT and (self._taken() or not self._unchanged(sequence)):
            self.set(replace(sequence, step=Step.OVER))

    def _taken(self) -> bool:
        return self.status.incident is not None and self.status.incident.stage in TAKEN

    def over(self, sequence: Sequence) -> None:
        """Nothing is asked any more. It is forgotten as soon as it is known whom its devices have switched off."""
        unknown = bool(trust.open_for(self, sequence))
        if unknown:
            self.look_again()
        self.set(replace(sequence, purpose=Purpose.INCIDENT, step=Step.OVER) if unknown else None)

    def look_again(self) -> None:
        """Soon: a heartbeat by itself makes no round."""
        self.wakes.append(self.world.now_s + 1.0)

    def _wanted(self, sequence: Sequence) -> bool:
        """Does what the sequence serves still ask for it?"""
        incident = self.status.incident
        renews = self.node.beat is not None and self.node.beat.held_by_another(sequence.nonce)
        match sequence.purpose:
            case Purpose.INCIDENT:
                if incident is None or (incident.id, incident.nonce) != (sequence.subject, sequence.nonce):
                    return False
                return not renews
            case Purpose.DRILL:
                return True
            case Purpose.POWER_ON:
                return not renews and (sequence.step is not Step.OVER or incident is not None or self._boots(sequence))

    def _boots(self, sequence: Sequence) -> bool:
        """Is it not known yet what became of the boot that may have been switched off? No guest may start in it."""
        heard_s = self.node.beat.seen_s if self.node.beat is not None else 0.0
        unheard = heard_s <= self.world.now_s - (self.world.wall - sequence.since) / 1000
        if self.pulse.alive is Answer.NO or not unheard:
            return False
        self.look_again()
        return True

    def _gives_power(self) -> bool:
        """Is nothing left to do but to switch on what is off?"""
        return self._purpose() in {Purpose.DRILL, Purpose.POWER_ON}

    def _unchanged(self, sequence: Sequence) -> bool:
        """Are its devices still those that were asked? What others have said is nothing about these."""
        return sequence.spec == spec_of(self.node.devices, sequence.level)

    # -- trust ------------------------------------------------------------------------------------------------------

    def distrust(self, level: int, why: str) -> None:
        if any(one.level == level for one in self.power.distrusted):
            return
        found = Distrust(level, spec_of(self.node.devices, level), why, self.world.wall)
        proven = tuple(one for one in self.power.proven if one.level != level)
        self.power = replace(self.power, distrusted=(*self.power.distrusted, found), proven=proven)
        self.say("DeviceDistrusted", f"{self.names(level)}: {why}: not used any more", warning=True)

    # -- beginning --------------------------------------------------------------------------------------------------

    def _begin(self) -> str:
        """A sequence where one is wanted; why it must wait, until when."""
        purpose = self._purpose()
        sequence = self.sequence
        if purpose is None:
            return ""
        here = sequence is not None and sequence.purpose is purpose and sequence.term == self.world.term
        if sequence is not None and here and (purpose is not Purpose.INCIDENT or sequence.step is not Step.OVER):
            if purpose is Purpose.INCIDENT and sequence.level not in self.usable():
                self._level_failed(sequence, "it is distrusted")
            return self._storm(purpose)
        if held := self._storm(purpose) or self._doubt(purpose):
            return held
        if purpose is Purpose.DRILL and sequence is None:
            drill.begin(self)
            return ""
        if not self.usable() and purpose is Purpose.INCIDENT:
            return f"all its fence devices are distrusted; {self._until()}"
        if self.node.name not in self.brakes.may_begin:
            limit = self.world.cluster.spec.max_concurrent
            return f"not more than {limit} at a time (maxConcurrent), others come first; {self._until()}"
        self.set(self._anew(purpose, sequence))
        return ""

    def _purpose(self) -> Purpose | None:
        """What the devices are wanted for now. A new incident's begin with the next round: the brakes count by records."""
        incident, sequence = self.status.incident, self.sequence
        if incident is None:
            if sequence is not None:
                return sequence.purpose if sequence.step is not Step.OVER else None
            return Purpose.DRILL if asked(self.node, self.power) else None
        if self.node.status.incident is None:
            return None
        if incident.stage in TAKEN:
            return Purpose.POWER_ON if owes_power(self.world, self.node, self.status) else None
        if incident.evidence or EvidenceKind.POWER_OFF not in self.world.cluster.spec.accepted_evidence:
            return None  # it is proven dead as it is: its Lease is being taken
        if self.node.beat is not None and self.node.beat.held_by_another(incident.nonce):
            return None  # another boot renews: it is not to be shot for the one before
        return Purpose.INCIDENT

    def _storm(self, purpose: Purpose) -> str:
        storm = self.brakes.storms.get(self.node.name, "")
        if not storm or purpose is not Purpose.INCIDENT:
            return ""
        return f"{storm}: a person must look; {self._until()}"

    def _doubt(self, purpose: Purpose) -> str:
        """Why its devices do not begin yet; whatever is at work goes on."""
        doubt = self.brakes.doubts.get(self.node.name, "")
        if not doubt or purpose is not Purpose.INCIDENT:
            return ""
        self.look_again()
        return f"{doubt}; {self._until()}"

    def _until(self) -> str:
        incident = self.status.incident
        if incident is None or incident.release_by is None:
            return "until then only a new boot of it or a person (quorate fence confirm) releases its guests"
        return f"without them its guests are released no later than {clock(incident.release_by)} UTC"

    def _anew(self, purpose: Purpose, before: Sequence | None) -> Sequence:
        """From its start, under this leader's term. What a leader before was answered is not known any more."""
        now, incident = self.world.wall, self.status.incident
        began = now
        step = Step.ON if purpose is Purpose.POWER_ON else Step.OFF
        levels = self.usable() if purpose is Purpose.INCIDENT else sorted({one.level for one in self.node.devices})
        level = levels[0]
        if before is not None and before.level in levels and purpose is not Purpose.INCIDENT:
            level = before.level
        spec = spec_of(self.node.devices, level)
        if purpose is Purpose.DRILL and before is not None and before.step in {Step.ON, Step.BOOT}:
            step, level, spec, began = before.step, before.level, before.spec, before.began
        same = before if before is not None and before.purpose is purpose and before.step is not Step.OVER else None
        subject, nonce = (incident.id, incident.nonce) if incident is not None else ("", Nonce(""))
        name = f"{self.node.name}-{self.world.entropy[:8]}"
        if before is not None and (purpose, before.term, before.subject) == (
            Purpose.POWER_ON,
            self.world.term,
            subject,
        ):
            name = before.id  # what its devices have said is still to be judged
        return Sequence(
            id=name,
            term=self.world.term,
            purpose=purpose,
            subject=same.subject if same is not None else subject,
            nonce=same.nonce if same is not None else nonce,
            level=level,
            spec=spec,
            attempt=1,
            step=step,
            began=began,
            since=now,
            failures=same.failures if same is not None else (),
        )

    # -- going on ---------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """As far as the answers go."""
        while (before := self.sequence) is not None and before.term == self.world.term:
            self._step(before)
            if self.sequence == before:
                return

    def _step(self, sequence: Sequence) -> None:
        now = self.world.wall
        if sequence.purpose is Purpose.DRILL and (why := drill.spoilt(self, sequence)):
            drill.failed(self, sequence, why)
        elif sequence.step in ASKS:
            if not self._storm(sequence.purpose):
                self._hear(sequence)
        elif sequence.purpose is Purpose.DRILL:
            drill.step(self, sequence)
        elif sequence.step is Step.PAUSED:
            self.wake_at(sequence.since + PAUSE_MS)
            over = now >= sequence.since + PAUSE_MS and self.node.name in self.brakes.may_begin
            if over and self.usable() and not self._doubt(sequence.purpose):
                self.set(self._anew(sequence.purpose, sequence))

    def _hear(self, sequence: Sequence) -> None:
        """What the devices of the level have said to what they are asked now."""
        wished = Said.ON if sequence.step is Step.ON else Said.OFF
        bad, missing = [], []
        overdue = False
        for device in level_of(self.node.devices, sequence.level):
            report = _report(self.node, order(sequence, device))
            until = sequence.since + round(device.timeout_s * 1000) + GRACE_MS
            if report is None:
                missing.append(device.name)
                self.wake_at(until)
                overdue = overdue or self.world.wall >= until
            elif report.said is not wished:
                bad.append(f"{device.name} {_words(report)}")
        if overdue:
            bad.extend(f"{name} was not heard of" for name in missing)
        if bad:
            self._failed(sequence, f"{sequence.step.lower()}: {', '.join(bad)}")
        elif not missing and sequence.purpose is Purpose.POWER_ON:
            self._asked_on(sequence)
        elif not missing:
            self.set(replace(sequence, step=_next(sequence), since=self.world.wall))

    def _failed(self, sequence: Sequence, why: str) -> None:
        text = f"level {sequence.level}, try {sequence.attempt}: {why}"
        failed = replace(sequence, failures=(*sequence.failures, text)[-KEPT_FAILURES:], since=self.world.wall)
        first = Step.ON if sequence.step is Step.ON else Step.OFF
        if sequence.attempt < TRIES:
            self.set(replace(failed, attempt=sequence.attempt + 1, step=first))
        elif sequence.purpose is Purpose.DRILL:
            drill.failed(self, failed, text)
        elif sequence.purpose is Purpose.POWER_ON:
            self.say("NodeStaysOff", f"its power does not come on again ({text})", warning=True)
            self._asked_on(failed)
        else:
            self._level_failed(failed, text)

    def _asked_on(self, sequence: Sequence) -> None:
        """A level is done with. Of an incident so are the ones before it: who did not answer in time may have done it."""
        before = [one.level for one in self.node.devices if one.level < sequence.level]
        if before and self.status.incident is not None:
            level, now = max(before), self.world.wall
            spec = spec_of(self.node.devices, level)
            self.set(replace(sequence, level=level, spec=spec, attempt=1, step=Step.ON, since=now))
        else:
            self.set(replace(sequence, step=Step.OVER, since=self.world.wall))

    def _level_failed(self, sequence: Sequence, why: str) -> None:
        """On to the next level; after the last one a pause."""
        after = next((level for level in self.usable() if level > sequence.level), None)
        if after is not None:
            self.say(
                "FenceEscalated", f"{self.names(sequence.level)} failed ({why}): level {after} is next", warning=True
            )
            spec = spec_of(self.node.devices, after)
            self.set(replace(sequence, level=after, spec=spec, attempt=1, step=Step.OFF, since=self.world.wall))
        elif sequence.step is not Step.PAUSED:
            self.say(
                "FenceFailed", f"none of its fence devices switched it off ({why}): tried again later", warning=True
            )
            self.set(replace(sequence, step=Step.PAUSED, since=self.world.wall))

    def names(self, level: int) -> str:
        devices = ", ".join(one.name for one in level_of(self.node.devices, level))
        return f"fence level {level} ({devices or 'empty'})"

    def _ask(self) -> None:
        """Every order that is not answered yet, in each plan anew: what is left out of a plan is stopped."""
        sequence = self.sequence
        if sequence is None or sequence.step not in ASKS or sequence.term != self.world.term:
            return
        if self._storm(sequence.purpose) or self.node.name not in self.brakes.may_begin:
            return
        incident = self.status.incident
        heard = incident.sequence if sequence.purpose is Purpose.INCIDENT and incident is not None else -1
        for device in level_of(self.node.devices, sequence.level):
            due = order(sequence, device)
            if _report(self.node, due) is None:
                self.actions.append(AskDevice(self.node.name, due, device.timeout_s, heard))


def order(sequence: Sequence, device: FenceDevice) -> Order:
    """What this device is to be asked at this step."""
    return Order(
        sequence.id,
        sequence.term,
        sequence.subject,
        sequence.nonce,
        sequence.level,
        sequence.attempt,
        ASKS[sequence.step],
        device.name,
        device.spec,
    )


def is_off(node: NodeView, incident: Incident, term: int) -> Sequence | None:
    """The sequence in which every device of a level has said off twice, for this incident and boot and under this term."""
    sequence = node.status.sequence
    if sequence is None or sequence.purpose is not Purpose.INCIDENT or sequence.step is not Step.IS_OFF:
        return None
    if (sequence.subject, sequence.nonce, sequence.term) != (incident.id, incident.nonce, term):
        return None
    if sequence.spec != spec_of(node.devices, sequence.level):
        return None
    for device in level_of(node.devices, sequence.level):
        for step in (Step.OFF, Step.STATUS):
            report = _report(node, order(replace(sequence, step=step), device))
            if report is None or report.said is not Said.OFF:
                return None
    return sequence


def proven(node: NodeView, level: int) -> bool:
    """Has a drill shown since its spec changed last that this level switches this node?"""
    power = node.status.power or Power()
    spec = spec_of(node.devices, level)
    return any((one.level, one.spec) == (level, spec) for one in power.proven)


def _report(node: NodeView, due: Order) -> Report | None:
    return next((one for one in node.reports if one.order == due), None)


def _next(sequence: Sequence) -> Step:
    if sequence.step is Step.OFF:
        return Step.STATUS
    if sequence.step is Step.STATUS:
        return Step.IS_OFF
    return Step.BOOT


def _words(report: Report) -> str:
    what = {Said.TIMED_OUT: "did not answer in time", Said.FAILED: "failed"}
    return f"{what.get(report.said, f'said {report.said.lower()}')}{f' ({report.detail})' if report.detail else ''}"

"""What the word of a fence device is worth: has it switched off the node that it was asked for, and no other one?

It said off twice and the node renews: it switches nothing. It said off and another member went: it is wired to that one.
Its level is distrusted then: not used again, and no proof of anything, before its spec changes or a drill passes.

Whom has it hit? A member whose boot was heard for the last time between the first `Off` (less one renewal that may have
been due) and the answer. That is known when the member is suspected, S after that beat, and its S may be much longer than
that of the node; or when another boot of it renews, which may be before. Until each member was heard after the answer, or
is suspected, the question is open: the sequence stays recorded (`Step.OVER`) beyond its incident, and a drill does not
pass.

No beat, and so no end of one: that a manager takes a Lease or gives it back, that somebody deletes it or makes it anew.
Explained, and so nobody's fault: a member that goes down in order, whose own power is being switched, that was asked to
reset itself, or that was lost before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quorate.core.liveness import leaves
from quorate.core.sequence import Purpose, Report, Said, Sequence, Verb, at_work
from quorate.core.types import HEARD, Answer, NodeName, Nonce
from quorate.core.world import NodeView, Sighting

if TYPE_CHECKING:
    from quorate.core.devices import Switch

UNKNOWN_RENEWAL_S: Final = 10.0
UNDER_WAY_S: Final = 1.0
"""A renewal or an answer that was on its way."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A level said off: when it was asked first, and when it said so last, on the manager's clock."""

    level: int
    asked_s: float
    off_s: float


def judge(switch: "Switch") -> None:
    """Distrust the levels of the sequence that have switched off the wrong machine, or none."""
    sequence, incident = switch.sequence, switch.status.incident
    if sequence is None:
        return
    for shot in shots(switch, sequence):
        hit = [other.name for other in others(switch) if fate(switch, sequence, other, shot) is Answer.YES]
        if hit:
            switch.distrust(shot.level, f"{', '.join(hit)} fell silent when it said off")
    if sequence.purpose is Purpose.INCIDENT and incident is not None:
        renews = switch.node.beat is not None and switch.node.beat.lives(incident)
        if renews and any(_said_twice(one, sequence) for one in switch.node.reports):
            switch.distrust(sequence.level, "it said off twice, and the node renews its Lease")


def open_for(switch: "Switch", sequence: Sequence) -> list[NodeName]:
    """Of whom it is not known yet whether the devices have hit them."""
    aimed = shots(switch, sequence)
    return [
        other.name
        for other in others(switch)
        if any(fate(switch, sequence, other, shot) is Answer.NOT_YET for shot in aimed)
    ]


def unheard_since(switch: "Switch", sequence: Sequence, since_s: float) -> list[NodeName]:
    """Who was not lost before and has not been heard since then: a later leader, who was told nothing, can go by that."""
    return [
        other.name
        for other in others(switch)
        if not (other.beat is not None and other.beat.nonce and other.beat.moved and other.beat.seen_s > since_s)
        and not _explained(other)
        and not _lost_before(other, sequence)
    ]


def others(switch: "Switch") -> Iterator[NodeView]:
    return (one for one in switch.world.nodes if one.name != switch.node.name)


def shots(switch: "Switch", sequence: Sequence) -> list[Shot]:
    """Of each level that said off in this sequence. What a changed device has said is nothing about what it is now."""
    asked = [one for one in switch.node.reports if _of(one, sequence) and one.order.verb is Verb.OFF]
    said = [one for one in asked if one.said is Said.OFF and _unchanged(switch.node, one)]
    return [
        Shot(
            level,
            min(one.asked_s for one in asked if one.order.level == level),
            max(one.at_s for one in said if one.order.level == level),
        )
        for level in sorted({one.order.level for one in said})
    ]


def fate(switch: "Switch", sequence: Sequence, other: NodeView, shot: Shot) -> Answer:
    """Has the shot ended the boot that this member was in? Not yet: it was not heard since, and is not suspected."""
    boot = _boot_at(other, shot.asked_s)
    if boot is None or _explained(other) or boot.last_s > shot.off_s + UNDER_WAY_S:
        return Answer.NO
    orders = other.status.orders
    renews_s = orders.renew_every_s if orders is not None else UNKNOWN_RENEWAL_S
    if boot.last_s < shot.asked_s - renews_s - UNDER_WAY_S:
        return Answer.NO
    if boot.last_s == boot.first_s and _lost_before(other, sequence):
        return Answer.NO  # this manager has only found its Lease
    again = other.beat is not None and other.beat.held_by_another(Nonce(boot.holder))
    return Answer.YES if again or other.name in switch.brakes.silent else Answer.NOT_YET


def _said_twice(report: Report, sequence: Sequence) -> bool:
    same = _of(report, sequence) and report.order.level == sequence.level
    return same and (report.order.verb, report.said) == (Verb.STATUS, Said.OFF)


def _of(report: Report, sequence: Sequence) -> bool:
    return (report.order.sequence, report.order.term) == (sequence.id, sequence.term)


def _unchanged(node: NodeView, report: Report) -> bool:
    asked = report.order
    return any((one.name, one.level, one.spec) == (asked.device, asked.level, asked.spec) for one in node.devices)


def _boot_at(node: NodeView, moment_s: float) -> Sighting | None:
    """The boot that the node was in then, as far as this manager has seen one renew; when, tells the sighting."""
    beat = node.beat if node.beat is not None else node.missed
    seen = beat.sightings if beat is not None else ()
    boots = [one for one in seen if one.holder and "/" not in one.holder and one.first_s <= moment_s]
    return max(boots, key=lambda one: one.last_s, default=None)


def _explained(node: NodeView) -> bool:
    return node.status.resets or leaves(node) or at_work(node.status.sequence)


def _lost_before(node: NodeView, sequence: Sequence) -> bool:
    """Was it recorded as lost before the devices were asked?"""
    status = node.status
    return status.state not in HEARD and status.since is not None and status.since < sequence.began

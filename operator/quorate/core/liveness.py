"""The age of a node's heartbeat -> alive, silent, or not known yet.

A beat is a new (holder, sequence) in the node's Lease and nothing else. All ages are on this manager's own clock, from
the moment it saw the last new sequence: a clock on another machine never enters.
"""

from dataclasses import dataclass

from quorate.core.quick import quick
from quorate.core.timing import Timing
from quorate.core.types import Answer, WatchdogKind
from quorate.core.world import Beat, NodeView


@quick
@dataclass(frozen=True, slots=True)
class Pulse:
    """One node's heartbeat now.

    `suspect_at_s` and `release_at_s` are on the manager's clock; None: there is nothing to count from. `timing` holds
    the larger of the profile's and the attested times, `armed` what the last attestation said. `suspect_after_s`: how long
    it may be silent before it is suspected; None while it is not heard anyway.
    """

    alive: Answer
    age_s: float | None
    suspect_at_s: float | None
    release_at_s: float | None
    timing: Timing
    armed: bool
    suspect_after_s: float | None = None


def read(node: NodeView, profile: Timing, now_s: float) -> Pulse:
    """Judge a node's heartbeat.

    A manager that has only found a Lease, and not yet seen it change, waits S before it calls the node silent, and
    never calls it alive: an object is not a sign of life.
    """
    timing = held_against(node, profile)
    beat = node.beat
    if beat is None or beat.nonce is None or not valid(beat):
        # A Lease that is fenced, empty or missing still has a clock: the time since its last change as we saw it.
        last = beat.seen_s if beat is not None else node.lease_missing_s
        if last is None:
            return Pulse(Answer.NO, None, None, None, timing, _remembered_armed(node))
        suspect, release = last + timing.suspect_after_s, last + timing.release_after_s
        return Pulse(Answer.NO, now_s - last, suspect, release, timing, _remembered_armed(node))
    attestation = beat.attestation
    armed = attestation is not None and attestation.armed
    suspect_after = timing.suspect_after_s if armed else timing.unwatched_suspect_after_s
    suspect_at = beat.seen_s + suspect_after
    heard = Answer.YES if beat.moved else Answer.NOT_YET
    alive = heard if now_s <= suspect_at else Answer.NO
    release_at, patience = beat.seen_s + timing.release_after_s, None if alive is Answer.NO else suspect_after
    return Pulse(alive, now_s - beat.seen_s, suspect_at, release_at, timing, armed, patience)


def held_against(node: NodeView, profile: Timing) -> Timing:
    """The profile's times, widened by what the node attested: by its Lease, and by its status for the boot before."""
    timing = profile
    if node.status.watchdog is not None:
        known = node.status.watchdog
        timing = timing.widened(timeout_s=known.renewal_timeout_s, watchdog_s=known.timeout_s)
    beat = node.beat if node.beat is not None else node.missed
    if beat is not None and beat.attestation is not None:
        attested = beat.attestation
        timing = timing.widened(timeout_s=attested.timeout_s, watchdog_s=attested.watchdog_s)
    return timing


def armed_now(node: NodeView, accepted: tuple[WatchdogKind, ...]) -> bool:
    """Does the node hold an armed watchdog of an accepted kind, attested for the *current* arming generation?"""
    beat = node.beat
    if beat is None or beat.attestation is None or not valid(beat) or beat.nonce != node.status.nonce:
        return False
    attestation = beat.attestation
    return (
        attestation.armed
        and node.status.arming.wanted
        and attestation.generation == node.status.arming.generation
        and attestation.watchdog in accepted
    )


def valid(beat: Beat) -> bool:
    """An attestation counts only in the Lease it was written for: a re-created Lease has another uid."""
    return beat.attestation is not None and beat.attestation.lease_uid == beat.uid


def leaves(node: NodeView) -> bool:
    """Does it go down in order, or has it gone so, by its last word: is its silence its own?"""
    said = node.beat.attestation if node.beat is not None else None
    return node.status.going is not None or (said is not None and (bool(said.going) or said.drained))


def _remembered_armed(node: NodeView) -> bool:
    return node.status.watchdog is not None and node.status.watchdog.armed

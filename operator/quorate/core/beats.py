"""A node's Lease, version after version, as one manager sees it: what is a beat, and when it was first seen.

Every replica keeps these for itself, so that a standby's timers are already running when it takes over. A manager that
has just begun counts from its own first sight: later than the truth, never earlier.
"""

from typing import Final

from quorate.core.quick import replace
from quorate.core.types import Uid
from quorate.core.world import Attestation, Beat, Sighting

KEPT_SIGHTINGS: Final = 6
"""Holders of a Lease that are remembered: the lost boot, the manager that fenced it, the new boot, and some more."""


def saw(
    before: Beat | None,
    *,
    uid: Uid,
    resource_version: str,
    holder: str,
    attestation: Attestation | None,
    now_s: float,
) -> Beat:
    """A version of the Lease has come in, by watch, list or as the answer to a write of ours."""
    if before is None or before.uid != uid:
        # A Lease made anew says nothing of the one before: its clock begins now, but who was seen when is kept.
        sightings = before.sightings if before is not None else ()
        fresh = Beat(uid, resource_version, holder, attestation, seen_s=now_s, moved=before is not None)
        return replace(fresh, sightings=_noted(sightings, holder, attestation, now_s))
    if before.resource_version == resource_version:
        return before
    if holder == before.holder and not _newer(before.sighting(holder), attestation):
        # Some other field changed, or somebody put an old copy back: no beat, and what was said last still stands; but
        # this is the version that a compare-and-swap must name.
        return replace(before, resource_version=resource_version)
    return Beat(
        uid,
        resource_version,
        holder,
        attestation,
        seen_s=now_s,
        moved=True,
        sightings=_noted(before.sightings, holder, attestation, now_s),
    )


def probed(beat: Beat, now_s: float) -> Beat:
    """A live GET that began at `now_s` has shown nothing that is not in this beat."""
    return replace(beat, probed_s=now_s)


def _noted(
    sightings: tuple[Sighting, ...], holder: str, attestation: Attestation | None, now_s: float
) -> tuple[Sighting, ...]:
    known = next((one for one in sightings if one.holder == holder), None)
    sequence = attestation.sequence if attestation is not None else 0
    if known is not None:
        current = Sighting(holder, known.first_s, now_s, known.uptime_s, max(known.sequence, sequence))
    else:
        uptime_s = attestation.uptime_s if attestation is not None else 0.0
        current = Sighting(holder, now_s, now_s, uptime_s, sequence)
    others = tuple(one for one in sightings if one.holder != holder)
    return (*others[-(KEPT_SIGHTINGS - 1) :], current)


def _newer(known: Sighting | None, attestation: Attestation | None) -> bool:
    """Is this a sequence that was never seen of this holder? They only grow."""
    return known is None or (attestation is not None and attestation.sequence > known.sequence)

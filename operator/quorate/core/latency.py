"""Slow renewals: what the agents measured, what profile Auto makes of it, and what people are told.

A renewal that takes d may not pet, so an API server that slow resets healthy armed nodes. Long before, when one of a
hundred renewals of ten minutes takes longer than d/3, Auto goes one profile slower; any other profile keeps its times.
Auto comes back after an hour, if renewals are fast enough for the faster profile with room to spare: it must not swing.
"""

from typing import Final

from quorate.core.conditions import Finding
from quorate.core.liveness import valid
from quorate.core.quick import replace
from quorate.core.timing import PROFILES, Profile, Resolved, seconds
from quorate.core.types import Instant, NodeName
from quorate.core.world import World

LADDER: Final = (Profile.BALANCED, Profile.RELAXED, Profile.PROXMOX)
"""What Auto goes through. Fast is only ever chosen by a person."""
SLOW_PART: Final = 1 / 3
CALM_PART: Final = 1 / 6
STEP_MS: Final = 600_000
"""The window of the agents' measure: after a step it speaks of the time before for so long."""
BACK_MS: Final = 3_600_000


def adapt(world: World, chosen: Resolved) -> Resolved:
    """The times in force: what the spec chose or, where Auto chose, perhaps a slower profile."""
    if world.cluster.spec.timing.profile is not Profile.AUTO or chosen.profile not in LADDER:
        return chosen
    before = world.cluster.status.timing
    base = LADDER.index(chosen.profile)
    step, since = base, None
    if before is not None and before.slowed_to in LADDER:
        step, since = max(base, LADDER.index(Profile(before.slowed_to))), before.slowed_at
    waited_ms = world.wall - since if since is not None else None
    if slow(world, PROFILES[LADDER[step]].timeout_s, SLOW_PART) and step + 1 < len(LADDER):
        if waited_ms is None or waited_ms >= STEP_MS:
            step, since = step + 1, world.wall
    elif step > base and waited_ms is not None and waited_ms >= BACK_MS and _calm(world, LADDER[step - 1]):
        step, since = step - 1, world.wall
    return _at(chosen, base, step, since)


def _at(chosen: Resolved, base: int, step: int, since: Instant | None) -> Resolved:
    if step == base:
        return chosen
    profile = LADDER[step]
    why = f"{chosen.why} would allow {chosen.profile}, but renewals were slow"
    return replace(
        chosen, timing=PROFILES[profile], profile=profile, why=why, slowed_to=profile, slowed_at=since or Instant(0)
    )


def slow(world: World, timeout_s: float, part: float) -> tuple[NodeName, ...]:
    """The nodes whose agents measured renewals above this part of d. What is not known yet is not slow."""
    return tuple(name for name, latency_s in _measured(world) if latency_s > timeout_s * part)


def _calm(world: World, profile: Profile) -> bool:
    """Would the faster profile have room to spare, by the word of every node?"""
    measured = _measured(world)
    known = bool(measured) and all(latency_s > 0 for _, latency_s in measured)
    return known and not slow(world, PROFILES[profile].timeout_s, CALM_PART)


def _measured(world: World) -> list[tuple[NodeName, float]]:
    return [
        (node.name, node.beat.attestation.latency_s)
        for node in world.nodes
        if node.beat is not None
        and node.beat.attestation is not None
        and node.beat.nonce is not None
        and node.beat.nonce == node.status.nonce
        and valid(node.beat)
    ]


def finding(world: World, timing: Resolved) -> Finding:
    """The condition `ApiFast` of the Cluster. Its words change only when the nodes do that it names."""
    timeout_s = timing.timing.timeout_s
    limit = f"d/3 = {seconds(round(timeout_s * SLOW_PART, 2))}"
    names = slow(world, timeout_s, SLOW_PART)
    if not names:
        return Finding("ApiFast", True, "Fast", f"no node is known to need more than {limit} for its renewals")
    remedy = (
        "the profile Auto becomes slower"
        if world.cluster.spec.timing.profile is Profile.AUTO and timing.profile is not LADDER[-1]
        else "find out why the API server is slow, or choose a slower spec.timing.profile"
    )
    return Finding(
        "ApiFast",
        False,
        "SlowRenewals",
        f"renewals of {', '.join(names)} took longer than {limit} (one of a hundred, over ten minutes). At "
        f"d = {seconds(timeout_s)} a healthy armed node would be reset: {remedy}",
    )

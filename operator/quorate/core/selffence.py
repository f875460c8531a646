"""The agent's side of the bargain: when it may renew, pet, arm, and when it must reset its node.

A node runs guests only while it holds its Lease; fencing means taking it away. The functions here decide, from what the
agent's shell has read and measured; the shell (and the simulator) carries out. Time is the node's CLOCK_BOOTTIME.

    s = now(); renew (time-out d); pet only if it succeeded and now() - s <= d
    look at the clock again: too late -> reset at once
"""

from dataclasses import dataclass
from enum import StrEnum

from quorate.core.quick import quick, replace
from quorate.core.timing import Timing, seconds
from quorate.core.types import Nonce, Uid


class Verdict(StrEnum):
    """What to do with the Lease as it was read."""

    RENEW = "renew it"
    TAKE = "take it: this boot never held it"
    CREATE = "create it again"
    LOST = "another holder has it: never take it back"
    RESET = "reset the node before anything else"


@quick
@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The node's Lease as a GET returned it."""

    uid: Uid
    resource_version: str
    holder: str
    sequence: int


@quick
@dataclass(frozen=True, slots=True)
class Orders:
    """What the manager asks of this node (Node.status). `member` False: there is no Node of this name.

    `released`: a person has disarmed HA, so the watchdog is let go even while guests run. `reset`: the boot that is to
    reset the node, because a guest does not stop there.
    """

    member: bool = False
    generation: int = 0
    armed: bool = False
    released: bool = False
    reset: Nonce | None = None
    timing: Timing | None = None
    asks: tuple[Uid, ...] = ()
    uid: Uid | None = None
    highest_term: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Guard:
    """What this boot's agent knows of its own lock. `held`: it has held the Lease in this boot (the mark in /run).

    `sequence` is the last one it sent, `confirmed` the last one it was told to be stored. `rewound`: what was confirmed
    when it last found the Lease with an older one.
    """

    nonce: Nonce
    held: bool = False
    sequence: int = 0
    confirmed: int = 0
    rewound: int = 0
    lease_uid: Uid | None = None
    resource_version: str | None = None


def judge(seen: LeaseSeen | None, guard: Guard, *, danger: bool, namespace_ends: bool = False) -> Verdict:
    """What a boot may do with the Lease it finds. `danger`: armed, or guests run here.

    A boot that finds itself fenced resets. One that has held the Lease and finds another holder never takes it back, so
    that two cloned machines do not alternate. A deleted namespace is an uninstall, not a reason to create anything.
    """
    if seen is None:
        return Verdict.LOST if namespace_ends else Verdict.CREATE
    parts = seen.holder.split("/")
    if len(parts) == 3 and parts[0] == "fenced" and parts[2] == guard.nonce:
        return Verdict.RESET
    if seen.holder == guard.nonce:
        return Verdict.RENEW
    if not seen.holder or not guard.held:
        return Verdict.TAKE
    return Verdict.RESET if danger else Verdict.LOST


def looked(guard: Guard, seen: LeaseSeen | None) -> Guard:
    """After a look at the Lease: a sequence older than what was confirmed means that somebody put an old copy back."""
    if seen is None or seen.holder != guard.nonce or not 0 < seen.sequence < guard.confirmed:
        return guard
    return replace(guard, rewound=guard.confirmed)


def next_sequence(guard: Guard, seen: LeaseSeen | None) -> int:
    """Sequences only grow, over restarts of the agent and re-created Leases alike."""
    return max(guard.sequence, seen.sequence if seen is not None else 0) + 1


def renewed(guard: Guard, seen: LeaseSeen) -> Guard:
    """After a renewal that the API server confirmed."""
    return replace(
        guard,
        held=True,
        sequence=seen.sequence,
        confirmed=seen.sequence,
        lease_uid=seen.uid,
        resource_version=seen.resource_version,
    )


def may_pet(started_s: float, now_s: float, timing: Timing) -> bool:
    """A renewal pets only while it is younger than d, counted from before its PUT."""
    return 0 <= now_s - started_s <= timing.timeout_s


def must_reset(started_s: float, now_s: float, timing: Timing) -> bool:
    """After the pet: was there a stall between check and pet? Then it came too late and bought time it must not."""
    return not may_pet(started_s, now_s, timing)


class Step(StrEnum):
    """What to do about the watchdog device after a renewal."""

    NOTHING = "nothing"
    PET = "pet"
    OPEN = "open"
    SET = "set the time-out"
    CLOSE = "close"


@quick
@dataclass(frozen=True, slots=True)
class Device:
    """The watchdog as the agent has it. `attested_disarmed`: the last confirmed renewal said "not armed".

    `adrift`: it failed and is out of our hands, and it may count on all the same. `stuck`: it is open, guards nobody, and
    cannot be let go (nowayout), so it is petted whatever becomes of the renewals.
    `timeout_s` is what was read back after asking for `asked_s`: a device may round up. None: another process asked.
    `needs_s`: what it gave when it was asked for a longer time-out, more than had been attested.
    """

    open: bool = False
    timeout_s: float = 0.0
    attested_disarmed: bool = False
    adrift: bool = False
    stuck: bool = False
    asked_s: float | None = None
    needs_s: float = 0.0

    @property
    def counts(self) -> bool:
        """May it be counting down?"""
        return self.open or self.adrift

    @property
    def guards(self) -> bool:
        """May it reset the node because a renewal fails?"""
        return self.counts and not self.stuck


def wants_armed(orders: Orders, *, guests_here: bool, leaving: bool) -> bool:
    """Armed only while asked to; but never disarmed under a running guest unless a person disarmed HA, and never armed anew
    on the way out.
    """
    if orders.released:
        return False
    if leaving:
        return guests_here
    return orders.armed or guests_here


def told_to_reset(orders: Orders, guard: Guard, device: Device) -> bool:
    """Is this very boot to end? Only under an armed watchdog: what else could bring the node down if the reset fails?

    Asked after a renewal: one that found an older sequence than it had sent reads a store that was put back, and orders of
    long ago.
    """
    return orders.member and orders.reset == guard.nonce and device.open and not guard.rewound


def after_renewal(device: Device, wanted: bool, timing: Timing) -> Step:
    """The step for the device after a fresh renewal. Opening, setting and closing are pets: a loop renews first.

    A longer time-out is attested before it is set and a shorter one set before it is attested (`attested_watchdog_s`);
    disarming is attested before the device is closed. One that is adrift must be opened even to be closed, or it would
    reset a node that it is no longer to guard. One that is stuck is armed anew by setting it, as by opening.
    """
    if device.stuck:
        return Step.SET if wanted else Step.PET
    if not device.open:
        if wanted:
            return Step.OPEN
        return Step.CLOSE if device.adrift and device.attested_disarmed else Step.NOTHING
    if not wanted:
        return Step.CLOSE if device.attested_disarmed else Step.NOTHING
    if (device.timeout_s if device.asked_s is None else device.asked_s) != timing.watchdog_s:
        return Step.SET
    return Step.PET


def too_short(timeout_s: float, timing: Timing) -> str:
    """Why a device that reads back this time-out cannot be used with these times; "" when it can.

    A longer one than asked for is attested, and counts in T. A shorter one must still leave room for a lost request.
    """
    least_s = timing.renew_s + 2 * timing.timeout_s + 1
    if timeout_s >= least_s:
        return ""
    return (
        f"asked for {seconds(timing.watchdog_s)} it counts only {seconds(timeout_s)}, and one lost request must not cost "
        f"the node: it takes {seconds(least_s)}. Choose a faster spec.timing.profile for the Cluster, or another watchdog"
    )


def attested_watchdog_s(device: Device, wanted: bool, timing: Timing) -> float:
    """W as it must be attested: the larger of what the device has and what is about to be set; 0 without a device."""
    if not device.open:
        return timing.watchdog_s if wanted else 0.0
    return max(device.timeout_s, device.needs_s, timing.watchdog_s) if wanted else device.timeout_s


def attested_armed(device: Device, wanted: bool) -> bool:
    """Never claim armed while not armed: the device is open, stays so, and is petted on renewals only."""
    return device.open and wanted and not device.stuck

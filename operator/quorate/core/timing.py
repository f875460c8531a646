"""The four times everything is built on, and the two thresholds that follow from them.

r  how often the agent renews its Lease
d  time-out of one renewal, and the greatest age of a renewal that may still pet the watchdog
W  the watchdog's time-out

    S =  (d + W + g) (1+rho)/(1-rho) + r           suspect: open an incident
    T >= ((d + 2 (W+g)) / (1-rho) + m) (1+rho)     released: the Lease may be taken on expiry
    W >= r + 2d + 1                                a lost request must not cost the node

Why T is safe. Call s the start of the agent's last successful renewal. It may pet until s + d. A stall between its
check and its pet is bounded by the watchdog armed before, so the last pet is at most W + g later, and the node is dead
at most another W + g after that: s + d + 2 (W + g) on the node's clock. The manager cannot have seen that renewal
before s. Node and manager clocks run at rates within rho of true time, which gives the two factors, and m covers writes
that were on their way to a disk when the machine was reset.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quorate.core.quick import quick
from quorate.core.types import Instant

RHO: Final = 0.005
"""Greatest error of a clock's rate."""
GRANULARITY_S: Final = 1.0
"""Watchdogs count whole seconds."""
IN_FLIGHT_S: Final = 1.0
"""Writes on their way to storage when the machine is reset."""


class Profile(StrEnum):
    AUTO = "Auto"
    FAST = "Fast"
    BALANCED = "Balanced"
    RELAXED = "Relaxed"
    PROXMOX = "Proxmox"
    CUSTOM = "Custom"


def _round_up(seconds: float) -> float:
    """To tenths, upwards; a hair below a tenth is that tenth."""
    return math.ceil(seconds * 10 - 1e-9) / 10


@quick
@dataclass(frozen=True, slots=True)
class Timing:
    """r, d and W, in seconds."""

    renew_s: float
    timeout_s: float
    watchdog_s: float

    @property
    def suspect_after_s(self) -> float:
        """S: silence after which a node is suspected, in seconds, rounded up to tenths."""
        stall = self.timeout_s + self.watchdog_s + GRANULARITY_S
        return _round_up(stall * (1 + RHO) / (1 - RHO) + self.renew_s)

    @property
    def release_after_s(self) -> float:
        """T: silence after which an armed node has been reset, in seconds, rounded up to tenths."""
        stall = self.timeout_s + 2 * (self.watchdog_s + GRANULARITY_S)
        return _round_up((stall / (1 - RHO) + IN_FLIGHT_S) * (1 + RHO))

    @property
    def unwatched_suspect_after_s(self) -> float:
        """Silence after which a node without a watchdog is suspected: three missed renewals and a time-out."""
        return _round_up(3 * self.renew_s + self.timeout_s)

    def widened(self, *, timeout_s: float, watchdog_s: float) -> "Timing":
        """What to hold against a node that attested these: the larger of each, so that a change of profile is safe."""
        if timeout_s <= self.timeout_s and watchdog_s <= self.watchdog_s:
            return self
        return Timing(self.renew_s, max(self.timeout_s, timeout_s), max(self.watchdog_s, watchdog_s))

    def problems(self) -> tuple[str, ...]:
        """The inequalities that these times break, each with its arithmetic. Empty: usable."""
        found = []
        least = self.renew_s + 2 * self.timeout_s + 1
        if self.renew_s < 0.5:
            found.append(f"renewEvery {seconds(self.renew_s)} is shorter than 0.5s: the API server could not follow")
        if self.timeout_s <= 0:
            found.append(f"timeout {seconds(self.timeout_s)} is not positive")
        if self.watchdog_s < least:
            found.append(
                f"watchdog {seconds(self.watchdog_s)} is shorter than renewEvery + 2 x timeout + 1s = "
                f"{seconds(self.renew_s)} + 2 x {seconds(self.timeout_s)} + 1s = {seconds(least)}: "
                "one lost request would cost the node"
            )
        return tuple(found)


PROFILES: Final[dict[Profile, Timing]] = {
    Profile.FAST: Timing(1, 1.5, 5),
    Profile.BALANCED: Timing(2, 2, 8),
    Profile.RELAXED: Timing(5, 5, 30),
    Profile.PROXMOX: Timing(10, 10, 60),
}

ENOUGH_API_SERVERS: Final = 3
"""From three addresses on, one dead API server costs a renewal one time-out and no more."""


@dataclass(frozen=True, slots=True)
class TimingSpec:
    """A Cluster's wish: a profile, and the three times when it is Custom."""

    profile: Profile = Profile.AUTO
    custom: Timing | None = None


@quick
@dataclass(frozen=True, slots=True)
class Resolved:
    """The times in force, which profile they are, and why. `problem` is set when the wish could not be followed.

    `slowed_to`, `slowed_at`: Auto has become this profile because renewals were slow, and when it last changed.
    """

    timing: Timing
    profile: Profile
    why: str
    problem: str = ""
    slowed_to: Profile | None = None
    slowed_at: Instant | None = None


def resolve(spec: TimingSpec, api_servers: int) -> Resolved:
    """Turn a wish into times. Never fails: an unusable wish falls back to Auto's choice and says so."""
    if spec.profile is Profile.CUSTOM:
        if spec.custom is None:
            found = "spec.timing.custom is missing: set renewEvery, timeout and watchdog, or choose another profile"
        else:
            problems = spec.custom.problems()
            if not problems:
                return Resolved(spec.custom, Profile.CUSTOM, "chosen in spec.timing.custom")
            found = "spec.timing.custom: " + "; ".join(problems)
        chosen = _automatic(api_servers)
        return Resolved(chosen.timing, chosen.profile, chosen.why, found)
    if spec.profile is Profile.AUTO:
        return _automatic(api_servers)
    return Resolved(PROFILES[spec.profile], spec.profile, "chosen in spec.timing.profile")


def _automatic(api_servers: int) -> Resolved:
    profile = Profile.BALANCED if api_servers >= ENOUGH_API_SERVERS else Profile.RELAXED
    servers = f"{api_servers} API server address" + ("" if api_servers == 1 else "es")
    return Resolved(PROFILES[profile], profile, f"Auto: {servers} in EndpointSlice default/kubernetes")


DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a duration: 1m30s -> 90.0. Raises ValueError on anything else."""
    if not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write for example 10s, 500ms or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def seconds(value: float) -> str:
    """A duration as people write it: 5 -> "5s", 1.5 -> "1.5s"."""
    return f"{value:g}s"

"""What the loop counts of itself: plain numbers that it sets and another thread shows (`metrics.py`).

Nothing here waits, locks or can fail: it stands between a renewal and its pet.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from quorate.core.timing import Timing

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0)
"""Upper bounds of the durations of renewals: from a quiet API server to d of the slowest profile."""


@dataclass(slots=True)
class Tally:
    """Counts since this process began. `durations` has one number for each bucket, and one for what is above them all."""

    outcomes: dict[str, int]
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    duration_sum_s: float = 0.0
    late_pets: int = 0
    last_renewal_s: float | None = None
    guests: int = 0
    _last_pet_s: float | None = None

    def ended(self, outcome: str) -> None:
        """A renewal has ended like that."""
        self.outcomes[outcome] += 1

    def confirmed(self, started_s: float, took_s: float) -> None:
        """The API server has confirmed a renewal, in time to pet or not."""
        self.last_renewal_s = started_s
        self.durations[bisect_left(BUCKETS_S, took_s)] += 1
        self.duration_sum_s += took_s

    def too_late(self) -> None:
        """A confirmed renewal was too old to pet. The next pet is late because of it, and counts no second time."""
        self.late_pets += 1
        self._last_pet_s = None

    def petted(self, now_s: float, timing: Timing) -> None:
        """The device was petted. It is late when more than r + d have passed since the pet before."""
        if self._last_pet_s is not None and now_s - self._last_pet_s > timing.renew_s + timing.timeout_s:
            self.late_pets += 1
        self._last_pet_s = now_s

    def closed(self) -> None:
        """There is no device to pet any more."""
        self._last_pet_s = None

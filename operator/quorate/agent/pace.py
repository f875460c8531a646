"""How long renewals took: the 99th percentile of the last ten minutes, which the agent attests."""

from collections import deque
from typing import Final

WINDOW_S: Final = 600.0
_PERCENTILE: Final = 0.99


class Pace:
    """Durations of renewals, failed ones included: an answer that does not come is a slow one."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, float]] = deque()
        self._began_s: float | None = None

    def took(self, now_s: float, duration_s: float) -> None:
        """A renewal has ended."""
        if self._began_s is None:
            self._began_s = now_s
        self._taken.append((now_s, duration_s))
        while self._taken[0][0] < now_s - WINDOW_S:
            self._taken.popleft()

    def latency_s(self, now_s: float) -> float:
        """99 of 100 took less; 0 until ten minutes have been seen: a start-up says nothing of the API server."""
        if self._began_s is None or now_s - self._began_s < WINDOW_S or not self._taken:
            return 0.0
        ordered = sorted(duration_s for _, duration_s in self._taken)
        return round(ordered[int(_PERCENTILE * (len(ordered) - 1))], 3)

"""What a manager takes from the machine under it: two clocks, and chance. A simulator gives it others."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from quorate.core.types import Instant


@dataclass(frozen=True, slots=True)
class Host:
    """`monotonic` (seconds) proves things, `wall_ns` is only written down, `entropy` is never drawn twice."""

    monotonic: Callable[[], float] = time.monotonic
    wall_ns: Callable[[], int] = time.time_ns
    entropy: Callable[[], str] = lambda: secrets.token_hex(16)

    def wall(self) -> Instant:
        """The wall clock as it is written into a status."""
        return Instant(self.wall_ns() // 1_000_000)


THIS_HOST: Final = Host()

"""What a manager takes from the machine under it: two clocks, chance, and threads. A simulator gives it others."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.types import Instant


@dataclass(frozen=True, slots=True)
class Host:
    """`monotonic` (seconds) proves things, `wall_ns` is only written down, `entropy` is never drawn twice.

    `beside` runs a function that takes long, and that nobody waits for, beside everything else.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall_ns: Callable[[], int] = time.time_ns
    entropy: Callable[[], str] = lambda: secrets.token_hex(16)
    beside: Callable[..., Awaitable[Any]] = asyncio.to_thread

    def wall(self) -> Instant:
        """The wall clock as it is written into a status."""
        return Instant(self.wall_ns() // 1_000_000)


THIS_HOST: Final = Host()

"""Waiting for conditions: nothing here is asserted on time, only that it comes true at all."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")
LIMIT_S = 60.0


async def eventually(check: Callable[[], T | Awaitable[T]], what: str = "", limit_s: float = LIMIT_S) -> T:
    """The first true answer of `check`, which may be a coroutine function. Raises AssertionError with the last one."""
    deadline = time.monotonic() + limit_s
    while True:
        found: Any = check()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come true within {limit_s:g}s: {what or check}; found {found!r}"
        await asyncio.sleep(0.02)


async def still(check: Callable[[], bool], for_s: float) -> None:
    """It holds now and goes on holding: for things that must not happen."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert check()
        await asyncio.sleep(0.02)

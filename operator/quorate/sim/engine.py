"""Virtual time: one queue of what happens next, and the processes that things happen to.

A process can be frozen (what is due waits until it is thawed), can die (nothing happens to it any more), and has a clock
of its own that may run a little fast or slow. `Loop` is a process that is an asyncio event loop, so that production code
with tasks, sleeps and time-outs runs unchanged. Nothing here draws lots: what is due at the same moment happens in the
order in which it was asked for.
"""

import asyncio
import gc
import heapq
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Final, cast
from warnings import catch_warnings, filterwarnings

EPOCH_S: Final = 1_800_000_000.0
"""The wall clock when a run begins."""


GARBAGE_AFTER: Final = 200_000
COLLECTED_EVERY: Final = 32
"""Runs: what one leaves is a MiB or two, and to look through everything costs as much as ten simulated seconds."""
_RUNS: Final = count(1)


@contextmanager
def unhurried() -> Iterator[None]:
    """Meanwhile garbage is collected seldom: a run makes much that is short-lived, and few cycles."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_AFTER, 50, 50)
    gc.freeze()  # what was there before need not be looked through at the end
    try:
        yield
    finally:
        if next(_RUNS) % COLLECTED_EVERY == 0:
            gc.unfreeze()
            gc.collect()
        gc.unfreeze()
        gc.set_threshold(*before)


class Timer:
    """Something that is to happen. `cancel` before it does."""

    __slots__ = ("args", "callback", "cancelled", "owner")

    def __init__(self, owner: "Process | None", callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.owner = owner
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Engine:
    """The queue. `now_s` is true time, in seconds since the run began; `steps` counts what has happened."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps = 0
        self._queue: list[tuple[float, int, Timer]] = []
        self._ready: deque[Timer] = deque()
        self._count = 0

    def soon(self, callback: Callable[..., Any], *args: Any, owner: "Process | None" = None) -> Timer:
        """At this moment, after what is due already."""
        timer = Timer(owner, callback, args)
        if owner is None or owner.alive:  # what is left of a dead one may still ask when it is collected
            self._ready.append(timer)
        return timer

    def at(self, when_s: float, callback: Callable[..., Any], *args: Any, owner: "Process | None" = None) -> Timer:
        """At a moment of true time."""
        timer = Timer(owner, callback, args)
        if owner is not None and not owner.alive:
            return timer
        self._count += 1
        heapq.heappush(self._queue, (max(self.now_s, when_s), self._count, timer))
        return timer

    def after(self, delay_s: float, callback: Callable[..., Any], *args: Any, owner: "Process | None" = None) -> Timer:
        """After a time, by the owner's clock."""
        rate = owner.rate if owner is not None else 1.0
        return self.at(self.now_s + delay_s / rate, callback, *args, owner=owner)

    def again(self, timers: list[Timer]) -> None:
        """What waited for a frozen process is due now."""
        self._ready.extend(timers)

    def run(self, until_s: float, stop: Callable[[], bool] | None = None) -> None:
        """Let time pass up to that moment, or until `stop` says so after something has happened."""
        ready, queue = self._ready, self._queue
        current: Process | None = None
        try:
            while stop is None or not stop():
                if ready:
                    timer = ready.popleft()
                elif queue and queue[0][0] <= until_s:
                    self.now_s, _, timer = heapq.heappop(queue)
                else:
                    self.now_s = max(self.now_s, until_s)
                    return
                self.steps += 1
                owner = timer.owner
                if timer.cancelled:
                    continue
                if owner is not None:
                    if not owner.alive:
                        continue
                    if owner.frozen:
                        owner.parked.append(timer)
                        continue
                    if owner.loop is not None and owner is not current:
                        current = owner
                        _set_running_loop(owner.loop)
                timer.callback(*timer.args)
        finally:
            _set_running_loop(None)


class Process:
    """Something that runs by a clock of its own, and can be frozen and killed. `loop`: it is itself an event loop."""

    loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, engine: Engine, rate: float = 1.0) -> None:
        self.engine = engine
        self.rate = rate
        self.alive = True
        self.frozen = False
        self.parked: list[Timer] = []

    def time(self) -> float:
        """Its own monotonic clock, in seconds."""
        return 1000.0 + self.engine.now_s * self.rate

    def wall_ns(self) -> int:
        """The wall clock: the same everywhere, as with NTP."""
        return round((EPOCH_S + self.engine.now_s) * 1e9)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        """What was due meanwhile happens now, in its order."""
        if self.frozen:
            self.frozen = False
            self.engine.again(self.parked)
            self.parked = []

    def kill(self) -> None:
        self.alive = False
        self.parked = []


class Loop(Process):
    """A process that runs asyncio code: as much of an event loop as tasks, sleeps and time-outs need.

    `failed` is told of tasks that ended by an error nobody caught.
    """

    def __init__(self, engine: Engine, failed: Callable[[str], None], rate: float = 1.0) -> None:
        super().__init__(engine, rate)
        self._failed = failed
        self.loop = self._self = cast("asyncio.AbstractEventLoop", self)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # noqa: ARG002
        return self.engine.soon(callback, *args, owner=self)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # noqa: ARG002
        return self.engine.after(delay, callback, *args, owner=self)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # noqa: ARG002
        return self.engine.after(when - self.time(), callback, *args, owner=self)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self._self, **options)

    def kill(self) -> None:
        """Its tasks end where they are, as soon as none of them is at work."""
        super().kill()
        self.engine.soon(self.bury)

    def bury(self) -> None:
        """Close what nobody will ever await; coroutines that had not even begun are no news."""
        with catch_warnings():
            filterwarnings("ignore", message="coroutine .* was never awaited")
            for task in asyncio.all_tasks(self._self):
                with suppress(Exception):
                    cast("Coroutine[Any, Any, Any]", task.get_coro()).close()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return not self.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            self._failed(f"{context.get('message')}: {context.get('exception')!r}")

"""Fence devices at work: what a plan asks of them is carried out beside the rounds, and answered into the next World.

An order is carried out once, for as long as it stands in the plans and this manager leads: else whatever works on it is
stopped at once. Its time-out is hard. How a device is spoken to is the runner's: a process, or a simulated one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from quorate.core.sequence import Order, Report, Said
from quorate.core.types import NodeName

log = logging.getLogger(__name__)
LOOKS_EVERY_S: Final = 0.5
KEPT: Final = 500
"""Answers that are remembered: those of the sequences that are under way are the newest."""

Runner: TypeAlias = Callable[[NodeName, Order], Awaitable[Said]]
"""Asks a device and says what it said; may raise, with words for people. Cancelled, it leaves nothing running."""


class PowerRoom:
    """The orders under way of one leader, and the answers. `changed` is called when there is a new one."""

    def __init__(
        self, runner: Runner, clock: Callable[[], float], may_act: Callable[[], bool], changed: Callable[[], None]
    ) -> None:
        self.runner = runner
        self.clock = clock
        self.may_act = may_act
        self.changed = changed
        self._tasks: dict[Order, asyncio.Task[None]] = {}
        self._reports: dict[Order, tuple[NodeName, Report]] = {}

    def knows(self, order: Order) -> bool:
        """Is it under way, or answered?"""
        return order in self._tasks or order in self._reports

    def reports(self, node: NodeName) -> tuple[Report, ...]:
        """All answers about a node, oldest first."""
        return tuple(report for name, report in self._reports.values() if name == node)

    def keep(self, orders: Iterable[Order]) -> None:
        """Stop what is not asked any more."""
        wanted = set(orders)
        for order, task in self._tasks.items():
            if order not in wanted:
                task.cancel()

    def begin(self, node: NodeName, order: Order, timeout_s: float) -> None:
        """Carry an order out, if nobody has begun it."""
        if not self.knows(order):
            self._tasks[order] = asyncio.ensure_future(self._carry_out(node, order, timeout_s))

    async def _carry_out(self, node: NodeName, order: Order, timeout_s: float) -> None:
        work, asked_s = asyncio.ensure_future(self.runner(node, order)), self.clock()
        try:
            answered = await answer(work, self.clock, self.clock() + timeout_s, self.may_act)
            if answered is None:
                raise asyncio.CancelledError
            if self.may_act():
                said, detail = answered
                self._report(node, Report(order, said, asked_s, self.clock(), detail))
        except asyncio.CancelledError:
            log.info("%s: %s is not to be asked %s any more", node, order.device, order.verb)
        finally:
            work.cancel()
            del self._tasks[order]

    def _report(self, node: NodeName, report: Report) -> None:
        self._reports[report.order] = (node, report)
        while len(self._reports) > KEPT:
            del self._reports[next(iter(self._reports))]
        self.changed()


async def answer(
    work: "asyncio.Future[Said]", clock: Callable[[], float], ends_s: float, goes_on: Callable[[], bool]
) -> tuple[Said, str] | None:
    """What a device says, and what it failed with; None as soon as nobody wants to know any more."""
    while not work.done():
        left_s = ends_s - clock()
        if left_s <= 0:
            return Said.TIMED_OUT, ""
        if not goes_on():
            return None
        await asyncio.wait({work}, timeout=min(LOOKS_EVERY_S, left_s))
    error = work.exception()
    return (Said.FAILED, str(error)[:200]) if error is not None else (work.result(), "")

"""The newest picture, for everybody who waits for the next one. One is made for each change, a few a second at most."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from quorate.access.kubeconfig import Login
from quorate.core.types import Instant
from quorate.dashboard.mirror import Mirror
from quorate.dashboard.picture import Painter, Picture, beats
from quorate.view.report import Health, Report

GATHER_S: Final = 0.12
"""Changes come together: so long is waited for more of them."""
AT_LEAST_S: Final = 2.0
"""Heartbeats change no picture by themselves; what they and the clock tell is looked at in this rhythm."""
EMPTY: Final = Picture(0, Report(Instant(0), Health.DEGRADED))
_log = logging.getLogger(__name__)


class Board:
    """Mirror, painter, and the picture that hangs there."""

    def __init__(self, login: Login) -> None:
        self.mirror = Mirror(login, self._touch)
        self.picture = EMPTY
        self.painted = 0
        self.switches: tuple[dict[str, Any], ...] = ()
        self._painter = Painter()
        self._easel = ThreadPoolExecutor(1, "paint")
        """A thread of its own: deeds and sign-ins that wait for an API server do not keep the picture waiting."""
        self._touched = asyncio.Event()
        self._next = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._content: object = None
        self.watched = 0
        """So many pages are open."""

    def start(self) -> None:
        self.mirror.start()
        self._task = asyncio.create_task(self._paint())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.mirror.stop()
        self._easel.shutdown(wait=False, cancel_futures=True)

    async def later(self, version: int, within_s: float) -> Picture:
        """The first picture after that one, or the same when there is none within that time."""
        coming = self._next
        if self.picture.version == version:
            with suppress(TimeoutError):
                await asyncio.wait_for(coming.wait(), within_s)
        return self.picture

    def beats(self) -> dict[str, Instant]:
        return beats(self.mirror.leases.if_readable())

    def refresh(self) -> None:
        """Somebody looks: what the clock tells is to be told as well."""
        if not self.watched:
            self._touched.set()

    def switched(self, nodes: tuple[dict[str, Any], ...]) -> None:
        """What the lab says of its nodes."""
        if nodes != self.switches:
            self.switches = nodes
            self._touch(True)

    def _touch(self, seen: bool) -> None:
        if seen:
            self._touched.set()

    async def _paint(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._touched.wait(), AT_LEAST_S)
                await asyncio.sleep(GATHER_S)
            if not self._touched.is_set() and not self.watched:
                continue  # nobody looks: what the clock alone tells can wait
            self._touched.clear()
            if not self.mirror.ready and not self.mirror.problem:
                continue
            try:
                self._hang(await self._picture())
            except Exception:  # noqa: BLE001 - the page goes on with what it has, and tries again
                _log.exception("no picture could be made of what is there")
                await asyncio.sleep(AT_LEAST_S)

    async def _picture(self) -> Picture | None:
        """None: nothing is to be seen that was not there before."""
        mirror, now = self.mirror, self.mirror.connection.now()
        machines = mirror.machines.if_readable()
        made = await asyncio.get_running_loop().run_in_executor(
            self._easel, self._painter.paint, mirror.snapshot(), mirror.happened.all(), machines, now
        )
        self.painted += 1
        if mirror.problem:
            made = replace(made, problem=mirror.problem, heard=mirror.heard_at)
        content = (_still(made), self.switches)
        if content == self._content:
            return None
        self._content = content
        return made

    def _hang(self, picture: Picture | None) -> None:
        if picture is None:
            return
        self.picture = picture
        self._next.set()
        self._next = asyncio.Event()


def _still(picture: Picture) -> Picture:
    """Without what changes all the time by itself: the moment, and when somebody was heard last."""
    clusters = tuple(
        replace(
            one,
            manager=replace(one.manager, renewed=None),
            nodes=tuple(replace(node, renewed=None) for node in one.nodes),
        )
        for one in picture.report.clusters
    )
    return replace(picture, version=0, report=replace(picture.report, now=Instant(0), clusters=clusters))

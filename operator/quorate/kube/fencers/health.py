"""Look after fence devices before they are needed: are they what they were, and do they answer?

Whoever leads a Cluster asks each device of its nodes for the state of the machine, every five minutes and at once when the
device is another one; never while the node's power is being switched, because a controller may serve one at a time.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

from quorate.core.sequence import FenceDevice, Health, Said
from quorate.core.types import NodeName
from quorate.core.world import NodeView
from quorate.kube.fencers.process import FenceAgentError
from quorate.kube.fencers.runner import Fencers
from quorate.kube.power import answer

log = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 1.0
SECRET_EVERY_S: Final = 30.0
CHECK_EVERY_S: Final = 300.0
AT_A_TIME: Final = 4


class Rounds:
    """Goes round the devices of the Clusters that this replica leads."""

    def __init__(self, fencers: Fencers, leads: Callable[[str], bool]) -> None:
        self.fencers = fencers
        self.store = fencers.store
        self.leads = leads
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._read_s: dict[str, float] = {}
        self._checked: dict[tuple[NodeName, str], tuple[str, float]] = {}
        self._tasks: dict[tuple[NodeName, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled; then nothing of it is running."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:  # what only looks after things must not end what uses them
                    log.exception("fence devices could not be looked after: the next look comes in %ss", LOOK_EVERY_S)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def look(self) -> None:
        """Read the Secrets that are due, and begin the checks that are."""
        await self._read_secrets()
        due = dict(self._due())
        for key, device in due.items():
            self._checked[key] = (device.spec, self.store.clock())
            self._tasks[key] = asyncio.create_task(self._check(*key, device))
        self.store.fencers.keep({(node.name, device.name) for node, device in self._devices()})

    def _devices(self) -> Iterator[tuple[NodeView, FenceDevice]]:
        for node in self.store.nodes():
            if self.leads(node.cluster_name):
                for device in node.devices:
                    yield node, device

    async def _read_secrets(self) -> None:
        now_s = self.store.clock()
        for name in sorted({device.secret for _, device in self._devices() if device.secret}):
            if now_s >= self._read_s.get(name, float("-inf")) + SECRET_EVERY_S:
                self._read_s[name] = now_s
                try:
                    await self.fencers.secret(name)
                except FenceAgentError as error:
                    log.info("%s", error)

    def _due(self) -> Iterator[tuple[tuple[NodeName, str], FenceDevice]]:
        now_s = self.store.clock()
        for node, device in self._devices():
            key = (node.name, device.name)
            spec, checked_s = self._checked.get(key, ("", float("-inf")))
            busy = key in self._tasks and not self._tasks[key].done()
            if (
                not busy
                and not self._at_work(node.name)
                and (spec != device.spec or now_s >= checked_s + CHECK_EVERY_S)
            ):
                yield key, device

    def _at_work(self, name: NodeName) -> bool:
        node = self.store.node(name)
        return node is None or node.status.sequence is not None or node.status.incident is not None

    async def _check(self, node: NodeName, name: str, device: FenceDevice) -> None:
        async with self._slots:
            clock = self.store.clock
            work = asyncio.ensure_future(self.fencers.status(node, name, device.spec))
            try:
                found = await answer(work, clock, clock() + device.timeout_s, lambda: not self._at_work(node))
            finally:
                work.cancel()
            if found is None:
                self._checked.pop((node, name), None)  # it is asked again when its node is at peace
                return
            said, detail = found
            if said is Said.TIMED_OUT:
                detail = f"no answer within {device.timeout_s:g}s"
            elif said is Said.FAILED and not isinstance(error := work.exception(), FenceAgentError):
                log.error("a fence device could not be checked", exc_info=error)
            self.store.fencers.checked(node, Health(name, device.spec, said, detail, clock()))

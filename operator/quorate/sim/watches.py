"""A watch of the simulated API server: changes come in order and a moment late; what was missed is caught up on."""

from collections.abc import Callable, Collection
from typing import Final

from quorate.sim.engine import Process, Timer
from quorate.sim.errors import ApiError
from quorate.sim.server import Link
from quorate.sim.store import Event

RECONNECT_S: Final = 1.0


class Watch:
    """One client's watch of some kinds (`tables`).

    `wants` chooses among changes, `heard` is told of them, `listed` of a list that was taken instead, because changes
    were missed for good. `lag_s` is added to every delivery, `lags` to those of one kind, as on a connection of its
    own.
    """

    def __init__(
        self,
        link: Link,
        owner: Process,
        tables: Collection[str],
        wants: Callable[[Event], bool],
        heard: Callable[[Event], None],
        listed: Callable[[], None],
    ) -> None:
        self.link, self.owner = link, owner
        self.wants, self.heard, self.listed = wants, heard, listed
        self.lag_s = 0.0
        self.lags: dict[str, float] = {}
        self._store = link.server.store
        self._cursor: int | None = None
        self._due: Timer | None = None
        self._waiting: list[Event] = []
        self._tables = tables
        for table in tables:
            link.server.watches[table].append(self._hear)
        link.healed.append(self._reconnect)
        link.server.restarts.append(self._restarted)

    def end(self) -> None:
        """Its client is gone."""
        for table in self._tables:
            self.link.server.watches[table].remove(self._hear)
        self.link.healed.remove(self._reconnect)
        self.link.server.restarts.remove(self._restarted)

    def begin(self) -> None:
        """List, and go on from there."""
        self._waiting.clear()
        if self.link.up and not self.link.server.weather.down:
            self._cursor = self._store.version
            self.listed()
        else:
            self._reconnect()

    def _hear(self, event: Event) -> None:
        if self._cursor is None or not self.wants(event):
            return
        if self.lags and (lag_s := self.lags.get(event.resource.table)):
            self.link.engine.after(lag_s, self._arrives, event, owner=self.owner)
        else:
            self._arrives(event)

    def _arrives(self, event: Event) -> None:
        self._waiting.append(event)
        if self._due is None:
            self._schedule(self.lag_s + 2 * self.link.delay_s())

    def _schedule(self, delay_s: float) -> None:
        self._due = self.link.engine.at(self.link.engine.now_s + delay_s, self._deliver, owner=self.owner)

    def _deliver(self) -> None:
        self._due = None
        if not self.link.up or self.link.server.weather.down:
            self._reconnect()
            return
        events, self._waiting = self._waiting, []
        for event in events:
            self._cursor = max(self._cursor or 0, event.version)
            self.heard(event)

    def _reconnect(self) -> None:
        """Try again until it works; then catch up."""
        if self._due is None and self.owner.alive:
            self._due = self.link.engine.at(self.link.engine.now_s + RECONNECT_S, self._catch_up, owner=self.owner)

    def _catch_up(self) -> None:
        self._due = None
        if not self.link.up or self.link.server.weather.down:
            self._reconnect()
            return
        if self._cursor is None:
            self.begin()
            return
        self._waiting.clear()
        try:
            missed = self._store.since(self._cursor)
        except ApiError:
            self.begin()
            return
        for event in missed:
            if event.resource.table in self._tables and self.wants(event):
                self.heard(event)
        self._cursor = self._store.version

    def _restarted(self) -> None:
        """The server began anew on an old copy: no version of before means anything to it."""
        self._cursor = None
        self._waiting.clear()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._reconnect()

"""One replica of the manager: it sees everything, and acts for each Cluster whose Lease it holds.

What is around it (HTTP, signals, the watches) is the process's, or a simulator's.
"""

import asyncio
from contextlib import suppress
from typing import Final

from quorate.kube.act import Actor
from quorate.kube.calls import Calls
from quorate.kube.deeds import Deeds
from quorate.kube.devices import keep_looking
from quorate.kube.fencers.health import Rounds
from quorate.kube.fencers.runner import Fencers
from quorate.kube.guests.pod import Gate
from quorate.kube.host import THIS_HOST, Host
from quorate.kube.leader import Elector
from quorate.kube.metrics import Metrics, Seat
from quorate.kube.power import PowerRoom
from quorate.kube.store import PARSERS, Parsers, Store
from quorate.kube.sweep import keep_sweeping
from quorate.kube.tick import ClusterTicker, HouseTicker, Ticker, highest_term
from quorate.kube.weights import keep_weighing
from quorate.kube.workloads import keep_listing

HOUSE: Final = "manager"
"""The Lease of whoever tidies what belongs to no Cluster; a Cluster's own is `manager-<cluster>`."""


class Replica:
    """The store, an elector and a ticker for each Cluster, and those for the house."""

    fencers: Fencers | None = None
    """Speaks to fence devices; a simulator has its own."""

    def __init__(
        self, api: Calls, identity: str, gate: Gate, host: Host = THIS_HOST, parsers: Parsers = PARSERS
    ) -> None:
        self.api = api
        self.identity = identity
        self.gate = gate
        self.host = host
        self.store = Store(self._changed, host.monotonic, parsers)
        self.tickers: dict[str, Ticker] = {}
        self.metrics = Metrics(self.store, self._seats)
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._own: list[asyncio.Task[None]] = []
        self._clusters_changed = asyncio.Event()

    def _changed(self) -> None:
        for ticker in self.tickers.values():
            ticker.wake.set()
        self._clusters_changed.set()

    def begin(self) -> None:
        """List everything again and again, compete and act; in the running event loop."""
        self._own = [
            asyncio.create_task(keep_sweeping(self.store, self.api)),
            asyncio.create_task(keep_weighing(self.store, self.api, self.host)),
            asyncio.create_task(keep_looking(self.store, self.api)),
            asyncio.create_task(keep_listing(self.store.workloads, self.api)),
            asyncio.create_task(self._keep_tickers()),
        ]
        if self.fencers is not None:
            self._own.append(asyncio.create_task(Rounds(self.fencers, self._leads).run()))

    async def end(self) -> None:
        """Stop all that, and give the Leases back."""
        for task in self._own:
            task.cancel()
        electors = [ticker.elector for ticker in self.tickers.values()]
        for name in list(self._tasks):
            await self._end(name)
        await asyncio.gather(*(elector.release() for elector in electors))

    def _leads(self, cluster: str) -> bool:
        ticker = self.tickers.get(f"{HOUSE}-{cluster}")
        return ticker is not None and ticker.elector.valid()

    def _seats(self) -> list[Seat]:
        return [Seat(ticker.cluster, ticker.elector, ticker.look) for ticker in self.tickers.values()]

    async def _keep_tickers(self) -> None:
        """A ticker for each Cluster there is, no more and no fewer."""
        self._begin(HOUSE, cluster="")
        known: list[str] = []
        while True:
            await self._clusters_changed.wait()
            self._clusters_changed.clear()
            names = [view.name for view in self.store.clusters()]
            if names == known:
                continue
            known, wanted = names, {f"{HOUSE}-{name}": name for name in names}
            for name in set(self.tickers) - set(wanted) - {HOUSE}:
                await self._end(name)
            for name, cluster in wanted.items():
                if name not in self.tickers:
                    self._begin(name, cluster)

    def _begin(self, name: str, cluster: str) -> None:
        floor = highest_term(self.store, cluster)
        elector = Elector(self.api, name, self.identity, floor, self._changed, self.host, self.store.has_listed)
        deeds = Deeds(self.api, self.store, self.gate, cluster, self.identity, self.host)
        if self.fencers is not None and cluster:
            deeds.power = PowerRoom(self.fencers.run, self.host.monotonic, elector.valid, self._changed)
        actor = Actor(self.api, self.store, deeds, elector.valid, self.metrics.tally(cluster))
        self.tickers[name] = self._ticker(elector, actor, cluster)
        self._tasks[name] = [asyncio.create_task(elector.run()), asyncio.create_task(self.tickers[name].run())]

    def _ticker(self, elector: Elector, actor: Actor, cluster: str) -> Ticker:
        if cluster:
            return ClusterTicker(elector, actor, self.store, cluster)
        return HouseTicker(elector, actor, self.store, self.api)

    async def _end(self, name: str) -> None:
        self.tickers.pop(name, None)
        for task in self._tasks.pop(name, ()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

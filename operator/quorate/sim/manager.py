"""Replicas of the manager in virtual time: the production code, its calls over a simulated link, its watch, its end."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, TypeAlias

from quorate.core.actions import Plan
from quorate.core.board import Board, board_of
from quorate.core.invariants import check
from quorate.core.types import AGENT_NAMESPACE, GUEST_LABEL
from quorate.core.world import World
from quorate.kube.act import Actor
from quorate.kube.calls import BUDGET_S, TIMEOUT_S, Calls, Json, Transient, refusal
from quorate.kube.guests.pod import Gate
from quorate.kube.host import Host
from quorate.kube.leader import Elector
from quorate.kube.power import PowerRoom, Runner
from quorate.kube.replica import Replica
from quorate.kube.resources import Resource
from quorate.kube.store import PARSERS, WATCHED, Parsers, Raw
from quorate.kube.tick import ClusterTicker, Ticker
from quorate.kube.workloads import FOLLOWED, KUBEVIRT
from quorate.sim.engine import Engine, Loop
from quorate.sim.power import Switchboard
from quorate.sim.server import Link
from quorate.sim.store import Event, place_of
from quorate.sim.watches import Watch

MOST_PARSED: Final = 2048
Parsed: TypeAlias = dict[int, tuple[Raw, Any]]
"""id of an object -> the object and its view."""
_RESOURCES: Final = {f"{one.plural}.{one.group}" if one.group else one.plural: one for one in WATCHED}
_FOLLOWED: Final = {f"{one.plural}.{one.group}" if one.group else one.plural: one for one in (*FOLLOWED, *KUBEVIRT)}


class SimCalls(Calls):
    """The verbs over a link, with the retries and time-outs of the real client.

    `before` and `after` are told of each call (number, method, path): the place to be killed in. A write that the server
    has carried out counts as made when its answer has come.
    """

    def __init__(self, link: Link, loop: Loop) -> None:
        self.link = link
        self.loop = loop
        self.made = 0
        self.before: Callable[[int, str, str], None] = lambda *_: None
        self.after: Callable[[int, str, str], None] = lambda *_: None
        self.called: Callable[[str, str, str, Any], None] = lambda *_: None
        """Told of each call and its body: the place to judge it."""

    async def request(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        budget_s: float | None = None,
    ) -> Json:
        began_s, pause_s = self.loop.time(), 0.1
        budget = BUDGET_S if budget_s is None else budget_s
        while True:
            left_s = budget - (self.loop.time() - began_s)
            code, found = await self._once(method, path, body, query, content_type, min(TIMEOUT_S, left_s))
            if code == 200:
                return found
            wait_s = pause_s * self.link.random.random()
            error = refusal(f"{method} {path}", code, found)
            if not isinstance(error, Transient) or self.loop.time() - began_s + wait_s >= budget:
                raise error
            await asyncio.sleep(wait_s)
            pause_s = min(1.0, 2 * pause_s)

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        content_type: str,
        timeout_s: float,
    ) -> tuple[int, Json]:
        self.made += 1
        number = self.made
        self.before(number, method, path)
        self.called(self.link.name, method, path, body)
        future = self.loop.create_future()

        def answered(code: int, found: Json) -> None:
            if not future.done():
                future.set_result((code, found))

        if self.loop.alive:
            self.link.send(
                self.loop,
                method,
                path,
                body,
                query,
                timeout_s,
                answered,
                content_type,
            )
        code, found = await future
        self.after(number, method, path)
        if not self.loop.alive:
            await self.loop.create_future()
        return code, found


class _Ticker(ClusterTicker):
    """Tells of each World and its Plan; a breach of an invariant is a finding."""

    judged: Callable[[World, Plan], bool]
    power: Switchboard

    def look(self) -> World | None:
        world, room = super().look(), self.actor.deeds.power
        return self.power.seen(world, room) if world is not None and room is not None else world

    def _without_breaches(self, world: World, made: Plan) -> Plan:
        return made if self.judged(world, made) else super()._without_breaches(world, made)


class _Replica(Replica):
    judged: Callable[[World, Plan], bool]
    power: Switchboard
    runner: Runner

    def _ticker(self, elector: Elector, actor: Actor, cluster: str) -> Ticker:
        if not cluster:
            return super()._ticker(elector, actor, cluster)
        ticker = _Ticker(elector, actor, self.store, cluster)
        ticker.judged, ticker.power = self.judged, self.power
        actor.deeds.power = PowerRoom(self.runner, self.host.monotonic, elector.valid, self._changed)
        return ticker


class Manager:
    """One replica. Killed, it can be started again: another process, that knows nothing of this one."""

    def __init__(
        self,
        engine: Engine,
        link: Link,
        broken: Callable[[str], None],
        parsers: Parsers,
        rate: float,
        power: Switchboard,
        runner: Runner,
    ) -> None:
        self.engine, self.link, self.rate = engine, link, rate
        self.parsers, self.power, self.runner = parsers, power, runner
        self.broken = broken
        self.name = link.name
        self.starts = 0
        self.loop: Loop | None = None
        self.replica: _Replica | None = None
        self.calls: SimCalls | None = None
        self.lag_s = 0.0
        self.lags: dict[str, float] = {}
        self.born: Callable[[Manager], None] = lambda _: None
        """Told of each start: who counts calls does it from there."""
        self.called: Callable[[str, str, str, Any], None] = lambda *_: None
        self._watch: Watch | None = None

    def start(self) -> None:
        if self.loop is not None:
            return
        self.starts += 1
        identity = f"{self.name}-{self.starts}"
        loop = self.loop = Loop(self.engine, lambda text: self.broken(f"{identity}: a task died: {text}"), self.rate)
        self.calls = SimCalls(self.link, loop)
        self.calls.called = self.called
        drawn = iter(range(1 << 62))

        def entropy() -> str:
            return hashlib.sha256(f"{identity}/{next(drawn)}/{self.engine.now_s}".encode()).hexdigest()[:32]

        async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

        host = Host(loop.time, loop.wall_ns, entropy, at_once)
        replica = self.replica = _Replica(self.calls, identity, Gate("gate", 1), host, self.parsers)
        replica.judged, replica.power, replica.runner = self._judge, self.power, self.runner
        self._watch = watch = Watch(
            self.link, loop, {**_FOLLOWED, **_RESOURCES}, self._wants, self._heard, self._listed
        )
        watch.lag_s, watch.lags = self.lag_s, self.lags
        self.born(self)

        async def watching() -> None:
            await replica.store.opened.wait()
            watch.begin()
            replica.store.watching = True

        def begin() -> None:
            replica.begin()
            replica.watching = loop.create_task(watching())  # type: ignore[attr-defined] # somebody must hold it

        loop.call_soon(begin)

    def kill(self) -> None:
        """At once, wherever it is."""
        if self.loop is not None and self._watch is not None:
            self.loop.kill()
            self._watch.end()
            self.loop = self.replica = self.calls = self._watch = None

    def lag(self, lag_s: float, table: str = "") -> None:
        """Its watch tells everything so much late, or only what is in one table."""
        if table:
            self.lags[table] = lag_s
            return
        self.lag_s = lag_s
        if self._watch is not None:
            self._watch.lag_s = lag_s

    @property
    def leads(self) -> bool:
        """Does it lead the Cluster, by its own clock?"""
        tickers = self.replica.tickers.values() if self.replica is not None else ()
        return any(ticker.cluster and ticker.elector.valid() for ticker in tickers)

    def board(self) -> Board:
        """Its view of the rules and of everybody's place."""
        tickers = self.replica.tickers.values() if self.replica is not None else ()
        for ticker in tickers:
            world = ticker.look() if isinstance(ticker, ClusterTicker) else None
            if world is not None:
                return board_of(world)
        return Board()

    def _judge(self, world: World, made: Plan) -> bool:
        """Does the plan keep to every invariant?"""
        breaches = check(world, made)
        for breach in breaches:
            self.broken(f"{self.name}: invariant {breach.invariant}: {breach.subject}: {breach.text}")
        return not breaches

    # -- its watch --------------------------------------------------------------------------------------------------

    def _wants(self, event: Event) -> bool:
        resource, new, old = _RESOURCES.get(event.resource.table), event.new, event.old
        if self._follows(event.resource.table, new or old or {}):
            return True
        return resource is not None and any(one is not None and _seen(resource, one) for one in (new, old))

    def _heard(self, event: Event) -> None:
        if self.replica is None:
            return
        store, resource = self.replica.store, _RESOURCES.get(event.resource.table)
        if self._follows(event.resource.table, event.new or event.old or {}):
            self._followed(event)
        if resource is None:
            return
        if event.new is not None and _seen(resource, event.new):
            store.put(resource, event.new)
        elif event.old is not None:
            last = event.old | {"metadata": event.old["metadata"] | {"resourceVersion": str(event.version)}}
            if event.new is None:
                store.deleted(resource, last)
            else:
                store.gone(resource, place_of(event.old), event.old["metadata"]["uid"], event.version or inf)

    def _follows(self, table: str, found: Json) -> bool:
        """Is it in a namespace where workloads are protected, and none of our own Pods?"""
        if self.replica is None or table not in _FOLLOWED or not found:
            return False
        if _FOLLOWED[table].group in self.link.server.hidden:
            return False
        ours = table == "pods" and GUEST_LABEL in (found["metadata"].get("labels") or {})
        return found["metadata"]["namespace"] in self.replica.store.workloads.namespaces() and not ours

    def _followed(self, event: Event) -> None:
        if self.replica is None:
            return
        workloads, resource = self.replica.store.workloads, _FOLLOWED[event.resource.table]
        if event.new is not None:
            workloads.put(resource, event.new)
        elif event.old is not None:
            workloads.gone(resource, place_of(event.old), event.old["metadata"]["uid"], event.version)

    def _listed(self) -> None:
        """A new watch begins with what is there; what is not, the sweep finds."""
        if self.replica is None:
            return
        source = self.link.server.store
        for table, resource in _RESOURCES.items():
            for found in source.listed(source.resources[table]):
                if _seen(resource, found):
                    self.replica.store.put(resource, found)
        for table, resource in _FOLLOWED.items():
            for found in source.listed(source.resources[table]):
                if self._follows(table, found):
                    self.replica.store.workloads.put(resource, found)


def parsed_once(known: Parsed) -> Parsers:
    """Production's parsers, for replicas that read the very same objects: each version is parsed by the first of them.

    Objects in the simulated store never change in place, so the object itself is the key; it is kept as long as its view.
    """

    def once(parse: Callable[[Raw], Any]) -> Callable[[Raw], Any]:
        def view(raw: Raw) -> Any:
            found = known.get(id(raw))
            if found is not None and found[0] is raw:
                return found[1]
            if len(known) >= MOST_PARSED:
                known.clear()
            made = parse(raw)
            known[id(raw)] = (raw, made)
            return made

        return view

    return {resource: once(parse) for resource, parse in PARSERS.items()}


def _seen(resource: Resource, found: Json) -> bool:
    """The server's filters: guest Pods by label, Leases by namespace."""
    if resource.plural == "pods":
        return GUEST_LABEL in (found["metadata"].get("labels") or {})
    return resource.plural != "leases" or found["metadata"]["namespace"] == AGENT_NAMESPACE

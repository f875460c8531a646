"""Each of the manager's metrics moves when what it tells of happens: once, whoever leads, and whatever was in the way."""

import asyncio
from dataclasses import replace

import aiohttp
import kopf
import pytest

from quorate import __version__
from quorate.api.wire import to_wire
from quorate.core import invariants
from quorate.core.actions import Plan, StatusWrite
from quorate.core.sequence import Health, Said
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, Kind, NodeName, Wanted
from quorate.core.world import Template, World
from quorate.kube import health, observe, tick
from quorate.kube.act import Actor
from quorate.kube.calls import Conflict, Transient
from quorate.kube.metrics import Metrics, Seat
from quorate.kube.resources import CLUSTERS, HARESOURCES
from quorate.kube.store import Store
from quorate.kube.tick import ClusterTicker, HouseTicker
from tests.scrape import Scrape
from tests.toy import Toy
from tests.toy.manager import Manager
from tests.toy.parts import Conflict as ToyConflict
from tests.unit.kube import test_client, test_leader
from tests.unit.kube.test_hazards import INSTANCE, MAKE, WEB, WRITE, Answers, Recorder
from tests.unit.kube.test_store import guest

PROD = {"cluster": "prod"}


def metrics_of(*seats: Seat, store: Store | None = None) -> Metrics:
    return Metrics(store or Store(lambda: None), lambda: seats)


def see(metrics: Metrics) -> Scrape:
    return Scrape(metrics.exposition().decode())


class Replicas:
    """The managers of a toy cluster, each counting what it has written itself; `total` is what Prometheus adds up."""

    def __init__(self) -> None:
        self.metrics: dict[int, Metrics] = {}

    def tally(self, term: int):
        return self.metrics.setdefault(term, metrics_of()).tally("prod")

    def total(self, sample: str, **labels: str) -> float:
        return sum(see(one).total(sample, **PROD, **labels) for one in self.metrics.values())


@pytest.fixture
def replicas(monkeypatch: pytest.MonkeyPatch) -> Replicas:
    """Every status that a toy manager writes is counted as the Actor counts it."""
    found = Replicas()
    write = Manager._write

    def counted(manager: Manager, one: StatusWrite) -> None:
        toy, name = manager.toy, one.ref.name
        views = {
            Kind.CLUSTER: toy.cluster,
            Kind.NODE: toy.nodes.get(NodeName(name)),
            Kind.HARESOURCE: toy.guests.get(GuestKey(one.ref.namespace, name)),
        }
        view = views[one.ref.kind]
        before = view.status if view is not None else None
        tally = found.tally(manager.term)
        try:
            write(manager, one)
        except ToyConflict:
            tally.not_written(one.ref.kind, conflict=True)
            raise
        tally.wrote(one.ref.kind, before, one.status)

    monkeypatch.setattr(Manager, "_write", counted)
    return found


@pytest.fixture
def toy(replicas: Replicas) -> Toy:
    """Three nodes and a guest on the first."""
    made = Toy(3)
    made.manager()
    made.run_until(lambda: made.cluster.status.quorate, 10, "quorum")
    key = made.add_guest()
    made.run_until(lambda: made.guests[key].status.ready, 20, "start")
    return made


KEY = GuestKey("default", "web")
COUNTED = ("quorate_incidents_total", "quorate_fenced_total", "quorate_recoveries_total")


class TestARecovery:
    def counts(self, replicas: Replicas) -> list[float]:
        return [replicas.total(name) for name in COUNTED]

    def recovered(self, toy: Toy) -> bool:
        return toy.guests[KEY].status.recovery is not None and toy.guests[KEY].status.recovery.ready is not None

    def test_is_counted_step_by_step(self, toy: Toy, replicas: Replicas) -> None:
        assert self.counts(replicas) == [0, 0, 0]
        toy.power_off("n1")
        toy.run_until(lambda: replicas.total("quorate_incidents_total") == 1, 30, "the incident")
        assert self.counts(replicas) == [1, 0, 0]
        toy.run_until(lambda: replicas.total("quorate_fenced_total") == 1, 30, "the fence")
        assert replicas.total("quorate_fenced_total", evidence="LeaseExpired") == 1
        toy.run_until(lambda: replicas.total("quorate_recoveries_total") == 1, 30, "the recovery")
        took_s = toy.guests[KEY].status.recovery.duration_s
        assert replicas.total("quorate_recovery_duration_seconds_sum") == took_s
        assert replicas.total("quorate_recovery_duration_seconds_count") == 1
        toy.power_on("n1")
        toy.run(60)
        assert self.counts(replicas) == [1, 1, 1]

    @pytest.mark.parametrize("calls", range(1, 12))
    def test_is_counted_once_whoever_dies_in_the_middle_of_it(self, toy: Toy, replicas: Replicas, calls: int) -> None:
        """The first leader dies after so many calls that took effect; the next one finishes."""
        toy.power_off("n1")
        first, left = toy.managers[0], calls
        while left > 0 and not self.recovered(toy):
            toy.step(act=False)
            for _ in range(20):
                done = first.act(first.decide(), limit=left)
                left -= done
                if not done or left <= 0:
                    break
        first.stopped = True
        toy.manager()
        toy.run_until(lambda: self.recovered(toy), 60, "the recovery")
        toy.run(20)
        assert self.counts(replicas) == [1, 1, 1]

    def test_is_counted_once_by_two_that_both_believe_to_lead(self, toy: Toy, replicas: Replicas) -> None:
        toy.manager()
        toy.run(10)
        toy.managers.reverse()
        toy.power_off("n1")
        toy.run_until(lambda: self.recovered(toy), 60, "the recovery")
        toy.run(20)
        assert self.counts(replicas) == [1, 1, 1]

    def test_a_second_loss_is_a_second_one(self, toy: Toy, replicas: Replicas) -> None:
        toy.power_off("n1")
        toy.run_until(lambda: self.recovered(toy), 60, "the recovery")
        toy.power_on("n1")
        toy.run(60)
        toy.power_off("n2")
        toy.run_until(lambda: replicas.total("quorate_recoveries_total") == 2, 60, "the second recovery")
        assert self.counts(replicas) == [2, 2, 2]


class TestFailedTries:
    def test_each_counts_and_the_last_one_is_an_error(self, toy: Toy, replicas: Replicas) -> None:
        key = toy.add_guest("bad")
        toy.failing.add(key)
        toy.run_until(lambda: toy.guests[key].status.state is GuestState.ERROR, 90, "error")
        assert (replicas.total("quorate_guest_failures_total"), replicas.total("quorate_guest_errors_total")) == (4, 1)
        toy.run(30)
        assert (replicas.total("quorate_guest_failures_total"), replicas.total("quorate_guest_errors_total")) == (4, 1)

    def test_a_template_that_is_refused_is_an_error_without_a_try(self, toy: Toy, replicas: Replicas) -> None:
        toy.rejected.add("t-bad")
        key = toy.add_guest("bad", template=Template("t-bad"))
        toy.run_until(lambda: toy.guests[key].status.state is GuestState.ERROR, 60, "error")
        assert (replicas.total("quorate_guest_failures_total"), replicas.total("quorate_guest_errors_total")) == (0, 1)

    def test_a_stop_that_was_asked_for_is_none(self, toy: Toy, replicas: Replicas) -> None:
        toy.edit_guest(KEY, wanted=Wanted.STOPPED)
        toy.run_until(lambda: toy.guests[KEY].status.state is GuestState.STOPPED, 20, "stop")
        assert replicas.total("quorate_guest_failures_total") == 0


class TestGauges:
    @pytest.fixture
    async def leases(self) -> test_leader.Cluster:
        return test_leader.Cluster()

    def seat(self, leases: test_leader.Cluster, name: str, toy: Toy) -> Seat:
        return Seat("prod", test_leader.elector(leases, name), toy.managers[-1].observe)

    async def test_who_leads_and_since_when(self, leases: test_leader.Cluster, toy: Toy) -> None:
        first, second = self.seat(leases, "a", toy), self.seat(leases, "b", toy)
        for seat in (first, second):
            await seat.elector._round()
        leases.now_s += 2
        leader, standby = see(metrics_of(first)), see(metrics_of(second))
        assert (leader.value("quorate_leader", **PROD), standby.value("quorate_leader", **PROD)) == (1, 0)
        assert leader.value("quorate_term", **PROD) == 1
        assert leader.value("quorate_leader_renewal_age_seconds", **PROD) == 2
        leases.now_s += 2
        assert see(metrics_of(first)).value("quorate_leader", **PROD) == 0, "it may not act any more"

    async def test_only_who_leads_describes_the_cluster(self, leases: test_leader.Cluster, toy: Toy) -> None:
        first, second = self.seat(leases, "a", toy), self.seat(leases, "b", toy)
        for seat in (first, second):
            await seat.elector._round()
        assert see(metrics_of(first)).value("quorate_cluster_quorate", **PROD) == 1
        standby = see(metrics_of(second))
        assert standby.value("quorate_cluster_quorate", **PROD) is None
        assert standby.value("quorate_term", **PROD) is None

    async def test_how_its_fence_devices_are(self, leases: test_leader.Cluster, toy: Toy) -> None:
        manager, said = toy.managers[-1], [Said.ON]

        def look() -> World:
            world = manager.observe()
            first = replace(world.nodes[0], health=(Health("bmc", "a", said[-1], "", world.now_s),))
            return replace(world, nodes=(first, *world.nodes[1:]))

        seat = Seat("prod", test_leader.elector(leases, "a"), look)
        await seat.elector._round()
        metrics, device = metrics_of(seat), {"node": "n1", "device": "bmc"}
        toy.run(3)
        assert see(metrics).value("quorate_fence_device_healthy", **PROD, **device) == 1
        said.append(Said.OFF)
        assert see(metrics).value("quorate_fence_device_healthy", **PROD, **device) == 1, "it answers"
        for bad in (Said.FAILED, Said.TIMED_OUT):
            said.append(bad)
            assert see(metrics).value("quorate_fence_device_healthy", **PROD, **device) == 0

    async def test_how_the_cluster_is(self, leases: test_leader.Cluster, toy: Toy) -> None:
        seat = self.seat(leases, "a", toy)
        await seat.elector._round()
        metrics = metrics_of(seat)

        def value(name: str, **labels: str) -> float | None:
            return see(metrics).value(f"quorate_{name}", **PROD, **labels)

        def votes() -> list[float | None]:
            return [value("cluster_votes", kind=kind) for kind in ("expected", "total", "live", "needed")]

        toy.run(3)
        assert (value("cluster_quorate"), votes()) == (1, [3, 3, 3, 2])
        assert [value("node_armed", node=name) for name in ("n1", "n2", "n3")] == [1, 0, 0]
        assert (value("nodes", state="Online"), value("nodes", state="Fence"), value("incidents_open")) == (3, 0, 0)
        assert (value("guests", state="Started"), value("guests_as_wished")) == (1, 1)
        assert value("node_heartbeat_age_seconds", node="n1") <= 1
        toy.power_off("n1")
        toy.run(5)
        assert value("node_heartbeat_age_seconds", node="n1") >= 4
        toy.run(5)
        assert (value("nodes", state="Online"), value("nodes", state="Fence"), value("incidents_open")) == (2, 1, 1)
        assert (value("guests", state="Fence"), value("guests", state="Started"), value("guests_as_wished")) == (
            1,
            0,
            0,
        )
        assert votes() == [3, 3, 2, 2]
        toy.power_off("n2")
        toy.run(15)
        assert value("cluster_quorate") == 0

    def test_of_the_store_and_the_build(self) -> None:
        store = Store(lambda: None)
        metrics = metrics_of(store=store)
        assert see(metrics).value("quorate_build_info", version=__version__) == 1
        for name in ("synced", "watching"):
            assert see(metrics).value(f"quorate_store_{name}") == 0
        store.synced = store.watching = True
        for name in ("synced", "watching"):
            assert see(metrics).value(f"quorate_store_{name}") == 1

    def test_two_managers_in_one_process_share_nothing(self) -> None:
        one, other = metrics_of(), metrics_of()
        one.tally("prod").breached(1)
        other.tally("prod")
        assert see(other).value("quorate_invariant_breaches_total", **PROD) == 0


class TestActor:
    """Statuses and deeds, as they went with the API server."""

    def begin(self, api: Answers, deeds: Recorder) -> tuple[Actor, Metrics]:
        store = Store(lambda: None, clock=lambda: 100.0)
        store.put(HARESOURCES, guest(5))
        metrics = metrics_of(store=store)
        return Actor(api, store, deeds, lambda: True, metrics.tally("prod")), metrics

    def written(self, metrics: Metrics) -> list[float]:
        name = "quorate_status_writes_total"
        return [see(metrics).total(name, result=result) for result in ("written", "conflict", "failed")]

    async def test_what_was_written_and_done(self) -> None:
        actor, metrics = self.begin(Answers(), Recorder())
        await actor.carry_out(Plan(statuses=(WRITE,), actions=(MAKE,)))
        labels = {"kind": "HAResource", "result": "written"}
        assert see(metrics).value("quorate_status_writes_total", **PROD, **labels) == 1
        assert see(metrics).value("quorate_actions_total", **PROD, action="CreatePod", result="done") == 1

    async def test_a_deed_that_failed(self) -> None:
        actor, metrics = self.begin(Answers(), Recorder(CreatePod=Transient("POST", 503, "", "")))
        await actor.carry_out(Plan(actions=(MAKE,)))
        assert see(metrics).value("quorate_actions_total", **PROD, action="CreatePod", result="failed") == 1
        assert see(metrics).value("quorate_actions_total", **PROD, action="CreatePod", result="done") is None

    async def test_a_conflict_and_a_silence(self) -> None:
        actor, metrics = self.begin(Answers(Conflict("PUT", 409, "", ""), guest(7)), Recorder())
        await actor.carry_out(Plan(statuses=(WRITE,)))
        assert self.written(metrics) == [0, 1, 0]
        actor, metrics = self.begin(Answers(Transient("PUT", 0, "", "")), Recorder())
        await actor.carry_out(Plan(statuses=(WRITE,)))
        assert self.written(metrics) == [0, 0, 1]

    async def test_a_write_whose_answer_was_lost_is_one_all_the_same(self) -> None:
        """The retry conflicts with it, and nobody else will count what it said."""
        gone_bad = StatusWrite(WEB.ref, "5", GuestStatus(state=GuestState.ERROR, instance=INSTANCE))
        stored = {**guest(6), "status": to_wire(gone_bad.status)}
        actor, metrics = self.begin(Answers(Conflict("PUT", 409, "", ""), stored), Recorder())
        await actor.carry_out(Plan(statuses=(gone_bad,)))
        assert self.written(metrics) == [1, 0, 0]
        assert see(metrics).value("quorate_guest_errors_total", **PROD) == 1


class TestRounds:
    @pytest.fixture
    def store(self) -> Store:
        found = Store(lambda: None)
        metadata = {"name": "prod", "uid": "c1", "resourceVersion": "1"}
        found.put(CLUSTERS, {"kind": "Cluster", "metadata": metadata, "spec": {}})
        return found

    async def ticker(self, store: Store) -> tuple[ClusterTicker, Metrics]:
        elector = test_leader.elector(test_leader.Cluster(), "a")
        await elector._round()
        metrics = metrics_of(store=store)
        actor = Actor(Answers(Transient("PUT", 0, "", "")), store, Recorder(), lambda: True, metrics.tally("prod"))
        return ClusterTicker(elector, actor, store, "prod"), metrics

    async def test_take_time_and_so_do_plans(self, store: Store) -> None:
        ticker, metrics = await self.ticker(store)
        await ticker.round()
        await ticker.round()
        for name in ("plan", "round"):
            assert see(metrics).value(f"quorate_{name}_duration_seconds_count", **PROD) == 2
            assert see(metrics).value(f"quorate_{name}_duration_seconds_sum", **PROD) > 0

    async def test_breaches_are_counted(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        ticker, metrics = await self.ticker(store)
        assert see(metrics).value("quorate_invariant_breaches_total", **PROD) == 0
        monkeypatch.setattr(tick, "check", lambda *_: [invariants.Breach(3, WEB.ref, "a bug")])
        await ticker.round()
        assert see(metrics).value("quorate_invariant_breaches_total", **PROD) == 1

    async def test_the_house_has_rounds_but_no_cluster(self, store: Store) -> None:
        elector = test_leader.elector(test_leader.Cluster(), "a")
        metrics = metrics_of(Seat("", elector, lambda: None), store=store)
        actor = Actor(Answers(), store, Recorder(), lambda: True, metrics.tally(""))
        ticker = HouseTicker(elector, actor, store, Answers())
        assert ticker.look() is None
        await elector._round()
        await ticker.round()
        assert see(metrics).value("quorate_round_duration_seconds_count", cluster="") == 1
        assert see(metrics).value("quorate_leader", cluster="") == 1


async def test_each_try_of_a_call_is_counted() -> None:
    metrics = metrics_of()
    async with test_client.server(test_client.status(503), test_client.status(409), test_client.OK) as (api, _):
        api.observe = metrics.request
        with pytest.raises(Conflict):
            await api.get("/x")
        await api.merge("/x", {})
        await api.get("/x")
    async with test_client.server(test_client.OK) as (api, _):
        api.observe = metrics.request
        api.login.configuration.host = "http://127.0.0.1:1"
        with pytest.raises(Transient):
            await api.request("GET", "/x", budget_s=0.05)
    found = see(metrics)
    name = "quorate_api_requests_total"
    assert [found.value(name, method="GET", code=code) for code in ("503", "409", "200")] == [1, 1, 1]
    assert found.value(name, method="PATCH", code="200") == 1
    assert found.value(name, method="GET", code="none") >= 1
    assert found.value("quorate_api_request_duration_seconds_count", method="PATCH") == 1


async def test_watching_that_began_anew_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    began_anew = asyncio.Event()

    async def ends(**_: object) -> None:
        """kopf gives up once."""
        if not store.watch_restarts:
            raise RuntimeError("the API server is gone")
        began_anew.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(kopf, "operator", ends)
    store = Store(lambda: None)
    metrics = metrics_of(store=store)
    assert see(metrics).value("quorate_watch_restarts_total") == 0
    watching = asyncio.create_task(observe.watch(store, None, asyncio.Event()))
    try:
        async with asyncio.timeout(30):
            await began_anew.wait()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    assert see(metrics).value("quorate_watch_restarts_total") == 1


async def test_they_are_shown_beside_health() -> None:
    store = Store(lambda: None)
    runner = await health.serve(health.application(store, store.clock, metrics_of().exposition), "127.0.0.1:0")
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert Scrape(await answer.text()).value("quorate_build_info", version=__version__) == 1
    finally:
        await runner.cleanup()

"""When a leader may plan: after a complete look that began when it was elected, and not before."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.core.actions import Plan, StatusWrite
from quorate.core.status import ResetRequest
from quorate.core.types import NodeName, NodeState, Nonce, Stage, Uid, node_ref
from quorate.core.world import Beat
from quorate.kube.act import Done
from quorate.kube.health import STUCK_AFTER_S
from quorate.kube.host import Host
from quorate.kube.metrics import Metrics
from quorate.kube.store import Store
from quorate.kube.tick import ClusterTicker, Ticker
from quorate.sim.engine import Engine, Loop
from tests.unit.core.worlds import WALL, beat, incident, node, world


class Elected:
    name, identity, term = "manager-prod", "m1", 3

    def __init__(self, elected_s: float) -> None:
        self.elected_s = elected_s
        self.host = Host()

    def valid(self) -> bool:
        return True


class Idle:
    async def carry_out(self, plan: Plan) -> Done:
        return Done(0, again=False)


class Rounds(Ticker):
    async def decide(self) -> Plan:
        return Plan(sentence="a round")


def ticker(store: Store, elected_s: float) -> Any:
    return Rounds(Elected(elected_s), Idle(), store)  # type: ignore[arg-type]


def test_a_leader_that_has_not_looked_since_it_was_elected_asks_for_a_look() -> None:
    store = Store(lambda: None, clock=lambda: 100.0)
    waiting = ticker(store, 50.0)
    assert not waiting.has_looked()
    assert store.wanted.is_set()
    store.open_gate(49.0)
    assert not waiting.has_looked(), "that look began before"
    store.open_gate(51.0)
    assert waiting.has_looked()
    store.forget("older")
    assert not waiting.has_looked()


async def test_a_loop_without_its_lease_makes_progress_as_far_as_a_probe_sees() -> None:
    """The API server is away, so nobody leads: that is no reason to restart a manager."""
    store = Store(lambda: None)
    waiting = ticker(store, 0.0)
    waiting.elector.valid = lambda: False
    waiting.progress_s = float("-inf")
    slept = asyncio.Event()

    async def sleep(pause_s: float) -> None:
        if waiting.rounds:
            slept.set()
            await asyncio.Event().wait()

    waiting._sleep = sleep
    running = asyncio.create_task(waiting.run())
    try:
        async with asyncio.timeout(30):
            await slept.wait()
        assert store.clock() - waiting.progress_s < STUCK_AFTER_S
    finally:
        running.cancel()


async def test_a_loop_that_may_wait_takes_all_changes_of_a_while_in_one_round() -> None:
    store = Store(lambda: None)
    waiting = ticker(store, store.clock() - 1)
    waiting.every_s = 0.3
    store.open_gate(store.clock())
    began = []
    running = asyncio.create_task(waiting.run())

    async def decide() -> Plan:
        began.append(store.clock())
        return Plan(sentence="a round")

    waiting.decide = decide
    try:
        while len(began) < 3:
            waiting.wake.set()
            await asyncio.sleep(0)
    finally:
        running.cancel()
    assert all(later - earlier >= waiting.every_s for earlier, later in pairwise(began))


def test_a_node_that_falls_silent_begins_a_round_and_one_that_renews_puts_it_off() -> None:
    engine, name = Engine(), NodeName("n1")
    loop = Loop(engine, failed=lambda _: None)
    store = Store(lambda: None, clock=loop.time)
    store.open_gate(loop.time())
    waiting, began = ticker(store, loop.time()), []
    waiting.actor.tally = Metrics(store, tuple).tally("")

    async def decide() -> Plan:
        began.append(round(engine.now_s, 2))
        return Plan(silences=((name, 4.0),) if engine.now_s < 34.0 else ())

    def renew() -> None:
        store.beats[name] = Beat(Uid("u"), "1", "boot", None, loop.time(), moved=True)
        if engine.now_s < 30.0:
            engine.after(1.0, renew, owner=loop)

    waiting.decide = decide
    renew()
    loop.call_soon(lambda: setattr(waiting, "running", loop.create_task(waiting.run())))
    engine.run(33.5)
    assert began == [0.0, 10.0, 20.0, 30.0], "no more than the longest sleep asks for, while it renews"
    engine.run(34.5)
    assert began[4:] == [34.0]
    loop.kill()
    engine.run(35.0)


async def test_one_that_led_does_not_go_round_and_round_while_a_node_is_silent() -> None:
    store = Store(lambda: None)
    store.open_gate(store.clock())
    waiting = ticker(store, store.clock() - 1)
    waiting.elector.valid = lambda: False
    waiting._silences = ((NodeName("n1"), 4.0),)
    store.beats[NodeName("n1")] = Beat(Uid("u"), "1", "boot", None, store.clock() - 60, moved=True)
    running = asyncio.create_task(waiting.run())
    await asyncio.sleep(0.2)
    running.cancel()
    assert waiting.rounds < 3


def test_a_reset_that_breaks_an_invariant_is_not_ordered() -> None:
    """It is no action but an order in the Node's status."""
    store, breaches = Store(lambda: None), []
    seen = world()
    bad = replace(seen.nodes[0].status, reset_request=ResetRequest("r", Nonce("n1.1"), "ct:default/nobody", WALL))
    made = Plan(statuses=(StatusWrite(node_ref(NodeName("n1")), "1", bad),))
    ticking: Any = SimpleNamespace(actor=SimpleNamespace(tally=SimpleNamespace(breached=breaches.append)), store=store)
    assert ClusterTicker._without_breaches(ticking, seen, made).statuses == ()
    assert breaches == [1]


@pytest.mark.parametrize(
    ("state", "stage", "age_s", "awaited"),
    [
        (NodeState.ONLINE, None, 0.5, False),
        (NodeState.UNKNOWN, None, 0.5, True),
        (NodeState.FENCE, Stage.SUSPECTED, 9.0, True),
        (NodeState.FENCE, Stage.FENCED, 0.5, False),
        (NodeState.FENCE, Stage.FENCED, 60.0, True),
    ],
)
def test_beats_that_may_change_something_are_waited_for(
    state: NodeState, stage: Stage | None, age_s: float, awaited: bool
) -> None:
    """A new boot of a fenced node that is held back is not: what it is held back by is time."""
    store = Store(lambda: None)
    lost = incident(stage=stage) if stage is not None else None
    status = {"state": state, "incident": lost}
    renews = beat("n1", age_s, holder="n1.2")
    seen = world(nodes=(node("n1", status=status, beat=renews), node("n2"), node("n3")))
    ticking: Any = SimpleNamespace(store=store, cluster="prod", _without_breaches=lambda _, made: made)
    ClusterTicker._plan(ticking, seen)
    assert ("n1" in store.attentive["prod"]) is awaited

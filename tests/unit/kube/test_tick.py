"""When a leader may plan: after a complete look that began when it was elected, and not before."""

import asyncio
from itertools import pairwise
from typing import Any

from quorate.core.actions import Plan
from quorate.kube.act import Done
from quorate.kube.host import Host
from quorate.kube.store import Store
from quorate.kube.tick import Ticker


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

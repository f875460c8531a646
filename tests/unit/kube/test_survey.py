"""When the manager asks what the loss of nodes would mean: at once when some come or go, else once a minute, if at all."""

from dataclasses import replace
from typing import Any

import pytest

from quorate.core import capacity
from quorate.core.capacity_status import CapacityStatus
from quorate.core.types import NodeState, Wanted
from quorate.kube.host import Host
from quorate.kube.tick import SURVEY_EVERY_S, ClusterTicker
from tests.unit.core.worlds import guest, node, world


class Elected:
    host = Host()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The Worlds of which it was asked."""
    seen: list[Any] = []

    def survey(made: Any) -> CapacityStatus:
        seen.append(made)
        return CapacityStatus(len(seen))

    monkeypatch.setattr(capacity, "survey", survey)
    return seen


async def see(ticker: ClusterTicker, made: Any) -> None:
    ticker._see_to_survey(made)
    if ticker._survey is not None:
        await ticker._survey


async def test_when_it_asks(asked: list[Any]) -> None:
    store = Clock()
    ticker = ClusterTicker(Elected(), None, store, "prod")  # type: ignore[arg-type]
    made = world(guests=(guest(),))
    await see(ticker, replace(made, cluster=replace(made.cluster, status=replace(made.cluster.status, quorate=False))))
    assert not asked, "without quorum the answer is known"
    await see(ticker, made)
    assert (len(asked), ticker.capacity, ticker.wake.is_set()) == (1, CapacityStatus(1), True)
    other = replace(made, guests=(replace(guest(), spec=replace(guest().spec, wanted=Wanted.STOPPED)),))
    await see(ticker, other)
    assert len(asked) == 1, "something else has changed: that waits for a minute"
    lost = world(nodes=(node("n1"), node("n2"), node("n3", status={"state": NodeState.UNKNOWN})), guests=made.guests)
    await see(ticker, lost)
    assert len(asked) == 2, "a node was lost"
    store.now_s += SURVEY_EVERY_S
    await see(ticker, lost)
    assert len(asked) == 2, "nothing has changed"
    store.now_s += SURVEY_EVERY_S
    await see(ticker, replace(lost, guests=other.guests))
    assert len(asked) == 3


async def test_a_survey_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def survey(_: Any) -> CapacityStatus:
        raise RuntimeError("a bug")

    monkeypatch.setattr(capacity, "survey", survey)
    ticker = ClusterTicker(Elected(), None, Clock(), "prod")  # type: ignore[arg-type]
    await see(ticker, world(guests=(guest(),)))
    assert ticker.capacity is None

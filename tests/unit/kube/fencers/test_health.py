"""Fence devices are looked after before they are needed: asked in turn, and let alone while a node's power is switched."""

import asyncio
from types import SimpleNamespace

import pytest

from quorate.core.sequence import Said
from quorate.kube.fencers import health
from quorate.kube.fencers.health import Rounds
from quorate.kube.fencers.process import FenceAgentError
from tests.unit.kube.fencers.test_runner import Bench

OPENED = "2026-01-01T00:00:00Z"
INCIDENT = {"id": "n1-1", "nonce": "b", "opened": OPENED, "reason": "r", "stage": "Suspected", "sequence": 1, "term": 1}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return lambda **device: Bench(tmp_path, monkeypatch, **device)


def looked_after(one, *, asked=None, meanwhile=lambda: None, leads=True):
    """What is known after one look; `asked` instead of a real fence agent."""

    async def scene():
        if asked is not None:
            one.fencers = SimpleNamespace(store=one.store, status=asked)
        rounds = Rounds(one.fencers, lambda _: leads)
        await rounds.look()
        await asyncio.sleep(0)
        meanwhile()
        await asyncio.gather(*rounds._tasks.values())
        return rounds

    rounds = asyncio.run(scene())
    [view] = one.store.nodes()
    return rounds, [(found.said, found.detail) for found in view.health]


def test_one_that_answers(bench):
    assert looked_after(bench())[1] == [(Said.ON, "")]


def test_one_that_fails(bench):
    [(said, detail)] = looked_after(bench(parameters={"mood": "fails"}))[1]
    assert said is Said.FAILED
    assert detail.startswith("exit code 1: ERROR")


def test_one_that_hangs(bench):
    assert looked_after(bench(timeout="600ms", parameters={"mood": "hangs"}))[1] == [
        (Said.TIMED_OUT, "no answer within 0.6s")
    ]


def test_a_bug_of_ours_is_logged_and_said(bench, caplog):
    async def broken(*_):
        raise KeyError("x")

    assert looked_after(bench(), asked=broken)[1] == [(Said.FAILED, "'x'")]
    assert "a fence device could not be checked" in caplog.text

    async def refused(*_):
        raise FenceAgentError("no route")

    caplog.clear()
    assert looked_after(bench(), asked=refused)[1] == [(Said.FAILED, "no route")]
    assert caplog.text == ""


def test_who_does_not_lead_asks_nothing(bench):
    assert looked_after(bench(), leads=False)[1] == []


def test_while_its_node_is_lost_it_is_let_alone_and_asked_again_afterwards(bench, monkeypatch):
    monkeypatch.setattr("quorate.kube.power.LOOKS_EVERY_S", 0.01)
    one = bench(parameters={"mood": "hangs"})
    rounds, known = looked_after(one, meanwhile=lambda: one.node(*one.given, version="2", incident=INCIDENT))
    assert known == []
    assert ("n1", "bmc") not in rounds._checked
    assert dict(rounds._due()) == {}
    one.node(*one.given, version="3")
    assert [key for key, _ in rounds._due()] == [("n1", "bmc")]


def test_it_is_asked_every_five_minutes_and_at_once_when_it_is_another_one(bench, monkeypatch):
    one = bench()
    rounds, _ = looked_after(one)
    assert dict(rounds._due()) == {}
    now_s = one.store.clock()
    monkeypatch.setattr(one.store, "clock", lambda: now_s + health.CHECK_EVERY_S + 1)
    assert len(dict(rounds._due())) == 1
    monkeypatch.undo()
    changed = {**one.given[0], "parameters": {**one.given[0]["parameters"], "plug": "9"}}
    one.node(changed, version="2")
    assert len(dict(rounds._due())) == 1

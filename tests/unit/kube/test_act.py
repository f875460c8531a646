"""A status is written over what was judged, and over nothing else, however often somebody writes the rest."""

import copy
from typing import Any

import pytest

from quorate.core.actions import Plan, SetFinalizer, StatusWrite
from quorate.core.status import GuestStatus
from quorate.core.types import INSTANCE_FINALIZER, GuestKey, GuestState
from quorate.kube.act import SAME_TRIES, Actor
from quorate.kube.calls import Conflict
from quorate.kube.resources import HARESOURCES
from quorate.kube.store import Store
from tests.unit.kube.test_store import guest

KEY = GuestKey("default", "web")
STATUS = GuestStatus(state=GuestState.QUEUED, message="seen")


class Busy:
    """An API server on which somebody changes the object just before each of the first `times` writes."""

    def __init__(self, times: int, **change: Any) -> None:
        self.raw = guest(version=1)
        self.times = times
        self.change = change
        self.written: list[str] = []

    async def get(self, path: str, query: object = None) -> dict[str, Any]:
        return copy.deepcopy(self.raw)

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.times:
            self.times -= 1
            version = str(int(self.raw["metadata"]["resourceVersion"]) + 1)
            self.raw["metadata"] |= {"resourceVersion": version, **copy.deepcopy(self.change)}
        if body["metadata"]["resourceVersion"] != self.raw["metadata"]["resourceVersion"]:
            raise Conflict(f"PUT {path}", 409, "Conflict", "the object has been modified")
        self.written.append(body["metadata"]["resourceVersion"])
        self.raw = {**self.raw, "status": body["status"]}
        return copy.deepcopy(self.raw)


async def written(api: Busy, may_act: Any = lambda: True) -> bool:
    store = Store(lambda: None)
    store.put(HARESOURCES, guest(version=1))
    actor = Actor(api, store, None, may_act)  # type: ignore[arg-type]
    done = await actor.carry_out(Plan(statuses=(StatusWrite(KEY.ref, "1", STATUS),)))
    assert done.again is not bool(api.written)
    return bool(api.written)


@pytest.mark.parametrize(("times", "good"), [(0, True), (1, True), (SAME_TRIES - 1, True), (SAME_TRIES, False)])
async def test_labels_that_change_all_the_time_do_not_keep_it_from_being_written(times, good):
    assert await written(Busy(times, labels={"a": "b"})) is good


@pytest.mark.parametrize(
    "change",
    [
        {"deletionTimestamp": "2026-11-28T10:00:00Z"},
        {"annotations": {"quorate.dev/command": "1 reset"}},
        {"generation": 9},
        {"finalizers": ["quorate.dev/instance"]},
        {"uid": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_a_plan_would_see_is_judged_anew_first(change):
    assert not await written(Busy(1, **change))


async def test_nothing_is_written_once_it_may_not_act_any_more():
    answers = iter([True, False])
    assert not await written(Busy(1, labels={"a": "b"}), lambda: next(answers, False))


class Doing:
    """Deeds that are only noted."""

    def __init__(self) -> None:
        self.done: list[SetFinalizer] = []

    async def set_finalizer(self, action: SetFinalizer) -> None:
        self.done.append(action)


@pytest.mark.parametrize("good", [True, False])
async def test_a_deed_follows_only_when_its_status_was_written(good):
    store, deeds = Store(lambda: None), Doing()
    store.put(HARESOURCES, guest(version=1))
    actor = Actor(Busy(0 if good else 1, generation=9), store, deeds, lambda: True)  # type: ignore[arg-type]
    deed = SetFinalizer(KEY.ref, INSTANCE_FINALIZER, present=True)
    done = await actor.carry_out(Plan(statuses=(StatusWrite(KEY.ref, "1", STATUS),), actions=(deed,)))
    assert deeds.done == ([deed] if good else [])
    assert done.again is not good

"""A plan that is too much at once: nodes come first; what is left is planned anew, comes first then, and is not lost."""

import pytest

from quorate.core.actions import Note, Plan, StatusWrite, StopPod
from quorate.core.status import GuestStatus, NodeStatus
from quorate.core.types import GuestKey, NodeName, Ref, Uid, node_ref
from quorate.kube.act import AT_A_STRETCH_S, PARALLEL, Actor
from quorate.kube.store import Store

MANY = 5 * PARALLEL
NODE = node_ref(NodeName("n1"))
GUESTS = [GuestKey("default", f"web-{number:02}") for number in range(MANY)]


class Slow:
    """An API server and deeds in one that are busy for a third of a stretch with each call."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.wrote: list[str] = []
        self.stopped: list[str] = []
        self.said: list[str] = []

    async def replace(self, path, body):
        self.now_s += AT_A_STRETCH_S / 3
        self.wrote.append(body["metadata"]["name"])
        return {"metadata": {**body["metadata"], "uid": body["metadata"]["name"], "resourceVersion": "9"}, "spec": {}}

    async def stop_pod(self, action):
        self.now_s += AT_A_STRETCH_S / 3
        self.stopped.append(action.guest.name)

    async def event(self, note):
        self.said.append(note.ref.name)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def actor(slow):
    return Actor(slow, Store(lambda: None, clock=lambda: slow.now_s), slow, lambda: True)


def writes(*refs: Ref) -> tuple[StatusWrite, ...]:
    return tuple(StatusWrite(ref, "1", NodeStatus() if ref == NODE else GuestStatus()) for ref in refs)


async def test_nodes_come_before_guests(actor, slow):
    done = await actor.carry_out(Plan(statuses=writes(*(key.ref for key in GUESTS), NODE)))
    assert slow.wrote[0] == "n1"
    assert 1 < len(slow.wrote) < MANY
    assert done.left


async def test_what_is_left_comes_first_the_next_time_and_nothing_is_left_for_ever(actor, slow):
    plan = Plan(statuses=writes(*(key.ref for key in GUESTS)))
    while len(slow.wrote) < MANY:
        assert (await actor.carry_out(plan)).left
    assert set(slow.wrote[:MANY]) == {key.name for key in GUESTS}, "each once, before any is written again"


async def test_deeds_have_a_stretch_of_their_own(actor, slow):
    """Statuses that change all the time must not keep what follows from others from being done."""
    stop = tuple(StopPod(key, Uid("p"), "1") for key in GUESTS[-3:])
    done = await actor.carry_out(Plan(statuses=writes(*(key.ref for key in GUESTS[:-3])), actions=stop))
    assert slow.stopped == [key.name for key in GUESTS[-3:]]
    assert done.left


async def test_no_deed_and_no_news_without_the_status_that_was_left(actor, slow):
    refs = [key.ref for key in GUESTS]
    stop = tuple(StopPod(key, Uid("p"), "1") for key in GUESTS)
    await actor.carry_out(Plan(statuses=writes(*refs), actions=stop, notes=tuple(Note(ref, "X", "x") for ref in refs)))
    assert set(slow.stopped) <= set(slow.wrote)
    assert set(slow.said) == set(slow.wrote)
    assert 0 < len(slow.wrote) < MANY


async def test_what_is_no_more_than_can_be_done_leaves_nothing(actor):
    assert not (await actor.carry_out(Plan(statuses=writes(NODE, GUESTS[0].ref)))).left

"""What disarming holds, and what it says."""

from dataclasses import replace

import pytest

from quorate.core import disarm
from quorate.core.actions import CreatePod, Plan, RemovePod, StatusWrite, StopPod, TakeLease
from quorate.core.disarm import FREE, Brake, Hold
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.status import DisarmState, DisarmStatus, GuestStatus, Timeline
from quorate.core.types import DisarmMode, GuestState, IncidentId, Instant, NodeName, Wanted
from quorate.core.world import Disarm, World
from tests.unit.core.worlds import KEY, WALL, beat, guest, instance, node, pod, world

S = GuestState
END = Instant(WALL + 60_000)
WISH = Disarm(DisarmMode.FREEZE, "new switch", END)
DONE = DisarmStatus(DisarmState.DISARMED, DisarmMode.FREEZE, "new switch", END, WALL, hands_off=True)
LOST = Timeline(IncidentId("i"), NodeName("n1"), WALL)


def wishing(made: World, wish: Disarm | None = WISH, before: DisarmStatus | None = None) -> World:
    cluster = made.cluster
    status = replace(cluster.status, disarm=before)
    return replace(made, cluster=replace(cluster, spec=replace(cluster.spec, disarm=wish), status=status))


@pytest.mark.parametrize(
    ("status", "flies"),
    [
        (GuestStatus(state=S.FENCE), True),
        (GuestStatus(state=S.RECOVERY), True),
        (GuestStatus(state=S.RELOCATE), True),
        (GuestStatus(state=S.REQUEST_STOP), True),
        (GuestStatus(state=S.STARTING), False),
        (GuestStatus(state=S.STARTING, target=NodeName("n1")), True),
        (GuestStatus(state=S.STARTING, instance=instance()), True),
        (GuestStatus(state=S.STARTING, next_try=WALL), True),
        (GuestStatus(state=S.STARTING, recovery=LOST), True),
        (GuestStatus(state=S.STARTING, interrupted=True), True),
        (GuestStatus(state=S.STARTING, recovery=replace(LOST, ready=WALL)), False),
        (GuestStatus(state=S.STARTED, instance=instance()), False),
        (GuestStatus(state=S.STOPPED), False),
        (GuestStatus(state=S.QUEUED), False),
        (GuestStatus(state=S.ERROR), False),
        (GuestStatus(state=S.IGNORED), False),
    ],
)
def test_what_is_in_flight(status, flies):
    assert disarm.in_flight(status) is flies


def test_what_was_in_flight_goes_on_to_its_end_and_no_further():
    brake = Brake(WISH, Hold.NEW)
    moving, between = GuestStatus(state=S.RELOCATE), GuestStatus(state=S.STARTING)
    assert not brake.holds(moving, between)
    assert brake.holds(between, between)
    assert brake.holds(moving, GuestStatus(state=S.STARTED))
    assert not brake.holds(GuestStatus(state=S.STARTED), GuestStatus(state=S.FENCE)), (
        "a loss meanwhile is finished, too"
    )
    assert Brake(WISH, Hold.ALL).holds(moving, moving)
    assert not FREE.holds(between, between)


def test_it_is_over_at_its_end_and_when_the_cluster_goes():
    made = wishing(world(), before=DONE)
    assert disarm.judge(made, quorate=True).hold is Hold.ALL
    assert disarm.judge(replace(made, wall=END), quorate=True) == FREE
    assert disarm.judge(replace(made, cluster=replace(made.cluster, deleting=True)), quorate=True) == FREE
    assert disarm.judge(wishing(made, None, DONE), quorate=True) == FREE


def test_once_hands_are_off_they_stay_off():
    busy = wishing(world(guests=(guest(status={"state": S.FENCE}),)), before=DONE)
    assert disarm.judge(busy, quorate=False) == Brake(WISH, Hold.ALL, release=True)


def test_it_is_deferred_and_says_for_whom():
    busy = wishing(world(guests=(guest(status={"state": S.RELOCATE}),)))
    brake = disarm.judge(busy, quorate=True)
    assert (brake.hold, brake.release) == (Hold.NEW, False)
    assert brake.waiting == "ct:default/web (in relocate), which must not be left half-way"
    assert "quorum" in disarm.judge(wishing(world()), quorate=False).waiting


def test_nobody_lets_go_before_it_is_recorded_that_hands_are_off():
    made = wishing(world())
    first = plan(made)
    nodes = [write.status for write in first.statuses if write.ref.kind == "Node"]
    assert not any(status.arming.released for status in nodes)
    (cluster,) = [write.status for write in first.statuses if write.ref.kind == "Cluster"]
    assert cluster.disarm.hands_off
    assert cluster.disarm.state is DisarmState.DISARMING
    second = plan(wishing(made, before=cluster.disarm))
    nodes = [write.status for write in second.statuses if write.ref.kind == "Node"]
    assert all(status.arming.released and not status.arming.wanted for status in nodes)


def test_disarmed_is_who_has_answered_the_order_itself():
    """An agent that is only about to arm attests "not armed" as well, and opens its device after that."""
    released = {"arming": replace(node("n1").status.arming, generation=7, wanted=False, released=True)}
    early = node("n1", beat=beat("n1", armed=False, generation=6), status=released)
    answered = node("n1", beat=beat("n1", armed=False, generation=7), status=released)
    brake = Brake(WISH, Hold.ALL, release=True)
    for one, state in ((early, DisarmState.DISARMING), (answered, DisarmState.DISARMED)):
        made = wishing(world(nodes=(one,)), before=DONE)
        assert disarm.record(made, brake, {one.name: one.status}).state is state


@pytest.mark.parametrize(
    "action",
    [
        StopPod(KEY, "pod-1", "5"),
        TakeLease("n1", "n1-x", "n1.1", "lease-n1", "77"),
        CreatePod(KEY, instance("n2", id="i2", uid=None)),
        RemovePod(KEY, "pod-1", "5", "a fact"),
    ],
)
def test_every_deed_is_a_breach_while_hands_are_off(action):
    made = wishing(world(guests=(guest(),)), before=DONE)
    (breach,) = check(made, Plan(actions=(action,)))
    assert (breach.invariant, breach.text) == (2, f"{type(action).__name__} while HA is disarmed")


@pytest.mark.parametrize(("mode", "wanted"), [(DisarmMode.IGNORE, Wanted.STARTED), (DisarmMode.FREEZE, Wanted.IGNORED)])
def test_what_somebody_deleted_by_hand_may_go_with_ignore(mode, wanted):
    """Of the disarm, or of the guest."""
    there = pod(deleting=True)
    ended = guest(pod=there, status={"instance": instance(ended="a fact")}, spec={"wanted": wanted})
    made = wishing(world(guests=(ended,)), replace(WISH, mode=mode), DONE)
    gone = RemovePod(KEY, "pod-1", "5", "a fact")
    assert check(made, Plan(statuses=(StatusWrite(KEY.ref, "1", ended.status),), actions=(gone,))) == ()


def test_it_wakes_at_its_end():
    made = wishing(world(), before=DONE)
    assert plan(made).wake_at_s <= made.now_s + 60.001

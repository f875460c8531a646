"""A guest that does not stop: what is said, when its node is asked to reset itself, and when that is held up."""

from dataclasses import replace

import pytest

from quorate.core.actions import CreatePod
from quorate.core.disarm import Disarm
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.sequence import FenceDevice, Power, Purpose, Sequence, Step, spec_of
from quorate.core.status import ResetRequest
from quorate.core.types import DisarmMode, GuestState, Instant, Nonce, StopTimeoutPolicy, Wanted, node_ref
from tests.unit.core.worlds import KEY, NOW, WALL, beat, guest, incident, instance, node, pod, world

LATE = NOW - 60
IPMI = FenceDevice("ipmi", "a")
DRILL = Sequence(
    "seq", 3, Purpose.DRILL, "d1", Nonce("n2.1"), 1, spec_of((IPMI,), 1), 1, Step.STATUS, Instant(WALL - 9), WALL
)
FENCE = {"wanted": Wanted.STOPPED, "stop_timeout_policy": StopTimeoutPolicy.FENCE}


def stopping(*, stops_at_s=LATE, **spec):
    """It was asked to stop, and its grace period ended then."""
    status = {"state": GuestState.REQUEST_STOP, "instance": instance(stopping=True), "ready": False}
    return guest(spec={"wanted": Wanted.STOPPED, **spec}, status=status, pod=pod(deleting=True, stops_at_s=stops_at_s))


def look(one, **changes):
    """One plan, which keeps to the invariants: the guest's status and that of n1 after it."""
    seen = world(guests=(one,), **changes)
    made = plan(seen)
    assert not check(seen, made)
    after = {write.ref: write.status for write in made.statuses}
    return after.get(KEY.ref, one.status), after.get(node_ref("n1"), seen.nodes[0].status)


def asked(**changes):
    return node("n1", status={"reset_request": replace(ResetRequest("r1", "n1.1", KEY.sid, WALL), **changes)})


def test_within_its_time_it_is_awaited():
    for stops_at_s in (None, LATE + 1):
        status, at = look(stopping(stops_at_s=stops_at_s, **FENCE))
        assert status.message == "waiting for the containers on n1 to stop"
        assert at.reset_request is None


def test_then_it_is_said_and_nothing_else_is_done():
    status, at = look(stopping())
    assert status.message.startswith("it did not stop within stopTimeout 60s of its grace period: it is waited for")
    assert any((one.type, one.status) == ("Stalled", "True") for one in status.conditions)
    assert at.reset_request is None


def test_with_policy_fence_the_boot_that_it_runs_in_is_asked_to_end():
    status, at = look(stopping(**FENCE))
    assert status.state is GuestState.REQUEST_STOP
    assert status.message.endswith("n1 is asked to reset itself")
    assert (at.reset_request.nonce, at.reset_request.guest, at.reset_request.at) == ("n1.1", KEY.sid, WALL)
    assert at.message == "is asked to reset itself: ct:default/web does not stop there"


def test_a_try_that_failed_and_does_not_end_counts_as_well():
    failed = {
        "state": GuestState.STARTING,
        "instance": instance(stopping=True, failure="not Ready within startTimeout 300s"),
    }
    one = guest(
        spec={"stop_timeout_policy": StopTimeoutPolicy.FENCE}, status=failed, pod=pod(deleting=True, stops_at_s=LATE)
    )
    _, at = look(one)
    assert at.reset_request is not None


def test_it_is_asked_once_and_nothing_starts_there_meanwhile():
    held = asked()
    _, at = look(stopping(**FENCE), nodes=(held, node("n2"), node("n3")))
    assert at.reset_request == held.status.reset_request
    new = replace(guest(pod=None), status=replace(guest().status, instance=None, state=GuestState.STARTING, node=None))
    seen = world(guests=(new,), nodes=(held,))
    (after,) = (write.status for write in plan(seen).statuses if write.ref == KEY.ref)
    assert after.target is None
    assert "n1: it is asked to reset itself" in after.message


def test_withdrawn_when_it_stops_after_all_or_its_policy_changes():
    for one in (stopping(), guest()):
        _, at = look(one, nodes=(asked(), node("n2"), node("n3")))
        assert at.reset_request is None


def test_over_with_its_boot():
    old = asked(nonce="n1.0")
    _, at = look(guest(), nodes=(old, node("n2"), node("n3")))
    assert at.reset_request is None


def test_one_that_does_not_obey_is_not_asked_again_in_this_boot():
    held = asked(at=Instant(WALL - 60_000))
    _, at = look(stopping(**FENCE), nodes=(held, node("n2"), node("n3")))
    assert at.reset_request.failed
    status, again = look(stopping(**FENCE), nodes=(asked(failed=True), node("n2"), node("n3")))
    assert again.reset_request.failed
    assert status.message.endswith("to reset itself, and did not: power it off")


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((node("n1"), node("n2", status={"incident": incident("n2")}), node("n3")), "one node at a time: n2 is lost"),
        (
            (
                node("n1"),
                node("n2", status={"reset_request": ResetRequest("r2", "n2.1", "ct:default/db", WALL)}),
                node("n3"),
            ),
            "one node at a time: n2 is being reset",
        ),
        (
            (
                node("n1"),
                node("n2", devices=(IPMI,), drill="d1", status={"power": Power(DRILL)}),
                node("n3"),
            ),
            "one node at a time: n2 is being switched off and on",
        ),
        ((node("n1", beat=beat("n1", armed=False)), node("n2"), node("n3")), "its watchdog is not armed"),
        ((node("n1"), node("n2"), node("n3", beat=beat("n3", 20))), "without it there would be no quorum"),
        ((node("n1", votes=3), node("n2"), node("n3")), "without it there would be no quorum"),
    ],
)
def test_held_up(nodes, why):
    status, at = look(stopping(**FENCE), nodes=nodes)
    assert f"n1 is to be reset (stopTimeoutPolicy: Fence), but {why}" in status.message
    assert at.reset_request is None


def test_not_while_ha_is_disarmed():
    cluster = world().cluster
    disarm = Disarm(DisarmMode.FREEZE, "work on the switches", Instant(WALL + 600_000))
    seen = replace(cluster, spec=replace(cluster.spec, disarm=disarm))
    status, at = look(stopping(**FENCE), cluster=seen)
    assert status.message.endswith("but HA is being disarmed")
    assert at.reset_request is None


def test_two_nodes_are_never_asked_in_one_round():
    other = KEY._replace(name="zoo")
    second = stopping(**FENCE)
    there = instance("n2", id="i2", uid="pod-2", stopping=True)
    second = replace(
        second,
        key=other,
        uid="guest-2",
        status=replace(second.status, instance=there, node="n2"),
        pod=pod("n2", uid="pod-2", instance="i2", owner="guest-2", deleting=True, stops_at_s=LATE),
    )
    nodes = tuple(node(f"n{number}") for number in range(1, 6))
    seen = world(guests=(stopping(**FENCE), second), nodes=nodes)
    made = plan(seen)
    assert not check(seen, made)
    resets = [write for write in made.statuses if getattr(write.status, "reset_request", None) is not None]
    assert [write.ref.name for write in resets] == ["n1"]


def test_nothing_is_started_on_a_node_that_the_same_plan_asks_to_reset_itself():
    waits = {"state": GuestState.STARTING, "instance": None, "target": "n1", "ready": False}
    other = replace(guest(status=waits), key=KEY._replace(name="zoo"), uid="guest-z", pod=None)
    made = plan(world(guests=(stopping(**FENCE), other)))
    assert any(getattr(write.status, "reset_request", None) is not None for write in made.statuses)
    (start,) = [one for one in made.actions if isinstance(one, CreatePod)]
    assert start.instance.node == "n2"

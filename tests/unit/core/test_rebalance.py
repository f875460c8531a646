"""Which running guests move for the load: what one decision looks like."""

from dataclasses import replace

import pytest

from quorate.core.capacity import Survey
from quorate.core.load import Size, Usage
from quorate.core.plan import plan
from quorate.core.rebalance import imbalance, rebalance
from quorate.core.rules import Affinity, GuestAffinity, Guests, Rule
from quorate.core.status import Instance, RebalanceStatus
from quorate.core.types import (
    DisarmMode,
    GuestKey,
    GuestState,
    Instant,
    NodeName,
    NodeState,
    RebalanceMethod,
    SchedulingMode,
    Wanted,
)
from quorate.core.world import AutoRebalance, Disarm, Scheduling, Template, Verdict
from tests.property.test_rebalance import _running
from tests.unit.core.test_ledger import GIB, member, sized
from tests.unit.core.worlds import WALL, incident, world

LONG_AGO = Instant(WALL - 3_600_000)
AUTO = AutoRebalance(threshold=10, margin=10, hold_s=30.0)


def runs(name, node, gib=1, cpu=100, **status):
    found = {"ready_since": LONG_AGO, **status}
    one = _running(sized(name, node, cpu=cpu, memory=gib * GIB, **found), node)
    return replace(one, status=replace(one.status, **status))


def cluster(*guests, nodes=None, auto=AUTO, rules=(), since=LONG_AGO, mode=SchedulingMode.STATIC):
    made = world(nodes=nodes or (member("n1"), member("n2"), member("n3")), guests=tuple(guests))
    spec = replace(made.cluster.spec, scheduling=Scheduling(mode, auto=auto), rules=tuple(rules))
    status = replace(made.cluster.status, rebalance=RebalanceStatus(since) if since is not None else None)
    return replace(made, cluster=replace(made.cluster, spec=spec, status=status))


def decided(made, mode=SchedulingMode.STATIC):
    room = Survey(made)._room
    return rebalance(made, room, mode)


def goes(made, mode=SchedulingMode.STATIC):
    return {key.name: node for key, node in decided(made, mode).moves.items()}


PAIR = (runs("a", "n1"), runs("b", "n1"))


def test_imbalance_is_between_all_alike_and_all_on_one():
    assert imbalance({"n1": (0.5, 0.5), "n2": (0.5, 0.5)}) == 0
    assert imbalance({"n1": (0.5, 0.1), "n2": (0, 0), "n3": (0, 0)}) == pytest.approx(1)
    assert imbalance({}) == imbalance({"n1": (1, 1)}) == imbalance({"n1": (0, 0), "n2": (0, 0)}) == 0


def test_the_best_move_is_made_and_said():
    found = decided(cluster(*PAIR))
    assert dict(found.moves) == {GuestKey("default", "a"): "n2"}
    assert found.status == RebalanceStatus(None, "ct:default/a from n1 to n2", (NodeName("n1"), NodeName("n2")))
    (note,) = [one for one in plan(cluster(*PAIR)).notes if one.reason == "Rebalanced"]
    assert note.message == "nodes are unevenly loaded: ct:default/a from n1 to n2"


def test_the_guest_whose_move_leaves_least_imbalance_goes():
    made = cluster(runs("a", "n1", 4), runs("b", "n1", 2), runs("c", "n1", 1), runs("d", "n2", 2), runs("e", "n3", 2))
    assert goes(made) == {"b": "n2"}


def test_the_hold_begins_when_it_is_seen_and_is_waited_for():
    found = decided(cluster(*PAIR, since=None))
    assert (dict(found.moves), found.status, found.wake) == ({}, RebalanceStatus(WALL), WALL + 30_000)
    assert plan(cluster(*PAIR, since=None)).wake_at_s is not None
    assert decided(cluster(*PAIR, since=Instant(WALL - 29_999))).wake == WALL + 1
    assert goes(cluster(*PAIR, since=Instant(WALL - 30_000))) == {"a": "n2"}


def test_once_the_nodes_are_even_it_is_forgotten():
    even = cluster(runs("a", "n1"), runs("b", "n2"), runs("c", "n3"))
    assert decided(even).status is None


@pytest.mark.parametrize(
    "other",
    [
        {"state": GuestState.STARTING, "ready": False, "ready_since": None},
        {"state": GuestState.RELOCATE, "target": NodeName("n3")},
        {"state": GuestState.FENCE},
        {"target": NodeName("n3")},
    ],
)
def test_one_that_is_on_its_way_holds_up_the_rest(other):
    assert goes(cluster(*PAIR, runs("z", "n3", 0, **other))) == {}
    assert goes(cluster(*PAIR, runs("z", "n3", 0))) == {"a": "n2"}


def test_one_that_waits_for_room_does_not():
    waits = sized("z", memory=99 * GIB, state=GuestState.STARTING)
    assert goes(cluster(*PAIR, replace(waits, pod=None))) == {"a": "n2"}


@pytest.mark.parametrize(
    "third",
    [
        {"status": {"state": NodeState.MAINTENANCE}},
        {"status": {"incident": incident("n3"), "state": NodeState.UNKNOWN}},
        {"deleting": True},
    ],
)
def test_a_node_that_is_lost_or_worked_on_holds_up_all(third):
    assert goes(cluster(*PAIR, nodes=(member("n1"), member("n2"), member("n3", **third)))) == {}


@pytest.mark.parametrize(
    "why",
    [
        {"ready": False},
        {"ready_since": Instant(WALL - 1000)},
        {"restarts": 1},
        {"failed_nodes": (NodeName("n3"),)},
        {"maintenance_node": NodeName("n3")},
        {"state": GuestState.ERROR},
        {"state": GuestState.IGNORED},
    ],
)
def test_who_is_left_alone(why):
    assert goes(cluster(*(runs(name, "n1", **why) for name in "ab"))) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, deleting=True),
        lambda one: replace(one, trouble="a bug"),
        lambda one: replace(one, command="7 relocate n3"),
        lambda one: replace(one, pod=None),
        lambda one: replace(one, pod=replace(one.pod, deleting=True)),
        lambda one: replace(one, spec=replace(one.spec, wanted=Wanted.STOPPED)),
        lambda one: replace(one, spec=replace(one.spec, template=Template("t2", size=one.spec.template.size))),
        lambda one: replace(one, status=replace(one.status, instance=_ended(one.status.instance))),
    ],
)
def test_who_is_about_to_do_something_else_is_left_alone(change):
    assert goes(cluster(*map(change, PAIR))) == {}


def _ended(instance: Instance) -> Instance:
    return replace(instance, ended="terminated")


def test_who_must_be_together_stays():
    pair = Rule("pair", Guests(tuple(one.key for one in PAIR)), peers=GuestAffinity(Affinity.TOGETHER))
    assert goes(cluster(*PAIR, rules=(pair,))) == {}


def test_the_lightest_node_is_passed_over_where_it_has_no_room_or_a_rule_forbids_it():
    fresh = {"ready_since": Instant(WALL - 1000)}
    there = (
        runs("x", "n1", 0, cpu=3600, **fresh),
        runs("y", "n2", 6, cpu=0, **fresh),
        runs("z", "n3", 2, cpu=2000, **fresh),
    )
    assert goes(cluster(runs("a", "n1", 3, cpu=0), *there)) == {"a": "n3"}, "n2 is as light, and has no room for it"
    apart = Rule(
        "apart", Guests((GuestKey("default", "a"), GuestKey("default", "z"))), peers=GuestAffinity(Affinity.APART)
    )
    made = cluster(*PAIR, runs("z", "n2", 0, cpu=0), runs("y", "n3", 0), rules=(apart,))
    assert goes(made) == {"b": "n2"}


def test_two_that_are_apart_do_not_meet_in_one_round():
    apart = Rule(
        "apart", Guests((GuestKey("default", "a"), GuestKey("default", "b"))), peers=GuestAffinity(Affinity.APART)
    )
    nodes = (member("n1"), member("n2"), member("n3", memory=16 * GIB))
    fresh = {"ready_since": Instant(WALL - 1000)}
    guests = (runs("a", "n1", 4), runs("b", "n2", 4), runs("x", "n1", 2, **fresh), runs("y", "n2", 2, **fresh))
    made = cluster(*guests, nodes=nodes, auto=replace(AUTO, max_moves=2), rules=(apart,))
    assert goes(made) == {"a": "n3"}, "each by itself may go there"


def test_one_that_starts_in_the_same_round_comes_first():
    """It was not there when the moves were chosen, and takes the room that one of them counted on."""
    z = sized("z", memory=5 * GIB, state=GuestState.STARTING, template_hash="t1")
    verdict = Verdict("t1", accepted=True)
    z = replace(z, pod=None, held=True, spec=replace(z.spec, priority=9), verdict=verdict)
    full = runs("y", "n3", 6, cpu=0)
    made = cluster(runs("a", "n1", 4), runs("b", "n1", 2), full, z, auto=replace(AUTO, threshold=1, margin=1))
    assert goes(made) == {"a": "n2"}
    found = {write.ref.name: write.status for write in plan(made).statuses if write.ref.name in "az"}
    assert found["z"].instance.node == "n2"
    assert (found["a"].state, found["a"].target, found["a"].message) == (GuestState.STARTED, None, "runs on n1")


def test_while_ha_is_disarmed_nothing_moves_and_nothing_is_said():
    made = cluster(*PAIR)
    off = Disarm(DisarmMode.FREEZE, "work", Instant(WALL + 60_000))
    made = replace(made, cluster=replace(made.cluster, spec=replace(made.cluster.spec, disarm=off)))
    done = plan(made)
    assert not [one for one in done.notes if one.reason == "Rebalanced"]
    (status,) = [w.status for w in done.statuses if w.ref.kind == "Cluster"]
    assert status.rebalance == made.cluster.status.rebalance


def test_brute_force_evens_out_the_sum_and_topsis_counts_memory_most():
    guests = (runs("cpu", "n1", 0, cpu=2000), runs("m1", "n1", 2, cpu=0), runs("m2", "n1", 2, cpu=0))
    nodes = (member("n1"), member("n2"))
    assert goes(cluster(*guests, nodes=nodes)) == {"cpu": "n2"}
    assert goes(cluster(*guests, nodes=nodes, auto=replace(AUTO, method=RebalanceMethod.TOPSIS))) == {"m1": "n2"}


def test_dynamic_goes_by_what_is_used_and_only_while_it_is_measured():
    def measured(name, gib):
        return member(name, usage=Usage(Size(100, gib * GIB), WALL))

    guests = [replace(one, usage=Usage(Size(50, 2 * GIB), WALL)) for one in (runs("a", "n1", 1), runs("b", "n2", 1))]
    nodes = (measured("n1", 7), measured("n2", 1), measured("n3", 3))
    made = cluster(*guests, nodes=nodes, mode=SchedulingMode.DYNAMIC)
    assert goes(made, SchedulingMode.DYNAMIC) == {"a": "n2"}
    assert goes(made, SchedulingMode.STATIC) == {}


def test_nothing_is_said_or_done_where_nobody_asked():
    assert decided(cluster(*PAIR, auto=None)).status is None
    assert goes(cluster(*PAIR, auto=None)) == {}


@pytest.mark.parametrize(
    ("n1", "n2", "came", "touched", "moves"),
    [
        (31, 31, {"b"}, (), {"a": "n2"}),
        (29, 31, {"c"}, (), {}),  # n1 is not measured since somebody came to it
        (31, 29, {"b"}, (), {}),  # nor n2
        (29, 31, {"b"}, (), {"a": "n2"}),  # nobody came to n1 since
        (29, 31, {"b"}, ("n1", "n2"), {}),  # but b left it for n2
    ],
)
def test_a_node_takes_part_once_it_is_measured_a_hold_after_guests_came_and_left(n1, n2, came, touched, moves):
    """Times are seconds after b or c came."""
    since = Instant(WALL - 60_000)
    nodes = tuple(
        member(name, usage=Usage(Size(100, gib * GIB), Instant(since + seconds * 1000)))
        for name, gib, seconds in (("n1", 8, n1), ("n2", 1, n2))
    )
    guests = [runs("a", "n1"), runs("b", "n2"), runs("c", "n1", gib=0)]
    guests = [
        replace(one, status=replace(one.status, ready_since=since)) if one.key.name in came else one for one in guests
    ]
    guests = [replace(one, usage=Usage(Size(50, 2 * GIB), WALL)) if one.key.name == "a" else one for one in guests]
    made = cluster(*guests, nodes=nodes, mode=SchedulingMode.DYNAMIC)
    status = replace(made.cluster.status, rebalance=RebalanceStatus(LONG_AGO, "before", tuple(map(NodeName, touched))))
    made = replace(made, cluster=replace(made.cluster, status=status))
    assert goes(made, SchedulingMode.DYNAMIC) == moves

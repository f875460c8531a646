"""Scheduling in a running cluster: where guests start, what a full node means, and what is said when nothing is free."""

from dataclasses import replace

import pytest

from quorate.core.load import Size, Usage
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.types import (
    CpuPolicy,
    GuestKey,
    GuestState,
    Instant,
    NodeName,
    RebalanceMethod,
    SchedulingMode,
    Wanted,
)
from quorate.core.world import AutoRebalance, Template
from tests.scenarios.looks import settled_on, state
from tests.toy import Toy

GIB = 1 << 30


def cluster(*memory: int, mode: SchedulingMode = SchedulingMode.STATIC, cores: int = 8, **fields: object) -> Toy:
    """Nodes n1, n2, ... with so many GiB of memory each."""
    toy = Toy(len(memory))
    toy.manager()
    toy.set_scheduling(mode=mode, **fields)
    for number, gib in enumerate(memory, 1):
        toy.touch_kube(f"n{number}", size=Size(1000 * cores, gib * GIB))
    toy.run_until(lambda: toy.cluster.status.votes.live == len(memory), 30, "all have joined")
    return toy


def template(gib: float = 0, cores: float = 0, version: str = "t1") -> Template:
    return Template(version, size=Size(round(1000 * cores), round(gib * GIB)))


def add(toy: Toy, name: str, gib: float = 0, cores: float = 0, **spec: object) -> GuestKey:
    return toy.add_guest(name, template=template(gib, cores), **spec)


def start(toy: Toy, *names: str, gib: float = 0, cores: float = 0) -> dict[str, str]:
    """Where these guests of one size run, once they do."""
    for name in names:
        add(toy, name, gib, cores)
    toy.run_until(lambda: all(toy.running(GuestKey("default", name)) for name in names), 30, "all run")
    toy.run(3)
    return {name: toy.running(GuestKey("default", name))[0] for name in names}


def condition(toy: Toy, kind: str):
    return next((one for one in toy.cluster.status.conditions if one.type == kind), None)


def test_a_batch_goes_where_memory_is_and_not_where_fewer_guests_are():
    toy = cluster(16, 4, 4)
    found = start(toy, *"abcdef", gib=2)
    assert sorted(found.values()) == ["n1", "n1", "n1", "n1", "n2", "n3"]


def test_a_guest_without_room_waits_says_so_and_starts_when_there_is_some():
    toy = cluster(4, 4)
    start(toy, "a", "b", gib=3)
    late = add(toy, "late", 2)
    toy.run(10)
    assert state(toy, late) is GuestState.QUEUED
    assert toy.guests[late].status.message == (
        "no node can run it: n1, n2: it has 1024 MiB of memory left, 2048 MiB are requested"
    )
    toy.edit_guest(GuestKey("default", "b"), wanted=Wanted.STOPPED)
    toy.run_until(lambda: settled_on(toy, late, "n2"), 30, "its start")


def test_what_is_not_under_ha_counts():
    toy = cluster(8, 8)
    toy.others[NodeName("n1")] = Size(0, 7 * GIB)
    assert start(toy, "a", "b", gib=2) == {"a": "n2", "b": "n2"}


def test_recovery_fills_nobody_beyond_its_memory():
    toy = cluster(8, 4, 4)
    before = start(toy, *"abcd", gib=2)
    assert sorted(before.values()) == ["n1", "n1", "n2", "n3"]
    more = add(toy, "big", 2)
    toy.run_until(lambda: settled_on(toy, more, "n1"), 30, "its start")
    toy.power_off("n1")
    lost = {key for key in toy.guests if toy.guests[key].status.node == "n1"}
    toy.run(60)
    recovered = [key for key in lost if toy.running(key)]
    assert len(recovered) == 2
    (waiting,) = lost - set(recovered)
    assert "it has 0 MiB of memory left, 2048 MiB are requested" in toy.guests[waiting].status.message
    toy.power_on("n1")
    toy.run_until(lambda: settled_on(toy, waiting, "n1"), 60, "the one that had no room")


def test_a_priority_comes_before_load_and_memory_before_a_priority():
    toy = cluster(8, 4)
    on = NodeAffinity((NodePriority(NodeName("n2"), 1),))
    toy.set_rules(Rule("on", Guests((GuestKey("default", "a"), GuestKey("default", "b"))), nodes=on))
    assert start(toy, "a", "b", gib=3) == {"a": "n2", "b": "n1"}


def test_a_pair_goes_only_where_both_have_room():
    toy = cluster(8, 4, 8)
    pair = Guests((GuestKey("default", "a"), GuestKey("default", "b")))
    assert set(start(toy, "a", "b", gib=3).values()) == {"n1", "n3"}
    start(toy, "c", gib=2)
    toy.set_rules(Rule("pair", pair, peers=GuestAffinity(Affinity.TOGETHER)))
    toy.run(60)
    together = {toy.running(key)[0] for key in pair.names}
    assert len(together) == 1
    assert together <= {"n1", "n3"}


def test_a_relocation_to_a_full_node_is_refused():
    toy = cluster(8, 4)
    on_first = next(name for name, node in start(toy, "a", "b", "c", gib=3).items() if node == "n1")
    toy.touch_guest(GuestKey("default", on_first), command="1 relocate n2")
    toy.run(5)
    last = toy.guests[GuestKey("default", on_first)].status.last_command
    assert not last.accepted
    assert last.result == "refused: n2: it has 1024 MiB of memory left, 3072 MiB are requested"


def test_processor_time_may_be_overcommitted_where_the_cluster_says_so():
    toy = cluster(8, 8, cores=2)
    start(toy, "a", "b", cores=2)
    late = add(toy, "late", cores=1)
    toy.run(10)
    assert "it has 0 cores left, 1 are requested" in toy.guests[late].status.message
    toy.set_scheduling(mode=SchedulingMode.STATIC, cpu=CpuPolicy.OVERCOMMIT)
    toy.run_until(lambda: settled_on(toy, late, "n1"), 30, "its start")


def test_dynamic_goes_by_what_is_used_and_as_static_without_fresh_measurements():
    toy = cluster(8, 8, mode=SchedulingMode.DYNAMIC)
    measure(toy, n1=6, n2=1)
    assert start(toy, "a", gib=1) == {"a": "n2"}
    assert condition(toy, "SchedulingInForce").status == "True"
    toy.run(130)
    said = condition(toy, "SchedulingInForce")
    assert (said.status, said.reason) == ("False", "MetricsTooOld")
    assert start(toy, "b", gib=1) == {"b": "n1"}
    measure(toy, n1=6, n2=1)
    toy.run(1)
    assert condition(toy, "SchedulingInForce").status == "True"


def measure(toy: Toy, **gib: float) -> None:
    now = Instant(round(toy.now_s * 1000))
    toy.usage = {NodeName(name): Usage(Size(0, round(used * GIB)), now) for name, used in gib.items()}


@pytest.mark.parametrize(("rebalance", "node"), [(False, "n1"), (True, "n2")])
def test_a_stopped_guest_starts_where_it_was_unless_starts_rebalance(rebalance, node):
    toy = cluster(8, 8, rebalance_on_start=rebalance)
    assert start(toy, "a", gib=1) == {"a": "n1"}
    key = GuestKey("default", "a")
    toy.edit_guest(key, wanted=Wanted.STOPPED)
    toy.run_until(lambda: state(toy, key) is GuestState.STOPPED, 20, "its stop")
    toy.others[NodeName("n1")] = Size(0, 3 * GIB)
    toy.edit_guest(key, wanted=Wanted.STARTED)
    toy.run_until(lambda: settled_on(toy, key, node), 30, "its start")


def test_a_restart_and_a_new_template_stay_even_when_starts_rebalance():
    toy = cluster(8, 8, rebalance_on_start=True)
    assert start(toy, "a", gib=1) == {"a": "n1"}
    key = GuestKey("default", "a")
    toy.others[NodeName("n1")] = Size(0, 3 * GIB)
    toy.delete_process(key)
    toy.run_until(lambda: not toy.running(key), 10, "its end")
    toy.run_until(lambda: settled_on(toy, key, "n1"), 40, "its restart")
    toy.edit_guest(key, template=template(1, version="t2"))
    toy.run(20)
    assert settled_on(toy, key, "n1")
    assert toy.guests[key].status.instance.template_hash == "t2"


def test_mode_basic_counts_guests_whatever_they_request():
    toy = cluster(16, 4, mode=SchedulingMode.BASIC)
    assert start(toy, *"abcd", gib=3) == {"a": "n1", "b": "n2", "c": "n1", "d": "n2"}


def lopsided(**auto: object) -> Toy:
    """Four guests of 1 GiB on n1, none on n2, and rebalancing asked for."""
    toy = cluster(8, 8, mode=SchedulingMode.STATIC)
    for letter in "abcd":
        add(toy, letter, 1)
    toy.touch_node("n2", maintenance="for now")
    toy.run_until(lambda: all(toy.running(key) == ["n1"] for key in toy.guests), 60, "all on n1")
    toy.run(20)
    for key in toy.guests:
        toy.touch_guest(key, status=replace(toy.guests[key].status, maintenance_node=None))
    toy.touch_node("n2", maintenance=None)
    toy.set_scheduling(mode=SchedulingMode.STATIC, auto=AutoRebalance(**auto))
    return toy


def on(toy: Toy) -> list[str]:
    return sorted(node for key in toy.guests for node in toy.running(key))


def test_running_guests_move_one_by_one_until_the_nodes_are_even():
    toy = lopsided(hold_s=10.0)
    down = 0
    for _ in range(240):
        toy.step()
        running = [key for key in toy.guests if toy.running(key)]
        down = max(down, len(toy.guests) - len(running))
    assert on(toy) == ["n1", "n1", "n2", "n2"]
    assert down == 1
    assert toy.cluster.status.rebalance.since is None
    assert toy.cluster.status.rebalance.last.endswith("from n1 to n2")
    where = {key: toy.running(key) for key in toy.guests}
    toy.run(120)
    assert {key: toy.running(key) for key in toy.guests} == where


def test_nothing_moves_before_the_hold_is_over_and_none_that_is_not_worth_it():
    toy = lopsided(hold_s=60.0)
    toy.run(50)
    assert on(toy) == ["n1"] * 4
    assert toy.cluster.status.rebalance.since is not None
    toy.run(30)
    assert on(toy).count("n2") == 1
    lazy = lopsided(hold_s=0.0, threshold=100)
    lazy.run(60)
    assert on(lazy) == ["n1"] * 4
    stubborn = lopsided(hold_s=0.0, margin=90)
    stubborn.run(60)
    assert on(stubborn) == ["n1"] * 4


@pytest.mark.parametrize("method", list(RebalanceMethod))
def test_as_many_as_are_allowed_move_at_once(method):
    toy = lopsided(hold_s=10.0, max_moves=2, method=method)
    toy.run_until(lambda: on(toy) == ["n1", "n1", "n2", "n2"], 40, "two to have moved")


def test_nobody_moves_for_the_load_while_a_node_is_lost_or_in_maintenance():
    toy = lopsided(hold_s=0.0)
    toy.touch_kube("n2", unschedulable=True)
    toy.run(20)
    assert on(toy) == ["n1"] * 4
    toy.touch_node("n2", maintenance="work")
    toy.touch_kube("n2", unschedulable=False)
    toy.run(30)
    assert on(toy) == ["n1"] * 4


def test_it_runs_on_until_its_target_has_armed_its_watchdog():
    toy = lopsided(hold_s=0.0)
    toy.machines[NodeName("n2")].agent = False
    toy.run(4)
    assert on(toy) == ["n1"] * 4


def test_rules_come_before_load():
    toy = lopsided(hold_s=0.0)
    everybody = Guests(tuple(sorted(toy.guests)))
    strict = NodeAffinity((NodePriority(NodeName("n1")),), strict=True)
    toy.set_rules(Rule("here", everybody, nodes=strict))
    toy.run(60)
    assert on(toy) == ["n1"] * 4
    toy.set_rules(Rule("together", everybody, peers=GuestAffinity(Affinity.TOGETHER)))
    toy.run(60)
    assert on(toy) == ["n1"] * 4

"""Rules in a running cluster: placement, recovery, relocation by command, return, and rules that cannot be followed."""

import pytest

from quorate.core.board import ZONE_LABEL
from quorate.core.follow import FAILBACK_AFTER_MS
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule, Topology
from quorate.core.types import GuestKey, GuestState, NodeName
from tests.toy import Toy

HELD_S = FAILBACK_AFTER_MS / 1000


def on(*nodes: str, guests: str = "a", strict: bool = False, name: str = "on", **priorities: int) -> Rule:
    """A node affinity of these guests (one letter each)."""
    found = {**dict.fromkeys(nodes, 0), **priorities}
    wished = tuple(NodePriority(NodeName(node), priority) for node, priority in found.items())
    return Rule(name, who(guests), nodes=NodeAffinity(wished, strict))


def peers(affinity: Affinity, guests: str = "ab", name: str = "peers", topology: Topology = Topology.NODE) -> Rule:
    return Rule(name, who(guests), peers=GuestAffinity(affinity, topology))


def who(guests: str) -> Guests:
    return Guests(tuple(GuestKey("default", letter) for letter in guests))


def zoned(toy: Toy, **zones: str) -> None:
    for node, zone in zones.items():
        toy.touch_kube(node, labels={ZONE_LABEL: zone})


def zones(toy: Toy) -> list[str]:
    return [toy.kube[NodeName(node)].labels[ZONE_LABEL] for node in where(toy).values()]


TOGETHER, APART = peers(Affinity.TOGETHER), peers(Affinity.APART)


def cluster(*rules: Rule, guests: str = "ab", nodes: int = 3, **spec: object) -> Toy:
    """A toy cluster in which these guests run."""
    toy = Toy(nodes)
    toy.manager()
    toy.set_rules(*rules)
    toy.run_until(lambda: len(toy.nodes) == nodes == toy.cluster.status.votes.live, 30, "all have joined")
    for letter in guests:
        toy.add_guest(letter, **spec)
    settle(toy)
    return toy


def settle(toy: Toy, within_s: float = 60) -> None:
    toy.run_until(lambda: all(runs(toy, key.name) for key in toy.guests), within_s, "everything runs")
    toy.run(5)


def runs(toy: Toy, letter: str) -> bool:
    status = toy.guests[GuestKey("default", letter)].status
    return status.state is GuestState.STARTED and status.ready and status.target is None


def where(toy: Toy) -> dict[str, str]:
    """Where each guest really runs."""
    return {key.name: "".join(toy.running(key)) for key in toy.guests}


def command(toy: Toy, letter: str, node: str) -> str:
    """`quorate relocate`, and what became of it."""
    key = GuestKey("default", letter)
    toy.touch_guest(key, command=f"{toy.now_s} relocate {node}")
    toy.run(1)
    result = toy.guests[key].status.last_command
    assert result is not None
    return result.result


def honoured(toy: Toy) -> str:
    """The message of the condition, with its status."""
    found = next(one for one in toy.cluster.status.conditions if one.type == "RulesHonoured")
    return f"{found.status}: {found.message}"


def lose(toy: Toy, node: str) -> None:
    """Cut its power, and wait until it is fenced and everything that can run runs elsewhere."""
    toy.power_off(node)
    toy.run(25)


def test_a_cluster_without_rules_says_nothing_of_them():
    toy = cluster()
    assert toy.cluster.status.rules == ""
    assert not [one for one in toy.cluster.status.conditions if one.type == "RulesHonoured"]


class TestApart:
    def test_they_start_on_different_nodes_and_are_recovered_on_different_nodes(self):
        toy = cluster(APART)
        places = where(toy)
        assert len(set(places.values())) == 2
        lose(toy, places["a"])
        settle(toy)
        after = where(toy)
        assert after["b"] == places["b"]
        assert after["a"] not in {places["a"], places["b"]}

    def test_two_of_one_node_are_recovered_on_two(self):
        toy = cluster(TOGETHER, nodes=4)
        here = where(toy)["a"]
        toy.power_off(here)
        toy.run(3)
        toy.set_rules(APART)
        toy.run(25)
        settle(toy)
        assert len({*where(toy).values(), here}) == 3

    def test_without_a_node_of_its_own_it_waits_and_the_reason_is_said(self):
        toy = cluster(APART, nodes=2, guests="a")
        here = where(toy)["a"]
        free = next(node for node in ("n1", "n2") if node != here)
        toy.touch_kube(free, unschedulable=True)
        toy.add_guest("b")
        toy.run(5)
        said = toy.guests[GuestKey("default", "b")].status.message
        assert f"{here}: rule peers keeps it apart from ct:default/a" in said
        assert f"{free}: it is cordoned" in said
        assert where(toy) == {"a": here, "b": ""}
        toy.touch_kube(free, unschedulable=False)
        settle(toy)
        assert where(toy) == {"a": here, "b": free}

    def test_a_rule_that_comes_later_moves_one_of_them(self):
        toy = cluster(peers(Affinity.TOGETHER))
        assert len(set(where(toy).values())) == 1
        toy.set_rules(APART)
        toy.run(2)
        settle(toy)
        assert len(set(where(toy).values())) == 2
        assert honoured(toy).startswith("True: 1 in use")

    def test_a_command_to_the_node_of_an_apart_peer_is_refused_with_the_reason(self):
        toy = cluster(APART)
        there = where(toy)["b"]
        assert command(toy, "a", there) == f"refused: {there}: rule peers keeps it apart from ct:default/b"
        toy.run(5)
        assert where(toy)["a"] != there

    def test_of_two_that_are_sent_to_one_node_the_second_is_refused(self):
        toy = cluster(APART)
        free = ({"n1", "n2", "n3"} - set(where(toy).values())).pop()
        for number, letter in enumerate("ab"):
            toy.touch_guest(GuestKey("default", letter), command=f"{number} relocate {free}")
        toy.run(1)
        results = [view.status.last_command.result for view in toy.guests.values()]
        assert results[0].startswith("relocating")
        assert results[1] == f"refused: {free}: rule peers keeps it apart from ct:default/a"

    def test_a_node_that_is_only_the_preview_of_one_in_fence_is_free_for_the_other(self):
        toy = cluster(APART, on("n1", "n2", guests="a"), on("n2", strict=True, guests="b", name="b"), guests="a")
        toy.power_off(where(toy)["a"])
        key = GuestKey("default", "a")
        toy.run_until(lambda: toy.guests[key].status.state is GuestState.FENCE, 30, "it is lost")
        toy.run_until(lambda: toy.guests[key].status.target == "n2", 5, "n2 is the preview")
        toy.add_guest("b")
        toy.run(3)
        assert toy.guests[GuestKey("default", "b")].status.node == "n2"
        settle(toy)
        assert where(toy) == {"a": "n3", "b": "n2"}

    def test_by_zone(self):
        toy = Toy(4)
        zoned(toy, n1="x", n2="x", n3="y", n4="y")
        toy.manager()
        toy.set_rules(peers(Affinity.APART, topology=Topology.ZONE))
        toy.run(4)
        for letter in "ab":
            toy.add_guest(letter)
        settle(toy)
        assert sorted(zones(toy)) == ["x", "y"]


class TestNodeAffinity:
    def test_a_strict_rule_holds_at_the_first_start_and_waits_with_the_reason(self):
        toy = Toy(3)
        toy.manager()
        toy.set_rules(on("n3", strict=True))
        toy.run(4)
        toy.power_off("n3")
        toy.run(20)
        key = toy.add_guest("a")
        toy.run(10)
        assert toy.running(key) == []
        assert "n1, n2: rule on allows only n3" in toy.guests[key].status.message
        toy.power_on("n3")
        settle(toy)
        assert where(toy) == {"a": "n3"}

    def test_a_preference_never_keeps_a_guest_down(self):
        toy = cluster(on("n3"), guests="a")
        assert where(toy) == {"a": "n3"}
        lose(toy, "n3")
        settle(toy)
        assert where(toy)["a"] in {"n1", "n2"}

    def test_a_preference_and_apart_recover_on_a_node_that_is_left(self):
        """Proxmox leaves it in recovery for ever: it looks at the best class of nodes only."""
        toy = cluster(on("n1", "n2", guests="ab"), APART, nodes=4)
        assert set(where(toy).values()) == {"n1", "n2"}
        victim = where(toy)["a"]
        lose(toy, victim)
        settle(toy)
        assert where(toy)["a"] in {"n3", "n4"}
        assert where(toy)["b"] == ({"n1", "n2"} - {victim}).pop()

    def test_it_returns_once_the_better_node_has_been_back_for_a_while(self):
        toy = cluster(on(n3=2, n2=1), guests="a")
        assert where(toy) == {"a": "n3"}
        lose(toy, "n3")
        settle(toy)
        assert where(toy) == {"a": "n2"}
        toy.power_on("n3")
        toy.run(HELD_S - 10)
        assert where(toy) == {"a": "n2"}
        toy.run(30)
        assert where(toy) == {"a": "n3"}
        status = toy.guests[GuestKey("default", "a")].status
        assert (status.restarts, status.failed_nodes) == (0, ())

    def test_with_failback_off_it_stays(self):
        toy = cluster(on(n3=2, n2=1), guests="a", failback=False)
        lose(toy, "n3")
        toy.power_on("n3")
        toy.run(3 * HELD_S)
        assert where(toy) == {"a": "n2"}

    def test_it_does_not_return_to_where_it_failed_before_that_node_has_come_back_anew(self):
        toy = cluster(on("n3"), guests="a", max_restart=0)
        key = GuestKey("default", "a")
        toy.failing.add(key)
        toy.delete_process(key)
        toy.run_until(lambda: toy.guests[key].status.failed_nodes != (), 30, "it failed on n3")
        toy.failing.clear()
        settle(toy)
        elsewhere = where(toy)["a"]
        assert elsewhere != "n3"
        toy.run(3 * HELD_S)
        assert where(toy)["a"] == elsewhere
        toy.power_off("n3")
        toy.run(30)
        toy.power_on("n3")
        toy.run(2 * HELD_S)
        assert where(toy) == {"a": "n3"}

    def test_a_strict_rule_that_comes_later_moves_it_and_that_is_not_counted(self):
        toy = cluster(guests="a")
        elsewhere = next(node for node in ("n1", "n2", "n3") if node != where(toy)["a"])
        toy.set_rules(on(elsewhere, strict=True))
        toy.run(2)
        settle(toy)
        assert where(toy) == {"a": elsewhere}
        assert toy.guests[GuestKey("default", "a")].status.tries == "0/1 0/1"

    def test_it_runs_on_until_its_new_node_has_armed_its_watchdog(self):
        toy = cluster(guests="a")
        here = where(toy)["a"]
        elsewhere = next(node for node in ("n1", "n2", "n3") if node != here)
        toy.machines[NodeName(elsewhere)].giving_up = True
        toy.set_rules(on(elsewhere, strict=True))
        for _ in range(40):
            toy.step()
            assert where(toy) == {"a": here}
        toy.machines[NodeName(elsewhere)].giving_up = False
        toy.run(30)
        settle(toy)
        assert where(toy) == {"a": elsewhere}

    def test_a_rule_that_comes_while_it_is_on_its_way_still_counts(self):
        toy = cluster(guests="a")
        one, two = (node for node in ("n1", "n2", "n3") if node != where(toy)["a"])
        command(toy, "a", one)
        assert toy.guests[GuestKey("default", "a")].status.target == one
        toy.set_rules(on(two, strict=True))
        settle(toy)
        assert where(toy) == {"a": two}

    def test_while_no_allowed_node_can_run_it_it_stays_where_it_is(self):
        toy = cluster(guests="a")
        here = where(toy)["a"]
        elsewhere = next(node for node in ("n1", "n2", "n3") if node != here)
        toy.power_off(elsewhere)
        toy.run(20)
        toy.set_rules(on(elsewhere, strict=True))
        toy.run(10)
        assert where(toy) == {"a": here}
        assert "against a rule" in toy.guests[GuestKey("default", "a")].status.message
        assert f"ct:default/a: rule on allows only {elsewhere}" in honoured(toy)
        toy.power_on(elsewhere)
        toy.run(10)
        settle(toy)
        assert where(toy) == {"a": elsewhere}

    def test_a_command_against_a_strict_rule_is_refused(self):
        toy = cluster(on("n1", strict=True), guests="a")
        assert command(toy, "a", "n2") == "refused: n2: rule on allows only n1"

    def test_a_command_says_that_it_will_return(self):
        toy = cluster(on("n1"), guests="a")
        said = command(toy, "a", "n2")
        assert said == "relocating from n1 to n2; it returns to n1 by rule on, unless its failback is set to false"
        settle(toy)
        assert where(toy) == {"a": "n2"}
        toy.run(HELD_S + 20)
        assert where(toy) == {"a": "n1"}


class TestTogether:
    def test_they_start_on_one_node_and_are_recovered_on_one(self):
        toy = cluster(TOGETHER)
        places = set(where(toy).values())
        assert len(places) == 1
        lose(toy, places.pop())
        settle(toy)
        assert len(set(where(toy).values())) == 1

    @pytest.mark.parametrize("failback", [True, False])
    def test_those_that_are_apart_join_each_other_whatever_failback_says(self, failback):
        toy = cluster(guests="abc", failback=failback)
        assert len(set(where(toy).values())) == 3
        toy.set_rules(peers(Affinity.TOGETHER, "abc"))
        toy.run(2)
        settle(toy)
        assert len(set(where(toy).values())) == 1
        after = where(toy)
        toy.run(3 * HELD_S)
        assert where(toy) == after

    @pytest.mark.parametrize("moved", ["a", "c"])
    def test_moving_one_moves_the_others_along(self, moved):
        toy = cluster(peers(Affinity.TOGETHER, "abc"), guests="abc")
        here = where(toy)["a"]
        there = next(node for node in ("n1", "n2", "n3") if node != here)
        others = ", ".join(f"ct:default/{letter}" for letter in "abc" if letter != moved)
        assert command(toy, moved, there) == f"relocating from {here} to {there}; {others} come along"
        settle(toy)
        assert set(where(toy).values()) == {there}
        toy.run(3 * HELD_S)
        assert set(where(toy).values()) == {there}

    def test_a_move_along_is_finished_by_the_next_leader(self):
        toy = cluster(peers(Affinity.TOGETHER, "abc"), guests="abc")
        here = where(toy)["a"]
        there = next(node for node in ("n1", "n2", "n3") if node != here)
        key = GuestKey("default", "c")
        toy.touch_guest(key, command=f"1 relocate {there}")
        manager = toy.managers.pop()
        manager.act(manager.decide(), limit=1)
        toy.manager()
        settle(toy)
        assert set(where(toy).values()) == {there}

    def test_a_command_that_one_of_them_cannot_follow_is_refused(self):
        toy = cluster(TOGETHER, peers(Affinity.APART, "bc", name="apart"), guests="abc")
        there = where(toy)["c"]
        said = command(toy, "a", there)
        assert said == f"refused: {there}: rule apart keeps it apart from ct:default/c"

    def test_a_pair_returns_as_a_pair(self):
        toy = cluster(TOGETHER, on("n1", guests="ab"))
        assert set(where(toy).values()) == {"n1"}
        lose(toy, "n1")
        settle(toy)
        assert len(set(where(toy).values())) == 1
        toy.power_on("n1")
        toy.run(HELD_S + 60)
        assert where(toy) == {"a": "n1", "b": "n1"}

    def test_when_one_fails_where_they_are_the_other_follows_it(self):
        toy = cluster(TOGETHER, max_restart=0)
        here = where(toy)["a"]
        key = GuestKey("default", "b")
        toy.failing.add(key)
        toy.delete_process(key)
        toy.run_until(lambda: toy.guests[key].status.failed_nodes != (), 30, "it failed")
        toy.failing.clear()
        toy.run(60)
        settle(toy)
        assert len(set(where(toy).values())) == 1
        assert where(toy)["a"] != here

    def test_it_is_never_kept_down_by_a_peer_that_is_where_it_cannot_be(self):
        toy = cluster(on("n1", strict=True, guests="a"), guests="a")
        toy.set_rules(peers(Affinity.TOGETHER))
        toy.touch_kube("n1", unschedulable=True)
        toy.add_guest("b")
        settle(toy)
        assert where(toy)["b"] in {"n2", "n3"} or where(toy)["a"] == where(toy)["b"]

    def test_by_zone(self):
        toy = Toy(4)
        zoned(toy, n1="x", n2="x", n3="y", n4="y")
        toy.manager()
        toy.run(4)
        for letter in "abc":
            toy.add_guest(letter)
        settle(toy)
        toy.set_rules(peers(Affinity.TOGETHER, "abc", topology=Topology.ZONE))
        toy.run(2)
        settle(toy)
        assert len(set(zones(toy))) == 1


class TestTogetherWithApart:
    def test_the_smaller_side_makes_way(self):
        toy = cluster(TOGETHER, guests="abc")
        pair = where(toy)["a"]
        command(toy, "c", pair)
        settle(toy)
        toy.set_rules(TOGETHER, peers(Affinity.APART, "ac", name="apart"))
        toy.run(2)
        settle(toy)
        after = where(toy)
        assert after["a"] == after["b"] == pair
        assert after["c"] != pair


class TestContradictions:
    def test_a_contradictory_set_is_ignored_whole_and_the_condition_names_it(self):
        chain = [peers(Affinity.TOGETHER, pair, name=pair) for pair in ("ab", "bc")]
        toy = cluster(*chain, peers(Affinity.APART, "ac", name="split"), on("n3", guests="d"), guests="abcd")
        assert toy.cluster.status.rules == "1 in use, 3 ignored"
        assert [rule.name for rule in toy.cluster.status.ignored_rules] == ["ab", "bc", "split"]
        assert "rules ab, bc, split: ct:default/a, ct:default/c would have to be together and apart" in honoured(toy)
        assert where(toy)["d"] == "n3"

    def test_more_apart_than_there_are_nodes_run_all_the_same(self):
        pairs = [peers(Affinity.APART, pair, name=pair) for pair in ("ab", "ac", "ad", "bc", "bd", "cd")]
        toy = cluster(*pairs, guests="abcd")
        assert toy.cluster.status.rules == "0 in use, 6 ignored"
        assert all(where(toy).values())

    def test_a_rule_about_guests_that_do_not_exist_is_told(self):
        toy = cluster(on("n1", "n9", guests="az"), guests="a")
        assert where(toy) == {"a": "n1"}
        assert "rule on names guests that do not exist: ct:default/z" in honoured(toy)
        assert "rule on names nodes that are not in the cluster: n9" in honoured(toy)

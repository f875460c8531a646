"""Maintenance: guests leave a node, one that has nowhere to go runs on, and all come back when it is over."""

from dataclasses import replace

from quorate.core.rules import Affinity, GuestAffinity, Guests, Rule
from quorate.core.selectors import Taint
from quorate.core.types import GuestKey, GuestState, NodeState, Wanted
from tests.scenarios.looks import settled_on, state

S = GuestState


def conditions(toy, node):
    return {one.type: one for one in toy.nodes[node].status.conditions}


def cordon(toy, *nodes):
    for node in nodes:
        taint = Taint("node.kubernetes.io/unschedulable", "NoSchedule")
        toy.touch_kube(node, unschedulable=True, taints=(taint,))


def uncordon(toy, *nodes):
    for node in nodes:
        toy.touch_kube(node, unschedulable=False, taints=())


class TestDrain:
    def test_guests_leave_the_node_and_come_back(self, toy, web):
        toy.touch_node("n1", maintenance="kernel update")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        toy.run(5)
        node, guest = toy.nodes["n1"].status, toy.guests[web].status
        assert (node.state, node.guests) == (NodeState.MAINTENANCE, 0)
        assert node.message == "in maintenance (kernel update): no guest is left"
        assert conditions(toy, "n1")["Drained"].status == "True"
        assert conditions(toy, "n1")["Ready"].status == "True"
        assert (guest.maintenance_node, guest.restarts, guest.failed_nodes) == ("n1", 0, ())
        assert not node.watchdog.armed, "nothing runs there: its watchdog is let go"
        assert toy.cluster.status.quorate
        assert toy.cluster.status.votes.live == 3, "it goes on voting"
        toy.touch_node("n1", maintenance=None)
        toy.run_until(lambda: settled_on(toy, web, "n1"), 30, "the return")
        toy.run(5)
        assert toy.guests[web].status.maintenance_node is None
        assert "Drained" not in conditions(toy, "n1")

    def test_a_guest_runs_on_until_its_target_is_armed(self, toy, web):
        toy.touch_node("n1", maintenance="")
        while toy.running(web) == ["n1"]:
            before = toy.guests[web].status
            toy.step()
        target = before.target
        assert target == "n2"
        assert toy.nodes[target].status.watchdog.armed, "it was stopped only after that"

    def test_nothing_starts_there(self, toy):
        for name in ("n1", "n2"):
            toy.touch_node(name, maintenance="")
        toy.run(2)
        keys = [toy.add_guest(f"g{i}") for i in range(3)]
        toy.run_until(lambda: all(settled_on(toy, key, "n3") for key in keys), 30, "starts")

    def test_it_survives_a_change_of_leader(self, toy, web):
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        toy.managers.clear()
        toy.manager()
        toy.run(10)
        assert toy.nodes["n1"].status.state is NodeState.MAINTENANCE
        toy.touch_node("n1", maintenance=None)
        toy.run_until(lambda: settled_on(toy, web, "n1"), 30, "the return")

    def test_a_guest_that_is_starting_goes_as_well(self, toy):
        key = toy.add_guest()
        toy.slow.add(key)
        toy.run_until(lambda: toy.running(key) == ["n1"], 20, "it runs, not Ready")
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: toy.running(key) == ["n2"], 30, "the move")
        assert (toy.guests[key].status.restarts, toy.guests[key].status.failed_nodes) == (0, ())

    def test_stopped_and_ignored_guests_stay(self, toy, web):
        toy.edit_guest(web, wanted=Wanted.IGNORED)
        toy.run(2)
        toy.touch_node("n1", maintenance="")
        toy.run(30)
        assert toy.running(web) == ["n1"]
        assert toy.nodes["n1"].status.message == "in maintenance: 1 guest to leave it"


class TestNowhereToGo:
    def test_it_runs_on_and_the_node_says_why(self, toy, web):
        cordon(toy, "n2", "n3")
        toy.touch_node("n1", maintenance="disk")
        toy.run(30)
        assert toy.running(web) == ["n1"]
        drained = conditions(toy, "n1")["Drained"]
        assert (drained.status, drained.reason) == ("False", "NowhereToGo")
        assert "ct:default/web has nowhere to go: n1: it is in maintenance; n2, n3: it is cordoned" in drained.message
        assert conditions(toy, "n1")["Stalled"].status == "True"
        assert "no other node can run it" in toy.guests[web].status.message
        uncordon(toy, "n3")
        toy.run_until(lambda: settled_on(toy, web, "n3"), 30, "a place")

    def test_a_target_that_is_lost_before_it_is_armed_does_not_stop_the_guest(self, toy, web):
        toy.machines["n2"].agent = False
        toy.machines["n3"].agent = False
        toy.touch_node("n1", maintenance="")
        toy.run(3)
        assert state(toy, web) in {S.STARTED, S.RELOCATE}
        toy.run(60)
        assert toy.running(web) == ["n1"]


class TestLosses:
    def test_a_node_in_maintenance_that_dies_is_fenced_as_any_other(self, toy, web):
        cordon(toy, "n2", "n3")
        toy.touch_node("n1", maintenance="")
        toy.run(5)
        uncordon(toy, "n2", "n3")
        toy.power_off("n1")
        toy.run_until(lambda: toy.running(web) in (["n2"], ["n3"]), 40, "recovery")
        assert toy.nodes["n1"].status.state is NodeState.FENCE
        toy.power_on("n1")
        toy.run_until(lambda: toy.nodes["n1"].status.state is NodeState.MAINTENANCE, 60, "it is back, in maintenance")

    def test_recovery_elsewhere_forgets_where_it_came_from(self, toy, web):
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        toy.power_off("n2")
        toy.run_until(lambda: settled_on(toy, web, "n3"), 40, "recovery")
        toy.power_on("n2")
        toy.touch_node("n1", maintenance=None)
        toy.run(60)
        assert toy.running(web) == ["n3"]
        assert toy.guests[web].status.maintenance_node is None

    def test_a_move_by_hand_does_not(self, toy, web):
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        toy.touch_guest(web, command="1 relocate n3")
        toy.run_until(lambda: settled_on(toy, web, "n3"), 30, "the move by hand")
        toy.touch_node("n1", maintenance=None)
        toy.run_until(lambda: settled_on(toy, web, "n1"), 30, "the return")

    def test_a_person_cannot_move_it_back_too_early(self, toy, web):
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        toy.touch_guest(web, command="1 relocate n1")
        toy.run(10)
        assert toy.guests[web].status.last_command.result == "refused: n1: it is in maintenance"
        assert toy.running(web) == ["n2"]

    def test_it_does_not_return_to_a_node_that_cannot_run_it(self, toy, web):
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: settled_on(toy, web, "n2"), 30, "the move")
        cordon(toy, "n1")
        toy.touch_node("n1", maintenance=None)
        toy.run(20)
        assert toy.running(web) == ["n2"]
        uncordon(toy, "n1")
        toy.run_until(lambda: settled_on(toy, web, "n1"), 30, "the return")


def test_without_quorum_nothing_moves(toy, web):
    for name in ("n2", "n3"):
        toy.power_off(name)
    toy.run(20)
    toy.touch_node("n1", maintenance="")
    toy.run(30)
    assert toy.running(web) == ["n1"]


def test_a_move_that_is_asked_for_waits_for_an_armed_target(toy, web):
    """As a relocation by hand does: it is not stopped for a node that never arms."""
    toy.machines["n2"].network = False
    toy.run(4)
    toy.touch_guest(web, command="1 relocate n2")
    toy.run(60)
    assert toy.running(web) == ["n1"]
    assert state(toy, web) is S.STARTED


class TestRules:
    """Rules hold while a node is emptied and when its guests return."""

    def rule(self, toy, affinity, *names):
        keys = tuple(GuestKey("default", name) for name in names)
        rule = Rule("r", Guests(keys), peers=GuestAffinity(affinity))
        toy.cluster = replace(
            toy.cluster, spec=replace(toy.cluster.spec, rules=(rule,)), resource_version=toy.version()
        )
        return keys

    def test_a_pair_leaves_together_and_returns_together(self, toy):
        """Proxmox leaves it where it went: each member is held there by the other one."""
        pair = self.rule(toy, Affinity.TOGETHER, "a", "b")
        for name in ("a", "b"):
            toy.add_guest(name)
        toy.run_until(lambda: all(settled_on(toy, key, "n1") for key in pair), 60, "both on one node")
        toy.touch_node("n1", maintenance="")
        toy.run_until(lambda: not toy.nodes["n1"].status.guests, 60, "the move")
        toy.run_until(lambda: all(settled_on(toy, key, "n2") for key in pair), 30, "both on one node")
        toy.touch_node("n1", maintenance=None)
        toy.run_until(lambda: all(settled_on(toy, key, "n1") for key in pair), 60, "the return")
        toy.run(70)
        assert all(settled_on(toy, key, "n1") for key in pair)

    def test_guests_apart_do_not_meet_where_they_move_to(self, toy):
        apart = self.rule(toy, Affinity.APART, "a", "b", "c")
        for name in ("a", "b", "c"):
            toy.add_guest(name)
        toy.run_until(lambda: len({tuple(toy.running(key)) for key in apart}) == 3, 60, "a node each")
        toy.run_until(lambda: all(state(toy, key) is S.STARTED for key in apart), 30, "all run")
        (there,) = (key for key in apart if toy.running(key) == ["n1"])
        toy.touch_node("n1", maintenance="")
        toy.run(60)
        assert toy.running(there) == ["n1"], "no node is free for it"
        drained = conditions(toy, "n1")["Drained"]
        assert drained.reason == "NowhereToGo"
        assert "rule r keeps it apart from" in drained.message

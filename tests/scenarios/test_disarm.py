"""Disarm: hands off for a while with the watchdogs released. What a disarmed node ran is not over by its silence."""

import pytest

from quorate.core.status import DisarmState
from quorate.core.types import DisarmMode, EvidenceKind, GuestState, NodeName, NodeState, UpdatePolicy, Wanted
from quorate.core.world import Template
from tests.scenarios.looks import settled_on, state
from tests.toy import Toy
from tests.toy.parts import Machine

S = GuestState
LONG_S = 60.0
"""Longer than any threshold of the profile."""


def disarmed(toy: Toy) -> bool:
    status = toy.cluster.status.disarm
    return status is not None and status.state is DisarmState.DISARMED


def disarm(toy: Toy, mode: DisarmMode = DisarmMode.FREEZE, for_s: float = 600.0) -> None:
    toy.disarm(mode, for_s)
    toy.run_until(lambda: disarmed(toy), 20, "disarming")


def armed(toy: Toy, node: str) -> bool:
    watchdog = toy.nodes[node].status.watchdog
    return watchdog is not None and watchdog.armed and toy.machines[node].device.open


def another_leader(toy: Toy) -> None:
    for manager in toy.managers:
        manager.stopped = True
    toy.managers.clear()
    toy.manager()


def confirm_off(toy: Toy, node: str) -> None:
    incident = toy.nodes[node].status.incident
    toy.touch_node(node, confirm=f"{incident.id}/{incident.nonce}/admin")


def condition(toy: Toy, name: str):
    return next((one for one in toy.cluster.status.conditions if one.type == name), None)


class TestHandsOff:
    def test_no_node_resets_itself_however_long_the_control_plane_is_away(self, toy, web):
        disarm(toy)
        boots = {name: machine.boot for name, machine in toy.machines.items()}
        assert not any(machine.device.open for machine in toy.machines.values())
        for machine in toy.machines.values():
            machine.network = False
        toy.managers.clear()
        toy.run(2 * LONG_S)
        for machine in toy.machines.values():
            machine.network = True
        toy.manager()
        toy.run(LONG_S)
        assert {name: machine.boot for name, machine in toy.machines.items()} == boots
        assert toy.running(web) == ["n1"]
        assert disarmed(toy)

    def test_it_says_until_when_and_why(self, toy, web):
        disarm(toy)
        status = toy.cluster.status
        assert status.message.startswith("disarmed until ")
        assert "(new switch): nothing is fenced, recovered, started or moved" in status.message
        assert status.fencing == "Disarmed"
        assert (condition(toy, "Armed").status, condition(toy, "Armed").reason) == ("False", "Disarmed")

    def test_a_node_that_is_lost_meanwhile_is_seen_and_left(self, toy, web):
        disarm(toy)
        toy.power_off("n1")
        toy.run(LONG_S)
        assert toy.nodes["n1"].status.state is NodeState.FENCE
        assert "nothing is done: HA is disarmed until" in toy.nodes["n1"].status.message
        assert "n1 is lost" in toy.guests[web].status.message
        assert toy.leases["n1"].holder == "n1.1", "its Lease was not taken"
        assert not toy.kube["n1"].taints
        assert toy.running(web) == []

    def test_nothing_new_starts_moves_or_stops(self, toy, web):
        disarm(toy)
        new = toy.add_guest("new")
        toy.edit_guest(web, wanted=Wanted.STOPPED)
        toy.touch_node("n1", maintenance="work")
        toy.run(LONG_S)
        assert toy.running(web) == ["n1"]
        assert toy.running(new) == []
        assert "nothing is done with it: HA is disarmed until" in toy.guests[new].status.message
        toy.arm()
        toy.run_until(lambda: toy.running(new) and not toy.running(web), LONG_S, "what was wished meanwhile")

    def test_a_command_is_refused_and_does_not_wait_for_its_hour(self, toy, web):
        disarm(toy)
        toy.touch_guest(web, command="1 relocate n2")
        toy.run(5)
        last = toy.guests[web].status.last_command
        assert not last.accepted
        assert last.result.startswith("refused: HA is disarmed until")
        toy.arm()
        toy.run(LONG_S)
        assert toy.running(web) == ["n1"]

    def test_a_node_that_joins_meanwhile_is_not_armed_either(self, toy, web):
        disarm(toy)
        toy.power_off("n2")
        toy.run(LONG_S)
        toy.power_on("n2")
        toy.run(LONG_S)
        assert toy.nodes["n2"].status.state is NodeState.ONLINE
        assert toy.nodes["n2"].status.arming.released

    def test_what_is_deleted_by_hand_may_go_with_ignore_and_stays_with_freeze(self, toy, web):
        disarm(toy, DisarmMode.IGNORE)
        toy.delete_pod_by_hand(web)
        toy.run_until(lambda: web not in toy.pods, LONG_S, "the Pod gone")
        toy.run(LONG_S)
        assert toy.running(web) == [], "and nothing is started in its place"
        toy.arm()
        toy.run_until(lambda: len(toy.running(web)) == 1, LONG_S, "the guest is started again")
        disarm(toy)
        toy.delete_pod_by_hand(web)
        toy.run(LONG_S)
        assert web in toy.pods


class TestDeferred:
    def test_a_recovery_is_finished_first(self, toy, web):
        toy.power_off("n1")
        toy.run_until(lambda: state(toy, web) is S.FENCE, LONG_S, "the loss is seen")
        toy.disarm()
        toy.run(1)
        assert toy.cluster.status.disarm.state is DisarmState.DISARMING
        assert "waits for ct:default/web (in fence)" in toy.cluster.status.message
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert settled_on(toy, web, "n2"), "it was recovered before that"

    def test_a_move_is_finished_and_none_begins(self, toy, web):
        other = toy.add_guest("other")
        toy.run_until(lambda: state(toy, other) is S.STARTED, 20, "start")
        home = toy.running(other)
        toy.touch_guest(web, command="1 relocate n3")
        toy.run_until(lambda: state(toy, web) is S.RELOCATE, 20, "the move begins")
        toy.disarm()
        toy.touch_guest(other, command="1 relocate n3")
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert settled_on(toy, web, "n3")
        assert toy.running(other) == home
        assert not toy.guests[other].status.last_command.accepted

    def test_a_guest_that_is_being_replaced_is_started_again_first(self, toy, web):
        toy.delete_pod_by_hand(web)
        toy.run_until(lambda: state(toy, web) is S.RELOCATE, 20, "it is to be started again")
        toy.disarm()
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert len(toy.running(web)) == 1

    @pytest.mark.parametrize("why", ["a move", "a new template"])
    def test_one_that_was_stopped_to_run_again_and_whose_target_goes_meanwhile_is_started_first(self, toy, web, why):
        if why == "a move":
            toy.touch_guest(web, command="1 relocate n3")
        else:
            toy.edit_guest(web, template=Template("t2"), update_policy=UpdatePolicy.RECREATE)
        toy.run_until(lambda: toy.guests[web].status.instance.stopping, 30, "it is being stopped")
        for name in toy.kube:
            toy.touch_kube(name, unschedulable=True)
        toy.disarm()
        toy.run(LONG_S / 2)
        assert not toy.running(web)
        assert toy.cluster.status.disarm.state is DisarmState.DISARMING
        assert "waits for ct:default/web (in starting)" in toy.cluster.status.message
        toy.touch_kube("n2", unschedulable=False)
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert settled_on(toy, web, "n2")

    def test_one_that_a_person_stops_meanwhile_defers_it_no_longer(self, toy, web):
        toy.touch_guest(web, command="1 relocate n3")
        toy.run_until(lambda: toy.guests[web].status.instance.stopping, 30, "it is being stopped")
        for name in toy.kube:
            toy.touch_kube(name, unschedulable=True)
        toy.disarm()
        toy.run(5)
        toy.edit_guest(web, wanted=Wanted.STOPPED)
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert not toy.running(web)

    def test_one_that_no_node_can_run_does_not_defer_it(self, toy, web):
        for name in toy.kube:
            toy.touch_kube(name, unschedulable=True)
        stuck = toy.add_guest("stuck")
        toy.run(5)
        assert "no node can run it" in toy.guests[stuck].status.message
        disarm(toy)
        assert toy.running(web) == ["n1"]

    def test_a_loss_while_it_is_deferred_is_recovered_too(self, toy, web):
        toy.touch_guest(web, command="1 relocate n3")
        toy.run_until(lambda: state(toy, web) is S.RELOCATE, 20, "the move begins")
        toy.disarm()
        toy.power_off("n1")
        toy.power_off("n3")
        toy.power_on("n3")
        toy.run_until(lambda: disarmed(toy), 2 * LONG_S, "disarming")
        assert len(toy.running(web)) == 1

    def test_without_quorum_it_waits(self, toy, web):
        toy.power_off("n2")
        toy.power_off("n3")
        toy.run_until(lambda: not toy.cluster.status.quorate, LONG_S, "loss of quorum")
        toy.disarm()
        toy.run(LONG_S)
        assert toy.cluster.status.disarm.state is DisarmState.DISARMING
        assert armed(toy, "n1")
        toy.power_on("n2")
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")


class TestLeaders:
    @pytest.mark.parametrize("calls", range(8))
    def test_one_that_dies_while_it_disarms_is_followed_by_one_that_goes_on(self, toy, web, calls):
        toy.disarm()
        for _ in range(3):
            leader = toy.managers[0]
            leader.act(leader.decide(), limit=calls)
            another_leader(toy)
            toy.step(act=False)
        toy.run_until(lambda: disarmed(toy), LONG_S, "disarming")
        assert toy.running(web) == ["n1"]
        another_leader(toy)
        toy.run(LONG_S)
        assert disarmed(toy), "and who comes after finds it so"
        assert not armed(toy, "n1")

    def test_one_that_comes_after_the_end_arms(self, toy, web):
        disarm(toy, for_s=60)
        toy.managers.clear()
        toy.run(120)
        toy.manager()
        toy.run_until(lambda: armed(toy, "n1"), 20, "arming")
        assert toy.running(web) == ["n1"]


def test_a_history_that_runs_backwards_meanwhile_does_not_forget_it(toy, web):
    disarm(toy)
    copy = toy.copy()
    toy.run(5)
    toy.restore(copy)
    toy.run_until(lambda: toy.cluster.status.rewind is not None, 20, "the restore is noticed")
    toy.run(5)
    assert disarmed(toy)
    toy.accept_history()
    toy.run(LONG_S)
    assert disarmed(toy)
    assert not armed(toy, "n1")


@pytest.mark.parametrize("leader", ["the same", "another"])
def test_a_copy_from_before_says_armed_and_is_not_believed(toy, web, leader):
    copy = toy.copy()
    disarm(toy)
    toy.machines["n1"].network = False
    toy.run(2)
    toy.restore(copy)
    if leader == "another":
        another_leader(toy)
    toy.run(3 * LONG_S)
    assert toy.leases["n1"].attestation.armed, "as it was once"
    assert toy.running(web) == ["n1"]


class TestArm:
    def test_at_its_end_ha_arms_itself(self, toy, web):
        disarm(toy, for_s=60)
        toy.run_until(lambda: armed(toy, "n1"), 90, "arming at the end")
        status = toy.cluster.status
        assert status.disarm is None
        assert condition(toy, "Armed").reason == "DisarmIsOver"
        toy.arm()
        toy.run(1)
        assert condition(toy, "Armed") is None
        toy.power_off("n1")
        toy.run_until(lambda: settled_on(toy, web, "n2"), LONG_S, "recovery as ever")

    def test_who_was_lost_while_disarmed_waits_for_a_proof(self, toy, web):
        """It may be cut off only, and run on: its last word was that it is not armed."""
        disarm(toy)
        toy.machines["n1"].network = False
        toy.run(LONG_S)
        toy.arm()
        toy.run(3 * LONG_S)
        assert toy.running(web) == ["n1"], "it does run on"
        assert state(toy, web) is S.FENCE
        assert "quorate fence confirm n1" in toy.nodes["n1"].status.message
        another_leader(toy)
        toy.run(3 * LONG_S)
        assert toy.running(web) == ["n1"]
        toy.power_off("n1")
        confirm_off(toy, "n1")
        toy.run_until(lambda: settled_on(toy, web, "n2"), LONG_S, "recovery by a person's word")

    def test_who_was_only_cut_off_goes_on_in_the_same_boot(self, toy, web):
        disarm(toy)
        toy.machines["n1"].network = False
        toy.run(LONG_S)
        toy.arm()
        toy.run(LONG_S)
        toy.machines["n1"].network = True
        toy.run_until(lambda: settled_on(toy, web, "n1") and armed(toy, "n1"), LONG_S, "its return")
        assert toy.machines["n1"].boot == 1

    def test_who_was_lost_after_it_but_not_armed_yet_waits_for_a_proof(self, toy, web):
        disarm(toy)
        toy.arm()
        toy.machines["n1"].network = False
        toy.run(3 * LONG_S)
        assert toy.running(web) == ["n1"]
        assert state(toy, web) is S.FENCE

    def test_a_lease_that_vanishes_meanwhile_proves_nothing(self, toy, web):
        """The manager saw it armed last: it slept while the agent let go, and then the Lease was deleted."""
        leader = toy.managers[0]
        toy.disarm()
        toy.run_until(lambda: toy.nodes["n1"].status.arming.released, 20, "the order to let go")
        while toy.machines["n1"].device.open:
            toy.step(act=False)
        toy.machines["n1"].network = False
        del toy.leases["n1"]
        assert leader.beats["n1"].attestation.armed
        toy.arm()
        toy.run(3 * LONG_S)
        assert toy.running(web) == ["n1"]

    def test_a_new_boot_seen_while_disarmed_is_proof_for_whoever_leads_after(self, toy, web):
        """Its signs fade with the manager that saw both boots: so it is written down, and used when HA is armed."""
        disarm(toy)
        toy.reset("n1")
        toy.run(LONG_S)
        assert toy.running(web) == []
        evidence = toy.nodes["n1"].status.incident.evidence
        assert [one.kind for one in evidence] == [EvidenceKind.NEW_BOOT]
        another_leader(toy)
        toy.run(LONG_S)
        assert toy.running(web) == []
        toy.arm()
        toy.run_until(lambda: len(toy.running(web)) == 1, LONG_S, "recovery after arming")

    def test_a_second_disarm_with_another_end_only_moves_the_end(self, toy, web):
        disarm(toy, for_s=60)
        toy.disarm(for_s=600)
        toy.run(120)
        assert disarmed(toy)
        assert not armed(toy, "n1")


def test_a_copy_of_a_disarmed_machine_proves_nothing_of_it(toy, web):
    """The managers died after the order to let go and before they saw it obeyed: "armed" is not its last word."""
    toy.disarm(for_s=40)
    while not toy.nodes["n1"].status.arming.released:
        toy.step()
    for manager in toy.managers:
        manager.stopped = True
    toy.managers.clear()
    assert toy.nodes["n1"].status.watchdog.armed, "as it was seen last"
    toy.run(5)
    assert not toy.leases["n1"].attestation.armed
    toy.machines["n1"].network = False
    toy.machines[NodeName("copy")] = Machine(NodeName("n1"), boot=9, booted_s=toy.now_s - 500)
    toy.run(1)
    toy.manager()
    toy.run(150)
    assert toy.nodes["n1"].status.incident is not None
    assert toy.running(web) == ["n1"]

"""Ways to run a guest twice, to kill a healthy node or to leave a guest down, found by looking for them."""

from dataclasses import replace

import pytest

from quorate.core import selffence
from quorate.core.actions import CreatePod, RemovePod, StopPod, TakeLease
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.pods import ContainerView
from quorate.core.selectors import Taint
from quorate.core.status import Evidence
from quorate.core.stopped import from_pod, guessed
from quorate.core.types import FENCE_TAINT, EvidenceKind, GuestState, NodeState, Stage, Uid, Wanted
from tests.scenarios.looks import state
from tests.unit.core.worlds import NOW, WALL, beat, guest, incident, instance, node, pod, world

S = GuestState
RUNNING = pod()


def fail_over(toy):
    toy.managers[0].stopped = True
    toy.managers.clear()
    return toy.manager()


def test_a_reinstallation_does_not_start_what_still_runs(toy, web):
    """The agent disarms over its guest and goes, its Lease goes too, and only then a manager comes that saw neither."""
    toy.managers[0].stopped = True
    toy.managers.clear()
    machine = toy.machines["n1"]
    machine.giving_up = True
    for _ in range(6):
        toy.step(act=False)
    assert not toy.leases["n1"].attestation.armed
    machine.agent, machine.petted_s, machine.device = False, None, selffence.Device()
    del toy.leases["n1"]
    toy.manager()
    toy.run(60)
    assert toy.running(web) == ["n1"]
    assert "quorate fence confirm n1" in toy.nodes["n1"].status.message


def test_a_lease_that_is_deleted_from_a_dead_node_under_the_managers_eyes_is_missed_for_t(toy, web):
    toy.power_off("n1")
    del toy.leases["n1"]
    took = toy.run_until(lambda: toy.running(web) == ["n2"], 40, "recovery")
    assert took > toy.timing.release_after_s


class TestDrained:
    """The agent looked, attested "none run here" and left; a Pod made at that moment may start all the same."""

    def after_the_lease_is_taken(self, *named):
        proof = Evidence(EvidenceKind.DRAINED, WALL, 50, "", named)
        case = incident(stage=Stage.FENCED, evidence=(proof,))
        lost = node("n1", beat=beat("n1", holder="fenced/n1-x/n1.1"), status={"incident": case})
        ran = guest(status={"instance": instance(), "state": S.FENCE, "ready": False})
        made = plan(world(nodes=(lost, node("n2"), node("n3")), guests=(ran,)))
        return [action.forced for action in made.actions if isinstance(action, RemovePod)]

    def test_one_that_it_did_not_name_is_not_released_whatever_the_kubelet_says_now(self):
        assert self.after_the_lease_is_taken() == []
        assert self.after_the_lease_is_taken(Uid("pod-2")) == []

    def test_one_that_it_named_is(self):
        assert self.after_the_lease_is_taken(Uid("pod-1")) == [True]

    def test_a_pod_that_is_only_found_then_is_not_released_either(self):
        left = node("n1", beat=beat("n1", 0.5, drained=True, armed=False, left=(Uid("pod-2"),)))
        found = guest(status={"instance": None, "state": S.QUEUED, "ready": False})
        seen = world(nodes=(left, node("n2"), node("n3")), guests=(found,))
        made = plan(seen)
        written = next(write.status for write in made.statuses if write.ref.kind == "HAResource")
        assert written.instance is not None
        assert not written.instance.ended
        assert check(seen, made) == ()


def test_a_fenced_boot_that_holds_a_lease_again_loses_it_again():
    """Somebody deleted the fenced Lease, and the boot whose guests were released made itself a new one."""
    proof = Evidence(EvidenceKind.HUMAN_ACK, WALL, 50, "")
    case = incident(stage=Stage.FENCED, evidence=(proof,))
    back = node("n1", beat=beat("n1", 0.5, sequence=51), status={"state": NodeState.FENCE, "incident": case})
    seen = world(nodes=(back, node("n2"), node("n3")))
    made = plan(seen)
    assert [action for action in made.actions if isinstance(action, TakeLease)] == [
        TakeLease("n1", "n1-x", "n1.1", "lease-n1", "77")
    ]
    assert check(seen, made) == ()


class TestRefusedAfterItRan:
    """A restarted kubelet refuses a Pod that had run: it drops the container statuses, and nobody knows what runs."""

    refused = pod(phase="Failed", reason="TaintToleration", ready=False, containers=(ContainerView("main"),))

    def judge(self, **attested):
        there = node("n1", beat=beat("n1", **attested))
        seen = world(nodes=(there, node("n2"), node("n3")), guests=(guest(pod=self.refused),))
        made = plan(seen)
        return {write.ref.kind: write.status for write in made.statuses if write.ref.name in {"n1", "web"}}

    def test_alone_it_proves_nothing(self):
        assert from_pod(self.refused, began=True, started=True) is None
        assert guessed(self.refused)

    def test_the_agent_is_asked(self):
        assert self.judge()["Node"].asks == ("pod-1",)

    def test_its_word_makes_it_a_fact(self):
        assert self.judge(idle=("pod-1",))["HAResource"].instance.ended

    def test_a_pod_that_somebody_else_declared_failed_is_not_asked_about(self):
        """PodGC sets Failed while containers run, and the kubelet goes on."""
        assert not guessed(replace(self.refused, reason="NodeLost"))


def test_silence_of_a_lease_that_was_never_armed_is_announced_as_waiting_for_a_person():
    silent = node("n1", beat=None, lease_missing_s=NOW - 20)
    made = plan(world(nodes=(silent, node("n2"), node("n3")), guests=(guest(),)))
    written = next(write.status for write in made.statuses if write.ref.name == "n1")
    assert written.incident.release_by is None
    assert "quorate fence confirm n1" in written.message


def test_a_node_that_was_deleted_by_force_after_it_died_is_fenced_when_it_is_enrolled_again(toy, web):
    """Its Lease still names the boot of the guest, and nobody renews it."""
    toy.power_off("n1")
    toy.power_off("n2")
    toy.run(20)
    del toy.nodes["n1"]
    toy.power_on("n2")
    toy.run_until(lambda: toy.running(web) == ["n2"], 60, "recovery")


def test_and_when_its_lease_had_been_taken_a_person_releases_the_guest():
    seen = world(
        nodes=(
            node("n1", beat=beat("n1", 60, holder="fenced/n1-x/n1.1"), status={"nonce": None}),
            node("n2"),
            node("n3"),
        ),
        guests=(guest(),),
    )
    status = next(write.status for write in plan(seen).statuses if write.ref.name == "n1")
    assert status.nonce == "n1.1"


def test_a_finalizer_that_somebody_took_off_a_running_guest_is_put_back(toy, web):
    """Else `kubectl delete` would make Quorate forget what still runs."""
    toy.touch_guest(web, held=False)
    toy.run(1)
    assert toy.guests[web].held
    toy.edit_guest(web, wanted=Wanted.STOPPED)
    toy.run_until(lambda: state(toy, web) is S.STOPPED, 10, "stop")
    assert not toy.guests[web].held


class TestWhatIsRememberedOfAnInstance:
    """Kubelets drop container statuses: what was once reported counts, not only what the last version says."""

    def after(self, *, pod=RUNNING, nodes=None, **status):
        seen = guest(pod=pod, status=status)
        made = plan(world(nodes=nodes, guests=(seen,)))
        written = [write.status for write in made.statuses if write.ref.kind == "HAResource"]
        return written[0] if written else seen.status

    def test_what_has_begun_or_started_stays_so(self):
        nothing = pod(phase="Failed", reason="TaintToleration", ready=False, containers=(ContainerView("main"),))
        found = self.after(pod=nothing).instance
        assert (found.began, found.started, found.ended) == (True, True, "")
        only_begun = self.after(pod=nothing, instance=instance(started=False)).instance
        assert (only_begun.began, only_begun.started, only_begun.ended) == (True, False, "")

    def test_a_start_is_seen_after_the_pod_was_known(self):
        gate = ContainerView("gate", init=True, state="running", started=True)
        waiting = pod(phase="Pending", ready=False, containers=(gate, ContainerView("main", state="waiting")))
        new = instance(began=False, started=False)
        found = self.after(pod=waiting, instance=new, state=S.STARTING, ready=False).instance
        assert (found.began, found.started) == (True, False)
        found = self.after(instance=new, state=S.STARTING, ready=False).instance
        assert (found.began, found.started) == (True, True)

    def test_another_pod_of_its_name_says_nothing_of_it(self):
        other = pod(uid="pod-2", phase="Failed", ready=True, containers=(ContainerView("main", state="terminated"),))
        found = self.after(pod=other)
        assert found.instance.uid == "pod-1"
        assert not found.instance.ended
        assert not found.ready

    def test_ready_is_what_runs_is_not_ended_and_is_not_on_its_way_out(self):
        assert self.after(ready=False).ready
        assert not self.after(pod=pod(deleting=True)).ready
        assert not self.after(pod=pod(ready=False)).ready
        assert not self.after(instance=instance(ended="it was recorded"), state=S.ERROR).ready
        lost = node("n1", beat=beat("n1", 9), status={"incident": incident()})
        assert not self.after(nodes=(lost, node("n2"), node("n3"))).ready

    def test_an_end_that_is_recorded_is_not_judged_anew(self):
        terminated = pod(
            phase="Failed", ready=False, containers=(ContainerView("main", state="terminated", exit_code=3),)
        )
        found = self.after(pod=terminated, instance=instance(ended="it was recorded"), state=S.ERROR)
        assert (found.instance.ended, found.last_termination) == ("it was recorded", None)

    def test_found_it_is_kept_only_if_it_is_ours_of_this_template_and_not_on_its_way_out(self):
        def adopted(**changes):
            return self.after(pod=pod(**changes), instance=None, state=S.QUEUED, ready=False).instance

        assert not adopted().stopping
        assert adopted(owner="an earlier HAResource").stopping
        assert adopted(template_hash="another").stopping
        assert adopted(deleting=True).stopping


class TestTheAgentsWord:
    """It makes a fact of what the kubelet only guessed, and of nothing else."""

    guess = pod(
        phase="Failed",
        ready=False,
        containers=(ContainerView("main", state="terminated", started=True, reason="ContainerStatusUnknown"),),
    )
    pending = pod(phase="Pending", ready=False, containers=(ContainerView("main", state="waiting"),))

    def ended(self, seen_pod, there, *, started=True):
        status = {"instance": instance(began=started, started=started), "state": S.STARTING, "ready": False}
        seen = guest(pod=seen_pod, status=status)
        made = plan(world(nodes=(there, node("n2"), node("n3")) if there else (node("n2"), node("n3")), guests=(seen,)))
        written = [write.status.instance for write in made.statuses if write.ref.kind == "HAResource"]
        return any(one is None or one.ended or one.id != "i1" for one in written)  # the next may be drawn at once

    def test_of_a_guess(self):
        assert self.ended(self.guess, node("n1", beat=beat("n1", idle=("pod-1",))))
        assert not self.ended(self.guess, node("n1"))

    def test_not_of_what_the_kubelet_has_yet_to_start(self):
        there = node("n1", beat=beat("n1", idle=("pod-1",), gone=("pod-1",)))
        assert not self.ended(self.pending, there, started=False)

    @pytest.mark.parametrize("phase", ["Failed", "Pending"])
    @pytest.mark.parametrize("deleting", [True, False])
    @pytest.mark.parametrize("gone", [True, False])
    def test_of_one_that_was_declared_failed_when_it_is_deleted_and_unknown_to_the_kubelet(self, phase, deleting, gone):
        declared = replace(self.pending, phase=phase, reason="NodeLost", deleting=deleting)
        there = node("n1", beat=beat("n1", idle=("pod-1",), gone=("pod-1",) if gone else ()))
        assert self.ended(declared, there, started=False) is (phase == "Failed" and deleting and gone)

    def test_of_a_pod_that_is_gone_only_when_the_kubelet_does_not_know_it_either(self):
        assert self.ended(None, node("n1", beat=beat("n1", idle=("pod-1",), gone=("pod-1",))))
        assert not self.ended(None, node("n1", beat=beat("n1", idle=("pod-1",))))

    def test_not_of_another_boot_nor_from_a_lease_it_was_not_written_for_nor_from_none(self):
        said = {"idle": ("pod-1",), "gone": ("pod-1",)}
        assert not self.ended(None, node("n1", beat=beat("n1", holder="n1.2", system_uuid="another", **said)))
        assert not self.ended(None, node("n1", beat=beat("n1", lease_uid="another", **said)))
        assert not self.ended(None, node("n1", beat=replace(beat("n1"), attestation=None)))
        assert not self.ended(None, node("n1", beat=None))
        assert not self.ended(None, None)


class TestAnotherPodUnderTheName:
    """Ours has ended; what stands there now is judged by itself."""

    def actions(self, **changes):
        other = pod(uid="pod-2", instance="i2", **changes)
        status = {"instance": instance(ended="it was recorded"), "state": S.STARTED, "ready": False}
        seen = world(guests=(guest(pod=other, status=status),))
        made = plan(seen)
        assert check(seen, made) == ()
        return [type(action) for action in made.actions if action.subject.kind == "HAResource"]

    def test_while_it_runs_it_is_stopped_and_not_removed(self):
        assert self.actions() == [StopPod]

    def test_when_it_has_ended_it_is_removed(self):
        assert self.actions(containers=(ContainerView("main", state="terminated", exit_code=0),)) == [RemovePod]


class TestWhatIsNotProven:
    """An instance is forgotten on a fact only, whatever became of its Pod object and whatever is asked of it."""

    def after(self, *, nodes=None, **changes):
        made = plan(world(nodes=nodes, guests=(guest(**changes),)))
        written = {write.ref.name: write.status for write in made.statuses}
        return written.get("web", guest(**changes).status), written.get("n1")

    @pytest.mark.parametrize("at", [S.STARTED, S.REQUEST_STOP, S.RELOCATE])
    def test_a_pod_object_that_vanished_is_asked_about(self, at):
        status, there = self.after(pod=None, status={"state": at})
        assert (status.instance.id, status.instance.ended) == ("i1", "")
        assert there.asks == ("pod-1",)

    def test_one_that_was_never_made_is_not(self):
        never = instance(uid=None, began=False, started=False)
        status, there = self.after(
            pod=None, spec={"wanted": Wanted.STOPPED}, status={"state": S.STARTING, "instance": never}
        )
        assert (status.state, status.instance) == (S.STOPPED, None)
        assert there.asks == ()

    def test_nothing_to_stop_is_stopped(self):
        status, _ = self.after(
            pod=None, spec={"wanted": Wanted.STOPPED}, status={"state": S.REQUEST_STOP, "instance": None}
        )
        assert status.state is S.STOPPED

    def test_another_instance_under_its_name_does_not_take_its_place(self):
        status, _ = self.after(pod=pod(uid="pod-2", instance="i2"))
        assert (status.instance.id, status.instance.ended) == ("i1", "")

    def test_but_takes_the_place_of_one_that_was_never_made(self):
        never = instance(uid=None, began=False, started=False)
        status, _ = self.after(pod=pod(uid="pod-2", instance="i2"), status={"state": S.STARTING, "instance": never})
        assert (status.instance.id, status.instance.stopping) == ("i2", True)

    def test_a_guest_of_the_new_boot_is_none_of_the_lost_ones(self):
        proof = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "")
        tainted = replace(node("n1").kube, taints=(Taint(FENCE_TAINT, "NoSchedule", "n1-x"),))
        status = {"incident": incident(stage=Stage.FENCED, evidence=(proof,))}
        lost = node("n1", beat=beat("n1", holder="n1.2"), kube=tainted, status=status)
        new = instance(nonce="n1.2")
        status, _ = self.after(nodes=(lost, node("n2"), node("n3")), pod=pod(nonce="n1.2"), status={"instance": new})
        assert status.state is S.STARTED

    def test_an_end_that_was_asked_for_is_no_failed_try(self):
        over = pod(phase="Failed", ready=False, containers=(ContainerView("main", state="terminated", exit_code=137),))
        for stopping, counted in ((True, False), (False, True)):
            status, _ = self.after(pod=over, status={"instance": instance(stopping=stopping), "state": S.RELOCATE})
            assert status.instance.counted is counted


def test_a_pod_that_podgc_declared_failed_before_it_ever_ran_does_not_hold_the_guest_for_ever(toy):
    """No container status will ever come: the kubelet leaves those of a Pod alone that has not passed its first init."""
    toy.machines["n1"].kubelet = False
    key = toy.add_guest()
    toy.run(5)
    assert toy.pods[key].view.phase == "Pending"
    toy._report(toy.pods[key], phase="Failed", reason="NodeLost")
    toy.run(2)
    toy.machines["n1"].kubelet = True
    toy.run_until(lambda: toy.running(key) != [], 20, "start")
    assert toy.guests[key].status.restarts == 0


def test_nor_is_it_let_go_while_it_runs_after_all(toy, web):
    toy.pods[web].view = replace(
        toy.pods[web].view, phase="Failed", reason="NodeLost", containers=(ContainerView("main"),)
    )
    toy.machines["n1"].kubelet = False
    toy.run(30)
    assert toy.running(web) == ["n1"]


def test_a_quick_reboot_is_no_failed_try(toy):
    """Its kubelet is back first and says 255 Unknown, before the agent renews and before anybody is suspected."""
    key = toy.add_guest(max_restart=0, max_relocate=0)
    toy.run_until(lambda: state(toy, key) is S.STARTED, 20, "start")
    machine = toy.machines["n1"]
    toy.power_off("n1")
    toy.power_on("n1")
    machine.agent = False
    toy.run(2)
    assert toy.pods[key].view.containers[0].exit_code == 255
    assert state(toy, key) is S.STARTED, "a guess of the runtime proves nothing"
    machine.agent = True
    toy.run_until(lambda: toy.running(key) != [], 30, "the guest runs again")
    toy.run(20)
    status = toy.guests[key].status
    assert (status.state, status.tries) == (S.STARTED, "0/0 0/0")
    assert status.last_termination.reason == "NodeLost"


def test_a_guest_of_a_node_that_has_no_cr_is_in_fence(toy, web):
    """Somebody took the finalizer off the Node CR and deleted it, and nothing brings it back: its guest is not fine."""
    toy.kube.pop("n1")
    toy.power_off("n1")
    del toy.nodes["n1"]
    toy.run(60)
    status = toy.guests[web].status
    assert status.state is S.FENCE
    assert not status.ready
    assert status.message.startswith("n1, where it ran, has no Node in Quorate")
    assert toy.running(web) == []


def test_a_guest_whose_node_cr_is_back_goes_on(toy, web):
    """Made anew by enrolment, in the same boot: the guest never stopped."""
    kube, before = toy.kube.pop("n1"), toy.guests[web].status.instance
    del toy.nodes["n1"]
    toy.run(5)
    assert state(toy, web) is S.FENCE
    toy.kube["n1"] = kube
    toy.run_until(lambda: state(toy, web) is S.STARTED, 20, "back")
    assert toy.guests[web].status.instance == before
    assert toy.running(web) == ["n1"]


def test_a_target_that_does_not_arm_is_given_up_for_another(toy):
    """Its device cannot be opened. A guest that waited for it would wait for ever, with two good nodes beside it."""
    toy.machines["n1"].giving_up = True
    key = toy.add_guest()
    toy.run_until(lambda: toy.running(key) == ["n2"], 90, "it starts elsewhere")


def test_of_nodes_that_do_not_arm_each_is_tried_once_and_the_good_one_is_reached(toy):
    """Two broken devices: to forget the first while the second is tried would mean to try them in turn for ever."""
    for name in ("n1", "n2"):
        toy.machines[name].giving_up = True
    key = toy.add_guest()
    toy.run_until(lambda: toy.running(key) == ["n3"], 120, "it starts on the only good node")
    assert toy.nodes["n1"].status.arming.failed
    second = toy.add_guest("second")
    toy.run_until(lambda: toy.running(second) == ["n3"], 20, "it is not tried on a broken one first")


def test_a_node_that_arms_again_is_as_good_as_any(toy):
    toy.machines["n1"].giving_up = True
    key = toy.add_guest()
    toy.run_until(lambda: toy.running(key) == ["n2"], 90, "it starts elsewhere")
    toy.machines["n1"].giving_up = False
    toy.touch_guest(key, command="1 relocate n1")
    toy.run_until(lambda: toy.running(key) == ["n1"], 60, "a person knows that it was mended")
    toy.run(5)
    assert not toy.nodes["n1"].status.arming.failed


def test_an_instance_that_was_never_made_does_not_wait_for_a_node_that_is_gone(toy):
    """It is drawn, its node loses its CR, and no Pod was ever made: nothing of it can run anywhere."""
    manager = toy.managers[0]
    key = toy.add_guest()
    for _ in range(60):
        toy.step(act=False)
        made = manager.decide()
        if any(isinstance(action, CreatePod) for action in made.actions):
            break
        manager.act(made)
    for write in made.statuses:
        manager._write(write)  # and dies before the Pod
    assert toy.guests[key].status.instance.node == "n1"
    fail_over(toy)
    toy.kube.pop("n1")
    toy.power_off("n1")
    del toy.nodes["n1"]
    toy.run_until(lambda: toy.running(key) == ["n2"], 60, "it starts on another node")

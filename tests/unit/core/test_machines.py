"""A virtual machine's round: what is asked of KubeVirt, when a launcher is bound, and when nothing is."""

from dataclasses import replace

import pytest

from quorate.core.actions import (
    BindLauncher,
    EvictPod,
    HaltMachine,
    Plan,
    RemoveStuckPod,
    ReturnMachine,
    RunMachine,
    SetFinalizer,
    StatusWrite,
    TakeMachine,
)
from quorate.core.invariants import check
from quorate.core.machines import Claim, owners
from quorate.core.pods import ContainerView
from quorate.core.status import Termination
from quorate.core.types import GuestKey, GuestState, InstanceId, Instant, NodeName, Nonce, Uid, Wanted, node_ref
from quorate.core.workloads import KubeletLook
from tests.unit.core import workload_worlds
from tests.unit.core.machine_worlds import (
    KEY,
    RUN,
    drawn,
    guest,
    launcher,
    machine,
    n1,
    outcome,
    planned,
    record,
    waiting,
)
from tests.unit.core.worlds import NOW, WALL, beat, instance, node, said, world

S = GuestState
QUEUED = {"state": S.QUEUED, "ready": False, "ready_since": None, "instance": None, "pods": (), "node": None}
STARTING = {"state": S.STARTING, "ready": False, "ready_since": None, "pods": ()}
ENDED = (ContainerView("compute", state="terminated", started=True, exit_code=1, reason="Error"),)
LOST = KubeletLook(workload_worlds.fenced().id, "k/7", NOW - 20, NOW - 1)


def test_one_that_runs_and_is_taken_over_is_left_alone():
    status, actions = outcome(guest(machine(launcher())))
    assert (status.state, status.message, actions) == (S.STARTED, "runs on n1", [])
    assert status.guest == "vm:default/win"
    again = planned(replace(guest(machine(launcher())), status=status))
    assert [write for write in again.statuses if write.ref == KEY.ref] == []


def asked_of_n1(*launchers, **changes):
    made = planned(guest(machine(*launchers), **changes))
    return next((write.status.asks for write in made.statuses if write.ref == node_ref(NodeName("n1"))), ())


def test_its_agent_is_asked_about_a_launcher_that_runs():
    """It bears no label of ours: the agent is to stay armed for it, also while it leaves."""
    assert asked_of_n1(launcher()) == ("pod-1",)


def test_no_agent_is_asked_about_a_launcher_that_has_not_started():
    """Or its answer that nothing of it runs yet could be taken for the end of it."""
    bare = (ContainerView("compute", state="waiting"),)
    one = launcher(phase="Pending", ready=False, containers=bare, instance=InstanceId("i1"))
    assert asked_of_n1(one, status={**STARTING, "instance": drawn(), "pods": (record(),)}) == ()


TORN_OUT = record("n2", name="virt-launcher-win-2", uid=Uid("pod-2"))
RESTS = {"state": S.STARTING, "ready": False, "ready_since": None, "instance": None, "pods": (TORN_OUT,)}
HALTED = {"strategy": "Halted", "instance": None}


def test_a_launcher_that_is_gone_without_proof_is_not_forgotten():
    made = planned(guest(machine(**HALTED), status=RESTS))
    after = {write.ref: write.status for write in made.statuses}
    words = "launcher virt-launcher-win-2 is gone without proof of its end: waiting for the word of the agent of n2"
    assert after[KEY.ref].message == words
    assert (after[KEY.ref].instance, after[KEY.ref].pods) == (None, (TORN_OUT,))
    assert after[node_ref(NodeName("n2"))].asks == ("pod-2",)


@pytest.mark.parametrize(
    "n2",
    [
        node("n2", beat=beat("n2", attestation=said("n2", gone=(Uid("pod-2"),)))),
        node("n2", beat=beat("n2", holder="n2.2"), status={"nonce": Nonce("n2.2")}),
    ],
)
def test_it_is_over_by_the_word_of_the_agent_or_by_another_boot(n2):
    status, _ = outcome(guest(machine(**HALTED), status=RESTS), n1(), n2, node("n3"))
    assert status.pods == ()
    assert status.instance is not None or status.target is not None


def test_one_that_is_paused_when_it_comes_under_ha_is_not_stopped_for_that():
    """It ran before: that it is not Ready is no failed start of ours."""
    before = {**STARTING, "instance": instance(template_hash="", drawn=Instant(WALL - 3_600_000)), "pods": (record(),)}
    paused = machine(launcher(ready=False), kept=None, strategy="Always", scheduler="", instance=None)
    status, _ = outcome(guest(paused, status=before))
    assert (status.state, status.ready, status.instance.stopping) == (S.STARTED, False, False)
    ours = machine(launcher(ready=False))
    status, _ = outcome(guest(ours, status=before))
    assert status.instance.stopping, "one that we started has failed to"


def test_it_does_not_run_before_kubevirt_says_so():
    """Its launcher is Ready before virt-handler has started anything in it."""
    starting = {**STARTING, "instance": drawn(uid=Uid("pod-1"), began=True, started=True), "pods": (record(),)}
    waits = machine(launcher(), run=replace(RUN, phase="Scheduled"))
    status, _ = outcome(guest(waits, status=starting))
    assert (status.state, status.ready) == (S.STARTING, False)
    assert status.message.endswith("KubeVirt says Scheduled: virt-handler has started nothing in its launcher yet")
    status, _ = outcome(guest(machine(launcher()), status=starting))
    assert (status.state, status.ready) == (S.STARTED, True)


def test_one_that_runs_already_is_taken_over_where_it_is():
    bare = machine(launcher(instance=InstanceId("pod-1")), kept=None, strategy="Always", scheduler="", instance=None)
    status, actions = outcome(guest(bare, status=QUEUED))
    assert (status.state, status.node) == (S.STARTED, "n1")
    assert (status.instance.uid, status.instance.nonce) == ("pod-1", "n1.1")
    assert actions == [TakeMachine(KEY, "win", Uid("vm"), "9")]


def test_our_finalizer_comes_first():
    bare = machine(launcher(), kept=None, strategy="Always")
    _, actions = outcome(guest(bare, held=False))
    assert {type(one) for one in actions} == {SetFinalizer}


def test_a_start_is_recorded_before_it_is_asked_for():
    status, actions = outcome(guest(machine(strategy="Halted"), status=QUEUED))
    assert (status.state, status.instance.node, status.instance.uid) == (S.STARTING, "n1", None)
    assert actions == [RunMachine(KEY, "win", Uid("vm"), "9", status.instance)]
    assert actions[0].after == (KEY.ref,)


def test_it_is_asked_for_once():
    asked = machine(strategy="Once", instance=InstanceId("i1"))
    status, actions = outcome(guest(asked, status=STARTING | {"instance": drawn()}))
    assert (status.message, actions) == ("starting on n1: waiting for KubeVirt to make its launcher", [])


def test_nothing_is_started_while_a_launcher_is_left():
    left = machine(launcher(uid=Uid("pod-0"), instance=InstanceId("i0"), phase="Succeeded", containers=ENDED), run=None)
    status, actions = outcome(guest(left, status=QUEUED))
    assert (status.instance, actions) == (None, [HaltMachine(KEY, "win", Uid("vm"), "9")])
    assert status.message == "waiting for launcher virt-launcher-win to be gone"


def test_nothing_is_started_while_a_run_is_left():
    status, actions = outcome(guest(machine(strategy="Halted", run=machine(launcher()).run), status=QUEUED))
    assert (status.message, actions) == ("waiting for KubeVirt to be done with the last run of win", [])


def test_nothing_is_started_before_kubevirt_is_told_to_start_nothing_itself():
    _, actions = outcome(guest(machine(strategy="Always", kept=None), status=QUEUED))
    assert actions == [HaltMachine(KEY, "win", Uid("vm"), "9")]


def test_its_launcher_is_recorded_and_then_bound():
    seen = machine(waiting())
    status, actions = outcome(guest(seen, status=STARTING | {"instance": drawn()}))
    assert status.instance.uid == "pod-1"
    assert actions == [BindLauncher(KEY, "virt-launcher-win", Uid("pod-1"), "5", "n1", InstanceId("i1"))]
    assert actions[0].after == (KEY.ref,), "the uid is in the status before a node may run it"


def test_a_launcher_of_another_start_is_not_bound():
    other = machine(waiting(instance=InstanceId("i0"), uid=Uid("pod-0")), instance=InstanceId("i0"))
    status, actions = outcome(guest(other, status=STARTING | {"instance": drawn()}))
    assert not any(isinstance(one, BindLauncher) for one in actions)
    assert status.instance.uid is None


def test_nothing_is_bound_to_another_boot():
    booted = n1(status={"nonce": Nonce("n1.2")}, beat=beat("n1", holder="n1.2"))
    _, actions = outcome(
        guest(machine(waiting()), status=STARTING | {"instance": drawn()}), booted, node("n2"), node("n3")
    )
    assert not any(isinstance(one, BindLauncher) for one in actions)


def test_nothing_is_bound_to_a_node_without_an_armed_watchdog():
    bare = n1(beat=beat("n1", attestation=said("n1", armed=False)))
    status, actions = outcome(
        guest(machine(waiting()), status=STARTING | {"instance": drawn()}), bare, node("n2"), node("n3")
    )
    assert not any(isinstance(one, BindLauncher) for one in actions)
    assert "armed" in status.message


def test_no_launcher_within_the_time_is_a_failed_try():
    late = world().wall + 400_000
    old = STARTING | {"instance": drawn()}
    status, actions = outcome(guest(machine(), status=old), wall=Instant(late))
    assert status.last_termination.reason == "StartTimeout"
    assert "KubeVirt made no launcher within startTimeout 300s" in status.last_termination.message
    assert actions == [HaltMachine(KEY, "win", Uid("vm"), "9")]


def test_a_machine_that_ended_by_itself_is_a_failed_try():
    over = machine(launcher(phase="Failed", ready=False, containers=ENDED))
    status, actions = outcome(guest(over))
    assert status.instance.ended.startswith("every container has terminated")
    assert (status.state, status.last_termination.counted) == (S.STARTED, True)
    assert actions == [HaltMachine(KEY, "win", Uid("vm"), "9")]


def test_a_stop_halts_it_and_awaits_its_end():
    status, actions = outcome(guest(machine(launcher()), spec={"wanted": Wanted.STOPPED}))
    assert (status.state, status.instance.stopping) == (S.REQUEST_STOP, True)
    assert actions == [HaltMachine(KEY, "win", Uid("vm"), "9")]


def test_what_rests_as_wished_is_kept_from_starting():
    idle = QUEUED | {"state": S.STOPPED}
    _, actions = outcome(guest(machine(strategy="Always"), spec={"wanted": Wanted.STOPPED}, status=idle))
    assert actions == [HaltMachine(KEY, "win", Uid("vm"), "9")]
    status, actions = outcome(guest(machine(strategy="Halted"), spec={"wanted": Wanted.STOPPED}, status=idle))
    assert (status.state, actions) == (S.STOPPED, [])


def test_a_launcher_that_is_gone_proves_nothing():
    status, actions = outcome(guest(machine()))
    assert (status.state, status.instance.ended) == (S.STARTED, "")
    assert "waiting for the agent of n1 to attest" in status.message
    assert actions == []


def test_what_its_agent_attests_does():
    gone = n1(beat=beat("n1", attestation=said("n1", gone=(Uid("pod-1"),))))
    status, actions = outcome(guest(machine(strategy="Halted")), gone, node("n2"), node("n3"))
    assert (status.state, status.instance.id != "i1") == (S.STARTING, True)
    assert [type(one) for one in actions] == [RunMachine]


# -- its node is lost ---------------------------------------------------------------------------------------------------


def lost(**changes):
    return workload_worlds.lost(look=LOST, **changes)


FENCED = {"state": S.RECOVERY, "ready": False, "ready_since": None}


def test_its_launcher_is_removed_step_by_step():
    held = guest(machine(launcher(), strategy="Halted"), status=FENCED)
    status, actions = outcome(held, lost(), node("n2"), node("n3"))
    assert (status.state, actions) == (S.RECOVERY, [])
    assert status.message == "n1 is tainted, so that nothing starts there again"
    _, actions = outcome(held, lost(evict=True), node("n2"), node("n3"))
    assert [type(one) for one in actions] == [EvictPod]
    ending = launcher(deleting=True, work={"ending_s": NOW - 10})
    held = guest(machine(ending, strategy="Halted"), status=FENCED)
    _, (action,) = outcome(held, lost(evict=True), node("n2"), node("n3"))
    assert isinstance(action, RemoveStuckPod)
    assert (action.lease, action.boot_id, action.marks) == ("k/7", "b1", "m1")


def test_a_kubelet_that_lives_keeps_it():
    ending = launcher(deleting=True, work={"ending_s": NOW - 10, "marks": "m2"})
    held = guest(machine(ending, strategy="Halted"), status=FENCED)
    status, actions = outcome(held, lost(evict=True), node("n2"), node("n3"))
    assert actions == []
    assert "gave signs of life" in status.message


def test_it_starts_elsewhere_when_nothing_is_left():
    status, actions = outcome(
        guest(machine(strategy="Halted"), status=FENCED), lost(evict=True), node("n2"), node("n3")
    )
    assert (status.state, status.instance.node) == (S.STARTING, "n2")
    assert [type(one) for one in actions] == [RunMachine]


def test_a_launcher_that_another_boot_has_in_hand_is_an_instance_of_that():
    back = replace(lost(), beat=beat("n1", holder="n1.2"))
    status, actions = outcome(
        guest(machine(launcher(), strategy="Halted"), status=FENCED), back, node("n2"), node("n3")
    )
    assert (status.instance.nonce, status.instance.node, status.instance.ended) == ("n1.2", "n1", "")
    assert not any(isinstance(one, EvictPod | RemoveStuckPod | RunMachine) for one in actions)


def test_the_node_is_tainted_so_that_it_starts_nothing_again():
    made = planned(guest(machine(launcher()), status=FENCED), lost(), node("n2"), node("n3"))
    taint = next(one for one in made.actions if type(one).__name__ == "SetTaint")
    assert taint.evict


# -- whose it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"absent": "KubeVirt is not installed"},
            "KubeVirt is not installed; VirtualMachine default/win is waited for",
        ),
        ({"uid": None}, "there is no VirtualMachine default/win: create it"),
        ({"owner": "VirtualMachinePool pool"}, "is managed by VirtualMachinePool pool"),
        ({"taken": "vm:default/old"}, "is under HA by vm:default/old already"),
        ({"deleting": True}, "is being deleted"),
        ({"problem": "spec.template.spec.x is set: remove it"}, "default/win: spec.template.spec.x is set"),
    ],
)
def test_what_cannot_be_put_under_ha_is_left_alone(changes, words):
    bare = {"kept": None, "strategy": "Always", **changes}
    status, actions = outcome(guest(machine(**bare), status=QUEUED, held=False))
    assert words in status.message
    assert actions == []
    assert next(one for one in status.conditions if one.type == "Stalled").status == "True"


def test_before_the_first_list_it_waits():
    status, actions = outcome(guest(None, status=QUEUED))
    assert (status.message, actions) == ("waiting for the first list of the virtual machines in its namespace", [])


def test_of_two_over_the_same_machine_the_older_has_it():
    old, new = GuestKey("shop", "z"), GuestKey("shop", "a")
    claims = (Claim(new, Instant(2), "win"), Claim(old, Instant(1), "win"), Claim(new, Instant(2), "lin"))
    assert owners(claims) == {"win": old, "lin": new}


# -- the run strategy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["Always", "Halted", "running=true"])
def test_a_strategy_that_somebody_changes_is_set_back_and_said(strategy):
    status, actions = outcome(guest(machine(launcher(), strategy=strategy)))
    assert actions == [TakeMachine(KEY, "win", Uid("vm"), "9")]
    found = next(one for one in status.conditions if one.type == "RunStrategyKept")
    assert (found.status, found.reason) == ("False", "ChangedByOthers")
    after, _ = outcome(replace(guest(machine(launcher())), status=status))
    assert not any(one.type == "RunStrategyKept" for one in after.conditions)


@pytest.mark.parametrize(
    ("kept", "given"), [("Always", "Always"), ("running=true", "running=true"), ("Halted", "Manual")]
)
def test_one_that_runs_has_its_strategy_back_and_is_not_stopped_by_that(kept, given):
    status, actions = outcome(guest(machine(launcher(), kept=kept), deleting=True))
    assert actions == [ReturnMachine(KEY, "win", Uid("vm"), "9", strategy=given)]
    assert status.instance.stopping is False


def test_then_the_haresource_may_go():
    _, actions = outcome(guest(machine(launcher(), kept=None, strategy="Always"), deleting=True))
    assert actions == [SetFinalizer(KEY.ref, "quorate.dev/instance", present=False)]


def test_one_that_was_stopped_as_wished_is_not_started_by_it():
    idle = QUEUED | {"state": S.STOPPED}
    one = guest(machine(strategy="Halted"), spec={"wanted": Wanted.STOPPED}, status=idle, deleting=True)
    _, actions = outcome(one)
    assert actions == [ReturnMachine(KEY, "win", Uid("vm"), "9", strategy="Halted")]


def test_ignored_it_has_its_strategy_back():
    status, actions = outcome(guest(machine(launcher()), spec={"wanted": Wanted.IGNORED}))
    assert (status.state, actions) == (S.IGNORED, [ReturnMachine(KEY, "win", Uid("vm"), "9", strategy="Always")])


@pytest.mark.parametrize("changes", [{"deleting": True}, {"spec": {"wanted": Wanted.IGNORED}}])
def test_nothing_is_given_back_while_its_launcher_is_unproven(changes):
    _, actions = outcome(guest(machine(), **changes))
    assert not any(isinstance(one, ReturnMachine) for one in actions)
    held = guest(machine(launcher()), status={"state": S.FENCE}, **changes)
    _, actions = outcome(held, lost(), node("n2"), node("n3"))
    assert not any(isinstance(one, ReturnMachine) for one in actions)


def test_nothing_is_done_without_quorum():
    silent = [node(name, beat=beat(name, age_s=90)) for name in ("n2", "n3")]
    for one in (guest(machine(strategy="Halted"), status=QUEUED), guest(machine(launcher()), deleting=True)):
        _, actions = outcome(one, n1(), *silent)
        assert actions == []


# -- invariants ---------------------------------------------------------------------------------------------------------


def breaches(one, *actions, status=None):
    given = world(guests=(one,), nodes=(n1(), node("n2"), node("n3")))
    writes = (StatusWrite(KEY.ref, "1", replace(one.status, **status)),) if status else ()
    return [found.text for found in check(given, Plan(statuses=writes, actions=actions))]


def test_a_start_beside_a_launcher_is_a_breach():
    one = guest(machine(launcher()), status=STARTING | {"instance": drawn()})
    assert any("would be started" in text for text in breaches(one, RunMachine(KEY, "win", Uid("vm"), "9", drawn())))


def test_a_start_that_no_status_names_is_a_breach():
    one = guest(machine(), status=QUEUED)
    assert any("not in the status" in text for text in breaches(one, RunMachine(KEY, "win", Uid("vm"), "9", drawn())))


@pytest.mark.parametrize(
    "changes",
    [{"uid": Uid("pod-9")}, {"id": InstanceId("i9")}, {"nonce": Nonce("n1.0")}, {"ended": "it is"}, {"stopping": True}],
)
def test_binding_another_launcher_or_to_another_boot_is_a_breach(changes):
    action = BindLauncher(KEY, "virt-launcher-win", Uid("pod-1"), "5", "n1", InstanceId("i1"))
    good = drawn(uid=Uid("pod-1"))
    one = guest(machine(waiting()), status=STARTING | {"instance": good})
    assert breaches(one, action) == []
    assert breaches(guest(machine(waiting()), status=STARTING | {"instance": replace(good, **changes)}), action)


def test_binding_beside_another_launcher_is_a_breach():
    action = BindLauncher(KEY, "virt-launcher-win", Uid("pod-1"), "5", "n1", InstanceId("i1"))
    both = machine(waiting(), launcher("n2", uid=Uid("pod-2"), instance=InstanceId("i2")))
    one = guest(both, status=STARTING | {"instance": drawn(uid=Uid("pod-1"))})
    assert any("has a node" in text for text in breaches(one, action))


def test_removing_its_launcher_without_evidence_is_a_breach():
    one = guest(machine(launcher()))
    action = EvictPod(KEY, "virt-launcher-win", Uid("pod-1"), "5", "n1")
    assert any("nothing proves" in text for text in breaches(one, action))


def test_a_machine_in_error_is_not_touched():
    last = Termination("n1", InstanceId("i1"), "Error", WALL)
    failed = {"state": S.ERROR, "instance": instance(ended="it is", template_hash=""), "last_termination": last}
    one = guest(machine(launcher(phase="Failed", containers=ENDED)), status=failed)
    _, actions = outcome(one)
    assert actions == []
    assert any(
        "would be taken in hand in Error" in text for text in breaches(one, HaltMachine(KEY, "win", Uid("vm"), "9"))
    )


def test_records_follow_the_boot():
    status, _ = outcome(guest(machine(launcher()), status={"pods": ()}))
    assert status.pods == (record(),)

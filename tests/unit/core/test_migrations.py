"""A live migration: what is recorded before what is done, and that both sides count until one has ended."""

from dataclasses import replace

import pytest

from quorate.core.actions import (
    BeginMigration,
    BindLauncher,
    EndMigration,
    EvictPod,
    HaltMachine,
    Plan,
    ReturnMachine,
    RunMachine,
    StatusWrite,
)
from quorate.core.invariants import check
from quorate.core.machines import MachineMigration, MachineRun
from quorate.core.pods import ContainerView
from quorate.core.status import CommandResult, Migration, MigrationFailure, NodeStatus
from quorate.core.types import GuestState, InstanceId, Instant, NodeName, Nonce, StopTimeoutPolicy, Uid, Wanted
from quorate.core.world import Refusal
from tests.unit.core.machine_worlds import KEY, guest, launcher, machine, n1, outcome, planned, record, waiting
from tests.unit.core.test_machines import lost
from tests.unit.core.worlds import NOW, WALL, beat, instance, node, said, world

S = GuestState
N2 = NodeName("n2")
TO = Migration(InstanceId("m1"), N2, Nonce("n2.1"), WALL, Uid("job"), Uid("pod-2"))
MIGRATING = {"state": S.MIGRATE, "target": N2, "migration": TO}
JOB = MachineMigration("win-m1", Uid("job"), "Running", ours=True)
SOURCE = launcher()
TARGET = replace(launcher("n2", uid=Uid("pod-2")), migration="job")
UNBOUND = replace(waiting(uid=Uid("pod-2")), migration="job")
OVER = (ContainerView("compute", state="terminated", started=True, exit_code=0, reason="Completed"),)
ENDED_SOURCE = launcher(phase="Succeeded", ready=False, containers=OVER)
ENDED_TARGET = replace(
    launcher("n2", uid=Uid("pod-2"), phase="Succeeded", ready=False, containers=OVER), migration="job"
)
ON_N1, ON_N2 = MachineRun(Uid("run"), "Running", node=NodeName("n1")), MachineRun(Uid("run"), "Running", node=N2)


def seen(*launchers, job=JOB, run=ON_N1, **changes):
    return machine(*launchers, run=run, migrations=(job,) if job is not None else (), **changes)


def asked(text="c1 migrate n2", view=None, **changes):
    return guest(view or seen(SOURCE, job=None), command=text, **changes)


def test_it_is_recorded_before_it_is_begun():
    status, actions = outcome(asked())
    assert (status.state, status.migration.node, status.migration.nonce) == (S.MIGRATE, "n2", "n2.1")
    assert status.last_command == CommandResult("c1", "migrate", "migrating from n1 to n2", accepted=True)
    assert actions == [BeginMigration(KEY, f"win-{status.migration.id}", "win", status.migration.id)]
    assert actions[0].after == (KEY.ref,)


def test_relocate_stops_it_all_the_same():
    status, _ = outcome(asked("c1 relocate n2"))
    assert (status.state, status.migration) == (S.RELOCATE, None)


def test_its_target_arms_first():
    bare = node("n2", beat=beat("n2", attestation=said("n2", armed=False)))
    status, actions = outcome(asked(), n1(), bare, node("n3"))
    assert (status.state, status.migration, actions) == (S.MIGRATE, None, [])
    assert status.message == "migrates to n2, once that has armed its watchdog"


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (seen(SOURCE, job=None, run=replace(ON_N1, fixed="its disk is not shared")), "its disk is not shared"),
        (seen(replace(SOURCE, waits=False), job=None), "it was begun before it came under HA"),
        (seen(SOURCE, job=replace(JOB, ours=False)), "a migration that is not Quorate's is under way"),
    ],
)
def test_where_it_cannot_be_it_is_stopped_and_started_there(view, words):
    status, _ = outcome(asked(view=view))
    assert status.state == S.RELOCATE
    assert words in status.last_command.result


def test_the_launcher_on_the_target_is_recorded_and_then_bound():
    before = MIGRATING | {"migration": replace(TO, job=None, uid=None)}
    status, actions = outcome(guest(seen(SOURCE, UNBOUND), status=before))
    assert (status.migration.job, status.migration.uid) == ("job", "pod-2")
    assert actions == [BindLauncher(KEY, "virt-launcher-win", Uid("pod-2"), "5", N2, InstanceId("m1"))]


def test_nothing_is_bound_to_another_boot_of_the_target():
    booted = node("n2", status={"nonce": Nonce("n2.2")}, beat=beat("n2", holder="n2.2"))
    _, actions = outcome(guest(seen(SOURCE, UNBOUND), status=MIGRATING), n1(), booted, node("n3"))
    assert not any(isinstance(one, BindLauncher) for one in actions)


def test_when_its_source_has_ended_the_instance_is_the_targets():
    both = (record(), record("n2", uid=Uid("pod-2")))
    view = seen(ENDED_SOURCE, TARGET, job=replace(JOB, phase="Succeeded"), run=ON_N2)
    status, actions = outcome(guest(view, status=MIGRATING | {"pods": both}))
    assert (status.state, status.ready, status.instance.uid, status.instance.node) == (S.STARTED, True, "pod-2", "n2")
    assert (status.migration, status.target, status.node, status.last_termination) == (None, None, "n2", None)
    assert actions == [], "above all it is not stopped"


def test_until_then_it_is_the_sources():
    view = seen(SOURCE, TARGET, job=replace(JOB, phase="Succeeded"), run=ON_N2)
    status, actions = outcome(guest(view, status=MIGRATING))
    assert (status.state, status.instance.uid, status.migration, actions) == (S.MIGRATE, "pod-1", TO, [])
    assert status.ready


def test_one_that_failed_stays_and_says_so():
    view = seen(SOURCE, ENDED_TARGET, job=replace(JOB, phase="Failed", reason="no memory"))
    command = CommandResult("c1", "migrate", "migrating from n1 to n2", accepted=True)
    status, actions = outcome(guest(view, status=MIGRATING | {"last_command": command}, command="c1 migrate n2"))
    assert (status.state, status.migration, status.target, actions) == (S.STARTED, None, None, [])
    assert status.migration_failure == MigrationFailure(1, WALL, "KubeVirt reports that it failed: no memory")
    assert status.last_command.result.endswith("failed, it stays on n1: KubeVirt reports that it failed: no memory")
    assert not status.last_command.accepted


def test_its_target_must_have_ended_before_it_is_over():
    view = seen(SOURCE, TARGET, job=replace(JOB, phase="Failed"))
    status, _ = outcome(guest(view, status=MIGRATING))
    assert (status.state, bool(status.migration.failed)) == (S.MIGRATE, True)
    gone = seen(SOURCE, job=replace(JOB, phase="Failed"))
    made = planned(guest(gone, status=MIGRATING))
    (asked_node,) = [write.status for write in made.statuses if write.ref.name == "n2"]
    assert asked_node.asks == ("pod-2",), "a launcher that is gone proves nothing: the agent of the target is asked"
    attested = node("n2", beat=beat("n2", attestation=said("n2", gone=(Uid("pod-2"),))))
    status, _ = outcome(guest(gone, status=MIGRATING), n1(), attested, node("n3"))
    assert (status.state, status.migration) == (S.STARTED, None)


def test_a_target_that_its_kubelet_refused_needs_the_word_of_the_agent():
    refused = replace(
        TARGET, pod=replace(TARGET.pod, phase="Failed", reason="TaintToleration", ready=False, containers=())
    )
    refused = replace(refused, pod=replace(refused.pod, containers=(ContainerView("compute"),)))
    one = guest(seen(SOURCE, refused, job=replace(JOB, phase="Failed")), status=MIGRATING)
    made = planned(one)
    assert [write.status.asks for write in made.statuses if write.ref.name == "n2"] == [("pod-2",)]
    attested = node("n2", beat=beat("n2", attestation=said("n2", idle=(Uid("pod-2"),))))
    status, _ = outcome(one, n1(), attested, node("n3"))
    assert (status.state, status.migration) == (S.STARTED, None)


def test_one_that_takes_too_long_is_called_off():
    late = Instant(WALL + 301_000)
    status, actions = outcome(guest(seen(SOURCE, TARGET), status=MIGRATING), wall=late)
    assert status.migration.failed == "it took longer than startTimeout 300s"
    assert actions == [EndMigration(KEY, "win-m1", Uid("job"))]


def test_one_that_somebody_deleted_has_failed():
    status, _ = outcome(guest(seen(SOURCE, TARGET, job=None), status=MIGRATING))
    assert status.migration.failed == "somebody deleted it"


def test_one_that_is_refused_is_over_at_once():
    before = MIGRATING | {"migration": replace(TO, job=None, uid=None)}
    refusal = Refusal(InstanceId("m1"), permanent=True, message="in-flight migration detected")
    status, _ = outcome(guest(seen(SOURCE, job=None), status=before, refusal=refusal))
    assert (status.state, status.migration) == (S.STARTED, None)
    assert "in-flight migration detected" in status.migration_failure.why


def drained(**status):
    view = seen(SOURCE, job=None)
    return guest(view, status=status), replace(
        n1(), maintenance="test", status=replace(n1().status, state="Maintenance")
    )


def test_a_drain_migrates_it():
    one, here = drained()
    status, actions = outcome(one, here, node("n2"), node("n3"))
    assert (status.state, status.maintenance_node) == (S.MIGRATE, "n1")
    assert [type(one) for one in actions] == [BeginMigration]


def test_a_drain_tries_once_more_after_a_while_and_then_stops_it():
    one, here = drained(migration_failure=MigrationFailure(1, WALL, "it failed"))
    status, actions = outcome(one, here, node("n2"), node("n3"))
    assert (status.state, actions) == (S.STARTED, [])
    status, _ = outcome(one, here, node("n2"), node("n3"), wall=Instant(WALL + 11_000))
    assert status.state == S.MIGRATE
    one, here = drained(migration_failure=MigrationFailure(2, WALL, "it failed"))
    status, _ = outcome(one, here, node("n2"), node("n3"))
    assert status.state == S.RELOCATE


@pytest.mark.parametrize("name", ["win-i1", "win-m0"])
def test_a_drain_waits_for_the_word_on_the_one_that_brought_it_here(name):
    """KubeVirt's word on it comes a moment after its source has ended: that is no reason to stop the machine.

    It is named by the migration that was recorded, and not by the instance that it became.
    """
    last = replace(JOB, name=name, uid=Uid("last"))
    one, here = drained()
    status, actions = outcome(replace(one, machine=seen(SOURCE, job=last)), here, node("n2"), node("n3"))
    assert (status.state, status.migration) == (S.STARTED, None)
    assert not [one for one in actions if isinstance(one, (HaltMachine, BeginMigration))]
    assert status.message.endswith("once KubeVirt says that its last migration is over")


def test_a_persons_migration_waits_for_it_as_well_and_is_not_done_by_a_stop():
    last = replace(JOB, name="win-m0", uid=Uid("last"))
    going = {"state": S.MIGRATE, "target": "n2"}
    status, actions = outcome(guest(seen(SOURCE, job=last), status=going), node("n1"), node("n2"))
    assert (status.state, status.migration) == (S.MIGRATE, None)
    assert actions == [EndMigration(KEY, "win-m0", Uid("last"))]
    assert status.message.endswith("once KubeVirt says that its last migration is over")


def test_nothing_is_migrated_beside_a_launcher_that_an_earlier_migration_left_on_a_node():
    """It was given up because its boot is proven dead; its Pod is still there, and so may be started there."""
    going = {"state": S.MIGRATE, "target": "n2"}
    left = launcher("n3", uid=Uid("pod-3"))
    here = [node("n1"), node("n2"), node("n3")]
    status, actions = outcome(guest(seen(SOURCE, left, job=None), status=going), *here)
    assert (status.state, status.migration) == (S.MIGRATE, None)
    assert not [one for one in actions if isinstance(one, (BeginMigration, BindLauncher))]
    assert f"once launcher {left.name} of an earlier migration is gone" in status.message
    ended = replace(left, pod=replace(left.pod, phase="Succeeded", ready=False, containers=OVER))
    status, _ = outcome(guest(seen(SOURCE, ended, job=None), status=going), *here)
    assert status.migration is not None


def test_a_stray_migration_of_ours_is_called_off():
    stray = replace(JOB, name="win-m0", uid=Uid("old"), phase="Pending")
    _, actions = outcome(guest(seen(SOURCE, job=stray)))
    assert actions == [EndMigration(KEY, "win-m0", Uid("old"))]


def test_stopped_in_the_middle_both_sides_must_end():
    status, actions = outcome(guest(seen(SOURCE, TARGET), status=MIGRATING, spec={"wanted": Wanted.STOPPED}))
    assert status.state == S.REQUEST_STOP
    assert HaltMachine(KEY, "win", Uid("vm"), "9") in actions
    left = {"state": S.REQUEST_STOP, "instance": instance(ended="it is", template_hash="", stopping=True), "pods": ()}
    rest = seen(job=replace(JOB, phase="Failed"), run=None, strategy="Halted")
    status, _ = outcome(guest(rest, status=MIGRATING | left, spec={"wanted": Wanted.STOPPED}))
    assert status.state == S.REQUEST_STOP
    assert "it may run on n2" in status.message


# -- a side is lost -----------------------------------------------------------------------------------------------------

BOTH = {"pods": (record(), record("n2", uid=Uid("pod-2")))}
FENCED = BOTH | MIGRATING | {"state": S.RECOVERY, "ready": False, "ready_since": None}


def test_without_the_source_it_goes_on_where_kubevirt_says_that_it_runs():
    status, actions = outcome(guest(seen(SOURCE, TARGET, run=ON_N2), status=FENCED), lost(), node("n2"), node("n3"))
    assert (status.state, status.instance.uid, status.migration) == (S.STARTED, "pod-2", None)
    assert not any(isinstance(one, RunMachine | HaltMachine) for one in actions)


def test_otherwise_nothing_is_started_before_the_target_has_ended_too():
    both = guest(seen(SOURCE, TARGET, strategy="Halted"), status=FENCED)
    status, actions = outcome(both, lost(evict=True), node("n2"), node("n3"))
    assert (status.state, status.instance.uid) == (S.RECOVERY, "pod-1")
    assert {type(one) for one in actions} <= {EvictPod, EndMigration}
    gone = seen(run=None, job=replace(JOB, phase="Failed"), strategy="Halted")
    status, actions = outcome(guest(gone, status=FENCED | {"pods": ()}), lost(evict=True), node("n2"), node("n3"))
    assert (status.state, actions) == (S.RECOVERY, [])
    attested = node("n2", beat=beat("n2", attestation=said("n2", gone=(Uid("pod-2"),))))
    status, actions = outcome(guest(gone, status=FENCED | {"pods": ()}), lost(evict=True), attested, node("n3"))
    assert [type(one) for one in actions] == [RunMachine]


def test_the_loss_of_the_target_opens_an_incident():
    silent = node("n2", beat=replace(beat("n2", age_s=60), probed_s=999.0))
    one = guest(seen(SOURCE, job=None), status=MIGRATING)
    made = planned(one, n1(), silent, node("n3"))
    (status,) = [write.status for write in made.statuses if write.ref.name == "n2"]
    assert status.incident is not None


def test_nothing_is_given_back_before_it_is_over():
    _, actions = outcome(guest(seen(SOURCE, TARGET), status=MIGRATING, deleting=True))
    assert not any(isinstance(one, ReturnMachine) for one in actions)


# -- invariants ---------------------------------------------------------------------------------------------------------


def breaches(one, *actions, **status):
    given = world(guests=(one,), nodes=(n1(), node("n2"), node("n3")))
    writes = (StatusWrite(KEY.ref, "1", replace(one.status, **status)),) if status else ()
    return [found.text for found in check(given, Plan(statuses=writes, actions=actions))]


def test_a_migration_that_no_status_names_is_a_breach():
    action = BeginMigration(KEY, "win-m1", "win", InstanceId("m1"))
    assert breaches(guest(seen(SOURCE), status=MIGRATING), action) == []
    assert any("no status names it" in text for text in breaches(guest(seen(SOURCE)), action))


def test_binding_another_launcher_than_the_recorded_target_is_a_breach():
    action = BindLauncher(KEY, "l", Uid("pod-2"), "5", N2, InstanceId("m1"))
    assert breaches(guest(seen(SOURCE, UNBOUND), status=MIGRATING), action) == []
    other = MIGRATING | {"migration": replace(TO, uid=Uid("pod-3"))}
    assert breaches(guest(seen(SOURCE, UNBOUND), status=other), action)


def test_a_start_while_a_side_is_unproven_is_a_breach():
    ended = instance(ended="it is", template_hash="")
    one = guest(machine(strategy="Halted"), status=MIGRATING | {"instance": ended})
    drawn = instance("n3", id=InstanceId("i2"), uid=None, template_hash="")
    found = breaches(one, RunMachine(KEY, "win", Uid("vm"), "9", drawn), instance=drawn)
    assert any("the end of its migration is not known" in text for text in found)


def test_halting_one_that_is_to_run_is_a_breach():
    assert any(
        "it is to run" in text for text in breaches(guest(seen(SOURCE)), HaltMachine(KEY, "win", Uid("vm"), "9"))
    )


def test_the_node_it_has_just_gone_to_is_not_reset_because_its_source_was_late():
    """The grace period that is over is that of the launcher which has ended."""
    late = replace(ENDED_SOURCE, pod=replace(ENDED_SOURCE.pod, deleting=True, stops_at_s=NOW - 300))
    status = {"state": S.REQUEST_STOP, "instance": instance(template_hash="", stopping=True)}
    spec = {"wanted": Wanted.STOPPED, "stop_timeout_policy": StopTimeoutPolicy.FENCE}
    status["pods"] = (record(), record("n2", uid=Uid("pod-2")))
    made = planned(guest(seen(late, TARGET, job=None, run=ON_N2), status=status, spec=spec))
    after = {write.ref: write.status for write in made.statuses}
    assert after[KEY.ref].instance.node == "n2"
    assert all(write.status.reset_request is None for write in made.statuses if isinstance(write.status, NodeStatus))


@pytest.mark.parametrize("state", [S.STARTED, S.MIGRATE])
def test_it_is_not_stopped_because_kubevirt_cannot_be_read_for_a_while(state):
    """That it cannot be migrated live is known only while KubeVirt's objects are."""
    view = replace(
        machine(SOURCE, run=None), absent="KubeVirt's machines may not be read", uid=None, strategy="", kept=None
    )
    leaves = replace(n1(), maintenance="test", status=replace(n1().status, state="Maintenance"))
    status = {"state": state, "target": N2}
    after, actions = outcome(guest(view, status=status), leaves, node("n2"), node("n3"))
    assert (after.state, after.instance.stopping, actions) == (state, False, [])
    assert "KubeVirt's machines may not be read" in after.message

"""The state table and what each state does; whole runs are in tests/scenarios and tests/property."""

from dataclasses import replace

import pytest

from quorate.core.actions import CheckTemplate, CreatePod, RemovePod, SetFinalizer, StopPod
from quorate.core.draft import Draft, IllegalMoveError
from quorate.core.moves import MOVES, move
from quorate.core.plan import plan
from quorate.core.pods import ContainerView
from quorate.core.status import Evidence
from quorate.core.stopped import GUESSED
from quorate.core.types import (
    IN_USE_FINALIZER,
    EvidenceKind,
    GuestState,
    InstanceId,
    Instant,
    Kind,
    NodeName,
    NodeState,
    Ref,
    Stage,
    StorageType,
    Uid,
    UpdatePolicy,
    Wanted,
)
from quorate.core.world import GuestSpec, Mount, Refusal, StorageView, Template, Verdict
from tests.unit.core.worlds import KEY, WALL, beat, guest, incident, instance, node, pod, run, world

S = GuestState


def fresh(**changes):
    view = guest(pod=None, held=True, **changes)
    return replace(view, status=replace(type(view.status)(), state=S.QUEUED))


ENDED = pod(
    phase="Failed", ready=False, containers=(ContainerView("main", False, "terminated", True, 1, "Error", "boom"),)
)


class TestTable:
    def test_every_state_has_a_row_and_every_target_exists(self):
        assert set(MOVES) == set(GuestState)
        assert set().union(*MOVES.values()) <= set(GuestState)

    def test_every_state_but_error_can_be_left_by_fencing_or_holds_nothing(self):
        with_instance = set(GuestState) - {S.ERROR, S.RECOVERY, S.FENCE}
        assert all(S.FENCE in MOVES[state] for state in with_instance)

    def test_a_move_that_is_not_in_the_table_raises_and_changes_nothing(self):
        one = guest()
        draft = Draft(None, one, one.status)
        with pytest.raises(IllegalMoveError, match="Started -> Queued is not in the table"):
            move(draft, S.QUEUED)
        assert draft.status is one.status


class TestQueuedAndStarting:
    def test_a_new_guest_is_tried_by_a_dry_run_first(self):
        status, actions = run(fresh())
        assert status.state is S.QUEUED
        assert actions == [CheckTemplate(KEY, "t1")]

    def test_a_rejected_template_is_error_in_the_servers_own_words(self):
        status, _ = run(
            fresh(verdict=Verdict("t1", accepted=False, message="spec.containers[0].image: Required value"))
        )
        assert status.state is S.ERROR
        words = "spec.containers[0].image: Required value"
        assert status.message == f"the template is rejected, correct spec.guest.container: {words}"
        stalled = next(one for one in status.conditions if one.type == "Stalled")
        assert (stalled.status, stalled.message) == ("True", status.message)

    def test_a_template_that_cannot_be_honoured_is_rejected_without_asking(self):
        status, actions = run(fresh(spec={"template": Template("t1", problem="nodeName is set: remove it")}))
        assert (status.state, actions) == (S.ERROR, [])

    def test_an_accepted_one_is_drawn_and_made_in_one_round(self):
        status, actions = run(fresh(verdict=Verdict("t1", accepted=True)))
        assert status.state is S.STARTING
        assert status.instance.node == "n1"
        assert status.instance.nonce == "n1.1"
        assert actions == [CreatePod(KEY, status.instance)]

    def test_our_finalizer_comes_before_the_first_instance(self):
        status, actions = run(replace(fresh(verdict=Verdict("t1", accepted=True)), held=False))
        assert status.instance is None
        assert actions == [SetFinalizer(KEY.ref, "quorate.dev/instance", present=True)]

    def test_no_start_before_the_watchdog_is_armed_for_the_current_request(self):
        unarmed = tuple(node(name, beat=beat(name, armed=False)) for name in ("n1", "n2", "n3"))
        status, actions = run(fresh(verdict=Verdict("t1", accepted=True)), nodes=unarmed)
        assert (status.target, actions) == ("n1", [])
        assert status.message == "waiting for n1 to arm its watchdog"

    def test_the_target_is_asked_to_arm(self):
        idle = tuple(
            node(name, beat=beat(name, armed=False), status={"arming": replace(node("n1").status.arming, wanted=False)})
            for name in ("n1", "n2", "n3")
        )
        made = plan(world(nodes=idle, guests=(fresh(verdict=Verdict("t1", accepted=True)),)))
        arming = {write.ref.name: write.status.arming for write in made.statuses if write.ref.kind == "Node"}
        assert (arming["n1"].generation, arming["n1"].wanted) == (2, True)
        assert "n2" not in arming or not arming["n2"].wanted

    def test_without_any_node_it_says_why_for_each(self):
        cordoned = tuple(node(name, kube=replace(node(name).kube, unschedulable=True)) for name in ("n1", "n2", "n3"))
        status, actions = run(fresh(verdict=Verdict("t1", accepted=True)), nodes=cordoned)
        assert status.message == "no node can run it: n1, n2, n3: it is cordoned"
        assert actions == []

    def test_a_pod_that_is_not_ours_keeps_the_name(self):
        status, actions = run(replace(fresh(), pod=pod(instance=None)))
        assert "exists and is not Quorate's: delete it" in status.message
        assert actions == []

    def test_the_same_instance_is_made_again_when_its_pod_is_missing(self):
        """The manager died between status and deed."""
        drawn = instance(uid=None, began=False, started=False)
        one = guest(pod=None, status={"state": S.STARTING, "instance": drawn, "ready": False})
        _, actions = run(one)
        assert actions == [CreatePod(KEY, drawn)]

    def test_an_instance_that_was_never_made_is_dropped_when_its_boot_is_over(self):
        drawn = instance(uid=None, began=False, started=False, nonce="n1.0")
        one = guest(pod=None, status={"state": S.STARTING, "instance": drawn, "ready": False})
        status, _ = run(one)
        assert status.instance.id != drawn.id
        assert status.instance.nonce == "n1.1"

    def test_a_pod_that_the_server_refuses_for_good_is_error(self):
        drawn = instance(uid=None)
        one = guest(pod=None, status={"state": S.STARTING, "instance": drawn, "ready": False})
        status, _ = run(replace(one, refusal=Refusal(drawn.id, permanent=True, message="Invalid")))
        assert status.state is S.ERROR

    def test_a_pod_that_the_server_refuses_now_is_a_failed_try(self):
        drawn = instance(uid=None)
        one = guest(pod=None, status={"state": S.STARTING, "instance": drawn, "ready": False})
        status, _ = run(replace(one, refusal=Refusal(drawn.id, permanent=False, message="exceeded quota")))
        assert (status.state, status.restarts) == (S.STARTING, 1)
        assert status.last_termination.message == "exceeded quota"

    def test_not_ready_in_time_is_stopped_and_counted(self):
        late = instance(drawn=Instant(WALL - 301_000))
        one = guest(pod=pod(ready=False), status={"state": S.STARTING, "instance": late, "ready": False})
        status, actions = run(one)
        assert status.instance.stopping
        assert status.instance.failure == "not Ready within startTimeout 300s"
        assert actions == [StopPod(KEY, "pod-1", "5")]
        ended = replace(one, status=replace(status), pod=replace(ENDED, deleting=True))
        status, actions = run(ended)
        assert (status.instance.counted, status.last_termination.reason) == (True, "StartTimeout")
        assert isinstance(actions[0], RemovePod)


class TestEndsAndTries:
    def ended(self, **changes):
        done = instance(ended="every container has terminated", counted=True)
        return guest(pod=None, status={"state": S.STARTED, "instance": done, **changes})

    def test_an_end_is_a_fact_once_it_is_seen_and_the_pod_goes_first(self):
        status, actions = run(guest(pod=ENDED))
        assert status.instance.ended.startswith("every container has terminated")
        assert status.last_termination.exit_code == 1
        assert status.last_termination.message == "boom"
        assert actions == [RemovePod(KEY, "pod-1", "5", status.instance.ended)]

    def test_first_a_restart_on_the_same_node_after_ten_seconds(self):
        status, actions = run(self.ended())
        assert (status.state, status.restarts, status.target) == (S.STARTING, 1, "n1")
        assert status.next_try == WALL + 10_000
        assert actions == []

    def test_then_another_node(self):
        status, _ = run(self.ended(restarts=1))
        assert (status.restarts, status.failed_nodes) == (0, ("n1",))
        later = guest(
            pod=None,
            status={
                **{name: getattr(status, name) for name in ("restarts", "failed_nodes")},
                "state": S.STARTING,
                "instance": None,
                "node": "n1",
            },
        )
        status, actions = run(later)
        assert status.instance.node == "n2"
        assert len(actions) == 1

    def test_then_error(self):
        status, _ = run(self.ended(restarts=1, failed_nodes=(NodeName("n2"),)))
        assert status.state is S.ERROR
        assert "maxRestart 1 and maxRelocate 1 are used up (tried: n2, n1)" in status.message

    def test_no_tries_at_all_when_none_are_allowed(self):
        one = replace(self.ended(), spec=GuestSpec(Template("t1"), max_restart=0, max_relocate=0))
        assert run(one)[0].state is S.ERROR

    def test_counters_clear_after_ten_seconds_of_ready(self):
        one = guest(status={"restarts": 1, "failed_nodes": (NodeName("n2"),), "ready_since": Instant(WALL - 10_000)})
        status, _ = run(one)
        assert (status.restarts, status.failed_nodes) == (0, ())
        young = guest(status={"restarts": 1, "ready_since": Instant(WALL - 9_000)})
        assert run(young)[0].restarts == 1

    def test_an_eviction_is_a_planned_move_and_not_counted(self):
        status, _ = run(guest(pod=replace(ENDED, reason="Evicted")))
        assert not status.instance.counted

    def test_an_end_that_somebody_asked_for_is_not_counted_where_it_is_seen_late(self):
        """A manager that begins to lead may find the Pod both deleted and ended."""
        status, _ = run(guest(pod=replace(ENDED, deleting=True)))
        assert not status.instance.counted
        assert not status.last_termination.counted

    def test_a_pod_deleted_by_somebody_else_is_awaited_and_started_again(self):
        status, actions = run(guest(pod=pod(deleting=True)))
        assert status.state is S.RELOCATE
        assert actions == []
        gone = guest(pod=None, status={"state": S.RELOCATE, "instance": instance(stopping=True, ended="yes")})
        status, actions = run(gone)
        assert (status.state, status.restarts) == (S.STARTING, 0)
        assert isinstance(actions[0], CreatePod)

    def test_a_lost_container_needs_the_agents_word(self):
        guess = pod(
            phase="Failed", ready=False, containers=(ContainerView("main", False, "terminated", True, 137, GUESSED),)
        )
        made = plan(world(guests=(guest(pod=guess),)))
        asks = next(write.status.asks for write in made.statuses if write.ref.name == "n1")
        assert asks == ("pod-1",)
        attested = (node("n1", beat=beat("n1", idle=(Uid("pod-1"),))), node("n2"), node("n3"))
        status, _ = run(guest(pod=guess), nodes=attested)
        assert status.instance.ended == "the kubelet lost it and its agent attests that no process of it is left"

    def test_a_pod_object_that_vanished_proves_nothing_until_the_agent_attests_it(self):
        status, actions = run(guest(pod=None))
        assert status.state is S.STARTED
        assert "gone without proof" in status.message
        assert actions == []
        attested = (node("n1", beat=beat("n1", gone=(Uid("pod-1"),))), node("n2"), node("n3"))
        status, actions = run(guest(pod=None), nodes=attested)
        assert isinstance(actions[0], CreatePod)

    def test_the_word_of_another_boots_agent_does_not_count(self):
        other = (
            node("n1", beat=beat("n1", holder="n1.2", system_uuid="another", gone=(Uid("pod-1"),))),
            node("n2"),
            node("n3"),
        )
        status, actions = run(guest(pod=None), nodes=other)
        assert not any(isinstance(action, CreatePod) for action in actions)
        assert status.instance.id == "i1"


class TestWishes:
    def test_stopped_is_a_graceful_delete_and_a_fact(self):
        status, actions = run(guest(spec={"wanted": Wanted.STOPPED}))
        assert (status.state, status.instance.stopping) == (S.REQUEST_STOP, True)
        assert actions == [StopPod(KEY, "pod-1", "5")]

    def test_stopped_on_request_is_ready_as_wished(self):
        one = guest(
            pod=None, held=False, spec={"wanted": Wanted.STOPPED}, status={"state": S.STOPPED, "instance": None}
        )
        status, _ = run(one)
        assert next(one.status for one in status.conditions if one.type == "Ready") == "True"

    def test_ignored_is_not_touched_whatever_happens(self):
        for found in (pod(), ENDED, pod(deleting=True), None):
            status, actions = run(guest(pod=found, spec={"wanted": Wanted.IGNORED}))
            assert (status.state, actions) == (S.IGNORED, [])

    def test_but_what_its_owner_deleted_and_has_ended_is_let_go(self):
        one = guest(pod=replace(ENDED, deleting=True), spec={"wanted": Wanted.IGNORED}, status={"state": S.IGNORED})
        _, actions = run(one)
        assert isinstance(actions[0], RemovePod)

    def test_out_of_ignored_it_is_observed_first(self):
        status, actions = run(guest(status={"state": S.IGNORED}))
        assert (status.state, actions) == (S.STARTED, [])

    def test_error_is_not_touched_until_disabled(self):
        one = guest(pod=None, status={"state": S.ERROR, "instance": None, "failed_nodes": (NodeName("n1"),)})
        assert run(one)[1] == []
        assert run(replace(one, spec=replace(one.spec, wanted=Wanted.STOPPED)))[0].state is S.ERROR
        status, _ = run(replace(one, spec=replace(one.spec, wanted=Wanted.DISABLED)))
        assert (status.state, status.failed_nodes) == (S.STOPPED, ())

    def test_a_new_template_leads_out_of_an_error_that_a_template_caused(self):
        one = guest(
            pod=None, status={"state": S.ERROR, "instance": None, "template_hash": "", "rejected_template": "t0"}
        )
        assert run(one)[0].state is S.QUEUED

    def test_a_deleted_haresource_stops_its_guest_and_then_lets_go(self):
        status, actions = run(guest(deleting=True))
        assert (status.state, actions) == (S.REQUEST_STOP, [StopPod(KEY, "pod-1", "5")])
        empty = guest(pod=None, deleting=True, status={"state": S.STOPPED, "instance": None})
        assert run(empty)[1] == [SetFinalizer(KEY.ref, "quorate.dev/instance", present=False)]

    def test_without_quorum_nothing_is_done(self):
        alone = (node("n1"), node("n2", beat=beat("n2", 100)), node("n3", beat=beat("n3", 100)))
        for wish in (Wanted.STOPPED, Wanted.DISABLED):
            status, actions = run(guest(spec={"wanted": wish}), nodes=alone)
            assert (status.state, actions) == (S.STARTED, [])


class TestTemplates:
    def test_a_running_guest_follows_an_accepted_one(self):
        one = guest(spec={"template": Template("t2")}, verdict=Verdict("t2", accepted=True))
        status, actions = run(one)
        assert (status.state, status.template_hash) == (S.REQUEST_STOP, "t2")
        assert actions == [StopPod(KEY, "pod-1", "5")]

    def test_on_delete_it_only_takes_note(self):
        spec = {"template": Template("t2"), "update_policy": UpdatePolicy.ON_DELETE}
        status, actions = run(guest(spec=spec, verdict=Verdict("t2", accepted=True)))
        assert (status.state, status.template_hash, actions) == (S.STARTED, "t2", [])

    def test_a_rejected_one_changes_nothing_and_is_said(self):
        one = guest(spec={"template": Template("t2")}, verdict=Verdict("t2", accepted=False, message="no"))
        status, actions = run(one)
        assert (status.state, status.template_hash, actions) == (S.STARTED, "t1", [])
        assert "the last accepted one stays in use; correct spec.guest.container: no" in status.message

    def test_a_recovery_uses_the_last_accepted_one(self):
        one = guest(
            pod=None,
            spec={"template": Template("t2")},
            verdict=Verdict("t2", accepted=False, message="no"),
            status={"state": S.RECOVERY, "instance": None},
        )
        status, actions = run(one)
        assert status.instance.template_hash == "t1"
        assert isinstance(actions[0], CreatePod)

    def test_a_storage_that_does_not_exist_is_said_with_the_field(self):
        status, actions = run(fresh(spec={"mounts": (Mount("nfs", "/data"),)}))
        assert status.message.startswith("spec.storage[0].name: no Storage is named 'nfs'")
        assert actions == []

    def test_a_storage_is_held_before_it_is_used(self):
        """Or it could be deleted under the guest before the housekeeper looks again."""
        mounts = (Mount("nfs", "/data"), Mount("nfs", "/more"))
        one = fresh(spec={"mounts": mounts}, verdict=Verdict("t1", accepted=True))
        loose = StorageView("nfs", Uid("s"), StorageType.LOCAL, namespaces=("default",), path="/srv")
        made = plan(world(guests=(one,), storages=(loose,)))
        assert [action for action in made.actions if action.subject.kind is not Kind.NODE] == [
            SetFinalizer(Ref(Kind.STORAGE, "nfs"), IN_USE_FINALIZER, present=True)
        ]
        said = next(write.status.message for write in made.statuses if write.ref == KEY.ref)
        assert said == "about to start: taking hold of Storage nfs"
        held = replace(loose, held=True, trouble="of before")
        status, actions = run(one, storages=(held,))
        assert isinstance(actions[0], CreatePod)
        assert status.instance is not None

    def test_one_that_cannot_be_held_is_said_where_the_user_looks_and_tried_again(self):
        mounts = (Mount("fast", "/data"), Mount("nfs", "/more"))
        one = fresh(spec={"mounts": mounts}, verdict=Verdict("t1", accepted=True))
        storages = tuple(
            StorageView(name, Uid(name), StorageType.LOCAL, namespaces=("default",), path="/srv", trouble=trouble)
            for name, trouble in (("fast", ""), ("nfs", "SetFinalizer failed: policy frozen denies it"))
        )
        made = plan(world(guests=(one,), storages=storages))
        status = next(write.status for write in made.statuses if write.ref == KEY.ref)
        assert status.message.endswith("no hold was got of Storage nfs: SetFinalizer failed: policy frozen denies it")
        assert next(found for found in status.conditions if found.type == "Stalled").status == "True"
        assert Ref(Kind.STORAGE, "nfs") in [action.subject for action in made.actions]


class TestFence:
    PROOF = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "armed and silent for 14.7s")

    def lost(self, stage=Stage.SUSPECTED, evidence=()):
        case = incident(stage=stage, evidence=evidence)
        silent = node("n1", beat=beat("n1", 100), status={"state": NodeState.FENCE, "incident": case})
        return (silent, node("n2"), node("n3"))

    def test_it_waits_and_looks_for_a_target(self):
        case = incident(release_by=Instant(WALL + 5000))
        silent = node("n1", beat=beat("n1", 10), status={"state": NodeState.FENCE, "incident": case})
        status, actions = run(guest(), nodes=(silent, node("n2"), node("n3")))
        assert (status.state, status.target, actions) == (S.FENCE, "n2", [])
        assert status.message == "waiting for proof that n1 is off, at the latest 00:16:45 UTC"
        assert not status.ready

    def test_evidence_that_was_not_followed_by_taking_the_lease_releases_nothing(self):
        status, actions = run(guest(), nodes=self.lost(Stage.PROVEN, (self.PROOF,)))
        assert (status.state, actions) == (S.FENCE, [])

    def test_released_the_old_pod_goes_by_force_under_proof(self):
        status, actions = run(guest(), nodes=self.lost(Stage.FENCED, (self.PROOF,)))
        assert status.state is S.RECOVERY
        (removal,) = actions
        assert removal.forced
        assert {ref.name for ref in removal.after} == {"web", "n1"}

    def test_with_the_old_pod_gone_it_starts_elsewhere_in_the_same_round(self):
        done = instance(ended="LeaseExpired of n1 in incident n1-x")
        one = guest(pod=None, status={"state": S.RECOVERY, "instance": done, "ready": False})
        status, actions = run(one, nodes=self.lost(Stage.FENCED, (self.PROOF,)))
        assert (status.state, status.instance.node) == (S.STARTING, "n2")
        assert actions == [CreatePod(KEY, status.instance)]

    def test_evidence_of_another_boot_does_not_release_it(self):
        status, actions = run(
            guest(status={"instance": instance(nonce="n1.7")}), nodes=self.lost(Stage.FENCED, (self.PROOF,))
        )
        assert not any(isinstance(action, RemovePod | CreatePod) for action in actions)
        assert status.instance.nonce == "n1.7"

    def test_a_node_that_came_back_in_the_same_boot_gives_its_guest_back(self):
        status, actions = run(guest(status={"state": S.FENCE}))
        assert (status.state, actions) == (S.STARTED, [])

    def test_a_guest_wanted_stopped_is_not_recovered(self):
        status, _ = run(guest(spec={"wanted": Wanted.STOPPED}), nodes=self.lost(Stage.FENCED, (self.PROOF,)))
        assert status.state is S.REQUEST_STOP

    def test_a_guest_in_error_keeps_its_state_and_its_instance_is_settled(self):
        one = guest(status={"state": S.ERROR})
        status, actions = run(one, nodes=self.lost(Stage.FENCED, (self.PROOF,)))
        assert (status.state, actions) == (S.ERROR, [])
        assert status.instance.ended


class TestAdoption:
    def test_a_pod_of_ours_without_a_record_is_taken_over(self):
        one = replace(fresh(verdict=Verdict("t1", accepted=True)), pod=pod())
        status, actions = run(one)
        assert (status.state, status.instance.id, actions) == (S.STARTED, "i1", [])

    @pytest.mark.parametrize("stranger", [pod(owner=Uid("an earlier one")), pod(template_hash="t0")])
    def test_one_of_an_earlier_haresource_or_template_is_stopped_first(self, stranger):
        one = replace(fresh(verdict=Verdict("t1", accepted=True)), pod=stranger)
        status, actions = run(one)
        assert status.state is S.REQUEST_STOP
        assert actions == [StopPod(KEY, "pod-1", "5")]

    def test_another_instance_under_the_name_is_awaited_like_any_other(self):
        """A leader that was frozen has made a Pod of its own after we had decided otherwise."""
        drawn = instance("n2", id=InstanceId("i2"), uid=None, began=False, started=False)
        one = guest(status={"state": S.STARTING, "instance": drawn, "ready": False})
        status, actions = run(one)
        assert (status.state, status.instance.id, status.instance.node) == (S.REQUEST_STOP, "i1", "n1")
        assert actions == [StopPod(KEY, "pod-1", "5")]


def test_a_bug_in_one_guest_sets_it_aside_and_the_others_go_on(monkeypatch):
    monkeypatch.setitem(MOVES, S.STARTED, frozenset())
    status, actions = run(guest(spec={"wanted": Wanted.STOPPED}))
    assert "set aside because of a bug" in status.message
    assert actions == []

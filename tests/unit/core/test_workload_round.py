"""A protected workload's round: what is recorded, what is removed from a lost node, in which order, and what is said."""

from dataclasses import replace

import pytest

from quorate.core.actions import EvictPod, LookAtVolumes, ProbeKubelet, RemoveStuckPod, SetTaint
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.selectors import Taint
from quorate.core.status import DisarmState, DisarmStatus, Evidence, Timeline
from quorate.core.types import (
    OUT_OF_SERVICE_TAINT,
    DisarmMode,
    EvidenceKind,
    GuestState,
    IncidentId,
    Instant,
    NodeName,
    Nonce,
    Stage,
    Wanted,
    node_ref,
)
from quorate.core.workloads import KubeletLook, KubeletSeen, VolumesLook, WorkloadKind
from quorate.core.world import Disarm
from tests.unit.core.workload_worlds import (
    N1,
    NOW,
    SET,
    WALL,
    condition,
    fenced,
    kube,
    lost,
    outcome,
    planned,
    pod,
    record,
    view,
)
from tests.unit.core.worlds import beat, node, world

ENDING = {"deleting": True, "ending_s": NOW - 10.0}
RELEASED = Timeline(IncidentId("n1-x"), N1, WALL, "LeaseExpired", WALL, WALL)
LOOK = KubeletLook(IncidentId("n1-x"), "k/7", NOW - 20, NOW - 1)


def test_a_pod_is_recorded_with_the_boot_that_its_node_is_in():
    status, actions = outcome(view((pod(),)))
    (found,) = status.pods
    assert (found.name, found.node, found.nonce, found.boot_id, found.marks) == ("db-0", "n1", "n1.1", "b1", "m1")
    assert (status.state, status.ready, status.node, status.message) == (
        "Started",
        True,
        "n1",
        "1 of 1 Pod Ready on n1",
    )
    assert (status.guest, actions) == ("wl:shop/db", [])
    assert condition(status, "Protected")[:2] == ("True", "EveryNodeProvable")
    assert condition(status, "Ready")[0] == "True"


def test_where_nothing_changes_nothing_is_written():
    one = view((pod(),))
    status, _ = outcome(one)
    again = planned(replace(one, guest=replace(one.guest, status=status)))
    assert [write for write in again.statuses if write.ref.name == "db"] == []


def test_its_node_is_asked_to_arm():
    n1 = node("n1", status={"arming": node("n1").status.arming.__class__(1, wanted=False)})
    made = planned(view((pod(),), (record(),)), n1)
    (status,) = [write.status for write in made.statuses if write.ref.name == "n1"]
    assert (status.arming.wanted, status.guests) == (True, 1)


def test_its_loss_opens_an_incident():
    silent = node("n1", beat=replace(beat("n1", age_s=60), probed_s=NOW - 1), kube=kube())
    made = planned(view((pod(),), (record(),)), silent)
    (status,) = [write.status for write in made.statuses if write.ref.name == "n1"]
    assert status.incident is not None


def test_what_its_kubelet_did_last_is_recorded_while_the_node_is_suspected():
    silent = beat("n1", age_s=60)
    case = fenced(stage=Stage.SUSPECTED, evidence=(), kubelet=None)
    n1 = node("n1", status={"incident": case}, beat=silent, kube=kube())
    made = planned(view((pod(),), (record(),)), n1)
    assert ProbeKubelet(N1, case.id) in made.actions
    seen = planned(view((pod(),), (record(),)), replace(n1, kubelet=LOOK))
    (status,) = [write.status for write in seen.statuses if write.ref.name == "n1"]
    assert status.incident.kubelet == KubeletSeen("k/7")


def test_nothing_is_removed_without_evidence():
    case = fenced(stage=Stage.SUSPECTED, evidence=())
    n1 = node("n1", status={"incident": case}, beat=beat("n1", age_s=12), kube=kube(evict=True))
    status, actions = outcome(view((pod(**ENDING),), (record(),)), n1)
    assert (status.state, actions) == (GuestState.FENCE, [])
    assert status.message.startswith("Pod db-0 is on n1, which is lost: waiting for proof that it is off")
    assert not status.ready


def test_nothing_is_removed_by_evidence_of_another_boot():
    _, actions = outcome(view((pod(**ENDING),), (record(nonce=Nonce("n1.0")),)), lost(evict=True))
    assert actions == []


def test_its_node_is_tainted_first():
    one = view((pod(),), (record(),))
    made = planned(one, lost())
    taints = [action for action in made.actions if isinstance(action, SetTaint)]
    assert taints == [SetTaint(N1, IncidentId("n1-x"), evict=True)]
    status, actions = outcome(view((pod(**ENDING),), (record(),), recovery=RELEASED), lost())
    assert (status.message, actions) == ("n1 is tainted, so that nothing starts there again", [])


def test_out_of_service_where_it_has_volumes():
    held = pod(claims=("data-db-0",))
    made = planned(view((held,), (record(),)), lost(evict=True))
    assert SetTaint(N1, IncidentId("n1-x"), evict=True, out_of_service=True) in made.actions
    _, actions = outcome(view((held,), (record(),)), lost(evict=True))
    assert not any(isinstance(action, EvictPod | RemoveStuckPod) for action in actions)


def test_an_out_of_service_of_others_is_theirs():
    theirs = Taint(OUT_OF_SERVICE_TAINT, "NoExecute", "nodeshutdown")
    held = pod(claims=("data-db-0",))
    for before, expected in (
        (kube(), [SetTaint(N1, IncidentId("n1-x"), evict=True)]),
        (kube(evict=True), []),
    ):
        both = replace(before, taints=(*before.taints, theirs))
        made = planned(view((held,), (record(),)), replace(lost(), kube=both))
        assert [action for action in made.actions if isinstance(action, SetTaint)] == expected


def test_nothing_is_evicted_from_a_node_that_has_not_lost_its_lease():
    case = fenced(stage=Stage.PROVEN)
    n1 = node("n1", status={"incident": case}, beat=beat("n1", age_s=60), kube=kube())
    made = planned(view((pod(),), (record(),)), n1)
    assert not any(isinstance(action, SetTaint) and action.evict for action in made.actions)


def test_it_is_deleted_gracefully_then_by_force():
    one = view((pod(),), (record(),))
    status, actions = outcome(one, lost(evict=True))
    assert status.state is GuestState.RECOVERY
    assert actions == [EvictPod(one.guest.key, "db-0", pod().uid, "5", N1)]
    assert status.recovery == replace(RELEASED, evidence="LeaseExpired of n1 in incident n1-x")
    waits = view((pod(deleting=True, ending_s=NOW - 1),), (record(),), recovery=RELEASED)
    made = planned(waits, lost(evict=True, look=LOOK))
    assert not any(isinstance(action, RemoveStuckPod) for action in made.actions)
    assert made.wake_at_s is not None
    assert made.wake_at_s <= NOW + 1.01
    _, actions = outcome(view((pod(**ENDING),), (record(),), recovery=RELEASED), lost(evict=True, look=LOOK))
    assert actions == [RemoveStuckPod(one.guest.key, "db-0", pod().uid, "5", N1, IncidentId("n1-x"), "k/7", "b1", "m1")]


@pytest.mark.parametrize(
    ("changed_pod", "n1"),
    [
        (pod(**ENDING), lost(evict=True, look=replace(LOOK, lease="k/8"))),
        (pod(**ENDING), lost(evict=True, look=LOOK, boot_id="b2")),
        (pod(**ENDING, marks="m2"), lost(evict=True, look=LOOK)),
        (pod(**ENDING), lost(fenced(kubelet=None), evict=True)),
    ],
    ids=["lease", "boot", "containers", "never looked at"],
)
def test_a_kubelet_that_showed_life_is_believed_alone(changed_pod, n1):
    status, actions = outcome(view((changed_pod,), (record(),), recovery=RELEASED), n1)
    assert actions == []
    assert "so Pod db-0 may run there: what counts is its own word that it has ended" in status.message
    assert "quorate fence confirm n1" in status.message


SAID = KubeletSeen("k/7", words=1, found="k/8")


def off(at_s: float, since_s: float, **changes: object):
    """It was alive after it was lost, and a minute ago somebody said that it is off."""
    proofs = (*fenced().evidence, Evidence(EvidenceKind.HUMAN_ACK, Instant(WALL - 60_000), 50, "anna"))
    look = KubeletLook(IncidentId("n1-x"), str(changes.pop("lease", "k/8")), since_s, at_s)
    return lost(fenced(evidence=proofs, **changes), evict=True, look=look)


def kubelet_of(made):
    return next((write.status.incident.kubelet for write in made.statuses if write.ref.name == "n1"), None)


def test_one_that_died_after_that_needs_a_word_and_silence():
    one = view((pod(**ENDING),), (record(),), recovery=RELEASED)
    made = planned(one, off(NOW - 6, NOW - 30))
    assert kubelet_of(made) == SAID
    made = planned(one, off(NOW - 6, NOW - 30, kubelet=SAID))
    assert ProbeKubelet(N1, IncidentId("n1-x")) in made.actions
    assert not any(isinstance(action, RemoveStuckPod) for action in made.actions)
    silent = replace(SAID, lease="k/8", boot_id="b1", again=True)
    assert kubelet_of(planned(one, off(NOW - 1, NOW - 41, kubelet=SAID))) == silent
    _, actions = outcome(one, off(NOW - 1, NOW - 41, kubelet=silent))
    assert [action.lease for action in actions] == ["k/8"]


def test_a_look_before_the_word_says_nothing_of_what_followed():
    one = view((pod(**ENDING),), (record(),), recovery=RELEASED)
    made = planned(one, off(NOW - 61, NOW - 120))
    assert ProbeKubelet(N1, IncidentId("n1-x")) in made.actions
    assert kubelet_of(made) in {None, KubeletSeen("k/7")}


def test_a_kubelet_that_renews_after_the_word_refutes_it_however_silent_it_is_later():
    one = view((pod(**ENDING),), (record(),), recovery=RELEASED)
    n1 = off(NOW - 1, NOW - 500, kubelet=SAID, lease="k/9")
    assert kubelet_of(planned(one, n1)) in {None, SAID}
    status, actions = outcome(one, n1)
    assert actions == []
    assert "signs of life after somebody had said that n1 is off" in status.message
    more = (*n1.status.incident.evidence, Evidence(EvidenceKind.POWER_OFF, Instant(WALL - 30_000), 50, "bmc"))
    anew = replace(n1, status=replace(n1.status, incident=replace(n1.status.incident, evidence=more)))
    assert kubelet_of(planned(one, anew)) == replace(SAID, words=2, found="k/9")


def test_a_foreign_finalizer_is_named():
    held = pod(**ENDING, finalizers=("example.com/backup",))
    status, _ = outcome(view((held,), (record(),), recovery=RELEASED), lost(evict=True, look=LOOK))
    assert status.message == "waiting for example.com/backup to let go of Pod db-0"


def returned():
    again = beat("n1", age_s=1, holder="n1.2", sequence=3)
    return node("n1", status={"incident": fenced(), "state": "Fence"}, beat=again, kube=kube(evict=True, boot_id="b2"))


def test_a_pod_that_another_boot_has_in_hand_is_adopted():
    made = planned(view((pod(marks="m2"),), (record(),), recovery=RELEASED), returned())
    (status,) = [write.status for write in made.statuses if write.ref.name == "db"]
    assert [(one.nonce, one.boot_id, one.marks) for one in status.pods] == [("n1.2", "b2", "m2")]
    assert "PodAdopted" in [note.reason for note in made.notes]
    assert not any(isinstance(action, EvictPod | RemoveStuckPod) for action in made.actions)


def test_one_that_is_being_deleted_is_left_to_that_kubelet():
    status, actions = outcome(view((pod(**ENDING),), (record(),), recovery=RELEASED), returned())
    assert actions == []
    assert [one.nonce for one in status.pods] == ["n1.2"]


def test_one_that_has_ended_there_does_not_come_again():
    status, _ = outcome(view((pod(**ENDING | {"running": False}),), (), recovery=RELEASED), returned())
    assert status.pods == ()


def test_what_is_seen_first_on_a_node_that_is_not_heard_is_of_no_known_boot():
    silent = node("n1", status={"state": "Unknown"}, beat=beat("n1", age_s=60), kube=kube())
    status, _ = outcome(view((pod(),), ()), silent)
    assert [(one.nonce, one.boot_id) for one in status.pods] == [("n1.1", "")]
    status, actions = outcome(
        view((pod(**ENDING),), (replace(record(), boot_id=""),), recovery=RELEASED), lost(evict=True, look=LOOK)
    )
    assert actions == []
    assert "so Pod db-0 may run there" in status.message


@pytest.mark.parametrize("ended", [{"phase": "Failed", "running": False}, {**ENDING, "running": False}])
def test_one_that_has_ended_there_is_let_go(ended):
    status, _ = outcome(view((pod(**ended),), (record(),), recovery=RELEASED), returned())
    assert status.pods == ()


def test_its_volumes_are_followed():
    held, look = pod(**ENDING, claims=("data-db-0",)), VolumesLook(IncidentId("n1-x"), here=("data-db-0",))
    n1 = lost(evict=True, off=True, look=LOOK)
    _, actions = outcome(view((held,), (record(),), recovery=RELEASED), n1)
    assert actions == [LookAtVolumes(view().guest.key, N1, IncidentId("n1-x"), ("data-db-0",))]
    status, _ = outcome(view((held,), (record(),), recovery=RELEASED, volumes=look), n1)
    assert status.recovery.volumes == ("data-db-0",)
    moved = replace(look, here=(), elsewhere=("data-db-0",))
    known = replace(RELEASED, volumes=("data-db-0",))
    status, _ = outcome(view((pod("db-0", "n2"),), (record("db-0", "n2"),), recovery=known, volumes=moved), n1)
    assert (status.recovery.removed, status.recovery.detached, status.recovery.attached) == (WALL, WALL, WALL)
    assert status.recovery.ready == WALL


def test_without_quorum_nothing_is_removed():
    one = view((pod(**ENDING),), (record(),), recovery=RELEASED)
    quiet = [node(name, beat=beat(name, age_s=60)) for name in ("n2", "n3")]
    made = plan(world(nodes=(lost(evict=True, look=LOOK), *quiet), workloads=(one,)))
    assert not any(isinstance(action, EvictPod | RemoveStuckPod | SetTaint) for action in made.actions)


def test_with_hands_off_nothing_is_removed():
    until = Instant(WALL + 60_000)
    wish = Disarm(DisarmMode.FREEZE, "work", until)
    done = DisarmStatus(DisarmState.DISARMED, DisarmMode.FREEZE, "work", until, WALL, hands_off=True)
    seen = world(
        nodes=(lost(evict=True, look=LOOK), node("n2"), node("n3")),
        workloads=(view((pod(**ENDING),), (record(),), recovery=RELEASED),),
    )
    cluster = replace(
        seen.cluster,
        spec=replace(seen.cluster.spec, disarm=wish),
        status=replace(seen.cluster.status, disarm=done),
    )
    made = plan(replace(seen, cluster=cluster))
    assert not any(isinstance(action, EvictPod | RemoveStuckPod | SetTaint) for action in made.actions)
    (status,) = [write.status for write in made.statuses if write.ref.name == "db"]
    assert status.message.startswith("Pod db-0 is stuck on n1: ")


def test_a_node_in_maintenance_says_who_moves_its_pods():
    made = planned(view((pod(),), (record(),)), node("n1", maintenance="work"))
    (status,) = [write.status for write in made.statuses if write.ref.name == "n1"]
    assert "wl:shop/db has nowhere to go: Quorate does not move a workload: run kubectl drain n1" in status.message


@pytest.mark.parametrize("spec", [{"wanted": Wanted.IGNORED}])
def test_an_ignored_one_is_none_of_ours(spec):
    status, actions = outcome(view((pod(**ENDING),), (record(),), spec=spec), lost(evict=True, look=LOOK))
    assert (status.pods, actions, status.state) == ((), [], GuestState.IGNORED)


def test_a_deleted_one_leaves_the_workload_alone():
    one = view((pod(**ENDING),), (record(),))
    made = planned(replace(one, guest=replace(one.guest, deleting=True)), lost(evict=True, look=LOOK))
    assert [action for action in made.actions if action.subject.name == "db"] == []


def test_commands_are_refused():
    one = view((pod(),), (record(),))
    status, actions = outcome(replace(one, guest=replace(one.guest, command="7 relocate n2")))
    assert (status.last_command.accepted, actions) == (False, [])
    assert "its own controller makes and places its Pods: use kubectl" in status.last_command.result


@pytest.mark.parametrize(
    ("n1", "words"),
    [
        (node("n1", beat=beat("n1", armed=False)), "Pod db-0 (n1 has not armed its watchdog yet)"),
        (node("n1", beat=beat("n1", watchdog="", armed=False)), "Pod db-0 (n1: its agent has no watchdog)"),
    ],
)
def test_a_node_that_could_not_prove_its_death_is_named(n1, words):
    status, _ = outcome(view((pod(),), (record(),)), n1)
    assert condition(status, "Protected")[:2] == ("False", "NodeCannotProveItsDeath")
    assert condition(status, "Protected")[2].endswith(words)
    assert condition(status, "Ready")[0] == "True"


def test_a_pod_on_a_node_of_nobody_is_named():
    status, _ = outcome(view((pod("db-0", "n9"),)))
    assert "Pod db-0 (n9 is no node of Cluster prod)" in condition(status, "Protected")[2]


def test_one_that_tolerates_everything_is_named():
    status, _ = outcome(view((pod(heedless=True),)))
    assert condition(status, "Protected")[1] == "ToleratesEverything"


def test_a_deployment_that_kubernetes_replaces_is_named():
    impatient = replace(SET, kind=WorkloadKind.DEPLOYMENT)
    status, _ = outcome(view((pod(),), objects=(impatient,)))
    assert condition(status, "Protected")[1] == "ReplacedByItsController"
    status, _ = outcome(view((pod(),), objects=(replace(impatient, patient=True),)))
    assert condition(status, "Protected")[0] == "True"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (view(objects=()), "there is no StatefulSet db in namespace shop: create it, or correct spec.guest.workload"),
        (
            view(objects=(replace(SET, deleting=True),)),
            "StatefulSet db is being deleted: delete this HAResource as well",
        ),
        (
            view(objects=(), taken=(("StatefulSet db", "wl:shop/older"),)),
            "StatefulSet db is protected by wl:shop/older already, which is older: delete one of the two",
        ),
        (view(spec={"wanted": Wanted.STOPPED}), "spec.state Stopped means nothing for a workload"),
    ],
)
def test_what_cannot_be_protected_says_why(one, words):
    status, _ = outcome(one)
    assert status.message.startswith(words)
    assert condition(status, "Stalled")[0] == "True"


def test_one_that_is_scaled_to_zero_says_so():
    status, _ = outcome(view(objects=(replace(SET, replicas=0),)))
    assert "is scaled to zero: nothing runs, so nothing is protected; scale it up with kubectl" in status.message
    assert condition(status, "Protected")[:2] == ("False", "NothingRuns")


def test_more_pods_than_a_status_holds_are_named():
    many = tuple(pod(f"db-{number}") for number in range(260))
    status, _ = outcome(view(many, objects=(replace(SET, replicas=260),)))
    assert len(status.pods) == 256
    assert condition(status, "Protected")[1] == "TooManyPods"
    assert condition(status, "Protected")[2].startswith("256 Pods are protected, 4 more are not")


def test_what_is_not_listed_yet_is_waited_for():
    status, actions = outcome(replace(view(records=(record(),)), matched=None))
    assert (status.pods, actions) == ((record(),), [])
    assert "waiting for the first list" in status.message


def test_containers_that_start_again_are_recorded_once_their_boot_has_renewed_after_that():
    again = pod(marks="m2", seen_s=NOW - 0.1)
    status, _ = outcome(view((again,), (record(),)))
    assert [one.marks for one in status.pods] == ["m1"]
    status, _ = outcome(view((replace(again, seen_s=NOW - 5),), (record(),)))
    assert [one.marks for one in status.pods] == ["m2"]


def test_the_last_recovery_is_told():
    one = view(
        (pod("db-0", "n2"),), (record("db-0", "n2"),), recovery=replace(RELEASED, suspected=Instant(WALL - 9000))
    )
    status, _ = outcome(one, lost(evict=True))
    assert (status.state, status.recovery.duration_s) == (GuestState.STARTED, 9.0)


def test_a_plan_that_would_remove_without_evidence_is_a_breach():
    one = view((pod(**ENDING),), (record(),), recovery=RELEASED)
    seen = world(nodes=(lost(evict=True, look=LOOK), node("n2"), node("n3")), workloads=(one,))
    made = plan(seen)
    assert check(seen, made) == ()
    live = replace(seen, nodes=(node("n1"), node("n2"), node("n3")))
    deeds = tuple(action for action in made.actions if isinstance(action, RemoveStuckPod))
    assert [breach.invariant for breach in check(live, replace(made, statuses=(), actions=deeds))] == [3]
    emptied = SetTaint(NodeName("n2"), IncidentId("n2-x"), evict=True)
    assert [breach.invariant for breach in check(live, replace(made, statuses=(), actions=(emptied,)))] == [9]


def test_a_thousand_protected_pods_are_written_once():
    views = []
    for number in range(10):
        pods = tuple(pod(f"db{number}-{one}", f"n{one % 3 + 1}") for one in range(100))
        target = replace(SET, replicas=100)
        one = view(pods, objects=(target,))
        key = one.guest.key._replace(name=f"db{number}")
        views.append(replace(one, guest=replace(one.guest, key=key)))
    first = plan(world(workloads=tuple(views)))
    written = {write.ref: write.status for write in first.statuses}
    assert sum(len(status.pods) for ref, status in written.items() if ref.name.startswith("db")) == 1000
    after = [replace(one, guest=replace(one.guest, status=written[one.guest.key.ref])) for one in views]
    nodes = tuple(
        replace(node(name), status=written.get(node_ref(NodeName(name)), node(name).status))
        for name in ("n1", "n2", "n3")
    )
    second = plan(world(nodes=nodes, workloads=tuple(after)))
    assert [write.ref for write in second.statuses if write.ref.name.startswith("db")] == []
    assert [action for action in second.actions if action.subject.name.startswith("db")] == []

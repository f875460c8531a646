"""A node's incident, step by step: what is recorded, what is done, and what is not done without quorum."""

from dataclasses import replace

from quorate.core.actions import ProbeLease, SetTaint, TakeLease
from quorate.core.fencing import node_round
from quorate.core.liveness import read
from quorate.core.selectors import Taint
from quorate.core.status import Arming, Evidence
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import FENCE_TAINT, EvidenceKind, NodeState, Nonce, Stage, Uid
from quorate.core.world import Sighting
from tests.unit.core.worlds import NOW, WALL, beat, incident, instance, node, world

FAST = PROFILES[Profile.FAST]
S, T = FAST.suspect_after_s, FAST.release_after_s
PROOF = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "armed and silent")
TAINT = Taint(FENCE_TAINT, "NoSchedule", "n1-x")


def judge(view, *instances, quorate=True):
    made = world(nodes=(view,))
    return node_round(made, view, read(view, FAST, NOW), instances, quorate=quorate)


def silent(age_s, *, probed=True, **changes):
    found = beat("n1", age_s)
    return node("n1", beat=replace(found, probed_s=NOW - 0.1 if probed else None), **changes)


def in_incident(age_s=T + 1, **changes):
    return silent(age_s, status={"state": NodeState.FENCE, "incident": incident(**changes)})


def actions(outcome, kind):
    return [action for action in outcome.actions if isinstance(action, kind)]


def test_a_silent_node_with_guests_is_asked_for_before_it_is_suspected():
    outcome = judge(silent(S + 1, probed=False), instance())
    assert outcome.status.incident is None
    assert actions(outcome, ProbeLease) == [ProbeLease("n1")]


def test_a_probe_older_than_the_suspicion_does_not_count():
    view = silent(S + 1)
    stale = replace(view, beat=replace(view.beat, probed_s=NOW - 1.1))
    assert judge(stale, instance()).status.incident is None


def test_the_incident_names_the_boot_the_sequence_and_the_latest_moment():
    status = judge(silent(S + 1), instance()).status
    assert status.state is NodeState.FENCE
    assert status.incident.nonce == "n1.1"
    assert status.incident.sequence == 50
    assert status.incident.stage is Stage.SUSPECTED
    assert status.incident.release_by == WALL + round((T - S - 1) * 1000)


def test_a_silent_node_without_guests_is_unknown_and_nothing_else():
    outcome = judge(silent(100))
    assert outcome.status.state is NodeState.UNKNOWN
    assert outcome.status.incident is None
    assert outcome.actions == ()


def test_without_quorum_an_incident_is_recorded_and_nothing_is_done():
    outcome = judge(in_incident(), instance(), quorate=False)
    assert outcome.status.incident.stage is Stage.SUSPECTED
    assert outcome.actions == ()


def test_a_node_in_an_incident_is_tainted_by_quorum_only():
    assert actions(judge(silent(S + 1), instance()), SetTaint)[0].incident is not None
    assert actions(judge(silent(S + 1), instance(), quorate=False), SetTaint) == []


def test_evidence_is_stored_before_the_lease_is_taken_by_its_version():
    outcome = judge(in_incident(), instance())
    assert outcome.status.incident.stage is Stage.PROVEN
    assert [one.kind for one in outcome.status.incident.evidence] == [EvidenceKind.LEASE_EXPIRED]
    assert actions(outcome, TakeLease) == [TakeLease("n1", "n1-x", "n1.1", "lease-n1", "77")]


def test_a_lease_that_was_found_taken_is_that_step_done():
    view = in_incident(stage=Stage.PROVEN, evidence=(PROOF,))
    taken = replace(view, beat=replace(view.beat, holder="fenced/n1-x/n1.1"))
    outcome = judge(taken, instance())
    assert outcome.status.incident.stage is Stage.FENCED
    assert actions(outcome, TakeLease) == []


def test_a_missing_lease_is_made_as_fenced():
    view = replace(in_incident(), beat=None, lease_missing_s=NOW - T - 1, missed=beat("n1", T + 2))
    assert actions(judge(view, instance()), TakeLease) == [TakeLease("n1", "n1-x", "n1.1", None, None)]


def test_a_sign_of_life_ends_the_incident_until_the_lease_is_taken():
    for stage in (Stage.SUSPECTED, Stage.PROVEN):
        view = node("n1", beat=beat("n1", sequence=51), status={"incident": incident(stage=stage, evidence=(PROOF,))})
        outcome = judge(view, instance())
        assert outcome.status.incident is None
        assert outcome.status.state is NodeState.ONLINE
    taken = node(
        "n1", beat=beat("n1", sequence=51), status={"incident": incident(stage=Stage.FENCED, evidence=(PROOF,))}
    )
    assert judge(taken, instance()).status.incident is not None


def returned(**changes):
    found = replace(
        beat("n1", holder="n1.2"),
        sightings=(Sighting("n1.1", 0, NOW - 60, 1, 50), Sighting("n1.2", NOW - 9, NOW, 5, 60)),
    )
    fenced = incident(stage=Stage.FENCED, evidence=(PROOF,))
    return node("n1", beat=found, status={"state": NodeState.FENCE, "incident": fenced}, **changes)


def tainted(view):
    return replace(view, kube=replace(view.kube, taints=(TAINT,)))


def test_a_node_comes_back_when_no_old_instance_is_left_taint_first():
    outcome = judge(tainted(returned()))
    assert actions(outcome, SetTaint) == [SetTaint("n1", None)]
    assert outcome.status.incident is not None
    outcome = judge(returned())
    assert outcome.status.incident is None
    assert outcome.status.nonce == "n1.2"
    assert outcome.status.state is NodeState.ONLINE


def test_it_does_not_come_back_while_an_instance_of_the_lost_boot_is_left():
    outcome = judge(tainted(returned()), instance())
    assert outcome.status.incident is not None
    assert outcome.actions == ()


def test_our_taint_goes_and_others_stay_with_whoever_set_them():
    left_over = node("n1")
    outcome = judge(replace(left_over, kube=replace(left_over.kube, taints=(TAINT,))))
    assert actions(outcome, SetTaint) == [SetTaint("n1", None)]
    foreign = replace(left_over, kube=replace(left_over.kube, taints=(Taint("gpu", "NoSchedule"),)))
    assert judge(foreign).actions == ()


def test_a_reboot_without_guests_is_adopted_without_an_incident():
    outcome = judge(node("n1", beat=beat("n1", holder="n1.2")))
    assert outcome.status.nonce == "n1.2"
    assert outcome.status.incident is None


def test_a_reboot_with_guests_opens_an_incident_for_the_boot_before():
    view = returned()
    rebooted = replace(view, status=replace(view.status, incident=None, state=NodeState.ONLINE))
    outcome = judge(rebooted, instance())
    assert outcome.status.incident.nonce == "n1.1"
    assert outcome.status.nonce == "n1.1"


def test_a_manager_that_has_only_found_the_new_boot_waits_for_it_to_move():
    found = replace(beat("n1", holder="n1.2"), moved=False)
    assert judge(node("n1", beat=found)).status.nonce == "n1.1"


def test_drained_opens_and_proves_at_once():
    view = node("n1", beat=beat("n1", drained=True, armed=False))
    outcome = judge(view, instance())
    assert outcome.status.incident.stage is Stage.PROVEN
    assert len(actions(outcome, TakeLease)) == 1


def test_what_a_boot_attested_is_remembered_for_when_another_one_overwrites_it():
    view = node("n1", status={"watchdog": None})
    assert judge(view).status.watchdog.armed
    other = node("n1", beat=beat("n1", holder="n1.2", armed=False))
    assert judge(other, instance(nonce=Nonce("n1.1"))).status.watchdog.armed


def test_a_deleted_kubernetes_node_is_gone():
    assert judge(node("n1", kube=None)).status.state is NodeState.GONE


class TestALeaseThatProvesNothing:
    def test_one_that_is_missing_is_no_reason_before_s(self):
        young = replace(silent(100), beat=None, lease_missing_s=NOW - S + 1)
        assert judge(young, instance()).status.incident is None
        old = replace(silent(100), beat=None, lease_missing_s=NOW - S - 1)
        assert judge(old, instance()).status.incident is not None

    def test_without_a_moment_to_count_from_nothing_is_suspected(self):
        assert judge(replace(silent(100), beat=None), instance()).status.incident is None

    def test_one_that_says_nothing_is_suspected_after_s(self):
        view = silent(S + 1)
        for changes in ({"attestation": None}, {"holder": "n1.7", "uid": "restored"}, {"holder": "fenced/x/n1.1"}):
            outcome = judge(replace(view, beat=replace(view.beat, **changes)), instance())
            assert outcome.status.incident is not None, changes

    def test_nor_is_it_remembered_what_was_attested_for_another(self):
        view = silent(0.5, status={"watchdog": None})
        assert judge(view).status.watchdog is not None
        assert judge(replace(view, beat=replace(view.beat, uid="restored"))).status.watchdog is None

    def test_nor_does_it_say_whose_guests_they_are_after_the_node_was_made_anew(self):
        view = silent(60, status={"nonce": None})
        assert judge(view, instance()).status.nonce == "n1.1"
        assert judge(view).status.nonce is None
        assert judge(replace(view, beat=replace(view.beat, uid="restored")), instance()).status.nonce is None
        assert judge(replace(view, beat=None), instance()).status.nonce is None


class TestOnceFenced:
    """The Lease is taken: what was recorded stands, and only what is still missing is looked for."""

    drained = Evidence(EvidenceKind.DRAINED, WALL, 50, "", (Uid("pod-1"),))
    late = instance(uid=Uid("pod-2"))

    def fenced(self, *evidence, **changes):
        case = incident(stage=Stage.FENCED, evidence=evidence)
        found = beat("n1", 60, holder="fenced/n1-x/n1.1", armed=False)
        status = {"state": NodeState.FENCE, "incident": case, "watchdog": None}
        return node("n1", **{"beat": found, "status": status, "confirm": "n1-x/n1.1/anna", **changes})

    def kinds(self, outcome):
        return [one.kind for one in outcome.status.incident.evidence]

    def test_more_evidence_changes_nothing_for_what_is_covered(self):
        outcome = judge(self.fenced(PROOF), instance())
        assert outcome.status.incident == self.fenced(PROOF).status.incident

    def test_a_stronger_proof_is_added_for_whom_the_agent_did_not_name(self):
        assert self.kinds(judge(self.fenced(self.drained), instance())) == [EvidenceKind.DRAINED]
        late = judge(self.fenced(self.drained), self.late)
        assert self.kinds(late) == [EvidenceKind.DRAINED, EvidenceKind.HUMAN_ACK]
        assert late.status.incident.stage is Stage.FENCED

    def test_not_without_quorum(self):
        outcome = judge(self.fenced(self.drained), self.late, quorate=False)
        assert self.kinds(outcome) == [EvidenceKind.DRAINED]

    def test_while_there_is_none_it_waits(self):
        outcome = judge(self.fenced(self.drained, confirm=""), self.late)
        assert self.kinds(outcome) == [EvidenceKind.DRAINED]

    def test_a_boot_that_holds_the_lease_again_is_left_alone_without_quorum(self):
        back = self.fenced(PROOF, beat=beat("n1", sequence=51))
        assert actions(judge(back, instance()), TakeLease) != []
        assert actions(judge(back, instance(), quorate=False), TakeLease) == []
        assert actions(judge(self.fenced(PROOF, beat=None), instance()), TakeLease) == []

    def test_a_new_boot_that_fell_silent_is_not_back(self):
        silent_again = replace(beat("n1", 60, holder="n1.2"), sightings=())
        assert judge(self.fenced(PROOF, beat=silent_again)).status.incident is not None

    def test_without_a_kubernetes_node_there_is_nothing_to_taint_and_it_can_still_come_back(self):
        assert actions(judge(self.fenced(PROOF, kube=None), instance()), SetTaint) == []
        back = judge(self.fenced(PROOF, kube=None, beat=beat("n1", holder="n1.2")))
        assert back.status.incident is None
        assert back.status.nonce == "n1.2"


def test_a_sequence_of_the_new_boot_is_not_taken_for_one_of_the_lost():
    rebooted = node("n1", beat=beat("n1", holder="n1.2", sequence=70))
    assert judge(rebooted, instance()).status.incident.sequence == 0


def test_a_manager_that_has_only_found_the_lease_leaves_the_state_as_it_was_written():
    """After a failover nothing must flap, and nothing is online that was not."""
    found = beat("n1", moved=False)
    for state in (NodeState.ONLINE, NodeState.UNKNOWN):
        assert judge(node("n1", beat=found, status={"state": state})).status.state is state
    assert judge(node("n1", beat=found, status={"state": NodeState.GONE})).status.state is NodeState.UNKNOWN


def test_a_new_boot_is_another_chance_to_arm():
    late = node("n1", status={"arming": Arming(4, wanted=False, failed=True)}, beat=beat("n1", holder="n1.2"))
    found = world(nodes=(late, node("n2"), node("n3")))
    status = node_round(found, late, read(late, FAST, found.now_s), (), quorate=True).status
    assert (status.nonce, status.arming.failed) == ("n1.2", False)
    same = node("n1", status={"arming": Arming(4, wanted=False, failed=True)})
    assert node_round(found, same, read(same, FAST, found.now_s), (), quorate=True).status.arming.failed

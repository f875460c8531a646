"""Evidence: each kind counts exactly when the safety document says so, and never for another boot or incident."""

from dataclasses import replace

import pytest

from quorate.core import evidence
from quorate.core.fencing import covers
from quorate.core.liveness import read
from quorate.core.selectors import Taint
from quorate.core.sequence import FenceDevice
from quorate.core.status import Evidence, WatchdogStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import EvidenceKind, Nonce, Stage, Uid, WatchdogKind
from quorate.core.world import Sighting
from tests.unit.core.worlds import NOW, WALL, beat, incident, instance, node, world

FAST = PROFILES[Profile.FAST]
T = FAST.release_after_s


def look(view, case=None, *, accepted=None):
    made = world(nodes=(view,))
    if accepted is not None:
        spec = replace(made.cluster.spec, **accepted)
        made = replace(made, cluster=replace(made.cluster, spec=spec))
    return evidence.gather(made, view, read(view, FAST, NOW), case or incident())


def gather(view, case=None, *, accepted=None):
    gathered = look(view, case, accepted=accepted)
    return [one.kind for one in gathered.found], gathered.wake_at_s


class TestLeaseExpired:
    def test_armed_and_silent_for_t(self):
        assert gather(node("n1", beat=beat("n1", T + 0.01))) == ([EvidenceKind.LEASE_EXPIRED], None)

    def test_not_a_moment_before_t_and_it_says_when(self):
        kinds, wake_at = gather(node("n1", beat=beat("n1", T - 0.01)))
        assert kinds == []
        assert wake_at == pytest.approx(NOW + 0.01)

    def test_never_of_a_node_that_was_not_armed(self):
        assert gather(node("n1", beat=beat("n1", 1000, armed=False)))[0] == []

    def test_never_by_a_watchdog_of_a_kind_that_is_not_accepted(self):
        silent = node("n1", beat=beat("n1", 1000))
        assert gather(silent, accepted={"accepted_watchdogs": (WatchdogKind.HARDWARE,)})[0] == []

    def test_only_if_the_cluster_accepts_this_evidence(self):
        silent = node("n1", beat=beat("n1", 1000))
        assert gather(silent, accepted={"accepted_evidence": (EvidenceKind.HUMAN_ACK,)})[0] == []

    def test_never_of_a_boot_that_does_not_hold_the_lease(self):
        other = node("n1", beat=beat("n1", 1000, holder="n1.2", system_uuid="another"))
        assert gather(other)[0] == []

    def test_of_a_missing_lease_t_after_it_was_missed(self):
        def missing(age_s, **changes):
            return node("n1", beat=None, lease_missing_s=NOW - age_s, missed=beat("n1", 1000, **changes))

        assert gather(missing(T + 1))[0] == [EvidenceKind.LEASE_EXPIRED]
        assert gather(missing(T - 1))[0] == []
        assert gather(missing(T + 1, armed=False))[0] == []
        assert gather(missing(T + 1, watchdog_s=30))[0] == []
        assert gather(node("n1", beat=None))[0] == []

    def test_of_a_missing_lease_that_this_manager_never_saw_nothing_follows(self):
        assert gather(node("n1", beat=None, lease_missing_s=NOW - 1000))[0] == []

    def test_without_a_moment_to_count_from_nothing_follows(self):
        assert gather(node("n1", beat=None, missed=beat("n1", 1000))) == ([], None)

    def test_of_an_attestation_for_another_lease_nothing_follows(self):
        assert gather(node("n1", beat=beat("n1", 1000, lease_uid="another")))[0] == []


class TestNewBoot:
    def rebooted(self, uptime_s, *, first_s=NOW - 1, old_last_s=NOW - 20, **changes):
        found = beat("n1", 0.5, holder="n1.2", uptime_s=uptime_s, **changes)
        sightings = (Sighting("n1.2", first_s, NOW - 0.5, uptime_s, 3),)
        if old_last_s is not None:
            sightings = (Sighting("n1.1", 0, old_last_s, 100, 50), *sightings)
        return node("n1", beat=replace(found, sightings=sightings))

    def test_a_boot_that_began_after_the_last_heartbeat_of_the_old_one(self):
        assert gather(self.rebooted(5))[0] == [EvidenceKind.NEW_BOOT]

    def test_one_that_has_been_up_for_longer_waits_for_t(self):
        """Two machines with one UUID: the other one was there all the time."""
        kinds, wake_at = gather(self.rebooted(500))
        assert kinds == []
        assert wake_at == NOW - 1 + T

    def test_after_t_it_counts_if_the_old_boot_was_armed(self):
        assert gather(self.rebooted(500, first_s=NOW - T - 1))[0] == [EvidenceKind.NEW_BOOT]

    def test_a_manager_that_never_saw_the_old_boot_waits_for_t(self):
        assert gather(self.rebooted(5, old_last_s=None))[0] == []
        assert gather(self.rebooted(5, old_last_s=None, first_s=NOW - T - 1))[0] == [EvidenceKind.NEW_BOOT]

    def test_an_old_boot_that_was_not_armed_needs_a_person(self):
        view = self.rebooted(500, first_s=NOW - T - 1)
        unarmed = replace(view.status, watchdog=replace(view.status.watchdog, armed=False))
        assert gather(replace(view, status=unarmed))[0] == []

    @pytest.mark.parametrize("watchdog", [None, WatchdogStatus("Softdog", True, 5, 1.5)])
    def test_so_does_one_without_an_accepted_watchdog(self, watchdog):
        view = self.rebooted(500, first_s=NOW - T - 1)
        assert gather(replace(view, status=replace(view.status, watchdog=watchdog)))[0] == []

    def test_a_lease_that_was_not_written_for_it_says_nothing(self):
        assert gather(self.rebooted(5, lease_uid="another"))[0] == []

    def test_another_machine_under_the_name_releases_nothing(self):
        assert gather(self.rebooted(5, system_uuid="another"))[0] == []

    def test_without_a_machine_name_nothing_is_known(self):
        view = self.rebooted(5, system_uuid="")
        assert gather(replace(view, status=replace(view.status, system_uuid="")))[0] == []


class TestDrained:
    def test_the_agent_attested_that_none_runs(self):
        assert gather(node("n1", beat=beat("n1", 1, drained=True, armed=False)))[0] == [EvidenceKind.DRAINED]

    def test_not_for_another_boot(self):
        assert gather(node("n1", beat=beat("n1", 1, drained=True, holder="n1.2", system_uuid="x")))[0] == []

    def test_it_releases_only_the_pods_that_the_agent_named(self):
        """Another one could still start in this boot, or has started since the agent looked."""
        drained = Evidence(EvidenceKind.DRAINED, WALL, 50, "", (Uid("pod-1"),))
        case = incident(stage=Stage.FENCED, evidence=(drained,))
        assert covers(case, instance()) == drained
        assert covers(case, instance(uid=Uid("pod-2"))) is None
        assert covers(case, instance(uid=None)) is None

    def test_one_that_names_none_releases_nothing(self):
        case = incident(stage=Stage.FENCED, evidence=(Evidence(EvidenceKind.DRAINED, WALL, 50, ""),))
        assert covers(case, instance()) is None

    def test_it_keeps_the_names_and_never_more_than_a_status_may_hold(self):
        many = tuple(Uid(f"pod-{number}") for number in range(2000))
        view = node("n1", beat=beat("n1", 1, drained=True, armed=False, left=many))
        found = look(view).found
        assert [(one.kind, one.pods) for one in found] == [(EvidenceKind.DRAINED, many[:1024])]

    def test_no_other_evidence_names_pods(self):
        view = node("n1", beat=beat("n1", T + 1, left=(Uid("pod-1"),)))
        found = look(view).found
        assert [(one.kind, one.pods) for one in found] == [(EvidenceKind.LEASE_EXPIRED, ())]


class TestOutOfService:
    def out(self, value="nodeshutdown", **case):
        view = node("n1", beat=beat("n1", 1))
        taint = Taint("node.kubernetes.io/out-of-service", "NoExecute", value)
        view = replace(view, kube=replace(view.kube, taints=(taint,)))
        return gather(view, incident(**case))[0]

    def test_set_after_the_loss_it_counts_at_once(self):
        assert self.out(in_service=True) == [EvidenceKind.OUT_OF_SERVICE]

    def test_one_that_was_there_before_says_nothing(self):
        assert self.out(in_service=False) == []

    def test_neither_does_one_of_ours(self):
        assert self.out("n1-x", in_service=True) == []
        assert self.out("n1-earlier", in_service=True) == []

    def test_nor_none_or_a_node_that_is_gone(self):
        assert gather(node("n1", beat=beat("n1", 1)), incident(in_service=True))[0] == []
        assert gather(node("n1", beat=beat("n1", 1), kube=None), incident(in_service=True))[0] == []


class TestHumanAck:
    def test_this_incident_and_this_boot(self):
        view = node("n1", beat=beat("n1", 1, armed=False), confirm="n1-x/n1.1/anna")
        assert gather(view)[0] == [EvidenceKind.HUMAN_ACK]

    @pytest.mark.parametrize("text", ["", "n1-x", "n1-x/n1.1", "n1-x/n1.1/", "n1-y/n1.1/anna", "n1-x/n1.2/anna"])
    def test_nothing_else(self, text):
        assert gather(node("n1", beat=beat("n1", 1, armed=False), confirm=text))[0] == []

    def test_it_does_not_shorten_t_of_an_armed_node(self):
        kinds, wake_at = gather(node("n1", beat=beat("n1", 9), confirm="n1-x/n1.1/anna"))
        assert kinds == []
        assert wake_at == NOW - 9 + T

    @pytest.mark.parametrize(
        ("watchdog", "waits"),
        [
            (WatchdogStatus("External", True, 5, 1.5), True),
            (WatchdogStatus("External", False, 5, 1.5), False),
            (WatchdogStatus("Softdog", True, 5, 1.5), False),
            (None, False),
        ],
    )
    def test_where_the_lease_is_missing_the_status_says_whether_it_was_armed(self, watchdog, waits):
        """Here the careful answer is the one that waits."""
        view = node("n1", beat=None, lease_missing_s=NOW - 1, confirm="n1-x/n1.1/anna", status={"watchdog": watchdog})
        kinds, wake_at = gather(view)
        assert kinds == ([] if waits else [EvidenceKind.HUMAN_ACK])
        assert wake_at == (NOW - 1 + T if waits else None)

    def test_on_an_armed_node_whose_lease_another_machine_took_it_waits_for_t_since_then(self):
        found = beat("n1", 0.1, holder="n1.2", system_uuid="another")
        young = replace(found, sightings=(Sighting("n1.2", NOW - 1, NOW, 0, 1),))
        old = replace(found, sightings=(Sighting("n1.2", NOW - T - 1, NOW, 0, 1),))
        assert gather(node("n1", beat=young, confirm="n1-x/n1.1/anna"))[0] == []
        assert gather(node("n1", beat=old, confirm="n1-x/n1.1/anna"))[0] == [EvidenceKind.HUMAN_ACK]


class TestWhatWasTried:
    """Every kind that has not proven the loss says what it waits for, or why it does not count."""

    def why(self, view, kind, case=None, **how):
        return next(one.why for one in look(view, case, **how).tried if one.kind is kind)

    def test_each_kind_is_found_or_tried(self):
        gathered = look(node("n1", beat=beat("n1", T + 1), devices=(FenceDevice("ipmi", "a"),)))
        kinds = [one.kind for one in (*gathered.found, *gathered.tried)]
        assert sorted(kinds) == sorted(EvidenceKind)

    def test_fence_devices_only_where_there_are_some(self):
        gathered = look(node("n1", beat=beat("n1", 1)))
        assert EvidenceKind.POWER_OFF not in [one.kind for one in gathered.tried]

    def test_the_first_that_holds_does_not_stop_the_others(self):
        view = node("n1", beat=beat("n1", 1000, armed=False, drained=True), confirm="n1-x/n1.1/anna")
        assert gather(view)[0] == [EvidenceKind.DRAINED, EvidenceKind.HUMAN_ACK]

    def test_silence(self):
        kind = EvidenceKind.LEASE_EXPIRED
        assert self.why(node("n1", beat=beat("n1", 1, armed=False)), kind) == "the lost boot had no watchdog armed"
        assert self.why(node("n1", beat=beat("n1", 1)), kind, incident(release_by=WALL)) == "not before 00:16:40 UTC"
        other = {"accepted_watchdogs": (WatchdogKind.HARDWARE,)}
        assert "of kind External" in self.why(node("n1", beat=beat("n1", 1)), kind, accepted=other)
        refused = {"accepted_evidence": (EvidenceKind.HUMAN_ACK,)}
        assert "spec.fencing.acceptedEvidence" in self.why(node("n1", beat=beat("n1", 1)), kind, accepted=refused)

    def test_a_new_boot(self):
        kind = EvidenceKind.NEW_BOOT
        assert self.why(node("n1", beat=beat("n1", 1)), kind) == "it has not booted again"
        clone = node("n1", beat=beat("n1", holder="x.1", system_uuid="other"))
        assert self.why(clone, kind) == "another machine renews under its name"
        nameless = node("n1", beat=beat("n1", holder="n1.2"), status={"system_uuid": ""})
        assert self.why(nameless, kind) == "it has no system UUID to tell it by"

    def test_a_person(self):
        armed = node("n1", beat=beat("n1", 1), confirm="n1-x/n1.1/anna")
        assert "does not shorten" in self.why(armed, EvidenceKind.HUMAN_ACK)
        assert "nobody" in self.why(node("n1", beat=beat("n1", 1)), EvidenceKind.HUMAN_ACK)

    def test_no_word_changes_while_nothing_happens(self):
        """It is in the status: a second that passes must not be a write."""
        case = incident(release_by=WALL)
        for age_s in (1, 5, T - 0.1):
            assert (
                look(node("n1", beat=beat("n1", age_s)), case).tried == look(node("n1", beat=beat("n1", 0)), case).tried
            )


class TestCovers:
    proof = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "")

    def test_only_once_the_lease_was_taken(self):
        for stage in (Stage.SUSPECTED, Stage.PROVEN):
            assert covers(incident(stage=stage, evidence=(self.proof,)), instance()) is None
        assert covers(incident(stage=Stage.FENCED, evidence=(self.proof,)), instance()) == self.proof

    def test_all_but_drained_release_what_never_started_as_well(self):
        fenced = incident(stage=Stage.FENCED, evidence=(self.proof,))
        assert covers(fenced, instance(started=False, uid=None)) == self.proof

    def test_only_instances_of_the_boot_that_was_lost(self):
        fenced = incident(stage=Stage.FENCED, evidence=(self.proof,))
        assert covers(fenced, instance(nonce=Nonce("n1.2"))) is None

    def test_no_incident_no_evidence(self):
        assert covers(None, instance()) is None
        assert covers(incident(stage=Stage.FENCED), instance()) is None


def test_a_sign_of_life_is_a_larger_sequence_of_the_same_boot():
    assert evidence.sign_of_life(node("n1", beat=beat("n1", sequence=51)), incident())
    assert not evidence.sign_of_life(node("n1", beat=beat("n1", sequence=50)), incident())
    assert not evidence.sign_of_life(node("n1", beat=beat("n1", sequence=51, holder="n1.2")), incident())
    assert not evidence.sign_of_life(node("n1", beat=beat("n1", sequence=51, drained=True)), incident())


def test_the_lock_is_lost_to_a_manager_or_to_a_new_boot_and_to_nobody_else():
    assert evidence.lock_lost(beat("n1", holder="fenced/any/n1.1"), incident())
    assert evidence.lock_lost(beat("n1", holder="n1.2"), incident())
    assert not evidence.lock_lost(beat("n1"), incident())
    assert not evidence.lock_lost(beat("n1", holder="fenced/any/n1.7"), incident())
    assert not evidence.lock_lost(replace(beat("n1"), holder=""), incident())

"""The report: how healthy everything is, and what a person should know."""

from dataclasses import replace

import pytest

from quorate.api.wire import from_wire, to_wire
from quorate.core.conditions import Finding, merge
from quorate.core.status import Evidence, NodeStatus, StorageStatus, VotesStatus
from quorate.core.types import EvidenceKind, GuestState, Instant, NodeState, Stage
from quorate.view.build import build
from quorate.view.report import Health, Report
from quorate.view.snapshot import Snapshot
from tests.unit.view import pictures
from tests.unit.view.pictures import NOW, ago


def report_of(snapshot: Snapshot) -> Report:
    return build(snapshot, NOW)


def cluster_of(snapshot: Snapshot):
    (cluster,) = report_of(snapshot).clusters
    return cluster


def findings(snapshot: Snapshot) -> list[str]:
    report = report_of(snapshot)
    lines = [*report.attention, *(line for cluster in report.clusters for line in cluster.attention)]
    return [f"{line.object}: {line.finding}" for line in lines]


def with_condition(kind: str, *, holds: bool, reason: str, message: str) -> Snapshot:
    found = merge(
        (), [Finding("Ready", True, "Quorate", ""), Finding(kind, holds, reason, message)], now=ago(5), generation=1
    )
    return replace(pictures.whole(), clusters=(pictures.cluster(pictures.cluster_status(conditions=found)),))


class TestHealth:
    def test_all_as_wished(self):
        report = report_of(pictures.whole())
        assert report.health is Health.HEALTHY
        assert report.health.severity == 0
        assert not report.attention
        assert not report.clusters[0].attention

    def test_a_lost_node_whose_guests_wait_is_critical(self):
        assert report_of(pictures.node_lost()).health is Health.CRITICAL
        assert Health.CRITICAL.severity == 2

    def test_no_quorum_is_critical(self):
        assert report_of(pictures.quorum_lost()).health is Health.CRITICAL

    def test_a_fenced_node_without_guests_is_only_missing(self):
        fenced = pictures.node("n1", pictures.lost(release_by=None, stage=Stage.FENCED, guests=0))
        assert report_of(replace(pictures.whole(), nodes=(fenced,))).health is Health.DEGRADED

    @pytest.mark.parametrize("state", [NodeState.UNKNOWN, NodeState.GONE])
    def test_a_node_that_is_not_online_degrades(self, state):
        silent = pictures.node("n1", pictures.node_status(state=state, message="no heartbeat"))
        report = report_of(replace(pictures.whole(), nodes=(silent,)))
        assert report.health is Health.DEGRADED
        assert report.clusters[0].nodes[0].why == "no heartbeat"

    def test_a_guest_in_error_degrades_and_comes_first(self):
        cluster = cluster_of(
            replace(pictures.whole(), guests=(pictures.guest(), pictures.guest(pictures.in_error(), name="zzz")))
        )
        assert cluster.health is Health.DEGRADED
        assert [guest.guest for guest in cluster.guests] == ["ct:shop/api", "ct:shop/web"]
        assert "hands off" in cluster.guests[0].why

    def test_a_guest_that_is_stopped_as_wished_is_healthy(self):
        stopped = pictures.guest_status(state=GuestState.STOPPED, ready=False, message="stopped, as wished")
        assert report_of(replace(pictures.whole(), guests=(pictures.guest(stopped, state="Stopped"),))).health is (
            Health.HEALTHY
        )

    def test_an_ignored_guest_is_nobodys_business(self):
        ignored = pictures.guest_status(state=GuestState.IGNORED, conditions=pictures.ready(holds=False))
        assert report_of(replace(pictures.whole(), guests=(pictures.guest(ignored, state="Ignored"),))).health is (
            Health.HEALTHY
        )

    @pytest.mark.parametrize(
        ("state", "health"),
        [
            ("Available", Health.HEALTHY),
            ("Disabled", Health.HEALTHY),
            ("Missing", Health.DEGRADED),
            ("Deleting", Health.DEGRADED),
            ("", Health.DEGRADED),
        ],
    )
    def test_a_storage_counts_by_its_state(self, state, health):
        status = StorageStatus(shared=True, nodes="3/3", state=state, message="as it is")
        assert report_of(replace(pictures.whole(), storages=(pictures.storage("media", status),))).health is health

    def test_objects_that_no_manager_has_seen_say_so(self):
        bare = {"apiVersion": "quorate.dev/v1alpha1", "metadata": {"name": "n9"}, "spec": {"clusterName": "prod"}}
        cluster = cluster_of(replace(pictures.whole(), nodes=(bare,)))
        assert cluster.nodes[0].why == "the manager has not looked at it yet"
        assert cluster.nodes[0].votes == 1


class TestAttention:
    def test_a_lost_node_says_until_when_and_what_then(self):
        (line,) = cluster_of(pictures.node_lost()).attention
        assert line.object == "Node n1"
        assert line.finding == "lost (no heartbeat for 8.7s), 1 guest waits for proof that it is off"
        assert line.until == Instant(NOW + 12_000)
        assert line.then == "it recovers elsewhere"

    def test_a_lost_node_without_a_watchdog_asks_for_a_person(self):
        (line,) = cluster_of(pictures.node_lost(release_by=None)).attention
        assert line.until is None
        assert line.remedy == "If it is certainly off: quorate fence confirm n1"

    def test_without_quorum_the_way_out_is_named_with_the_largest_number_that_works(self):
        cluster, node = cluster_of(pictures.quorum_lost()).attention
        assert cluster.finding.startswith("not quorate (1 of 3 votes, need 2): nothing is fenced")
        assert cluster.remedy.endswith("quorate cluster expected 1 --reason TEXT")
        assert node.finding.endswith("nothing is done without quorum")
        assert node.until is None

    def test_a_cluster_that_was_never_quorate_is_not_told_to_override(self):
        young = pictures.cluster_status(
            quorate=False, ever_quorate=False, votes=VotesStatus(3, 3, 1, 2), message="waiting to hear from the nodes"
        )
        (line,) = cluster_of(replace(pictures.whole(), clusters=(pictures.cluster(young),))).attention
        assert line.finding == "waiting to hear from the nodes"
        assert not line.remedy

    def test_a_silent_manager_makes_everything_else_the_past(self):
        snapshot = replace(pictures.whole(), leaders=pictures.leader(age_s=21))
        report = report_of(snapshot)
        assert report.health is Health.CRITICAL
        assert report.clusters[0].manager.silent
        assert "what follows is what the last one wrote" in findings(snapshot)[0]

    @pytest.mark.parametrize(
        ("leaders", "silent"),
        [
            (pictures.leader(age_s=19), False),
            (pictures.leader(age_s=1, holder=""), True),
            ((), True),
            (None, False),
        ],
        ids=["its Lease is young enough", "it let go of its Lease", "there is no Lease", "we may not read it"],
    )
    def test_a_manager_is_silent_when_its_lease_says_so(self, leaders, silent):
        assert cluster_of(replace(pictures.whole(), leaders=leaders)).manager.silent is silent

    def test_an_override_in_force_is_always_shown(self):
        snapshot = with_condition("ExpectedVotesActive", holds=True, reason="Active", message="in force")
        assert findings(snapshot) == ["Cluster prod: in force"]
        assert report_of(snapshot).health is Health.DEGRADED

    def test_a_spent_override_is_over(self):
        assert findings(with_condition("ExpectedVotesActive", holds=False, reason="Spent", message="spent")) == []

    def test_two_votes_are_worth_knowing_and_no_illness(self):
        snapshot = with_condition("SurvivesNodeFailure", holds=False, reason="Votes", message="2 votes: 0 may be lost")
        assert findings(snapshot) == ["Cluster prod: 2 votes: 0 may be lost"]
        assert report_of(snapshot).health is Health.HEALTHY

    def test_a_history_that_runs_backwards_is_the_first_thing_to_know(self):
        words = "history runs backwards: quorate cluster accept-history"
        snapshot = with_condition("HistoryForward", holds=False, reason="HistoryBackwards", message=words)
        assert findings(snapshot) == [f"Cluster prod: {words}"]
        assert report_of(snapshot).health is Health.CRITICAL

    @pytest.mark.parametrize("kind", ["TimingValid", "NodesEnrolled", "ApiFast"])
    def test_conditions_that_fail_are_shown_with_their_own_words(self, kind):
        snapshot = with_condition(kind, holds=False, reason="Invalid", message="what is wrong, what to do")
        assert findings(snapshot) == ["Cluster prod: what is wrong, what to do"]
        assert report_of(snapshot).health is Health.DEGRADED

    def test_there_is_no_cluster(self):
        assert findings(Snapshot()) == ["Quorate: there is no Cluster"]
        assert report_of(Snapshot()).health is Health.DEGRADED

    def test_a_node_of_a_cluster_that_does_not_exist(self):
        snapshot = replace(pictures.whole(), nodes=(pictures.node("n9", cluster_name="gone"),))
        assert findings(snapshot) == ["Node n9: spec.clusterName: no Cluster is named 'gone'"]

    def test_a_status_of_another_version_is_named_and_the_rest_is_shown(self):
        odd = pictures.node("n1")
        odd["status"]["state"] = "Hibernating"
        cluster = cluster_of(replace(pictures.whole(), nodes=(odd, pictures.node("n2"))))
        assert "state: 'Hibernating'" in cluster.nodes[0].why
        assert cluster.nodes[1].health is Health.HEALTHY


class TestNodes:
    def node(self, status: NodeStatus, **leases):
        snapshot = replace(pictures.whole(), nodes=(pictures.node("n1", status),))
        return cluster_of(replace(snapshot, **leases)).nodes[0]

    def test_a_fenced_lease_is_taken(self):
        taken = pictures.lease("n1", "fenced/n1-abc/boot", ago(2))
        node = self.node(pictures.lost(release_by=None), leases=(taken,))
        assert node.taken
        assert not node.heard

    def test_a_node_is_heard_while_its_beat_is_younger_than_s(self):
        unknown = pictures.node_status(state=NodeState.UNKNOWN)
        assert self.node(unknown, leases=pictures.leases(n1=8.5)).heard
        assert not self.node(unknown, leases=pictures.leases(n1=8.7)).heard

    def test_leases_that_cannot_be_read_leave_the_rest(self):
        node = self.node(pictures.node_status(), leases=None)
        assert node.renewed is None
        assert node.health is Health.HEALTHY

    @pytest.mark.parametrize(
        ("kind", "why"),
        [("WatchdogAccepted", "no guest starts here"), ("AgentCurrent", "run the same version")],
    )
    def test_a_node_that_is_online_may_still_be_unfit(self, kind, why):
        found = merge((), [Finding(kind, False, "KindNotAccepted", why)], now=ago(5), generation=1)
        node = self.node(pictures.node_status(conditions=found))
        assert (node.health, node.why) == (Health.DEGRADED, why)

    def test_a_kind_of_watchdog_that_is_not_trusted_says_so(self):
        found = merge((), [Finding("WatchdogAccepted", False, "KindNotAccepted", "no")], now=ago(5), generation=1)
        assert self.node(pictures.node_status(conditions=found)).watchdog == "not accepted"

    def test_a_proven_node_says_by_what(self):
        status = pictures.lost(release_by=None, stage=Stage.PROVEN)
        proof = Evidence(EvidenceKind.LEASE_EXPIRED, NOW, 9, "armed and silent for 14.7s")
        node = self.node(replace(status, incident=replace(status.incident, evidence=(proof,))))
        assert node.why == "proven dead (LeaseExpired): its Lease is being taken"


class TestGuests:
    def test_a_target_in_fence_is_a_preview(self):
        (guest,) = cluster_of(pictures.node_lost()).guests
        assert (guest.target, guest.preview) == ("n2", True)

    def test_a_target_on_the_way_is_none(self):
        moving = pictures.guest_status(state=GuestState.RELOCATE, target="n2")
        (guest,) = cluster_of(replace(pictures.whole(), guests=(pictures.guest(moving),))).guests
        assert (guest.target, guest.preview) == ("n2", False)

    def test_a_deleted_guest_is_wished_away(self):
        raw = pictures.guest()
        raw["metadata"]["deletionTimestamp"] = "2026-11-22T16:43:00Z"
        (guest,) = cluster_of(replace(pictures.whole(), guests=(raw,))).guests
        assert guest.want == "Deleted"

    def test_a_guest_without_a_cluster_stands_apart(self):
        clusters = (pictures.cluster(), pictures.cluster(name="lab"))
        stray = pictures.guest(pictures.guest_status(cluster_name="", conditions=(), message="name one of them"))
        report = report_of(replace(pictures.whole(), clusters=clusters, guests=(stray,)))
        assert [guest.why for guest in report.strays] == ["name one of them"]
        assert not any(cluster.guests for cluster in report.clusters)

    def test_an_only_cluster_takes_a_guest_that_names_none(self):
        young = pictures.guest(pictures.guest_status(cluster_name="", conditions=()))
        assert len(cluster_of(replace(pictures.whole(), guests=(young,))).guests) == 1


@pytest.mark.parametrize("snapshot", [pictures.whole(), pictures.node_lost(), pictures.quorum_lost(), Snapshot()])
def test_a_report_survives_being_written_and_read(snapshot):
    report = report_of(snapshot)
    assert from_wire(Report, to_wire(report)) == report

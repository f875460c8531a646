"""Who votes: joining, limits, leaving, and what a Cluster and its nodes say of themselves."""

from dataclasses import replace

from quorate.core.actions import CreateLease, Enroll, SetFinalizer
from quorate.core.liveness import held_against
from quorate.core.override import ExpectedVotes
from quorate.core.plan import plan
from quorate.core.selectors import Requirement, Selector, Taint
from quorate.core.status import Arming, ClusterStatus
from quorate.core.timing import PROFILES, Profile, Timing, TimingSpec
from quorate.core.types import GuestKey, Instant, NodeName, NodeState, Uid
from quorate.core.world import KubeNode
from tests.unit.core.worlds import SPEC, WALL, beat, guest, incident, node, world


def kube(name, **changes):
    return KubeNode(NodeName(name), Uid(f"kube-{name}"), ready=True, **changes)


CONTROL_PLANE = Taint("node-role.kubernetes.io/control-plane", "NoSchedule")


def with_spec(made, **changes):
    return replace(made, cluster=replace(made.cluster, spec=replace(made.cluster.spec, **changes)))


def status_of(made):
    planned = plan(made)
    written = [write.status for write in planned.statuses if isinstance(write.status, ClusterStatus)]
    return written[0] if written else made.cluster.status


def condition(status, name):
    return next(one for one in status.conditions if one.type == name)


def joining(made):
    return [action.node for action in plan(made).actions if isinstance(action, Enroll)]


class TestJoining:
    def test_every_worker_joins_and_no_control_plane(self):
        made = world(nodes=(), kube_nodes=(kube("n1"), kube("n2"), kube("cp", taints=(CONTROL_PLANE,))))
        made = replace(made, cluster=replace(made.cluster, status=ClusterStatus()))
        assert joining(made) == ["n1", "n2"]

    def test_a_selector_chooses_and_may_name_a_control_plane(self):
        made = world(nodes=(), kube_nodes=(kube("n1"), kube("cp", taints=(CONTROL_PLANE,), labels={"ha": "yes"})))
        made = with_spec(made, node_selector=Selector((Requirement("ha", "In", ("yes",)),)))
        made = replace(made, cluster=replace(made.cluster, status=ClusterStatus()))
        assert joining(made) == ["cp"]

    def test_a_minority_does_not_vote_itself_into_a_majority(self):
        alone = (node("n1"), node("n2", beat=beat("n2", 100)), node("n3", beat=beat("n3", 100)))
        more = (*(one.kube for one in alone), kube("n4"), kube("n5"))
        assert joining(world(nodes=alone, kube_nodes=more)) == []
        assert joining(world(kube_nodes=(kube("n1"), kube("n2"), kube("n3"), kube("n4")))) == ["n4"]

    def test_the_thirty_third_node_stays_outside_and_it_is_said(self):
        members = tuple(node(f"n{i:02}") for i in range(1, 33))
        made = world(nodes=members, kube_nodes=(*(one.kube for one in members), kube("n33")))
        assert joining(made) == []
        found = condition(status_of(made), "NodesEnrolled")
        assert (found.status, found.reason) == ("False", "TooManyNodes")
        assert found.message.startswith("n33 cannot join: a Cluster has at most 32 nodes")

    def test_a_node_of_another_cluster_is_not_taken_and_both_names_are_said(self):
        made = world(kube_nodes=(kube("n1"), kube("n2"), kube("n3"), kube("n4")), claimed=((NodeName("n4"), "lab"),))
        assert joining(made) == []
        found = condition(status_of(made), "NodesEnrolled")
        assert found.reason == "ClaimedByAnother"
        assert "n4 (Cluster lab)" in found.message

    def test_a_cluster_all_of_whose_nodes_are_members_of_another_does_not_say_that_nothing_matches(self):
        made = world(nodes=(), guests=(), kube_nodes=(kube("n1"),), claimed=((NodeName("n1"), "lab"),))
        assert status_of(made).message.endswith(
            "every node that matches spec.nodeSelector is a member of another Cluster"
        )
        nothing = world(nodes=(), guests=(), kube_nodes=())
        assert status_of(nothing).message == "no node has joined yet: nothing matches spec.nodeSelector"

    def test_a_new_member_gets_a_lease_and_an_old_ones_is_its_agents_business(self):
        new = node("n4", beat=None, lease_missing_s=999.0, status={"nonce": None, "state": NodeState.UNKNOWN})
        lost = node("n5", beat=None, lease_missing_s=999.0)
        made = plan(world(nodes=(node("n1"), node("n2"), node("n3"), new, lost)))
        assert [action.node for action in made.actions if isinstance(action, CreateLease)] == ["n4"]


class TestVotes:
    def test_a_gone_node_keeps_its_vote_for_an_hour(self):
        def total(age_ms, **status):
            gone = node(
                "n3", kube=None, beat=None, status={"state": NodeState.GONE, "since": Instant(WALL - age_ms), **status}
            )
            return status_of(world(nodes=(node("n1"), node("n2"), gone))).votes.total

        assert total(3_599_000) == 3
        assert total(3_600_000) == 2
        assert total(3_600_000, guests=1) == 3

    def test_quorum_that_is_not_known_yet_leaves_what_was_written(self):
        found = tuple(node(name, beat=replace(beat(name), moved=False)) for name in ("n1", "n2", "n3"))
        before = ClusterStatus(quorate=True, ever_quorate=True, quorate_since=WALL)
        made = world(nodes=found)
        made = replace(made, cluster=replace(made.cluster, status=before))
        after = status_of(made)
        assert after.quorate
        assert after.message == "waiting to hear from the nodes (0 of 3 votes, need 2, 3 not heard from yet)"
        assert not [action for action in plan(made).actions if not isinstance(action, SetFinalizer)]

    def test_expected_votes_and_what_became_of_it(self):
        alone = (node("n1"), node("n2", beat=beat("n2", 100)), node("n3", beat=beat("n3", 100)))
        made = with_spec(world(nodes=alone), expected_votes=ExpectedVotes(1, "lost for good", 1))
        after = status_of(made)
        assert after.quorate
        assert (after.votes.expected, after.votes.total, after.votes.text) == (1, 3, "1/1")
        assert condition(after, "ExpectedVotesActive").status == "True"
        healthy = with_spec(world(), expected_votes=ExpectedVotes(1, "just so", 1))
        refused = condition(status_of(healthy), "ExpectedVotesActive")
        assert refused.reason == "Refused"
        assert "a real majority is alive" in refused.message

    def test_the_table_generation_grows_with_the_effective_votes(self):
        first = status_of(world())
        assert first.table_generation == 1
        again = world()
        again = replace(again, cluster=replace(again.cluster, status=first))
        assert status_of(again).table_generation == 1

    def test_fewer_than_three_votes_survive_nothing_and_it_is_said(self):
        found = condition(status_of(world(nodes=(node("n1"), node("n2")))), "Ready")
        assert "no node failure can be survived" in found.message


class TestWords:
    def test_a_broken_timing_is_a_condition_and_nothing_stops(self):
        made = with_spec(world(), timing=TimingSpec(Profile.CUSTOM, Timing(1, 1.5, 4)))
        found = condition(status_of(made), "TimingValid")
        assert found.status == "False"
        assert "1s + 2 x 1.5s + 1s = 5s" in found.message
        assert status_of(made).timing.profile == "Relaxed"

    def test_the_sentence_of_a_healthy_cluster(self):
        assert status_of(world(guests=(guest(),))).message == "quorate (3 of 3 votes, need 2), guests: 1 started"

    def test_an_unaccepted_watchdog_is_a_condition_with_its_remedy(self):
        made = with_spec(world(), accepted_watchdogs=SPEC.accepted_watchdogs[:0])
        written = next(write.status for write in plan(made).statuses if write.ref.name == "n1")
        found = condition(written, "WatchdogAccepted")
        assert found.reason == "KindNotAccepted"
        assert "add it to spec.fencing.acceptedWatchdogs" in found.message

    def test_a_node_that_does_not_arm_is_a_condition_that_says_when_it_is_asked_again(self):
        asked = Arming(3, wanted=False, since=WALL, failed=True, tries=2, tried=WALL)
        silent = node("n1", beat=beat("n1", armed=False, generation=3), status={"arming": asked})
        written = next(
            write.status for write in plan(world(nodes=(silent, node("n2")))).statuses if write.ref.name == "n1"
        )
        found = condition(written, "WatchdogAccepted")
        assert (found.status, found.reason) == ("False", "DoesNotArm")
        assert "it was asked 2 times to arm its watchdog and did not; from 00:17:40 UTC on" in found.message

    def accepted(self, nodes):
        made = plan(world(nodes=(*nodes, node("n2"), node("n3")), guests=(guest(),)))
        written = next(write.status for write in made.statuses if write.ref.name == "n1")
        return condition(written, "WatchdogAccepted"), written

    def test_what_is_wrong_with_a_watchdog_that_is_none(self):
        why = "watchdog /dev/watchdog: there is none: load the module"
        found, written = self.accepted([node("n1", beat=beat("n1", armed=False, watchdog="", trouble=why))])
        assert (found.status, found.reason) == ("False", "NoWatchdog")
        assert found.message == f"{why}: no guest starts here"
        assert written.watchdog is None

    def test_why_it_does_not_arm(self):
        asked = Arming(1, wanted=True, since=WALL, failed=True, tries=1, tried=WALL)
        silent = beat("n1", armed=False, trouble="watchdog /dev/watchdog: EIO")
        found, _ = self.accepted([node("n1", beat=silent, status={"arming": asked})])
        assert found.reason == "DoesNotArm"
        assert found.message.endswith("the last choice for guests; watchdog /dev/watchdog: EIO")

    def test_one_that_counts_longer_than_asked_for_counts_in_t(self):
        found, written = self.accepted([node("n1", beat=beat("n1", watchdog_s=8))])
        assert (found.status, found.reason) == ("True", "LongerThanAsked")
        assert found.message == "External, armed: 8s, longer than the 5s that were asked for"
        lost = node("n1", beat=beat("n1", 20.0, watchdog_s=8), status={"watchdog": written.watchdog, "guests": 1})
        assert held_against(lost, PROFILES[Profile.FAST]).release_after_s == Timing(1, 1.5, 8).release_after_s

    def test_one_that_works_may_have_something_to_say(self):
        found, _ = self.accepted([node("n1", beat=beat("n1", trouble="nowayout"))])
        assert (found.status, found.message) == ("True", "External, armed; nowayout")

    def test_what_was_counted_is_forgotten_once_it_arms(self):
        asked = Arming(1, wanted=True, since=WALL, failed=True, tries=2, tried=WALL)
        made = plan(world(nodes=(node("n1", status={"arming": asked}), node("n2")), guests=(guest(),)))
        written = next(write.status for write in made.statuses if write.ref.name == "n1")
        assert written.arming == Arming(1, wanted=True, since=WALL)

    def test_an_acknowledgement_that_means_nothing_is_said(self):
        made = world(nodes=(node("n1", confirm="old/n1.0/anna"), node("n2"), node("n3")))
        written = next(write.status for write in plan(made).statuses if write.ref.name == "n1")
        assert condition(written, "FenceConfirmed").reason == "NoIncident"


class TestFinalizers:
    def test_members_with_guests_are_held_and_empty_ones_let_go(self):
        made = plan(world(nodes=(node("n1"), node("n2", held=True), node("n3")), guests=(guest(),)))
        held = {action.subject.name: action.present for action in made.actions if isinstance(action, SetFinalizer)}
        assert held == {"n1": True, "n2": False}

    def test_an_empty_cluster_is_let_go(self):
        made = plan(world())
        assert [action.present for action in made.actions if isinstance(action, SetFinalizer)] == [False]


def test_a_status_of_a_newer_leader_stops_everything():
    newer = world(nodes=(node("n1", status={"term": 9}), node("n2"), node("n3")), guests=(guest(),))
    made = plan(newer)
    assert (made.statuses, made.actions) == ((), ())
    assert "a newer leader has written (term 9, ours is 3)" in made.sentence


def test_without_a_term_nothing_is_planned():
    assert plan(world(term=0)).actions == ()


class TestLeaving:
    """What is being deleted says what it waits for, and what a person can do."""

    def test_a_cluster_names_its_guests_and_its_lost_nodes(self):
        lost = node("n1", status={"state": NodeState.FENCE, "incident": incident()}, beat=beat("n1", 10))
        guests = tuple(
            replace(
                guest(status={"node": NodeName("n2"), "instance": None}, pod=None), key=GuestKey("default", f"g{n}")
            )
            for n in range(5)
        )
        made = world(nodes=(lost, node("n2"), node("n3")), guests=guests)
        said = status_of(replace(made, cluster=replace(made.cluster, deleting=True))).message
        assert said.startswith(
            "being deleted: waiting for ct:default/g0, ct:default/g1, ct:default/g2 and 2 more to be "
        )
        assert "(quorate remove GUEST), and for n1 to come back in a new boot (power it on" in said

    def test_a_cluster_without_any_waits_for_nothing(self):
        made = world()
        assert status_of(replace(made, cluster=replace(made.cluster, deleting=True))).message == "being deleted"

    def test_a_node_with_guests_says_how_they_leave(self):
        made = world(nodes=(replace(node("n1"), deleting=True), node("n2"), node("n3")), guests=(guest(),))
        (status,) = [write.status for write in plan(made).statuses if write.ref.name == "n1"]
        assert status.message.startswith("leaving the cluster: waiting for its guests to leave it (quorate relocate")

"""The checker finds what it is there for: each breach is planted in a plan by hand."""

from dataclasses import replace

import pytest

from quorate.core.actions import CreatePod, Plan, RemovePod, StatusWrite, StopPod, TakeLease
from quorate.core.invariants import check
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule, Topology
from quorate.core.status import Evidence
from quorate.core.types import EvidenceKind, GuestKey, GuestState, NodeName, NodeState, Stage, Wanted, node_ref
from tests.unit.core.worlds import KEY, WALL, beat, guest, incident, instance, node, pod, world

PROOF = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "")
NEXT = instance("n2", id="i2", uid=None, began=False, started=False)
TAKE = TakeLease("n1", "n1-x", "n1.1", "lease-n1", "77")
FORCED = RemovePod(KEY, "pod-1", "5", "evidence", forced=True, proof=(node_ref("n1"),))
ALONE = (node("n1"), node("n2", beat=beat("n2", 100)), node("n3", beat=beat("n3", 100)))


def lost(**changes):
    return node("n1", beat=beat("n1", 100), status={"state": NodeState.FENCE, "incident": incident(**changes)})


FENCED = (lost(stage=Stage.FENCED, evidence=(PROOF,)), node("n2"), node("n3"))


def breaches(made, *actions, status=None):
    writes = (StatusWrite(KEY.ref, "1", status),) if status is not None else ()
    return [breach.invariant for breach in check(made, Plan(statuses=writes, actions=actions))]


def planned(one, **changes):
    """The guest's status as a plan would write it before starting NEXT."""
    return replace(one.status, state=GuestState.STARTING, instance=NEXT, **changes)


def test_an_innocent_start_passes():
    one = guest(pod=None, status={"instance": instance(ended="a fact")})
    assert breaches(world(guests=(one,)), CreatePod(KEY, NEXT), status=planned(one)) == []


@pytest.mark.parametrize("term", [0])
def test_2_nothing_without_a_term(term):
    one = guest()
    assert breaches(world(guests=(one,), term=term), StopPod(KEY, "pod-1", "5")) == [2]


@pytest.mark.parametrize("action", [StopPod(KEY, "pod-1", "5"), FORCED, TAKE, CreatePod(KEY, NEXT)])
def test_2_nothing_without_quorum(action):
    assert breaches(world(nodes=ALONE, guests=(guest(),)), action) == [2]


def test_3_no_second_pod_beside_the_first():
    one = guest()
    assert breaches(world(guests=(one,)), CreatePod(KEY, NEXT), status=planned(one)) == [3]


def test_3_no_replacement_without_a_fact():
    one = guest(pod=None)
    assert breaches(world(guests=(one,)), CreatePod(KEY, NEXT), status=planned(one)) == [3]


def test_3_no_pod_that_the_status_does_not_name_first():
    one = guest(pod=None, status={"instance": None})
    assert breaches(world(guests=(one,)), CreatePod(KEY, NEXT)) == [3]


def test_3_none_for_a_boot_that_is_over():
    one = guest(pod=None, status={"instance": None})
    stale = replace(NEXT, nonce="n2.0")
    status = replace(planned(one), instance=stale)
    assert breaches(world(guests=(one,)), CreatePod(KEY, stale), status=status) == [3]


def test_3_none_on_a_node_that_is_not_online():
    one = guest(pod=None, status={"instance": None})
    there = replace(NEXT, node="n1", nonce="n1.1")
    status = replace(planned(one), instance=there)
    assert breaches(world(nodes=FENCED, guests=(one,)), CreatePod(KEY, there), status=status) == [3]


def test_3_removed_only_on_a_fact():
    gone = RemovePod(KEY, "pod-1", "5", "because")
    assert breaches(world(guests=(guest(),)), gone) == [3]
    ended = guest(status={"instance": instance(ended="a fact")})
    assert breaches(world(guests=(ended,)), gone) == []


def test_3_by_force_only_on_evidence_for_that_boot():
    assert breaches(world(nodes=FENCED, guests=(guest(),)), FORCED) == []
    assert breaches(world(guests=(guest(),)), FORCED) == [3]
    unproven = (lost(stage=Stage.PROVEN, evidence=(PROOF,)), node("n2"), node("n3"))
    assert breaches(world(nodes=unproven, guests=(guest(),)), FORCED) == [3]
    other_boot = guest(status={"instance": instance(nonce="n1.7")})
    assert breaches(world(nodes=FENCED, guests=(other_boot,)), FORCED) == [3]


def test_3_only_what_was_judged_is_removed():
    assert breaches(world(nodes=FENCED, guests=(guest(pod=pod(uid="another")),)), FORCED) == [3]


@pytest.mark.parametrize("state", [GuestState.ERROR, GuestState.IGNORED])
def test_4_hands_off(state):
    one = guest(status={"state": state})
    assert breaches(world(guests=(one,)), StopPod(KEY, "pod-1", "5")) == [4]
    assert breaches(world(nodes=FENCED, guests=(one,)), FORCED) == [4]


def test_4_an_ignored_guests_own_deletion_may_go_through():
    one = guest(
        pod=pod(deleting=True),
        spec={"wanted": Wanted.IGNORED},
        status={"state": GuestState.IGNORED, "instance": instance(ended="a fact")},
    )
    assert breaches(world(guests=(one,)), RemovePod(KEY, "pod-1", "5", "a fact")) == []


def test_3_no_lease_is_taken_without_stored_evidence():
    assert breaches(world(nodes=(lost(), node("n2"), node("n3"))), TAKE) == [3]
    assert breaches(world(), TAKE) == [3]


def test_9_no_lease_is_taken_from_a_node_that_renewed():
    alive = node(
        "n1", beat=beat("n1", sequence=51), status={"incident": incident(stage=Stage.PROVEN, evidence=(PROOF,))}
    )
    assert breaches(world(nodes=(alive, node("n2"), node("n3"))), TAKE) == [9]


def test_8_a_hard_filter_that_was_forgotten_is_found():
    one = guest(pod=None, status={"instance": None})
    cordoned = node("n2", kube=replace(node("n2").kube, unschedulable=True))
    made = world(nodes=(node("n1"), cordoned, node("n3")), guests=(one,))
    assert breaches(made, CreatePod(KEY, NEXT), status=planned(one)) == [8]


PEER = GuestKey("default", "peer")
BOTH = Guests((KEY, PEER))
N1 = NodeAffinity((NodePriority(NodeName("n1")),), strict=True)
AGAINST = {
    "a strict rule": Rule("on", Guests((KEY,)), nodes=N1),
    "apart": Rule("apart", BOTH, peers=GuestAffinity(Affinity.APART)),
    "apart by zone": Rule("apart", BOTH, peers=GuestAffinity(Affinity.APART, Topology.ZONE)),
}


def ruled(*rules, place="n2", **changes):
    """NEXT is about to be drawn on n2; its peer runs in that place. n2 and n3 are one zone."""
    one = guest(pod=None, status={"instance": None})
    peer = replace(guest(status={"instance": instance(place, **changes)}), key=PEER)
    nodes = (node("n1", zone="x"), node("n2", zone="y"), node("n3", zone="y"))
    made = world(nodes=nodes, guests=(one, peer))
    spec = replace(made.cluster.spec, rules=rules)
    return one, replace(made, cluster=replace(made.cluster, spec=spec))


@pytest.mark.parametrize("rule", AGAINST.values(), ids=AGAINST)
def test_8_an_instance_that_is_drawn_against_a_rule_is_found(rule):
    one, made = ruled(rule)
    assert breaches(made, status=planned(one)) == [8]
    assert breaches(ruled()[1], status=planned(one)) == []


def test_8_the_zone_counts_where_the_rule_is_by_zone():
    one, made = ruled(AGAINST["apart by zone"], place="n3")
    assert breaches(made, status=planned(one)) == [8]
    assert breaches(ruled(AGAINST["apart"], place="n3")[1], status=planned(one)) == []


def test_8_a_peer_that_has_stopped_keeps_nobody_away():
    one, made = ruled(AGAINST["apart"], ended="a fact")
    assert breaches(made, status=planned(one)) == []


def test_8_what_was_drawn_before_is_not_judged_again():
    one, made = ruled(AGAINST["apart"])
    drawn = replace(one, status=planned(one))
    assert breaches(replace(made, guests=(drawn, made.guests[1])), status=planned(one, message="waits")) == []

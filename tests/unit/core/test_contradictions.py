"""Rules that cannot be followed: what is found, what is ignored, and that it is said with guests and remedy."""

from dataclasses import replace

import pytest

from quorate.core.contradictions import Fault, contradictions
from quorate.core.rulebook import compile_rules
from quorate.core.rules import LAST, Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule, Topology, meant
from quorate.core.selectors import Requirement, Selector
from quorate.core.types import GuestKey, NodeName

THREE = dict.fromkeys(map(NodeName, ("n1", "n2", "n3")), "")
TWO_ZONES = {NodeName("n1"): "x", NodeName("n2"): "x", NodeName("n3"): "y"}


def key(letter):
    return GuestKey("default", letter)


def together(guests, name="", topology=Topology.NODE):
    return Rule(name or f"t-{guests}", who(guests), peers=GuestAffinity(Affinity.TOGETHER, topology))


def apart(guests, name="", topology=Topology.NODE):
    return Rule(name or f"a-{guests}", who(guests), peers=GuestAffinity(Affinity.APART, topology))


def on(guests, *nodes, strict=True, **priorities):
    wished = tuple(NodePriority(NodeName(node), one) for node, one in {**dict.fromkeys(nodes, 0), **priorities}.items())
    return Rule(f"n-{guests}", who(guests), nodes=NodeAffinity(wished, strict))


def who(guests):
    return Guests(tuple(map(key, guests)))


def found(*rules, zones=THREE):
    guests = {guest: {} for rule in rules for guest in rule.guests.names}
    return {(str(one.fault), " ".join(one.rules)) for one in contradictions(meant(rules, guests), zones)}


def book(*rules, zones=THREE, labels=None):
    guests = {guest: {} for rule in rules for guest in rule.guests.names}
    return compile_rules(rules, labels if labels is not None else guests, zones)


FINE = [
    (),
    (apart("abc"),),
    (together("abcdef"),),
    (together("ab"), apart("ac"), apart("bd")),
    (on("a", "n1"), on("b", "n1")),
    (on("ab", "n1", "n2"), apart("ab")),
    (on("ab", "n1", strict=False), apart("ab")),
    (on("abc", "n1", "n2", strict=False), apart("abc")),
    (on("a", "n1", n2=1),),
    (on("a", "n9"), on("b", "n9"), apart("ab")),
    (apart("ab", topology=Topology.ZONE), on("c", "n1", n2=2)),
]


@pytest.mark.parametrize("rules", FINE, ids=lambda rules: " ".join(rule.name for rule in rules) or "none")
def test_what_can_be_followed_is_left_alone(rules):
    assert found(*rules, zones=TWO_ZONES) == set()


AS_IN_PROXMOX = {
    Fault.SEVERAL_NODE_RULES: [(on("ab", "n1"), on("bc", "n2"), on("d", "n1")), "n-ab n-bc"],
    Fault.TOO_FEW_GUESTS: [(apart("a"),), "a-a"],
    Fault.MORE_APART_THAN_PLACES: [(apart("abcd"), apart("abc")), "a-abcd"],
    Fault.TOGETHER_AND_APART: [(together("abc"), apart("bc"), apart("ad")), "a-bc t-abc"],
    Fault.SEVERAL_PRIORITIES: [(on("ab", "n1", strict=False, n2=1), apart("bc"), apart("de")), "a-bc n-ab"],
    Fault.TOGETHER_UNDER_SEVERAL: [(together("ab"), on("a", "n1"), on("b", "n1")), "n-a n-b t-ab"],
    Fault.TOO_FEW_NODES: [(on("a", "n1"), on("b", "n1"), apart("abc")), "a-abc n-a n-b"],
}


@pytest.mark.parametrize("fault", AS_IN_PROXMOX)
def test_the_checks_of_proxmox(fault):
    rules, ignored = AS_IN_PROXMOX[fault]
    assert found(*rules) == {(str(fault), ignored)}


MISSED_BY_PROXMOX = [
    # {1,9},{2,3},{3,9} is one set, whatever the order: joining them greedily misses that.
    ((together("19"), together("23"), together("39"), apart("12")), "TogetherAndApart", "a-12 t-19 t-23 t-39"),
    # Pairwise apart, each pair by a rule of its own: a clique larger than the cluster.
    (
        tuple(map(apart, ("ab", "ac", "ad", "bc", "bd", "cd"))),
        "MoreApartThanPlaces",
        "a-ab a-ac a-ad a-bc a-bd a-cd",
    ),
    # The union of the nodes has three, and still two of the guests have one between them (Hall).
    ((on("a", "n1"), on("b", "n1"), on("c", "n2", "n3"), apart("abc")), "TooFewNodes", "a-abc n-a n-b"),
    # The same through companions: a and b are tied to c and d, which share a node.
    (
        (together("ac"), together("bd"), on("c", "n1"), on("d", "n1"), apart("ab")),
        "TooFewNodes",
        "a-ab n-c n-d t-ac t-bd",
    ),
    # The same, by zone.
    ((on("a", "n1"), on("b", "n2"), apart("ab", topology=Topology.ZONE)), "TooFewNodes", "a-ab n-a n-b"),
    ((apart("abc", topology=Topology.ZONE),), "MoreApartThanPlaces", "a-abc"),
    ((together("ab", topology=Topology.ZONE), apart("ab", topology=Topology.ZONE)), "TogetherAndApart", "a-ab t-ab"),
    ((together("ab", topology=Topology.ZONE), on("a", "n1"), on("b", "n3")), "TooFewNodes", "n-a n-b t-ab"),
    ((together("abc", topology=Topology.ZONE), apart("abc")), "TooFewNodes", "a-abc t-abc"),
]


@pytest.mark.parametrize(("rules", "fault", "ignored"), MISSED_BY_PROXMOX)
def test_what_proxmox_misses(rules, fault, ignored):
    assert found(*rules, zones=TWO_ZONES) == {(fault, ignored)}


def test_a_ring_that_two_nodes_are_too_few_for():
    ring = tuple(map(apart, ("ab", "bc", "cd", "de", "ae")))
    two = dict.fromkeys(map(NodeName, ("n1", "n2")), "")
    assert found(*ring, zones=two) == {("TooFewNodes", "a-ab a-ae a-bc a-cd a-de")}
    assert found(*ring) == set()


def test_it_is_said_with_rules_guests_and_what_to_do():
    (one,) = contradictions(meant((on("ab", "n1"), on("b", "n2")), {key("a"): {}, key("b"): {}}), THREE)
    assert one.guests == (key("b"),)
    assert one.text == ("rules n-ab, n-b: ct:default/b: in more than one node affinity; name each guest in one of them")


def test_only_the_contradictory_set_is_ignored():
    made = book(together("ab"), apart("ab"), on("c", "n1"), apart("cd"))
    assert [one.rules for one in made.ignored] == [("a-ab", "t-ab")]
    assert set(made.terms) == {key("c"), key("d")}
    assert made.total == 4


def test_companions_share_a_node_affinity_and_whom_they_are_apart_from():
    terms = book(together("ab"), together("bc"), on("a", "n1", strict=False), apart("cd")).terms
    assert terms[key("b")].together == (key("a"), key("c"))
    assert terms[key("b")].nodes == {"n1": 0}
    assert terms[key("b")].priority(NodeName("n2")) == LAST
    assert terms[key("a")].apart == {key("d"): "a-cd"}
    assert set(terms[key("d")].apart) == {key("a"), key("b"), key("c")}


def test_disabled_rules_are_as_good_as_not_there():
    made = book(replace(together("ab"), disabled=True), apart("ab"))
    assert made.ignored == ()
    assert made.total == 1


SSD = Selector((Requirement("disk", "In", ("ssd", "nvme")),))


def test_guests_are_selected_by_label_as_well_as_named():
    rule = Rule("fast", Guests((key("a"),), SSD), nodes=NodeAffinity((NodePriority(NodeName("n1")),)))
    labels = {key("a"): {}, key("b"): {"disk": "ssd"}, key("c"): {"disk": "nvme"}, key("d"): {"disk": "tape"}}
    assert set(book(rule, labels=labels).terms) == {key("a"), key("b"), key("c")}


def test_a_selector_without_requirements_selects_nobody():
    rule = Rule("all", Guests((), Selector()), peers=GuestAffinity(Affinity.APART))
    assert book(rule, labels={key("a"): {}, key("b"): {}}).terms == {}


def test_what_is_hardly_meant_is_told():
    rules = (on("az", "n1"), on("b", "n9"), apart("ab", topology=Topology.ZONE))
    said = book(*rules, zones={**TWO_ZONES, NodeName("n4"): ""}, labels={key("a"): {}, key("b"): {}}).troubles
    assert said == (
        (
            "rule a-ab is by zone; these nodes have none and count as one: n4. Set spec.zone of their nodes.quorate.dev, "
            "or the label topology.kubernetes.io/zone"
        ),
        "rule n-az names guests that do not exist: ct:default/z",
        "rule n-b names nodes that are not in the cluster: n9",
        "rule n-b is strict and names no node of the cluster: ct:default/b cannot start",
    )

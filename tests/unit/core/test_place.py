"""Placement: every rejection has its reason, and the fewest guests win."""

from dataclasses import replace

import pytest

from quorate.core import place
from quorate.core.board import Wish
from quorate.core.place import Candidate, rejection, storage_problem
from quorate.core.selectors import NodeTerm, Requirement, Selector, Taint, Toleration
from quorate.core.status import StorageStatus
from quorate.core.types import NodeName, NodeState, StorageType, Uid
from quorate.core.world import ClusterSpec, GuestSpec, Mount, StorageView, Template
from tests.unit.core.worlds import EXTERNAL, beat, node

PLAIN = GuestSpec(Template("t1"))


def candidate(name="n1", guests=0, state=NodeState.ONLINE, kube=None, **changes):
    view = node(name, **changes)
    if kube is not None:
        view = replace(view, kube=replace(view.kube, **kube))
    return Candidate(view, state, guests)


def reason(one, spec=PLAIN, storages=(), **options):
    found = choose(spec, [one], {storage.name: storage for storage in storages}, EXTERNAL, **options)
    return found.rejections[0].reason if found.rejections else None


def choose(spec, candidates, storages, accepted, **options):
    return place.choose(
        candidates, lambda one: rejection(spec, one, storages, ClusterSpec(accepted_watchdogs=accepted)), **options
    )


def template(**changes):
    return replace(PLAIN, template=Template("t1", **changes))


def test_the_fewest_guests_then_the_name():
    crowd = [candidate("n1", 2), candidate("n3", 1), candidate("n2", 1)]
    assert choose(PLAIN, crowd, {}, EXTERNAL).node == "n2"


def test_a_preferred_node_comes_before_a_quieter_one():
    crowd = [candidate("n1", 2), candidate("n2", 0)]
    assert choose(PLAIN, crowd, {}, EXTERNAL, prefer=NodeName("n1")).node == "n1"


def test_one_that_fails_back_is_put_where_it_would_go_to_begin_with():
    crowd = [candidate("n1"), candidate("n2", 5), candidate("n3", 9)]
    wish = Wish(priority={"n3": 2})
    at = {stays: choose(PLAIN, crowd, {}, EXTERNAL, wish=wish, prefer=NodeName("n2"), stays=stays) for stays in (0, 1)}
    assert (at[False].node, at[True].node) == ("n3", "n2")
    assert choose(PLAIN, crowd, {}, EXTERNAL, wish=Wish(), prefer=NodeName("n2"), stays=False).node == "n2"


def test_rules_come_before_load_and_a_priority_is_an_order_among_what_is_allowed():
    crowd = [candidate("n1", 9), candidate("n2", 5), candidate("n3", 0)]
    wish = Wish(forbidden={"n3": "rule apart keeps it away"}, priority={"n1": 2, "n2": 1})
    found = choose(PLAIN, crowd, {}, EXTERNAL, wish=wish)
    assert (found.node, found.reasons) == ("n1", "n3: rule apart keeps it away")
    assert choose(PLAIN, crowd[1:], {}, EXTERNAL, wish=wish).node == "n2"
    assert choose(PLAIN, crowd[2:], {}, EXTERNAL, wish=replace(wish, forbidden={})).node == "n3"


def test_company_comes_before_preference_and_load():
    crowd = [candidate("n1", 9), candidate("n2", 5), candidate("n3", 0)]
    wish = Wish(company={"n1": (0, 2), "n2": (0, 0), "n3": (0, 0)}, priority={"n2": 1})
    assert choose(PLAIN, crowd, {}, EXTERNAL, wish=wish, prefer=NodeName("n3")).node == "n1"
    nearer = replace(wish, company={"n1": (0, 2), "n2": (1, 0), "n3": (0, 0)})
    assert choose(PLAIN, crowd, {}, EXTERNAL, wish=nearer, prefer=NodeName("n3")).node == "n2"


def test_a_node_it_failed_on_is_avoided():
    crowd = [candidate("n1"), candidate("n2", 5)]
    found = choose(PLAIN, crowd, {}, EXTERNAL, avoid=(NodeName("n1"),))
    assert found.node == "n2"
    assert found.reasons == "n1: it failed there"


def test_equal_reasons_are_said_once():
    crowd = [candidate("n1", state=NodeState.UNKNOWN), candidate("n2", state=NodeState.UNKNOWN)]
    assert choose(PLAIN, crowd, {}, EXTERNAL).reasons == "n1, n2: it is unknown"


@pytest.mark.parametrize(
    ("one", "spec", "expected"),
    [
        (candidate(), PLAIN, None),
        (candidate(deleting=True), PLAIN, "it is leaving the cluster"),
        (candidate(state=NodeState.FENCE), PLAIN, "it is fence"),
        (candidate(kube={"ready": False}), PLAIN, "its kubelet is not ready"),
        (candidate(kube={"ready": None}), PLAIN, "its kubelet is not ready"),
        (candidate(kube={"unschedulable": True}), PLAIN, "it is cordoned"),
        (
            candidate(kube={"taints": (Taint("node.kubernetes.io/unschedulable", "NoSchedule"),)}),
            PLAIN,
            "it is cordoned",
        ),
        (candidate(kube={"taints": (Taint("gpu", "NoExecute"),)}), PLAIN, "taint gpu:NoExecute is not tolerated"),
        (candidate(kube={"taints": (Taint("gpu", "PreferNoSchedule"),)}), PLAIN, None),
        (
            candidate(kube={"taints": (Taint("gpu", "NoSchedule"),)}),
            template(tolerations=(Toleration("gpu", "Exists"),)),
            None,
        ),
        (candidate(), template(node_selector=(("disk", "ssd"),)), "nodeSelector disk=ssd does not match"),
        (candidate(kube={"labels": {"disk": "ssd"}}), template(node_selector=(("disk", "ssd"),)), None),
        (
            candidate(),
            template(
                node_terms=(NodeTerm((Requirement("zone", "In", ("a",)),)), NodeTerm((Requirement("x", "Exists"),)))
            ),
            "required node affinity (zone=a or x) does not match",
        ),
        (candidate(), template(node_terms=()), "required node affinity (no term) does not match"),
        (candidate(beat=None), PLAIN, "its agent has no watchdog"),
        (candidate(beat=beat("n1", watchdog="")), PLAIN, "its agent has no watchdog"),
        (candidate(beat=beat("n1", watchdog="", trouble="busy")), PLAIN, "its agent has no watchdog: busy"),
        (
            candidate(beat=beat("n1", watchdog="VirtualSoftdog")),
            PLAIN,
            "its watchdog is of kind VirtualSoftdog, accepted are External",
        ),
    ],
)
def test_hard_filters(one, spec, expected):
    assert reason(one, spec) == expected


def test_a_kubernetes_node_that_is_gone():
    assert reason(Candidate(node("n1", kube=None), NodeState.ONLINE, 0)) == "Kubernetes does not know it"


LOCAL = StorageView(
    "scratch",
    Uid("s"),
    StorageType.LOCAL,
    nodes=Selector((Requirement("disk", "In", ("ssd",)),)),
    namespaces=("default",),
    path="/srv",
)
CLAIM = StorageView("shared", Uid("s"), StorageType.CLAIM, namespaces=("default", "shop"), claim=("default", "shared"))


def mounting(name):
    return replace(PLAIN, mounts=(Mount(name, "/data"),))


def test_a_node_without_the_storage_is_no_candidate():
    assert reason(candidate(), mounting("scratch"), [LOCAL]) == "storage scratch is not there (nodes: disk=ssd)"
    assert reason(candidate(kube={"labels": {"disk": "ssd"}}), mounting("scratch"), [LOCAL]) is None


@pytest.mark.parametrize(
    ("name", "namespace", "storage", "words"),
    [
        ("tape", "default", CLAIM, "no Storage is named 'tape' (known: shared)"),
        ("shared", "default", replace(CLAIM, disabled=True), "is disabled: set its spec.disabled to false"),
        ("shared", "default", replace(CLAIM, deleting=True), "is being deleted: name another one"),
        ("shared", "lab", CLAIM, "does not allow namespace lab: add it to the Storage's spec.allowedNamespaces"),
        ("shared", "shop", CLAIM, "is the claim default/shared, and a claim can be mounted in its own namespace only"),
        (
            "shared",
            "default",
            replace(CLAIM, status=StorageStatus(state="Missing", message="the claim is not there")),
            "the claim is not there",
        ),
    ],
)
def test_what_is_wrong_with_a_storage_names_field_finding_and_remedy(name, namespace, storage, words):
    found = storage_problem(mounting(name), namespace, {storage.name: storage})
    assert found.startswith("spec.storage[0].name: ")
    assert words in found


def test_nothing_is_wrong_with_one_that_may_be_used():
    assert storage_problem(mounting("shared"), "default", {"shared": CLAIM}) is None

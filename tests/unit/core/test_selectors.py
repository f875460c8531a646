"""Kubernetes' own filters, which setting nodeName bypasses."""

import pytest

from quorate.core.selectors import NodeTerm, Requirement, Selector, Taint, Toleration, untolerated

LABELS = {"zone": "a", "cores": "16"}


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        (Requirement("zone", "In", ("a", "b")), True),
        (Requirement("zone", "In", ("b",)), False),
        (Requirement("rack", "In", ("1",)), False),
        (Requirement("zone", "NotIn", ("b",)), True),
        (Requirement("zone", "NotIn", ("a",)), False),
        (Requirement("rack", "NotIn", ("1",)), True),
        (Requirement("zone", "Exists"), True),
        (Requirement("rack", "Exists"), False),
        (Requirement("rack", "DoesNotExist"), True),
        (Requirement("zone", "DoesNotExist"), False),
        (Requirement("cores", "Gt", ("8",)), True),
        (Requirement("cores", "Gt", ("16",)), False),
        (Requirement("cores", "Lt", ("32",)), True),
        (Requirement("zone", "Gt", ("8",)), False),
        (Requirement("cores", "Gt", ()), False),
        (Requirement("zone", "Like", ("a",)), False),
    ],
)
def test_requirements(requirement, matches):
    assert requirement.matches(LABELS) is matches


def test_a_selector_wants_all_and_an_empty_one_takes_everything():
    assert Selector().matches({})
    both = Selector((Requirement("zone", "In", ("a",)), Requirement("rack", "Exists")))
    assert not both.matches(LABELS)
    assert str(both) == "zone=a, rack"


def test_an_empty_node_term_selects_nothing():
    assert not NodeTerm().matches(LABELS, "n1")
    assert NodeTerm(fields=(Requirement("metadata.name", "In", ("n1",)),)).matches({}, "n1")
    assert not NodeTerm((Requirement("zone", "Exists"),), (Requirement("metadata.name", "In", ("n2",)),)).matches(
        LABELS, "n1"
    )


CORDON = Taint("node.kubernetes.io/unschedulable", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration("gpu", "Exists"), True),
        (Toleration("gpu", "Equal", "yes"), True),
        (Toleration("gpu", "Equal", "no"), False),
        (Toleration("gpu", "Exists", effect="NoExecute"), False),
        (Toleration("cpu", "Exists"), False),
        (Toleration("", "Equal", "yes"), False),
    ],
)
def test_tolerations(toleration, tolerates):
    assert toleration.tolerates(Taint("gpu", "NoSchedule", "yes")) is tolerates


def test_only_taints_that_keep_new_pods_away_count():
    soft = Taint("gpu", "PreferNoSchedule")
    assert untolerated((soft,), ()) is None
    assert untolerated((soft, CORDON), ()) == CORDON
    assert str(Taint("a", "NoExecute", "b")) == "a=b:NoExecute"

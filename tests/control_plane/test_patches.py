"""Merge patches, JSON patches with `test`, what kubectl sends for core kinds, and what is not taken."""

import pytest

from tests.control_plane.client import STRATEGIC
from tests.control_plane.objects import KUBE_NODES, NODES, node

REJECTED = "the server rejected our request due to an error in our request"


@pytest.fixture
def kube_node(api, unique):
    """The path of a Kubernetes node with a taint."""
    taints = [{"key": "a", "effect": "NoSchedule"}]
    api.post(KUBE_NODES, {"metadata": {"name": unique}, "spec": {"taints": taints}}).ok()
    return f"{KUBE_NODES}/{unique}"


def test_a_merge_patch_merges_maps_and_replaces_lists(api, unique):
    api.post(NODES, node(unique, labels={"a": "1", "b": "2"}, finalizers=["a.b/one", "a.b/two"])).ok()
    patch = {"metadata": {"labels": {"a": None, "c": "3"}, "finalizers": ["a.b/two"]}}
    meta = api.merge(f"{NODES}/{unique}", patch).ok()["metadata"]
    assert (meta["labels"], meta["finalizers"]) == ({"b": "2", "c": "3"}, ["a.b/two"])


def test_a_merge_patch_may_name_the_version_it_is_for(api, unique):
    made = api.post(NODES, node(unique)).ok()
    version = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    api.merge(f"{NODES}/{unique}", version | {"spec": {"votes": 2}}).ok()
    api.merge(f"{NODES}/{unique}", version | {"spec": {"votes": 3}}).refused(409, "Conflict")
    assert api.get(f"{NODES}/{unique}").ok()["spec"]["votes"] == 2


def test_a_status_patch_may_name_the_version_it_is_for(api, unique):
    made = api.post(NODES, node(unique)).ok()
    version = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    api.merge(f"{NODES}/{unique}/status", version | {"status": {"votes": 2}}).ok()
    api.merge(f"{NODES}/{unique}/status", version | {"status": {"votes": 3}}).refused(409, "Conflict")


def test_a_json_patch_applies_when_its_test_holds(api, kube_node):
    old = [{"key": "a", "effect": "NoSchedule"}]
    new = {"key": "quorate.dev/fence", "value": "i", "effect": "NoSchedule"}
    operations = (
        {"op": "test", "path": "/spec/taints", "value": old},
        {"op": "add", "path": "/spec/taints/-", "value": new},
    )
    assert api.json_patch(kube_node, *operations).ok()["spec"]["taints"] == [*old, new]
    assert api.json_patch(kube_node, *operations).refused(422, "Invalid") == REJECTED
    assert api.get(kube_node).ok()["spec"]["taints"] == [*old, new]


def test_a_json_patch_can_test_that_something_is_missing(api, kube_node):
    api.json_patch(kube_node, {"op": "remove", "path": "/spec/taints"}).ok()
    absent = {"op": "test", "path": "/spec/taints", "value": None}
    taint = {"op": "add", "path": "/spec/taints", "value": [{"key": "b", "effect": "NoSchedule"}]}
    api.json_patch(kube_node, absent, taint).ok()
    api.json_patch(kube_node, absent, taint).refused(422, "Invalid")


def test_a_json_patch_can_test_the_version(api, unique):
    made = api.post(NODES, node(unique)).ok()["metadata"]["resourceVersion"]
    for version, code in ((made, 200), ("1", 422)):
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        votes = {"op": "replace", "path": "/spec/votes", "value": 5}
        assert api.json_patch(f"{NODES}/{unique}", test, votes).code == code


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/spec/none"},
        {"op": "replace", "path": "/spec/none/deeper", "value": 1},
        {"op": "test", "path": "/spec/none", "value": 1},
        {"op": "add", "path": "/metadata/annotations/a", "value": "no annotations to add to"},
        {"op": "guess", "path": "/spec/votes", "value": 1},
    ],
)
def test_an_operation_that_does_not_apply_is_refused(api, unique, operation):
    api.post(NODES, node(unique)).ok()
    assert api.json_patch(f"{NODES}/{unique}", operation).refused(422, "Invalid") == REJECTED


def test_a_patched_object_is_validated(api, unique):
    api.post(NODES, node(unique)).ok()
    answer = api.json_patch(f"{NODES}/{unique}", {"op": "replace", "path": "/spec/votes", "value": 101})
    expected = "Invalid value: 101: spec.votes in body should be less than or equal to 100"
    assert answer.causes() == {("spec.votes", "FieldValueInvalid", expected)}


def test_core_kinds_take_strategic_merge_patches(api, kube_node):
    """As far as kubectl annotate, label, cordon and taint need them."""
    taints = [{"key": "b", "effect": "NoExecute"}]
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"unschedulable": True, "taints": taints}}
    found = api.call("PATCH", kube_node, patch, content=STRATEGIC).ok()
    assert (found["metadata"]["labels"], found["spec"]) == ({"a": "b"}, {"unschedulable": True, "taints": taints})


def test_an_unknown_kind_of_patch_is_refused(api, unique):
    api.post(NODES, node(unique)).ok()
    answer = api.call("PATCH", f"{NODES}/{unique}", {}, content="application/json")
    words = answer.refused(415, "UnsupportedMediaType")
    assert words.startswith("the body of the request was in an unknown format - accepted media types include")


def test_a_patch_that_is_no_json_is_refused(api, unique):
    api.post(NODES, node(unique)).ok()
    api.merge(f"{NODES}/{unique}", '{"a').refused(400, "BadRequest")


@pytest.mark.parametrize("body", ['{"a', "[]"])
def test_a_body_that_is_no_object_is_refused(api, body):
    api.post(NODES, body).refused(400, "BadRequest")

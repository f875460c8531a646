"""Lists: their order, and what label and field selectors let through."""

import pytest

from tests.control_plane.objects import NODES, guests, node, pod, pods


@pytest.fixture
def three(api, namespace):
    """The path of a namespace's Pods a, b, c with labels and nodes."""
    path = pods(namespace)
    api.post(path, pod("c", labels={"tier": "db"})).ok()
    api.post(path, pod("a", labels={"tier": "web", "quorate.dev/guest": "a"}, node="node1")).ok()
    api.post(path, pod("b", labels={"tier": "web"}, node="node2")).ok()
    return path


def test_a_list_is_sorted_and_has_a_version(api, three):
    found = api.get(three).ok()
    assert (found["kind"], found["apiVersion"]) == ("PodList", "v1")
    assert [one["metadata"]["name"] for one in found["items"]] == ["a", "b", "c"]
    assert int(found["metadata"]["resourceVersion"]) >= max(
        int(o["metadata"]["resourceVersion"]) for o in found["items"]
    )


def test_a_list_of_ours_names_its_kind(api, namespace):
    found = api.get(guests(namespace)).ok()
    assert (found["kind"], found["apiVersion"], found["items"]) == ("HAResourceList", "quorate.dev/v1alpha1", [])


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=web", "ab"),
        ("tier==db", "c"),
        ("tier!=web", "c"),
        ("tier in (db, cache)", "c"),
        ("tier notin (db)", "ab"),
        ("quorate.dev/guest", "a"),
        ("!quorate.dev/guest", "bc"),
        ("none!=x", "abc"),
        ("tier=web,!quorate.dev/guest", "b"),
        ("tier in (web,db),quorate.dev/guest=a", "a"),
        ("", "abc"),
    ],
)
def test_labels_select(api, three, selector, names):
    assert api.names(three, labelSelector=selector) == list(names)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.nodeName=node1", "a"),
        ("spec.nodeName=", "c"),
        ("spec.nodeName!=node1", "bc"),
        ("metadata.name=b", "b"),
        ("status.phase=Pending,spec.nodeName!=", "ab"),
        ("status.phase!=Pending", ""),
    ],
)
def test_fields_select(api, three, selector, names):
    assert api.names(three, fieldSelector=selector) == list(names)


def test_selectors_reach_over_all_namespaces(api, three, namespace):
    found = api.get("/api/v1/pods", fieldSelector=f"metadata.namespace={namespace}", labelSelector="tier=web").ok()
    assert [one["metadata"]["name"] for one in found["items"]] == ["a", "b"]


def test_the_selectable_fields_of_a_crd_select(api, unique):
    for name, cluster in (("a", f"{unique}1"), ("b", f"{unique}2")):
        api.post(NODES, node(f"{unique}{name}", cluster)).ok()
    assert api.names(NODES, fieldSelector=f"spec.clusterName={unique}2") == [f"{unique}b"]


@pytest.mark.parametrize("query", [{"labelSelector": "a in (b"}, {"labelSelector": "a===b"}])
def test_a_selector_that_cannot_be_read_is_refused(api, query):
    assert "unable to parse requirement" in api.get(NODES, **query).refused(400, "BadRequest")


def test_a_field_that_cannot_be_selected_by_is_refused(api):
    assert (
        api.get(NODES, fieldSelector="spec.votes=1").refused(400, "BadRequest")
        == "field label not supported: spec.votes"
    )

"""Watches: nothing is missed between a list and a watch, or one is told so."""

import pytest

from tests.control_plane.client import TABLE
from tests.control_plane.objects import CLUSTERS, NODES, cluster, node, pod, pods


def told(events, count):
    """The next events: (type, name, version)."""
    found = [next(events) for _ in range(count)]
    return [(one["type"], one["object"]["metadata"]["name"]) for one in found]


@pytest.fixture
def version(api):
    """Of everything there is now."""

    def now(path):
        return api.get(path).ok()["metadata"]["resourceVersion"]

    return now


def test_a_watch_tells_changes_in_their_order(api, namespace, version):
    with api.watch(pods(namespace), resourceVersion=version(pods(namespace))) as events:
        made = api.post(pods(namespace), pod("web")).ok()
        changed = api.merge(f"{pods(namespace)}/web", {"metadata": {"labels": {"a": "b"}}}).ok()
        api.delete(f"{pods(namespace)}/web").ok()
        found = [next(events) for _ in range(2)]
        last = next(one for one in events if one["type"] == "DELETED")
    assert found == [{"type": "ADDED", "object": made}, {"type": "MODIFIED", "object": changed}]
    assert last["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(last["object"]["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


def test_a_watch_without_a_version_begins_with_what_there_is(api, namespace):
    for name in "ba":
        api.post(pods(namespace), pod(name)).ok()
    with api.watch(pods(namespace)) as events:
        assert told(events, 2) == [("ADDED", "a"), ("ADDED", "b")]
        api.post(pods(namespace), pod("c")).ok()
        assert told(events, 1) == [("ADDED", "c")]


def test_a_watch_resumes_where_another_ended(api, namespace):
    first = api.post(pods(namespace), pod("a")).ok()
    api.merge(f"{pods(namespace)}/a", {"metadata": {"labels": {"a": "b"}}}).ok()
    api.post(pods(namespace), pod("b")).ok()
    with api.watch(pods(namespace), resourceVersion=first["metadata"]["resourceVersion"]) as events:
        assert told(events, 2) == [("MODIFIED", "a"), ("ADDED", "b")]


def test_a_watch_from_too_long_ago_is_gone(api):
    with api.watch(NODES, resourceVersion="1") as events:
        error = next(events)
    status = error["object"]
    assert (error["type"], status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


def test_a_selection_is_told_what_enters_and_leaves_it(api, unique, version):
    selector = {"labelSelector": f"in={unique}"}
    with api.watch(NODES, resourceVersion=version(NODES), **selector) as events:
        api.post(NODES, node(unique)).ok()
        for value, number in ((unique, 1), (unique, 2), ("out", 3), (unique, 4)):
            api.merge(f"{NODES}/{unique}", {"metadata": {"labels": {"in": value}}, "spec": {"votes": number}}).ok()
        assert [one for one, _ in told(events, 4)] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]


def test_fields_select_what_is_told(api, namespace, version):
    selector = {"fieldSelector": "spec.nodeName=node1"}
    with api.watch(pods(namespace), resourceVersion=version(pods(namespace)), **selector) as events:
        api.post(pods(namespace), pod("elsewhere", node="node2")).ok()
        api.post(pods(namespace), pod("here", node="node1")).ok()
        assert told(events, 1) == [("ADDED", "here")]


def test_a_namespace_hears_only_of_itself(api, namespace, unique, version):
    with api.watch(pods(namespace), resourceVersion=version(pods(namespace))) as events:
        api.post(pods("default"), pod(unique)).ok()
        api.post(pods(namespace), pod("web")).ok()
        assert told(events, 1) == [("ADDED", "web")]
    api.delete(f"{pods('default')}/{unique}").ok()


def test_a_change_that_is_none_is_not_told(api, unique, version):
    api.post(CLUSTERS, cluster(unique)).ok()
    api.merge(f"{CLUSTERS}/{unique}", {"metadata": {"labels": {"a": "b"}}}).ok()
    selector = {"fieldSelector": f"metadata.name={unique}"}
    with api.watch(CLUSTERS, resourceVersion=version(CLUSTERS), **selector) as events:
        api.merge(f"{CLUSTERS}/{unique}", {"spec": {"timing": {"profile": "Auto"}}}).ok()
        api.merge(f"{CLUSTERS}/{unique}", {"spec": {"timing": {"profile": "Fast"}}}).ok()
        assert next(events)["object"]["spec"]["timing"]["profile"] == "Fast"


def test_before_a_watch_ends_a_bookmark_says_how_far_it_has_come(api, namespace, unique, version):
    """Also over changes that it was not told of: another watch goes on from there."""
    query = {"resourceVersion": version(pods(namespace)), "allowWatchBookmarks": "true", "timeoutSeconds": "5"}
    with api.watch(pods(namespace), **query) as events:
        elsewhere = api.post(pods("default"), pod(unique)).ok()
        told_all = list(events)
    assert {one["type"] for one in told_all} == {"BOOKMARK"}
    bookmark = told_all[-1]["object"]
    assert (bookmark["kind"], bookmark["apiVersion"]) == ("Pod", "v1")
    reached = bookmark["metadata"]["resourceVersion"]
    assert int(reached) >= int(elsewhere["metadata"]["resourceVersion"])
    api.post(pods(namespace), pod("late")).ok()
    with api.watch(pods(namespace), resourceVersion=reached) as events:
        assert told(events, 1) == [("ADDED", "late")]
    api.delete(f"{pods('default')}/{unique}").ok()


def test_nobody_gets_bookmarks_who_did_not_ask(api, namespace, version):
    with api.watch(pods(namespace), resourceVersion=version(pods(namespace)), timeoutSeconds="3") as events:
        assert list(events) == []


def test_a_watch_can_be_a_table(api, unique, version):
    with api.watch(CLUSTERS, accept=TABLE, resourceVersion=version(CLUSTERS)) as events:
        api.post(CLUSTERS, cluster(unique)).ok()
        event = next(events)
    table = event["object"]
    assert (event["type"], table["kind"]) == ("ADDED", "Table")
    assert table["rows"][0]["cells"][0] == unique

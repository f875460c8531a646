"""Events: one stored object under both of their APIs."""

import pytest

from tests.control_plane.objects import CLUSTERS, cluster

NOW = "2026-11-22T17:50:58.692485Z"


def events(namespace, group="events.k8s.io"):
    return f"/apis/{group}/v1/namespaces/{namespace}/events" if group else f"/api/v1/namespaces/{namespace}/events"


@pytest.fixture
def event(api, unique):
    """An Event about a Cluster, as the manager writes it."""
    found = api.post(CLUSTERS, cluster(unique)).ok()
    about = {"apiVersion": "quorate.dev/v1alpha1", "kind": "Cluster", "name": unique, "uid": found["metadata"]["uid"]}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{unique}.1"},
        "regarding": about,
        "eventTime": NOW,
        "reportingController": "quorate.dev/manager",
        "reportingInstance": "manager-1",
        "action": "Plan",
        "reason": "Quorate",
        "type": "Normal",
        "note": "three of three votes",
    }


def test_an_event_is_seen_under_both_apis(api, event):
    made = api.post(events("default"), event).ok()
    assert {key: made[key] for key in event if key != "metadata"} == {
        key: event[key] for key in event if key != "metadata"
    }
    name = event["metadata"]["name"]
    core = api.get(f"{events('default', '')}/{name}").ok()
    assert (core["apiVersion"], core["kind"]) == ("v1", "Event")
    assert core["involvedObject"] == event["regarding"]
    assert (core["message"], core["reason"], core["eventTime"]) == (event["note"], "Quorate", NOW)
    assert (core["reportingComponent"], core["reportingInstance"]) == ("quorate.dev/manager", "manager-1")
    assert core["metadata"] == api.get(f"{events('default')}/{name}").ok()["metadata"]


def test_an_old_event_is_seen_under_both_apis(api, unique):
    old = {
        "metadata": {"name": unique},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default"},
        "message": "pulled",
        "count": 3,
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-11-22T17:48:07Z",
        "lastTimestamp": "2026-11-22T17:50:07Z",
    }
    api.post(events("default", ""), old).ok()
    new = api.get(f"{events('default')}/{unique}").ok()
    assert (new["regarding"], new["note"]) == (old["involvedObject"], "pulled")
    assert (new["deprecatedCount"], new["deprecatedSource"]) == (3, {"component": "kubelet"})
    assert new["deprecatedLastTimestamp"] == old["lastTimestamp"]


def test_a_series_is_patched(api, event):
    api.post(events("default"), event).ok()
    series = {"count": 2, "lastObservedTime": NOW}
    path = f"{events('default')}/{event['metadata']['name']}"
    assert api.merge(path, {"series": series}).ok()["series"] == series
    assert api.get(path).ok()["note"] == event["note"]


def test_events_are_selected_by_what_they_are_about(api, event, unique):
    api.post(events("default"), event).ok()
    fields = f"involvedObject.name={unique},involvedObject.kind=Cluster,involvedObject.namespace="
    assert api.names("/api/v1/events", fieldSelector=fields) == [event["metadata"]["name"]]
    assert api.names("/api/v1/events", fieldSelector=f"involvedObject.name={unique},type=Warning") == []


@pytest.mark.parametrize("field", ["reportingController", "reportingInstance", "action", "reason"])
def test_an_event_of_the_new_kind_is_complete(api, event, field):
    del event[field]
    assert (field, "FieldValueRequired", "Required value") in api.post(events("default"), event).causes()


def test_an_event_about_a_thing_without_namespace_goes_to_default(api, event, namespace):
    causes = api.post(events(namespace), event).causes()
    words = 'Invalid value: "": does not match event.namespace'
    assert causes == {("involvedObject.namespace", "FieldValueInvalid", words)}

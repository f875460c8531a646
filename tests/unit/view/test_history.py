"""What happened, from Events and from what the statuses remember."""

from dataclasses import replace
from typing import Any

from quorate.api.wire import format_instant
from quorate.core.status import Termination, Timeline
from quorate.core.types import IncidentId, InstanceId, NodeName
from quorate.view.history import history
from tests.unit.view import pictures
from tests.unit.view.pictures import ago


def event(kind: str, name: str, reason: str, age_s: float, text: str = "", **fields: Any) -> dict[str, Any]:
    namespace = "shop" if kind == "HAResource" else "default"
    regarding = {"apiVersion": "quorate.dev/v1alpha1", "kind": kind, "name": name}
    if kind == "HAResource":
        regarding["namespace"] = namespace
    raw = {
        "metadata": {"name": f"{name}.{reason.lower()}", "namespace": namespace},
        "regarding": regarding,
        "reason": reason,
    }
    return {**raw, "eventTime": format_instant(ago(age_s)), "note": text, "type": "Normal", **fields}


def recovered():
    timeline = Timeline(
        IncidentId("i"),
        NodeName("n1"),
        suspected=ago(60),
        evidence="LeaseExpired",
        fenced=ago(50),
        released=ago(49),
        created=ago(48),
        ready=ago(46),
        duration_s=14.0,
    )
    ended = Termination(NodeName("n1"), InstanceId("i"), "NodeFenced", ago(50), message="the node was fenced\n")
    return pictures.guest_status(recovery=timeline, last_termination=ended, node=NodeName("n2"))


def test_the_newest_comes_last_and_objects_have_the_names_that_people_know():
    found = history(
        pictures.whole(),
        [
            event("HAResource", "web", "GuestStarted", 10, "runs on n1"),
            event("Cluster", "prod", "Quorate", 30),
            event("Node", "n1", "NodeSuspected", 20, type="Warning"),
        ],
    )
    assert [(one.object, one.reason, one.warning) for one in found] == [
        ("Cluster prod", "Quorate", False),
        ("Node n1", "NodeSuspected", True),
        ("ct:shop/web", "GuestStarted", False),
    ]


def test_events_of_others_are_none_of_ours():
    foreign = event("Pod", "web", "Pulled", 1, regarding={"apiVersion": "v1", "kind": "Pod", "name": "web"})
    assert history(pictures.whole(), [foreign]) == ()


def test_an_event_is_dated_by_whichever_clock_was_set():
    old = event("Cluster", "prod", "Quorate", 0, eventTime=None, deprecatedLastTimestamp=format_instant(ago(7)))
    series = event("Cluster", "prod", "Again", 50, series={"lastObservedTime": format_instant(ago(3))})
    nothing = event("Cluster", "prod", "Never", 0, eventTime=None)
    assert [one.at for one in history(pictures.whole(), [old, series, nothing])] == [ago(7), ago(3)]


def test_a_recovery_is_told_step_by_step_from_the_status():
    found = history(replace(pictures.whole(), guests=(pictures.guest(recovered()),)), [])
    assert [(one.reason, one.sentence) for one in found] == [
        ("NodeLost", "n1, where it ran, was suspected"),
        ("Ended", "it ended on n1 (NodeFenced): the node was fenced"),
        ("Released", "n1 was proven dead (LeaseExpired)"),
        ("Recovering", "what was left of the old instance is cleared away, a node is chosen"),
        ("Created", "its new instance was made on n2"),
        ("Recovered", "it runs again on n2, 14s after the suspicion"),
    ]
    assert {one.node for one in found} == {"n1"}


def test_an_open_incident_is_told_once():
    lost = pictures.node_lost()
    (from_status,) = history(lost, [])
    assert (from_status.object, from_status.reason) == ("Node n1", "Suspected")
    told = event("Node", "n1", "NodeSuspected", 3, "no heartbeat for 8.7s: incident n1-abc is open")
    assert [one.reason for one in history(lost, [told])] == ["NodeSuspected"]

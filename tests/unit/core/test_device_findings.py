"""What a Node says of its fence devices before they are needed."""

from dataclasses import replace

import pytest

from quorate.core.conditions import Finding, merge
from quorate.core.device_findings import device_findings
from quorate.core.guard import guarded_by_devices
from quorate.core.sequence import Distrust, FenceDevice, Health, Power, Proven, Said, spec_of
from quorate.core.types import NodeState
from quorate.core.world import ClusterSpec
from tests.unit.core.worlds import NOW, WALL, node

BMC, PDU = FenceDevice("bmc", "a"), FenceDevice("pdu", "b", level=2)
DRILLED = Power(proven=(Proven(1, spec_of((BMC,), 1), WALL, 1, "n1.0", "n1.1"),))


def ready(*devices, health=(), power=DRILLED, **status):
    view = node("n1", devices=devices, health=health, status={"power": power, **status})
    [found] = [one for one in device_findings(view, view.status) if one.type == "DevicesReady"]
    return found.holds, found.reason, found.message


def health(device=BMC, said=Said.ON, detail=""):
    return Health(device.name, device.spec, said, detail, NOW)


def test_all_answer_and_are_proven():
    assert ready(BMC, health=(health(),))[:2] == (True, "Proven")


def test_one_that_no_drill_has_proven_counts_only_beside_the_watchdog():
    holds, reason, message = ready(BMC, PDU, health=(health(), health(PDU)))
    assert (holds, reason) == (False, "NotProven")
    assert "no drill has proven level 2" in message
    assert message.endswith("Run quorate drill n1")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (health(said=Said.FAILED, detail="exit code 1: no route"), "failed (exit code 1: no route)"),
        (health(said=Said.TIMED_OUT), "failed (no answer)"),
        (health(said=Said.OFF), "bmc says that the machine is off, and it renews its Lease"),
    ],
)
def test_one_that_fails_or_lies_is_said(found, words):
    holds, reason, message = ready(BMC, health=(found,))
    assert (holds, reason) == (False, "DeviceFails")
    assert words in message
    assert message.endswith("correct spec.fencing.devices, its Secret, or the device")


def test_off_is_no_lie_of_a_node_that_is_lost():
    assert ready(BMC, health=(health(said=Said.OFF),), state=NodeState.FENCE)[0]


def test_what_another_device_of_that_name_said_is_nothing():
    assert ready(replace(BMC, spec="new"), health=(health(said=Said.FAILED),), power=Power())[1] == "NotProven"


def test_a_secret_that_cannot_be_read_is_said_once_it_was_tried():
    unread = replace(BMC, secret="bmc").with_secret("")
    assert ready(unread)[1] == "NotAskedYet"
    message = ready(
        unread, health=(health(unread, Said.FAILED, "Secret quorate-system/bmc does not exist: create it"),)
    )[2]
    assert message.startswith("bmc: Secret quorate-system/bmc does not exist: create it: correct")


@pytest.mark.parametrize(
    ("before", "reason"), [("DeviceFails", "DeviceFails"), ("NotProven", "NotProven"), ("NotAskedYet", "NotAskedYet")]
)
def test_a_new_leader_lets_stand_what_the_one_before_found(before, reason):
    found = merge((), [Finding("DevicesReady", False, before, "as it was")], now=WALL, generation=1)
    assert ready(BMC, conditions=found, power=Power())[:2] == (False, reason)


@pytest.mark.parametrize("before", ["NotProven", "NotAskedYet", ""])
def test_what_a_drill_has_proven_counts_before_the_leader_has_asked(before):
    """The drill may have ended under another leader, or before the first question."""
    found = merge((), [Finding("DevicesReady", False, before, "as it was")], now=WALL, generation=1) if before else ()
    assert ready(BMC, conditions=found)[:2] == (True, "Proven")


def test_what_is_not_trusted_any_more_and_what_waits():
    power = Power(distrusted=(Distrust(1, "x", "n2 fell silent when it said off", WALL),), blocked="a storm")
    view = node("n1", devices=(BMC,), status={"power": power})
    found = {one.type: (one.holds, one.message) for one in device_findings(view, view.status)}
    assert found["FencingBlocked"] == (True, "a storm")
    assert "level 1: n2 fell silent when it said off" in found["DevicesTrusted"][1]
    assert not found["DevicesTrusted"][0]


def test_beside_another_remediator_they_are_not_used():
    view = node("n1", devices=(BMC,), health=(health(),), status={"power": DRILLED})
    view = replace(view, kube=replace(view.kube, remediator="medik8s is at work on it (taint medik8s.io/remediation)"))
    [found] = device_findings(view, view.status)
    assert (found.holds, found.reason) == (False, "AnotherRemediator")
    assert not guarded_by_devices(view, ClusterSpec())


def test_without_devices_nothing_is_said():
    view = node("n1")
    assert device_findings(view, view.status) == []

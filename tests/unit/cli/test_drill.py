"""`quorate drill`: shown first, asked, refused where it would cost a guest, and waited for."""

import pytest

from quorate.api.wire import to_wire
from quorate.core.sequence import Drilled, Power
from tests.unit.cli.stub import Answer
from tests.unit.view import pictures

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
NODE = "/apis/quorate.dev/v1alpha1/nodes/n1"
BMC = {"name": "bmc", "agent": "fence_ipmilan", "parameters": {"ip": "10.0.0.9"}}


@pytest.fixture
def empty(stub):
    """n1 has a device and no guest."""
    raw = pictures.node("n1", pictures.node_status(guests=0))
    raw["spec"]["fencing"] = {"devices": [BMC]}
    stub.put(raw)
    stub.answer("POST", REVIEWS, Answer(201, {"status": {"userInfo": {"username": "ada"}}}))
    return stub


def judged(stub, monkeypatch, *, passed, result):
    monkeypatch.setattr("secrets.token_hex", lambda _: "d1")
    power = Power(drilled=Drilled("d1/boot/ada", passed, result, pictures.NOW))
    stub.objects[NODE]["status"] = to_wire(pictures.node_status(guests=0, power=power))


def test_it_is_asked_for_in_ones_own_name(run, empty):
    ended = run("drill", "n1", "-y")
    assert ended.code == 0
    [write] = empty.writes
    identity, nonce, user = write.body["metadata"]["annotations"]["quorate.dev/drill"].split("/")
    assert (len(identity), nonce, user) == (8, "boot", "ada")
    assert "n1: drill" in ended.out


def test_two_drills_are_two(run, empty):
    run("drill", "n1", "-y")
    run("drill", "n1", "-y")
    first, second = (write.body for write in empty.writes if write.method == "PATCH")
    assert first != second


def test_what_happens_is_shown_before(run, empty):
    shown = run("drill", "n1", "-y").err
    assert "The power of n1 goes off, and on again: by bmc (fence_ipmilan)." in shown


def test_waited_for_it_tells_the_result(run, empty, monkeypatch):
    judged(empty, monkeypatch, passed=True, result="fence level 1 (bmc): off, silent, on, back after 95s")
    ended = run("drill", "n1", "-y", "--wait")
    assert ended.code == 0
    assert ended.out == "n1: proven. fence level 1 (bmc): off, silent, on, back after 95s\n"


def test_a_failed_one_fails(run, empty, monkeypatch):
    judged(empty, monkeypatch, passed=False, result="fence level 1 (bmc): its Lease did not stop")
    ended = run("drill", "n1", "-y", "--wait")
    assert ended.code == 1
    assert "n1: the drill has failed: fence level 1 (bmc): its Lease did not stop" in ended.err


def test_one_that_does_not_end_says_how_far_it_is(run, empty):
    ended = run("drill", "n1", "-y", "--wait", "--timeout", "100ms")
    assert ended.code == 1
    assert "the drill has not ended after 0.1s: n1 is Online" in ended.err


def test_with_guests_there_it_is_refused(run, empty):
    raw = pictures.node("n1", pictures.node_status(guests=2))
    empty.objects[NODE]["status"] = raw["status"]
    ended = run("drill", "n1", "-y")
    assert ended.code == 1
    assert "n1 has 2 guests, and a drill switches it off. Empty it first: quorate maintenance on n1 --wait" in ended.err
    assert not empty.writes


def test_of_a_node_that_was_never_heard_from(run, empty):
    empty.objects[NODE]["status"] = pictures.node("n1", pictures.node_status(guests=0, nonce=None))["status"]
    ended = run("drill", "n1", "-y")
    assert ended.code == 1
    assert "n1 has not been heard from yet" in ended.err


def test_without_devices_there_is_nothing_to_try(run, prod):
    ended = run("drill", "n1", "-y")
    assert ended.code == 1
    assert "n1 has no fence devices to try: give it some in spec.fencing.devices" in ended.err

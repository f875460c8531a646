"""`maintenance on` and `maintenance off`."""

from dataclasses import replace

import pytest

from quorate.api.wire import to_wire
from quorate.core.conditions import Finding, merge
from quorate.core.types import NodeState
from tests.unit.view import pictures

NODE = "/apis/quorate.dev/v1alpha1/nodes/n1"
WEB = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/web"


def drained(stub, *, holds=True, message="in maintenance: no guest is left"):
    reason = "Drained" if holds else "NowhereToGo"
    conditions = merge((), [Finding("Drained", holds, reason, message)], now=pictures.NOW, generation=1)
    found = pictures.node_status(state=NodeState.MAINTENANCE, message=message)
    stub.objects[NODE]["status"] = to_wire(replace(found, conditions=conditions))


def bodies(stub):
    return [write.body for write in stub.writes]


def test_on_is_a_wish_in_the_spec_with_its_reason(run, prod):
    ended = run("maintenance", "on", "n1", "--reason", "kernel update")
    assert ended.code == 0
    assert bodies(prod) == [{"spec": {"maintenance": {"enabled": True, "reason": "kernel update"}}}]
    assert ended.out.startswith("n1: its guests move away. Next: wait until none is left")


def test_on_and_wait_ends_when_no_guest_is_left(run, prod):
    drained(prod)
    ended = run("maintenance", "on", "n1", "--wait")
    assert ended.code == 0
    assert "n1: no guest is left, it can be worked on" in ended.out


def test_on_and_wait_says_what_cannot_leave(run, prod):
    drained(prod, holds=False, message="in maintenance: ct:shop/web has nowhere to go: n2: it is cordoned")
    ended = run("maintenance", "on", "n1", "--wait", "--timeout", "100ms")
    assert ended.code == 1
    assert "n1 is not empty after 0.1s: it is Maintenance" in ended.err
    assert "ct:shop/web has nowhere to go: n2: it is cordoned" in ended.err


def test_off_takes_the_wish_back(run, prod):
    prod.objects[NODE]["spec"]["maintenance"] = {"enabled": True}
    ended = run("maintenance", "off", "n1")
    assert bodies(prod) == [{"spec": {"maintenance": None}}]
    assert "n1: the maintenance is over. Next: 0 guests to return, once it is online" in ended.out


def test_off_and_wait_names_those_that_are_not_back(run, prod):
    prod.objects[NODE]["spec"]["maintenance"] = {"enabled": True}
    prod.objects[WEB]["status"] |= {"maintenanceNode": "n1", "message": "runs on n2"}
    ended = run("maintenance", "off", "n1", "--wait", "--timeout", "100ms")
    assert ended.code == 1
    assert "not all is back after 0.1s" in ended.err
    assert "ct:shop/web: runs on n2" in ended.err


def test_off_where_there_is_none_changes_nothing(run, prod):
    ended = run("maintenance", "off", "n1")
    assert ended.out == "n1 is not in maintenance: nothing was changed\n"
    assert not prod.writes


@pytest.mark.parametrize("word", ["on", "off"])
def test_an_unknown_node_is_named_with_those_there_are(run, prod, word):
    ended = run("maintenance", word, "nodeX")
    assert ended.code == 1
    assert "no Node is named 'nodeX' (known: n1, n2, n3)" in ended.err
    assert not prod.writes

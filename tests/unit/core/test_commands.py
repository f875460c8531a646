"""One-shot commands: carried out once, refused with the reason."""

from dataclasses import replace

import pytest

from quorate.core.actions import StopPod
from quorate.core.types import GuestState
from tests.unit.core.worlds import KEY, guest, node, run

S = GuestState


@pytest.mark.parametrize("verb", ["relocate", "migrate"])
def test_a_container_is_relocated_by_both_verbs(verb):
    status, actions = run(guest(command=f"7 {verb} n2"))
    assert (status.state, status.target) == (S.RELOCATE, "n2")
    assert status.last_command.result == "relocating from n1 to n2"
    assert actions == [StopPod(KEY, "pod-1", "5")]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("7 relocate n9", "unknown node 'n9': the nodes of this cluster are n1, n2, n3"),
        ("7 relocate n1", "it is on n1 already"),
        ("7 relocate", "relocate takes the name of one node"),
        ("7 reset", "nothing to reset: it is Started"),
        ("7 explode", "unknown command 'explode': use one of migrate NODE, relocate NODE, reset"),
        ("7", "unknown command ''"),
    ],
)
def test_refusals_say_what_is_wrong(command, words):
    status, actions = run(guest(command=command))
    assert status.state is S.STARTED
    assert words in status.last_command.result
    assert actions == []


def test_a_node_that_cannot_take_it_is_refused_with_the_reason():
    cordoned = node("n2", kube=replace(node("n2").kube, unschedulable=True))
    status, _ = run(guest(command="7 relocate n2"), nodes=(node("n1"), cordoned, node("n3")))
    assert status.last_command.result == "refused: n2: it is cordoned"


def test_each_id_is_carried_out_once():
    status, _ = run(guest(command="7 relocate n1"))
    again = guest(command="7 relocate n2", status={"last_command": status.last_command})
    assert run(again)[0].state is S.STARTED


def test_reset_leads_out_of_error():
    one = guest(pod=None, command="7 reset", status={"state": S.ERROR, "instance": None, "failed_nodes": ("n1",)})
    status, _ = run(one)
    assert status.state is S.STARTING
    assert status.failed_nodes == ()

"""The story of the design, on the core alone: lose a node, lose quorum, say `expected 1`, come back whole."""

from quorate.core.types import GuestState, NodeState, Wanted
from tests.scenarios.looks import state

S = GuestState


def test_story(toy):
    web = toy.add_guest()
    toy.run_until(lambda: state(toy, web) is S.STARTED, 20, "start")
    assert toy.running(web) == ["n1"]
    assert toy.nodes["n1"].status.watchdog.armed

    toy.power_off("n1")
    took = toy.run_until(lambda: toy.running(web) == ["n2"], 30, "recovery")
    assert 13 < took < 18
    toy.run(1)
    assert state(toy, web) is S.STARTED
    recovery = toy.guests[web].status.recovery
    assert recovery.node == "n1"
    assert recovery.ready is not None
    assert toy.nodes["n1"].status.state is NodeState.FENCE

    toy.power_off("n2")
    toy.run(40)
    assert not toy.cluster.status.quorate
    assert toy.running(web) == []
    assert state(toy, web) is S.FENCE
    assert "quorum" in toy.guests[web].status.message

    toy.expect_votes(1)
    toy.run_until(lambda: toy.running(web) == ["n3"], 10, "recovery under expected 1")

    toy.power_on("n1")
    toy.power_on("n2")
    toy.run_until(lambda: toy.cluster.status.nodes == "3/3", 20, "the cluster is whole")
    assert toy.cluster.status.override.state == "Spent"
    assert toy.running(web) == ["n3"]

    toy.touch_guest(web, command="1 relocate n1")
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "relocation")
    assert toy.guests[web].status.last_command.result == "relocating from n3 to n1"


def test_guest_that_cannot_start_ends_in_error(toy):
    web = toy.add_guest()
    toy.failing.add(web)
    took = toy.run_until(lambda: state(toy, web) is S.ERROR, 60, "error")
    assert took > 30
    status = toy.guests[web].status
    assert status.failed_nodes == ("n1", "n2")
    assert status.tries == "1/1 1/1"
    assert status.last_termination.exit_code == 1
    toy.run(30)
    assert state(toy, web) is S.ERROR
    toy.failing.clear()
    toy.touch_guest(web, command="7 reset")
    toy.run_until(lambda: state(toy, web) is S.STARTED, 10, "reset")


def test_stop_and_start_again_on_the_same_node(toy):
    web = toy.add_guest()
    toy.run_until(lambda: state(toy, web) is S.STARTED, 20, "start")
    toy.edit_guest(web, wanted=Wanted.STOPPED)
    toy.run_until(lambda: state(toy, web) is S.STOPPED, 10, "stop")
    assert toy.running(web) == []
    assert not toy.guests[web].held
    toy.edit_guest(web, wanted=Wanted.STARTED)
    toy.run_until(lambda: toy.running(web) == ["n1"], 10, "start")


def test_an_ignored_guest_is_let_go_but_never_forced(toy):
    """Its Pod was deleted by hand and its node was reset: the finalizer goes, the rest is left to the kubelet."""
    web = toy.add_guest()
    toy.run_until(lambda: state(toy, web) is S.STARTED, 20, "start")
    toy.edit_guest(web, wanted=Wanted.IGNORED)
    toy.run_until(lambda: state(toy, web) is S.IGNORED, 10, "hands off")
    toy.delete_pod_by_hand(web)
    toy.reset("n1")
    toy.run(30)  # every plan on the way is held to the invariants
    assert state(toy, web) is S.IGNORED
    assert toy.guests[web].status.instance is None

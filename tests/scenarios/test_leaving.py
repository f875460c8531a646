"""Nodes and Clusters that are deleted: what must be proven before they may go, and what they do not wait for."""

from dataclasses import replace

from quorate.core.types import FENCE_TAINT, GuestState, Stage
from tests.scenarios.looks import state

S = GuestState


class TestLeavingForGood:
    """A machine that will never boot again: `kubectl delete qn` ends, but not before it is proven dead and empty."""

    def test_it_goes_once_it_is_fenced_and_its_guests_are_elsewhere(self, toy, web):
        toy.power_off("n1")
        toy.touch_node("n1", deleting=True)
        toy.run(5)
        assert toy.nodes["n1"].held
        toy.run_until(lambda: state(toy, web) is S.STARTED and toy.running(web) == ["n2"], 40, "recovery")
        toy.run_until(lambda: not toy.nodes["n1"].held, 10, "it is let go")
        assert toy.nodes["n1"].status.incident is None
        assert not any(taint.key == FENCE_TAINT for taint in toy.kube["n1"].taints)

    def test_it_stays_while_nothing_proves_it_dead(self, toy, web):
        toy.cluster = replace(toy.cluster, spec=replace(toy.cluster.spec, accepted_evidence=()))
        toy.power_off("n1")
        toy.touch_node("n1", deleting=True)
        toy.run(60)
        assert toy.nodes["n1"].held
        assert toy.nodes["n1"].status.incident.stage is Stage.SUSPECTED
        assert toy.running(web) == []

    def test_a_cluster_that_is_deleted_does_not_wait_for_it_either(self, toy, web):
        toy.power_off("n1")
        toy.run_until(lambda: toy.running(web) == ["n2"], 40, "recovery")
        toy.cluster = replace(toy.cluster, deleting=True)
        toy.run(2)
        assert toy.cluster.held, "its guest is still there"
        toy.touch_guest(web, deleting=True)
        toy.run_until(lambda: web not in toy.guests, 30, "the guest is gone")
        toy.run_until(lambda: not toy.cluster.held, 10, "it is let go")
        assert not toy.nodes["n1"].held

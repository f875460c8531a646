"""Nodes that go down cleanly: who waits for them, who starts elsewhere, and for how long (spec.shutdownPolicy)."""

import pytest

from quorate.core.types import Going, GuestState, NodeState, ShutdownPolicy, Wanted
from tests.scenarios.looks import state

S = GuestState


def policy(toy, wished, **spec):
    toy.set_spec(shutdown_policy=wished, **spec)


def go_down(toy, node, going):
    """It shuts down and is off."""
    toy.shut_down(node, going)
    toy.run_until(lambda: not toy.machines[node].agent, 20, "its agent has said farewell")
    toy.run(1)
    toy.power_off(node)
    toy.machines[node].agent = True


WAITS = [
    (ShutdownPolicy.CONDITIONAL, Going.REBOOT),
    (ShutdownPolicy.FREEZE, Going.REBOOT),
    (ShutdownPolicy.FREEZE, Going.POWER_OFF),
    (ShutdownPolicy.FREEZE, Going.SHUTDOWN),
]
GOES = [
    (ShutdownPolicy.CONDITIONAL, Going.POWER_OFF),
    (ShutdownPolicy.CONDITIONAL, Going.SHUTDOWN),
    (ShutdownPolicy.CONDITIONAL, ""),
    (ShutdownPolicy.FAILOVER, Going.REBOOT),
    (ShutdownPolicy.MIGRATE, Going.REBOOT),
]


@pytest.mark.parametrize(("wished", "going"), WAITS)
def test_a_frozen_guest_starts_again_where_it_was(toy, web, wished, going):
    policy(toy, wished)
    go_down(toy, "n1", going)
    toy.run(60)
    assert state(toy, web) is S.FREEZE
    assert toy.running(web) == []
    assert toy.guests[web].status.message.startswith("n1, where it ran, went down cleanly: it waits for that node")
    toy.power_on("n1")
    toy.run_until(lambda: state(toy, web) is S.STARTED and toy.running(web) == ["n1"], 30, "it runs there again")
    status = toy.guests[web].status
    assert (status.frozen, status.restarts, status.failed_nodes) == (None, 0, ())


@pytest.mark.parametrize(("wished", "going"), GOES)
def test_a_guest_that_is_not_frozen_starts_elsewhere(toy, web, wished, going):
    policy(toy, wished)
    go_down(toy, "n1", going)
    toy.run_until(lambda: state(toy, web) is S.STARTED, 30, "it runs elsewhere")
    assert toy.running(web) == ["n2"]
    toy.power_on("n1")
    toy.run(60)
    assert toy.running(web) == (["n1"] if wished is ShutdownPolicy.MIGRATE else ["n2"])
    assert toy.guests[web].status.maintenance_node is None


def test_a_quick_reboot_is_waited_for(toy, web):
    """The kubelet's word that it ended the guest comes before the agent's that the host reboots."""
    machine = toy.machines["n1"]
    toy.shut_down("n1", Going.REBOOT)
    machine.next_renewal_s = toy.now_s + 4
    toy.run(3.5)
    assert toy.running(web) == []
    assert toy.nodes["n1"].status.going is None
    assert state(toy, web) is S.FREEZE
    toy.run_until(lambda: not machine.agent, 20, "farewell")
    toy.reset("n1")
    machine.agent = True
    toy.run_until(lambda: state(toy, web) is S.STARTED, 30, "it runs again")
    assert toy.running(web) == ["n1"]


def test_a_shutdown_that_is_called_off_ends_the_waiting(toy, web):
    policy(toy, ShutdownPolicy.FREEZE)
    machine = toy.machines["n1"]
    toy.shut_down("n1", Going.REBOOT)
    toy.run_until(lambda: state(toy, web) is S.FREEZE, 20, "it is frozen")
    machine.leaving, machine.agent, machine.going = False, True, ""
    toy.run_until(lambda: toy.running(web) == ["n1"], 30, "it runs there again, in the same boot")


def test_a_node_that_never_returns_is_not_waited_for_for_ever(toy, web):
    """Proxmox VE leaves such a guest frozen (scenario shutdown-policy2)."""
    policy(toy, ShutdownPolicy.FREEZE, freeze_timeout_s=300.0)
    go_down(toy, "n1", Going.POWER_OFF)
    toy.run(280)
    assert state(toy, web) is S.FREEZE
    toy.run_until(lambda: state(toy, web) is S.STARTED, 60, "it starts elsewhere")
    assert toy.running(web) == ["n2"]


@pytest.mark.parametrize(
    "way_out",
    [
        lambda toy: policy(toy, ShutdownPolicy.FAILOVER),
        lambda toy: toy.touch_node("n1", deleting=True),
    ],
    ids=["policy", "node deleted"],
)
def test_a_person_ends_the_waiting(toy, web, way_out):
    policy(toy, ShutdownPolicy.FREEZE)
    go_down(toy, "n1", Going.POWER_OFF)
    toy.run(30)
    assert state(toy, web) is S.FREEZE
    way_out(toy)
    toy.run_until(lambda: state(toy, web) is S.STARTED, 60, "it starts elsewhere")
    assert toy.running(web) == ["n2"]


@pytest.mark.parametrize("wanted", [Wanted.STOPPED, Wanted.DISABLED, Wanted.IGNORED])
def test_a_frozen_guest_that_is_not_wanted_is_not_started(toy, web, wanted):
    policy(toy, ShutdownPolicy.FREEZE)
    go_down(toy, "n1", Going.POWER_OFF)
    toy.edit_guest(web, wanted=wanted)
    toy.run(5)
    assert state(toy, web) is (S.IGNORED if wanted is Wanted.IGNORED else S.STOPPED)
    assert toy.guests[web].status.frozen is None
    toy.power_on("n1")
    toy.run(30)
    assert toy.running(web) == []


def test_a_frozen_guest_survives_a_new_leader_and_is_not_started_twice(toy, web):
    policy(toy, ShutdownPolicy.FREEZE)
    go_down(toy, "n1", Going.REBOOT)
    toy.managers.clear()
    toy.manager()
    toy.run(60)
    assert state(toy, web) is S.FREEZE
    toy.power_on("n1")
    toy.run_until(lambda: state(toy, web) is S.STARTED, 60, "it runs again")
    assert toy.running(web) == ["n1"]


def test_a_node_that_loses_power_on_its_way_down_is_fenced_as_ever(toy, web):
    """Nobody said farewell and nobody reported the guest's end: the policy has nothing to say."""
    policy(toy, ShutdownPolicy.FREEZE)
    toy.shut_down("n1", Going.REBOOT)
    toy.power_off("n1")
    toy.run_until(lambda: toy.nodes["n1"].status.state is NodeState.FENCE, 30, "it is lost")
    assert toy.running(web) == []
    toy.run_until(lambda: state(toy, web) is S.STARTED, 60, "its guest recovers")
    assert toy.running(web) == ["n2"]


def test_no_guest_starts_on_a_host_that_goes_down(toy, web):
    toy.shut_down("n2", Going.REBOOT)
    toy.machines["n2"].leaving = False
    toy.run(3)
    toy.power_off("n1")
    toy.run_until(lambda: toy.running(web) == ["n3"], 60, "recovery")

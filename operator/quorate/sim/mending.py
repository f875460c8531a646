"""The end of a bad time: every fault is over, and a person looks; then every wanted guest must run within a bound.

The person does what the messages ask for, as far as it is true: confirms a lost boot that is really over, lets a node that
flapped come back, accepts a history, gives a guest in Error another chance, switches on what is off.
"""

from typing import Any, Final

from quorate.agent.lease import Outcome
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestState
from quorate.sim import faults, people
from quorate.sim.hopes import amiss
from quorate.sim.machine import Machine
from quorate.sim.power import Mood
from quorate.sim.server import FAIR
from quorate.sim.store import status_of
from quorate.sim.world import Simulation

LOOKS_EVERY_S: Final = 10.0
CONFIRM_AFTER_S: Final = 60.0


def recover(simulation: Simulation) -> None:
    """Mend everything and look until all is well; what is not when the bound is over is stuck."""
    mend(simulation)
    healed_s = simulation.engine.now_s
    while simulation.engine.now_s < healed_s + bound_s(simulation):
        simulation.run(simulation.engine.now_s + LOOKS_EVERY_S, lambda: bool(simulation.truth.violations))
        if simulation.truth.violations or (not amiss(simulation) and not _questions(simulation)):
            return
        look(simulation, simulation.engine.now_s - healed_s)
    for text in amiss(simulation):
        simulation.truth.stuck(simulation.engine.now_s, text)


def bound_s(simulation: Simulation) -> float:
    """Suspicion, release, a start, and a person who looks twice, each with room to spare."""
    wished = ((simulation.cluster() or {}).get("spec") or {}).get("timing", {}).get("profile")
    profiles = {Profile(simulation.setting.profile), Profile(wished or simulation.setting.profile)}
    return 2 * max(PROFILES[one].release_after_s for one in profiles) + 120.0


def _questions(simulation: Simulation) -> bool:
    return bool(status_of(simulation.cluster()).get("rewind", {}).get("accepted", True) is None)


def mend(simulation: Simulation) -> None:
    """Every fault that lasts is over."""
    simulation.journal.say("--", "everything is mended")
    simulation.server.weather = FAIR
    if simulation.virtual is not None:
        simulation.virtual.mend()
    for machine in simulation.machines.values():
        _mend_machine(simulation, machine)
    for named in simulation.power.devices.values():
        for device in named.values():
            device.mood = Mood.HONEST
    for guest in sorted(simulation.hanging):
        faults.stops_again(simulation, guest)
    for manager in simulation.managers.values():
        manager.link.weather = FAIR
        manager.link.heal()
        manager.lag(0.0)
        manager.lags.clear()
        if manager.loop is not None:
            manager.loop.thaw()
        manager.start()


def _mend_machine(simulation: Simulation, machine: Machine) -> None:
    machine.link.weather = FAIR
    machine.link.heal()
    machine.thaw()
    machine.dog_broken = False
    machine.misses.clear()
    if simulation.tainted(machine.name, people.OTHERS_TAINT):  # also where an old copy of the store brought it back
        people.untaint(simulation, machine.name)
    machine.agent_wanted = machine.kubelet_wanted = True
    if machine.on:
        if machine.agent is not None and machine.agent.stalls_again:
            machine.stop_agent()  # it stands still for good; where nothing is armed nobody but a person ends it
        faults.wake_agent(simulation, machine.name)
        machine.start_kubelet()
        machine.start_agent()
    else:
        machine.power_on()


def look(simulation: Simulation, since_s: float) -> None:
    """A person looks at the messages and does what they ask for, as far as it is true."""
    people.accept_history(simulation)
    people.arm(simulation)
    for guest in simulation.wanted():
        if simulation.state(guest) == GuestState.ERROR:
            people.another_chance(simulation, guest)
    for machine in simulation.machines.values():
        _keep_up(machine)
        found: Any = status_of(simulation.node(machine.name))
        case = found.get("incident")
        if case is not None and since_s >= CONFIRM_AFTER_S and case["nonce"] != machine.nonce:
            people.confirm_as_it_is(simulation, machine.name)
        if case is not None and str(found.get("message")).startswith("held back") and since_s >= CONFIRM_AFTER_S:
            people.release(simulation, machine.name)
        people.out_of_maintenance(simulation, machine.name)
        if since_s >= CONFIRM_AFTER_S:
            _reboot_if_lost(machine)


def _reboot_if_lost(machine: Machine) -> None:
    """An agent that has held the Lease and finds another holder never takes it back: its node must be rebooted."""
    if machine.agent is not None and machine.agent.outcome is Outcome.LOST and machine.uptime_s() > CONFIRM_AFTER_S:
        machine.reset("a person reboots it: its agent says that its Lease is lost")


def _keep_up(machine: Machine) -> None:
    """What went down late, in order or by its watchdog, is switched on again; an agent that left is started again."""
    if not machine.on and machine.booting is None:
        machine.power_on()
    elif machine.on and machine.agent is None and machine.uptime_s() > 5:
        machine.start_agent()

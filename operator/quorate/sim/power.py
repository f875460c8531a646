"""Fence devices that switch simulated machines: honest, slow, hanging, failing, lying, or wired to another machine."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from quorate.core.quick import replace
from quorate.core.sequence import FenceDevice, Order, Said, Verb
from quorate.core.types import NodeName
from quorate.core.world import NodeView, World
from quorate.kube.power import PowerRoom, Runner
from quorate.sim.people import annotate
from quorate.sim.server import OURS
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation

FOR_EVER_S = 1e6


class Mood(Enum):
    HONEST = "honest"
    HANGS = "hangs"
    FAILS = "fails"
    LIES = "lies"


@dataclass(frozen=True, slots=True)
class DeviceSetting:
    """A device as a scenario gives it. `switches`: the machine it is wired to; empty: the node it was given for."""

    level: int = 1
    timeout_s: float = 20.0
    takes_s: float = 1.0
    switches: str = ""


@dataclass(slots=True)
class SimDevice:
    """`version` counts what people changed of it: another one is another spec."""

    setting: DeviceSetting
    machine: str
    mood: Mood = Mood.HONEST
    version: int = 1
    written: str = ""
    """The machine that people wrote down last."""

    @property
    def spec(self) -> str:
        return f"{self.written or self.machine}/{self.version}"


@dataclass(slots=True)
class Switchboard:
    """All devices, and what is asked of them besides: drills, and how many may work at a time."""

    devices: dict[str, dict[str, SimDevice]] = field(default_factory=dict)
    drills: dict[str, str] = field(default_factory=dict)
    most: int = 1
    power_on: bool = True

    def given(self, devices: Mapping[str, Mapping[str, DeviceSetting]]) -> None:
        for node, named in devices.items():
            self.devices[node] = {name: SimDevice(one, one.switches or node) for name, one in named.items()}

    def seen(self, world: World, room: PowerRoom) -> World:
        """The World with the devices in it, and with what this manager has been answered."""
        if not self.devices:
            return world
        spec = replace(world.cluster.spec, max_concurrent=self.most, power_on=self.power_on)
        nodes = tuple(self._equipped(node, room) for node in world.nodes)
        return replace(world, nodes=nodes, cluster=replace(world.cluster, spec=spec))

    def _equipped(self, node: NodeView, room: PowerRoom) -> NodeView:
        found = tuple(
            FenceDevice(name, one.spec, one.setting.level, one.setting.timeout_s)
            for name, one in sorted(self.devices.get(node.name, {}).items())
        )
        return replace(node, devices=found, drill=self.drills.get(node.name, ""), reports=room.reports(node.name))

    def runner(self, simulation: "Simulation") -> Runner:
        """What a manager's order does to the machines."""

        async def run(node: NodeName, order: Order) -> Said:
            device = self.devices[node][order.device]
            if device.spec != order.spec:
                raise OSError("it was changed meanwhile")
            await asyncio.sleep(device.setting.takes_s)
            if device.mood is Mood.HANGS:
                await asyncio.sleep(FOR_EVER_S)
            if device.mood is Mood.FAILS:
                raise OSError("connection refused")
            said = self._switch(simulation, device, order.verb)
            simulation.journal.say(node, f"{order.device} is asked {order.verb} and says {said}")
            return said

        return run

    def _switch(self, simulation: "Simulation", device: SimDevice, verb: Verb) -> Said:
        machine, lies = simulation.machines[device.machine], device.mood is Mood.LIES
        if verb is Verb.ON:
            machine.power_on()
            return Said.ON
        if verb is Verb.OFF and not lies:
            machine.power_off()
        return Said.OFF if lies or (not machine.on and machine.booting is None) else Said.ON


def _devices(simulation: "Simulation", node: str, name: str) -> list[SimDevice]:
    """The device of that name, if the node has it."""
    found = simulation.power.devices.get(node, {})
    return [found[name]] if name in found else []


def _mood(mood: Mood) -> Callable[["Simulation", str, str], None]:
    def change(simulation: "Simulation", name: str, node: str) -> None:
        for one in _devices(simulation, node, name):
            # A device that begins or ceases to lie is another one, and somebody wrote so: what lies after its drill, as
            # it is, is outside the promise.
            one.version += Mood.LIES in {mood, one.mood} and mood is not one.mood
            one.mood = mood

    return change


_mended = _mood(Mood.HONEST)
word("device DEVICE of NODE works")(_mended)
word("device DEVICE of NODE hangs", _mended, "device hangs")(_mood(Mood.HANGS))
word("device DEVICE of NODE fails", _mended, "device fails")(_mood(Mood.FAILS))
word("device DEVICE of NODE lies", _mended, "device lies")(_mood(Mood.LIES))


@word("wire device DEVICE of NODE to NODE", fault="device miswired")
def wire(simulation: "Simulation", name: str, node: str, machine: str) -> None:
    """Somebody writes another address into it."""
    for one in _devices(simulation, node, name):
        one.version += one.machine != machine
        one.machine = one.written = machine


@word("swap cable of device DEVICE of NODE to NODE")
def swap_cable(simulation: "Simulation", name: str, node: str, machine: str) -> None:
    """And nobody writes it down."""
    for one in _devices(simulation, node, name):
        one.written = one.written or one.machine
        one.machine = machine


@word("drill NODE", fault="drill")
def drill(simulation: "Simulation", node: str) -> None:
    """Written where the manager sees that something has changed."""
    simulation.asked += 1
    simulation.power.drills[node] = f"d{simulation.asked}"
    annotate(simulation, OURS["nodes"], "", node, "example.com/drill", simulation.power.drills[node])


@word("call off drill of NODE")
def call_off(simulation: "Simulation", node: str) -> None:
    """Whoever asked for it takes that away."""
    simulation.power.drills.pop(node, None)
    annotate(simulation, OURS["nodes"], "", node, "example.com/drill", "")


@word("let NUMBER devices work at a time")
def most(simulation: "Simulation", number: int) -> None:
    simulation.power.most = number


@word("leave fenced nodes off")
def leave_off(simulation: "Simulation") -> None:
    simulation.power.power_on = False

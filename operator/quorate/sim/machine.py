"""A machine: power, freezing, a watchdog outside it, and the containers that its runtime keeps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from quorate.core.types import Going, GuestKey, Nonce, Uid
from quorate.sim.engine import Engine, Process, Timer
from quorate.sim.server import Link
from quorate.sim.truth import Truth

if TYPE_CHECKING:
    from quorate.sim.agent import Agent
    from quorate.sim.bargain import Bargain
    from quorate.sim.kubelet import Kubelet

GATE_S: Final = 0.5
"""How long the start gate takes."""
KUBELET_BOOT_S: Final = 1.0
AGENT_BOOT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a guest's container behaves. `fails`: it ends with an error as soon as it is started."""

    starts_s: float = 0.5
    ready_s: float = 0.5
    stops_s: float = 1.0
    fails: bool = False


class Phase(Enum):
    GATE = "gate"
    PASSED = "passed"
    WRONG_BOOT = "wrong boot"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(slots=True)
class Container:
    """What the runtime keeps of one Pod in one boot."""

    key: GuestKey
    uid: Uid
    nonce: str
    phase: Phase = Phase.GATE
    ready: bool = False
    code: int = 0
    stopping: bool = False
    serial: str = ""
    """Of a node: no two starts have the same."""
    standby: bool = False
    """The target of a live migration, to which nothing has been handed over yet."""


@dataclass(slots=True)
class Dog:
    """The watchdog, outside the machine: it counts on while that is frozen."""

    timeout_s: float = 0.0
    petted_s: float | None = None
    timer: Timer | None = None


@dataclass(slots=True)
class Surroundings:
    """What all machines share."""

    engine: Engine
    truth: Truth
    say: Callable[[str, str], None]
    behaviour: Callable[[GuestKey], Behaviour]
    hangs: Callable[[GuestKey], bool]
    bargain: "Bargain"
    kubelet_begins: "Callable[[Machine], None]" = lambda _: None


@dataclass(eq=False, slots=True)
class Machine:
    """One node. `disk` outlives a boot: the directories of Pods that its kubelet has taken on."""

    name: str
    around: Surroundings
    link: Link
    rate: float = 1.0
    firmware_s: float = 5.0
    boots: int = 0
    started: int = 0
    """Containers."""
    on: bool = False
    going: Going | None = None
    frozen: bool = False
    booted_s: float = 0.0
    dog: Dog = field(default_factory=Dog)
    runtime: Process | None = None
    containers: dict[Uid, Container] = field(default_factory=dict)
    disk: set[Uid] = field(default_factory=set)
    agent: "Agent | None" = None
    kubelet: "Kubelet | None" = None
    make_agent: "Callable[[Machine], Agent] | None" = None
    make_kubelet: "Callable[[Machine], Kubelet] | None" = None
    agent_wanted: bool = True
    kubelet_wanted: bool = True
    mark: str | None = None
    """The file in /run."""
    changed: Callable[[Uid], None] = lambda _: None
    """Told when a container has changed."""
    booting: Timer | None = None
    dog_broken: bool = False
    """Its watchdog cannot be opened."""
    dog_step_s: float = 0.0
    """Its watchdog counts only multiples of that, and rounds up to them."""
    misses: set[str] = field(default_factory=set)
    """Storages that it does not reach."""
    dog_stays: bool = False
    """Its watchdog cannot be disarmed (nowayout)."""

    @property
    def nonce(self) -> Nonce:
        return Nonce(f"{self.name}-boot{self.boots}.0")

    @property
    def engine(self) -> Engine:
        return self.around.engine

    def uptime_s(self) -> float:
        return (self.engine.now_s - self.booted_s) * self.rate

    # -- power ------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        if self.on:
            return
        self.booting = None
        self.on, self.frozen, self.booted_s = True, False, self.engine.now_s
        self.boots += 1
        self.mark = None
        self.runtime = Process(self.engine, self.rate)
        self.around.say(self.name, f"boots, {self.nonce}")
        self.engine.after(KUBELET_BOOT_S, self.start_kubelet, owner=self.runtime)
        self.engine.after(AGENT_BOOT_S, self.start_agent, owner=self.runtime)

    def power_off(self) -> None:
        """At once, as if the plug were pulled."""
        if self.booting is not None:
            self.booting.cancel()
            self.booting = None
        if not self.on:
            return
        self.around.say(self.name, "is off")
        self.on = self.frozen = False
        self.going = None
        for process in self._processes():
            process.kill()
        if self.kubelet is not None:
            self.kubelet.end()
        self.agent = self.kubelet = self.runtime = None
        for container in self.containers.values():
            self.around.truth.ended(container.key, container.uid)
        self.containers.clear()
        self.dog_closes()

    def go_down(self) -> None:
        """The end of a clean shutdown; a host that reboots is back when its firmware is done."""
        back = self.on and self.going is Going.REBOOT
        self.power_off()
        if back:
            self.booting = self.engine.after(self.firmware_s, self.power_on)

    def reset(self, why: str) -> None:
        """Off, and on again as soon as the firmware is done."""
        if not self.on:
            return
        self.around.say(self.name, f"is reset: {why}")
        self.power_off()
        self.booting = self.engine.after(self.firmware_s, self.power_on)

    def freeze(self) -> None:
        """Everything on it stands still; what is outside does not."""
        if self.on and not self.frozen:
            self.frozen = True
            for process in self._processes():
                process.freeze()

    def thaw(self) -> None:
        if self.on and self.frozen:
            self.frozen = False
            self.around.truth.thawed(self, self.engine.now_s)
            for process in self._processes():
                process.thaw()

    def _processes(self) -> list[Process]:
        found = [self.runtime, *(one.process for one in (self.kubelet, self.agent) if one is not None)]
        return [process for process in found if process is not None]

    # -- what runs on it --------------------------------------------------------------------------------------------

    def start_kubelet(self) -> None:
        if self.on and self.kubelet_wanted and self.kubelet is None and self.make_kubelet is not None:
            self.kubelet = self.make_kubelet(self)
            self.kubelet.begin()
            self.around.kubelet_begins(self)

    def stop_kubelet(self) -> None:
        """Its containers run on."""
        if self.kubelet is not None:
            self.kubelet.process.kill()
            self.kubelet.end()
            self.kubelet = None

    def start_agent(self) -> None:
        if self.on and self.agent_wanted and self.agent is None and self.make_agent is not None:
            self.agent = self.make_agent(self)
            self.agent.begin()

    def stop_agent(self) -> None:
        """It is killed; whoever holds the open watchdog for it goes on holding it."""
        if self.agent is not None:
            self.agent.process.kill()
            self.agent = None

    # -- the watchdog -----------------------------------------------------------------------------------------------

    def dog_opens(self, timeout_s: float) -> float:
        """With the time-out that it then has."""
        if self.dog_step_s:
            timeout_s = math.ceil(timeout_s / self.dog_step_s) * self.dog_step_s
        self.dog.timeout_s, self.dog.petted_s = timeout_s, self.engine.now_s
        if self.dog.timer is not None:
            self.dog.timer.cancel()
        self.dog.timer = self.engine.after(timeout_s, self._dog_looks)
        return timeout_s

    def dog_is_petted(self) -> None:
        self.dog.petted_s = self.engine.now_s

    def dog_closes(self) -> None:
        if self.dog.timer is not None:
            self.dog.timer.cancel()
        self.dog = Dog()

    def _dog_looks(self) -> None:
        """At most once for each time-out: the latest pet says when the next look is due."""
        if self.dog.petted_s is None:
            return
        ends_s = self.dog.petted_s + self.dog.timeout_s
        if self.engine.now_s >= ends_s - 1e-9:
            self.reset("its watchdog was not petted")
        else:
            self.dog.timer = self.engine.at(ends_s, self._dog_looks)

    # -- containers -------------------------------------------------------------------------------------------------

    def start_gate(self, key: GuestKey, uid: Uid, nonce: str) -> None:
        """The init container that ends the Pod in any boot but the one it was made for."""
        self.started += 1
        container = self.containers[uid] = Container(key, uid, nonce, serial=f"{self.boots}.{self.started}")
        self.engine.after(GATE_S, self._gate_ends, container, owner=self.runtime)

    def _gate_ends(self, container: Container) -> None:
        if container.phase is Phase.GATE:
            container.phase = Phase.PASSED if container.nonce == self.nonce else Phase.WRONG_BOOT
            self.changed(container.uid)

    def start_guest(self, container: Container) -> None:
        """The guest itself."""
        container.phase = Phase.RUNNING
        if container.standby:
            self.around.say(self.name, f"is ready to take {container.key.name}")
        else:
            self.around.say(self.name, f"runs {container.key.name}")
            self.around.truth.started(container.key, container.uid, self, self.engine.now_s)
        behaviour = self.around.behaviour(container.key)
        if behaviour.fails:
            self.engine.after(0.1, self.end_guest, container, 1, owner=self.runtime)
        else:
            self.engine.after(behaviour.ready_s, self._is_ready, container, owner=self.runtime)

    def _is_ready(self, container: Container) -> None:
        if container.phase is Phase.RUNNING and not container.stopping:
            container.ready = True
            self.changed(container.uid)

    def hand_over(self, container: Container, to: "Machine", target: Container) -> None:
        """A live migration: it runs there from now on, and its process here ends."""
        self.around.say(self.name, f"hands {container.key.name} over to {to.name}")
        self.around.truth.ended(container.key, container.uid)
        target.standby, container.standby = False, True
        self.around.truth.started(target.key, target.uid, to, self.engine.now_s)
        self.engine.after(0.3, self.end_guest, container, 0, owner=self.runtime)

    def stop_guest(self, container: Container) -> None:
        """Told to end, it does, in its own time."""
        if container.stopping or container.phase in {Phase.ENDED, Phase.WRONG_BOOT}:
            return
        container.stopping, container.ready = True, False
        if container.phase is Phase.RUNNING:
            self.let_end(container)
        else:
            self.end_guest(container, 137)

    def let_end(self, container: Container) -> None:
        """It was told to; unless its stop hangs."""
        if not self.around.hangs(container.key):
            stops_s = self.around.behaviour(container.key).stops_s
            self.engine.after(stops_s, self.end_guest, container, 143, owner=self.runtime)

    def end_guest(self, container: Container, code: int) -> None:
        if container.phase is Phase.ENDED:
            return
        if container.phase is Phase.RUNNING:
            self.around.say(self.name, f"ends {container.key.name}, exit code {code}")
        container.phase, container.code, container.ready = Phase.ENDED, code, False
        self.around.truth.ended(container.key, container.uid)
        self.changed(container.uid)

    def running(self) -> frozenset[Uid]:
        """Pods with a process now."""
        return frozenset(
            uid for uid, one in self.containers.items() if one.phase not in {Phase.ENDED, Phase.WRONG_BOOT}
        )

"""An agent in virtual time: the production loop and its reading of orders, driven request by request."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from quorate.agent.api import Refused, Unanswered
from quorate.agent.boot import Boot
from quorate.agent.lease import NodeLease, Outcome, Renewal
from quorate.agent.loop import Leave, Loop
from quorate.agent.mark import remembered, remembered_orders, remembered_timing
from quorate.agent.orders import OrdersReader
from quorate.agent.steps import Request, Steps
from quorate.agent.watchdog import StuckWatchdogError, WatchdogError
from quorate.core.selffence import Device
from quorate.core.types import Nonce, Uid, WatchdogKind
from quorate.sim.engine import Process, Timer
from quorate.sim.machine import Machine
from quorate.sim.storages import said_by

Json = dict[str, Any]


class _ResetError(Exception):
    """The machine has been reset under the agent."""


class _Boot(Boot):
    """This boot, by the machine's own clock."""

    machine: Machine

    def uptime_s(self) -> float:
        return self.machine.uptime_s()


class _Dog:
    """The watchdog, as the loop has it. A stall makes a pet come late, and what follows it."""

    kind = WatchdogKind.EXTERNAL
    trouble = ""

    def __init__(self, agent: "Agent") -> None:
        self.agent = agent
        self.machine = agent.machine

    def open(self, timeout_s: float) -> float:
        if self.machine.dog_broken:
            raise WatchdogError("the watchdog cannot be opened")
        self.machine.around.bargain.opens(self.machine)
        return self.machine.dog_opens(timeout_s)

    def set_timeout(self, timeout_s: float) -> float:
        return self.open(timeout_s)

    def pet(self) -> None:
        self.agent.later(self._is_petted)

    def _is_petted(self) -> None:
        self.machine.dog_is_petted()
        if not self.agent.stalls_again:
            age_s = self.agent.process.time() - self.agent.sent_s
            self.machine.around.bargain.petted(self.machine, age_s, self.agent.loop.timing.timeout_s)

    def close(self) -> None:
        self.machine.around.bargain.closes(self.machine)
        if self.machine.dog_stays:
            raise StuckWatchdogError("the watchdog cannot be disarmed", self.machine.dog.timeout_s)
        self.machine.dog_closes()

    def let_go(self) -> None:
        """Nobody takes over here."""

    def reset(self) -> NoReturn:
        self.agent.later(lambda: self.machine.reset("by its agent"), after_the_pet=True)
        raise _ResetError

    def descriptor(self) -> None:
        return None


class _Runtime:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def running(self) -> frozenset[Uid]:
        return self.machine.running()

    def known(self) -> frozenset[Uid]:
        return frozenset(self.machine.disk)


class _Keeper:
    """Holds the open device over the loop's death: the machine does."""

    def hold(self, descriptor: int, timeout_s: float, *, stuck: bool = False) -> None: ...

    def drop(self) -> None: ...

    def lose(self) -> None: ...

    def retire(self) -> None: ...

    def own(self, descriptor: int) -> None: ...


class _Mark:
    """The file in /run, in the machine's memory."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.text = ""

    def read_text(self) -> str:
        if self.machine.mark is None:
            raise FileNotFoundError
        return self.machine.mark

    def write_text(self, text: str, /) -> int:
        self.text = text
        return len(text)

    def with_suffix(self, _suffix: str, /) -> "_Mark":
        return _Mark(self.machine)

    def replace(self, _target: object, /) -> None:
        self.machine.mark = self.text


class _Wake:
    """What ends the loop's pause sooner."""

    def __init__(self, woken: Callable[[], None]) -> None:
        self.set = woken

    def clear(self) -> None: ...

    def wait(self, _timeout: float | None = None) -> bool:
        raise AssertionError("nobody waits in virtual time")


class Agent:
    """The agent of one boot."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.process = Process(machine.engine, machine.rate)
        self._resting: Timer | None = None
        self._woken = False
        self._stall_s = self._lag_s = 0.0
        self.stalls_again = False
        """After that pet it stands still for good, before it looks at the clock once more."""
        self.sent_s = 0.0
        """When it sent its last renewal, by its own clock."""
        self.outcome: Outcome | None = None
        """Of its last renewal."""
        self.gone: Callable[[], None] = lambda: None
        self.loop = self._make()

    def _make(self) -> Loop:
        machine, nonce, mark = self.machine, Nonce(self.machine.nonce), _Mark(self.machine)
        boot = _Boot(nonce, 0.0, f"machine-{machine.name}", shared_kernel=True)
        object.__setattr__(boot, "machine", machine)
        clock = self._clock
        connection: Any = None  # its steps are driven over the machine's link
        device = Device(open=True, timeout_s=machine.dog.timeout_s) if machine.dog.petted_s is not None else Device()
        orders = OrdersReader(connection, machine.name, self._wake)
        lease = NodeLease(connection, machine.name, remembered(mark, nonce), clock, self._wall)
        lease.beside = lambda: said_by(machine, orders.probes)
        return Loop(
            boot=boot,
            lease=lease,
            watchdog=_Dog(self),
            runtime=_Runtime(machine),
            orders=orders,
            holder=_Keeper(),
            mark=mark,
            clock=clock,
            device=device,
            timing=remembered_timing(mark, nonce),
            seen=remembered_orders(mark, nonce),
            wake=_Wake(self._wake),
            going=lambda: machine.going or "",
        )

    def _clock(self) -> float:
        return self.process.time() + self._lag_s

    def stall(self, seconds: float, *, twice: bool = False) -> None:
        """Before its next pet takes effect it stands still for so long; and after it for good (`twice`).

        One that stands still already does so to the end of it.
        """
        if not self._lag_s:
            self._stall_s, self.stalls_again = seconds, twice

    def later(self, effect: Callable[[], None], *, after_the_pet: bool = False) -> None:
        """What it does to the watchdog, at the moment when it really does it."""
        engine, boots = self.machine.engine, self.machine.boots
        if self._stall_s and not self._lag_s:
            self._lag_s = self._stall_s
            self.process.freeze()
            engine.after(self._stall_s, self._goes_on)
        if not self._lag_s:
            effect()
            return

        def happen() -> None:
            if self.machine.on and self.machine.boots == boots:
                effect()

        if not (after_the_pet and self.stalls_again):
            engine.after(self._lag_s, happen)

    def _goes_on(self) -> None:
        self._stall_s = self._lag_s = 0.0
        if self.process.alive and not self.stalls_again and not self.machine.frozen:
            self.process.thaw()

    def _wall(self) -> datetime:
        return datetime.fromtimestamp(self.process.wall_ns() / 1e9, UTC)

    def begin(self) -> None:
        self._read_orders()
        self._renew()

    def leave(self, grace_s: float) -> None:
        """It is told to go."""
        if self.loop.leave is None:
            self.loop.leave = Leave(self.process.time(), grace_s)
            self._wake()

    # -- the two things it does -------------------------------------------------------------------------------------

    def _read_orders(self) -> None:
        self._drive(self.loop.orders.steps(), lambda _: self._orders_read())

    def _orders_read(self) -> None:
        self.machine.engine.after(self.loop.orders.pause_s(), self._read_orders, owner=self.process)

    def _renew(self) -> None:
        self._resting, self._woken = None, False
        began_s = self.process.time()
        self._drive(self.loop.steps(), lambda renewal: self._renewed(renewal, began_s))

    def _renewed(self, renewal: Renewal, began_s: float) -> None:
        self.outcome = renewal.outcome
        if self.loop.gone(renewal):
            self.machine.around.say(self.machine.name, "its agent has left")
            self.machine.stop_agent()
            self.gone()
            return
        pause_s, sooner = self.loop.pause(renewal, began_s)
        if sooner and self._woken:
            pause_s = 0.0
        timer = self.machine.engine.after(pause_s, self._renew, owner=self.process)
        self._resting = timer if sooner else None

    def _wake(self) -> None:
        self._woken = True
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            self.machine.engine.soon(self._renew, owner=self.process)

    # -- steps ------------------------------------------------------------------------------------------------------

    def _drive(self, steps: Steps[Any], done: Callable[[Any], None]) -> None:
        self._go_on(steps, done, lambda: next(steps))

    def _go_on(self, steps: Steps[Any], done: Callable[[Any], None], move: Callable[[], Request]) -> None:
        """One move, to the next request or the end."""
        try:
            request = move()
        except StopIteration as end:
            done(end.value)
            return
        except _ResetError:
            return
        except (Unanswered, Refused, ValueError):
            done(None)  # reading orders: the last ones stand
            return
        if request.method == "PUT":
            self.sent_s = self.process.time()

        def answered(code: int, body: Json) -> None:
            if code == 0 or code in {408, 429} or code >= 500:
                self._go_on(steps, done, lambda: steps.throw(Unanswered(f"{request.method} {request.path}: {code}")))
            elif code >= 400:
                self._go_on(steps, done, lambda: steps.throw(Refused(code, body)))
            else:
                self._go_on(steps, done, lambda: steps.send(body))

        link = self.machine.link
        link.send(self.process, request.method, request.path, request.body, request.query, request.timeout_s, answered)

"""Fence devices and what is recorded of their use: the words of `devices.py`, `drill.py` and `brakes.py`."""

from dataclasses import dataclass, replace
from enum import StrEnum

from quorate.core.quick import quick
from quorate.core.types import Instant, Nonce


class Verb(StrEnum):
    """What a device is asked."""

    OFF = "Off"
    STATUS = "Status"
    ON = "On"


class Said(StrEnum):
    """What became of it: the device says that the power is off, or on; it failed; it did not answer in time."""

    OFF = "Off"
    ON = "On"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"


class Purpose(StrEnum):
    """Why a node's power is switched."""

    INCIDENT = "Incident"
    DRILL = "Drill"
    POWER_ON = "PowerOn"


class Step(StrEnum):
    """How far a sequence has come.

    Off, Status, On: every device of the level is asked that. IsOff: all have said so twice. Silent, Boot: a drill waits for
    the Lease to stop, and for a new boot. Paused: all levels have failed. Over: nothing is left to do.
    """

    OFF = "Off"
    STATUS = "Status"
    IS_OFF = "IsOff"
    SILENT = "Silent"
    ON = "On"
    BOOT = "Boot"
    PAUSED = "Paused"
    OVER = "Over"


ASKS = {Step.OFF: Verb.OFF, Step.STATUS: Verb.STATUS, Step.ON: Verb.ON}


@quick
@dataclass(frozen=True, slots=True)
class FenceDevice:
    """One way to switch a node's power. All devices of a level must say off: a machine may have two power supplies.

    `spec`: a hash of all that a person wrote of it, with the version of its Secret. `timeout_s`: for one try.
    `secret`: the name of that Secret. `readable`: False while that cannot be read, so that nobody knows what it is.
    """

    name: str
    spec: str
    level: int = 1
    timeout_s: float = 20.0
    secret: str = ""
    readable: bool = True

    def with_secret(self, version: str) -> "FenceDevice":
        """Its Secret is of this version; empty: it could not be read."""
        return replace(self, spec=f"{self.spec}@{version or '?'}", readable=bool(version))


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to ask of one device, never asked twice. `subject`: the incident or the drill that it serves.

    `spec`: of the device that was judged; one that was changed since must not be asked by it.
    """

    sequence: str
    term: int
    subject: str
    nonce: Nonce
    level: int
    attempt: int
    verb: Verb
    device: str
    spec: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the shell has to say of an order. `asked_s`, `at_s`: when it was asked and answered, on the manager's clock."""

    order: Order
    said: Said
    asked_s: float
    at_s: float
    detail: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Health:
    """What a device of this `spec` said of the machine when it was asked before it was needed, on the manager's clock."""

    device: str
    spec: str
    said: Said
    detail: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Sequence:
    """A node's power is being switched. Recorded before each order of it.

    `spec`: of its level; devices that are changed meanwhile begin another one.
    `began`: when its first order could be given; `since`: when this step began. `failures`: what went wrong so far.
    """

    id: str
    term: int
    purpose: Purpose
    subject: str
    nonce: Nonce
    level: int
    spec: str
    attempt: int
    step: Step
    began: Instant
    since: Instant
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proven:
    """A drill showed that this level switches this node: `lost` was silenced by it, and `back` booted after it."""

    level: int
    spec: str
    at: Instant
    term: int
    lost: Nonce
    back: Nonce


@dataclass(frozen=True, slots=True)
class Distrust:
    """A level that must not be used until its spec changes or a drill passes, and why."""

    level: int
    spec: str
    why: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Drilled:
    """What became of the newest drill that was asked for."""

    id: str
    passed: bool
    result: str
    at: Instant


@quick
@dataclass(frozen=True, slots=True)
class Power:
    """All that is recorded of a node's devices. `blocked`: why they wait, and until when."""

    sequence: Sequence | None = None
    proven: tuple[Proven, ...] = ()
    distrusted: tuple[Distrust, ...] = ()
    drilled: Drilled | None = None
    blocked: str = ""


def at_work(sequence: Sequence | None) -> bool:
    """Is a node's power being switched, or about to be?"""
    return sequence is not None and sequence.step is not Step.OVER


def level_of(devices: tuple[FenceDevice, ...], level: int) -> tuple[FenceDevice, ...]:
    return tuple(one for one in devices if one.level == level)


def spec_of(devices: tuple[FenceDevice, ...], level: int) -> str:
    """All that a person wrote of a level."""
    return ",".join(sorted(f"{one.name}={one.spec}" for one in level_of(devices, level)))


def usable(devices: tuple[FenceDevice, ...], power: Power) -> list[int]:
    """The levels that are not distrusted, in order."""
    return sorted({one.level for one in devices} - {one.level for one in power.distrusted})

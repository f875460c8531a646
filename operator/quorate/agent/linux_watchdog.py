"""A watchdog device of the Linux kernel: `/dev/watchdog` and its like, by ioctl.

Opening arms it, for the kernel's default time at first. Every process that holds the open file keeps it open; when the last
one lets go it stops counting only if the last thing written was `V` (magic close), and never under nowayout. So a crash
leaves it counting, and who wants it disarmed must have it open to say so.

What speaks against a device is looked at before it is opened, as far as the machine says so (`watchdog_facts.py`).
"""

import errno
import fcntl
import logging
import math
import os
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from quorate.agent import resetting
from quorate.agent.watchdog import (
    ClosedWatchdogError,
    StuckWatchdogError,
    UnchangedWatchdogError,
    UnusableWatchdogError,
    WatchdogError,
)
from quorate.agent.watchdog_facts import (
    ALARM_ONLY,
    CARD_RESET,
    IPMI,
    IPMI_OPTIONS,
    KEEPALIVE,
    MAGIC_CLOSE,
    NAME,
    Facts,
    Machine,
    is_directory,
)
from quorate.core.types import WatchdogKind

log = logging.getLogger(__name__)

# linux/watchdog.h, by the common encoding of ioctl numbers (x86, ARM, RISC-V, s390).
GET_SUPPORT: Final = 0x80285700
GET_BOOT_STATUS: Final = 0x80045702
KEEP_ALIVE: Final = 0x80045705
SET_TIMEOUT: Final = 0xC0045706
GET_TIMEOUT: Final = 0x80045707
GET_TIME_LEFT: Final = 0x8004570A
_SUPPORT: Final = struct.Struct("=II32s")
_INT: Final = struct.Struct("=i")

LOOK_EVERY_S: Final = 10.0
"""A machine is looked at again after so long; in between what was seen stands."""
SCAN_EVERY_S: Final = 60.0
"""Who holds a busy device is looked for among all processes no more often than that."""
SETTLES_S: Final = 0.5
"""So long a device that was let go may still be held by the keeper."""
_AGAIN_S: Final = 0.02


class Ioctl(Protocol):
    """`fcntl.ioctl`, with bytes."""

    def __call__(self, descriptor: int, request: int, argument: bytes, /) -> bytes: ...


def _ioctl(descriptor: int, request: int, argument: bytes, /) -> bytes:
    return fcntl.ioctl(descriptor, request, argument)


@dataclass(slots=True)
class _Seen:
    """What a look at the machine has found: the device that would be opened, and what speaks against it."""

    at_s: float
    path: Path | None
    facts: Facts = field(default_factory=Facts)
    kind: WatchdogKind | None = None
    why: str = ""


@dataclass(slots=True)
class LinuxWatchdog:
    """The device at `path`, or the best one in it if that is a directory. Not thread-safe."""

    path: Path
    shared_kernel: bool = False
    ioctl: Ioctl = _ioctl
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _descriptor: int | None = None
    _opened: _Seen | None = None
    _seen: _Seen | None = None
    _busy: dict[Path, tuple[float, str]] = field(default_factory=dict)
    """Who else has a device open, as of the last look for that."""
    _let_go_s: float = -math.inf
    _refused: dict[tuple[int, int], str] = field(default_factory=dict)
    """Devices that were opened once and cannot be used, until their driver makes them anew."""
    _last: str = ""
    """The name of the one that it had open: of several that one may still be counting."""
    _starved: bool = False

    # -- before it is opened ----------------------------------------------------------------------------------------

    @property
    def kind(self) -> WatchdogKind | None:
        return self._opened.kind if self._opened is not None else self._look().kind

    @property
    def trouble(self) -> str:
        return "" if self._opened is not None else self._look().why

    @property
    def machine(self) -> Machine:
        """The one that the device belongs to: what is beside its /dev."""
        return Machine(next((one.parent for one in (self.path, *self.path.parents) if one.name == "dev"), Path("/")))

    def _look(self) -> _Seen:
        seen = self._seen
        if seen is None or not 0 <= self.clock() - seen.at_s < LOOK_EVERY_S:
            seen = self._seen = self._look_anew()
        return seen

    def _look_anew(self) -> _Seen:
        """The device; of several the first that nothing speaks against, or else the first."""
        if not is_directory(self.path):
            return self._look_at(self.path)
        names = self.machine.names(self.path)
        if self._last in names and self.machine.facts(self._last).active:
            return self._look_at(self.path / self._last)
        first = None
        for name in names:
            seen = self._look_at(self.path / name)
            if seen.kind is not None:
                return seen
            first = first or seen
        return first or _Seen(self.clock(), None, why=_absent(self.path))

    def _look_at(self, path: Path) -> _Seen:
        now_s, machine = self.clock(), self.machine
        facts = machine.facts(_name_of(path))
        try:
            about = path.stat()
        except OSError as error:
            return _Seen(now_s, path, why=_absent(path) if error.errno == errno.ENOENT else _failed(path, error))
        why = (
            self._not_here(path, about.st_mode)
            or _unfit(facts)
            or machine.does_not_reset(facts)
            or self._refused.get((about.st_rdev, about.st_ino), "")
            or self._still_busy(path, facts)
        )
        if why:
            return _Seen(now_s, path, facts, why=f"watchdog {path}: {why}")
        return _Seen(now_s, path, facts, machine.kind(facts))

    def _still_busy(self, path: Path, facts: Facts) -> str:
        """Is it in use? One that is active may also count for nobody, as after a crash, and can be opened then."""
        if facts.active is False:
            self._busy.pop(path, None)
        elif facts.active or path in self._busy:
            looked_s, _ = self._busy.get(path, (-math.inf, ""))
            if self.clock() - max(looked_s, self._let_go_s) >= SCAN_EVERY_S:
                self._scan(path)
        return self._busy.get(path, (0.0, ""))[1]

    def _scan(self, path: Path) -> None:
        """Our keeper is none of those who are in the way."""
        who = self.machine.holders(path, frozenset({os.getpid(), os.getppid()}))
        self._busy[path] = self.clock(), f"busy: it is open in {who}" if who else ""

    def _not_here(self, path: Path, mode: int) -> str:
        if stat.S_ISCHR(mode) and self.shared_kernel:
            return (
                "this node shares its kernel with others (kind, the lab), and all of them would be reset: give its agent "
                "--watchdog=external:SOCKET"
            )
        if stat.S_ISCHR(mode) and resetting.never():
            return f"{resetting.NEVER_VARIABLE} is set: no device of this machine is opened"
        if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
            return f"{path.name} is no device: give --watchdog=linux:DEVICE the path of one, such as /dev/watchdog"
        return ""

    # -- open -------------------------------------------------------------------------------------------------------

    def open(self, timeout_s: float) -> float:
        if self._opened is None:
            self._open(self._look())
        try:
            given_s = self.set_timeout(timeout_s)
            self.pet()  # some count from the first pet only (IPMI)
        except WatchdogError as error:
            self._give_up(str(error), for_good=isinstance(error, UnchangedWatchdogError))
            raise ClosedWatchdogError(str(error)) from error
        return given_s

    def _open(self, seen: _Seen) -> None:
        path = seen.path
        if path is None or (seen.why and not self._busy.get(path, (0.0, ""))[1]):
            raise UnusableWatchdogError(seen.why)
        descriptor = self._descriptor = self._opened_at(path)
        self._opened = seen
        try:
            facts = self._asked(descriptor, seen.facts)
        except OSError as error:
            why = f"watchdog {path}: it does not answer as a watchdog does ({_name(error)})"
            self._give_up(why, for_good=True)
            raise ClosedWatchdogError(why) from error
        self._opened = _Seen(seen.at_s, path, facts, self.machine.kind(facts))
        why = _unfit(facts) or self.machine.does_not_reset(facts)
        if why:
            self._give_up(f"watchdog {path}: {why}", for_good=True)
            raise ClosedWatchdogError(f"watchdog {path}: {why}")
        self._last = _name_of(path)
        self._busy.pop(path, None)
        self._tell(path, facts)

    def _opened_at(self, path: Path) -> int:
        """Our own keeper may not have let go of it yet: one that is busy is tried again for a moment."""
        until_s = self.clock() + SETTLES_S
        while True:
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    self._seen = None
                    why = (
                        _absent(path)
                        if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}
                        else _failed(path, error)
                    )
                    raise UnusableWatchdogError(why) from error
                if self.clock() >= until_s:
                    raise UnusableWatchdogError(self._is_busy(path)) from error
            self.pause(_AGAIN_S)

    def _is_busy(self, path: Path) -> str:
        self._seen = None
        looked_s, why = self._busy.get(path, (-math.inf, ""))
        if not why or self.clock() - looked_s >= SCAN_EVERY_S:
            self._scan(path)
            why = self._busy[path][1] or "busy: it is open in a process that cannot be seen from here: find and stop it"
            self._busy[path] = self.clock(), why
        return f"watchdog {path}: {why}"

    def _asked(self, descriptor: int, before: Facts) -> Facts:
        """The same facts as the device itself tells them. Raises OSError."""
        options, _, identity = _SUPPORT.unpack(self.ioctl(descriptor, GET_SUPPORT, bytes(_SUPPORT.size)))
        named = identity.split(b"\0", 1)[0].decode(errors="replace")
        if named == IPMI:
            options |= IPMI_OPTIONS
        if named != before.identity:  # another driver has the name of the first device
            before = self.machine.ipmi() if named == IPMI else Facts()
        return Facts(
            identity=named,
            options=options,
            nowayout=before.nowayout,
            shortest_s=before.shortest_s,
            longest_s=before.longest_s,
            pretimeout_s=before.pretimeout_s,
            active=before.active,
        )

    def _tell(self, path: Path, facts: Facts) -> None:
        log.info("watchdog %s: %s%s", path, facts.identity, ", nowayout" if facts.nowayout else "")
        if facts.nowayout:
            log.warning("watchdog %s: %s", path, _NO_WAY_OUT)
        if facts.pretimeout_s:
            log.info("watchdog %s: its pretimeout acts %ds before its time is over", path, facts.pretimeout_s)
        try:
            (status,) = _INT.unpack(self.ioctl(self._held(), GET_BOOT_STATUS, bytes(_INT.size)))
        except OSError:
            return
        if status & CARD_RESET:
            log.warning("watchdog %s: the boot before this one ended by it", path)

    def inherit(self, descriptor: int) -> None:
        """Go on with one that an earlier process opened. Which it is, the open file and the device itself tell."""
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        path = (
            self.path / name
            if is_directory(self.path)
            else self.path.with_name(name)
            if NAME.fullmatch(name)
            else self.path
        )
        facts, self._descriptor = self.machine.facts(_name_of(path)), descriptor
        try:
            facts = self._asked(descriptor, facts)
        except OSError as error:
            log.error("watchdog %s: %s: it is taken for what the machine says of it", path, _name(error))
        self._opened = _Seen(self.clock(), path, facts, self.machine.kind(facts))

    # -- while it is open -------------------------------------------------------------------------------------------

    def set_timeout(self, timeout_s: float) -> float:
        opened, descriptor = self._here(), self._held()
        asked_s = math.ceil(max(timeout_s, opened.facts.shortest_s))
        if opened.facts.longest_s:
            asked_s = min(asked_s, opened.facts.longest_s)
        try:
            self.ioctl(descriptor, SET_TIMEOUT, _INT.pack(asked_s))
        except OSError as error:
            if error.errno == errno.EIO:
                raise WatchdogError(f"watchdog {opened.path}: {_name(error)} as its time-out was set") from error
            raise UnchangedWatchdogError(
                f"watchdog {opened.path}: {opened.facts.identity} cannot be set to {asked_s}s ({_name(error)}): "
                "give --watchdog another device, or the Cluster another spec.timing.profile"
            ) from error
        try:
            (given_s,) = _INT.unpack(self.ioctl(descriptor, GET_TIMEOUT, bytes(_INT.size)))
        except OSError as error:
            raise WatchdogError(f"watchdog {opened.path}: its time-out cannot be read back ({_name(error)})") from error
        return float(given_s)

    def pet(self) -> None:
        opened, descriptor = self._here(), self._held()
        try:
            if (opened.facts.options or 0) & KEEPALIVE:
                self.ioctl(descriptor, KEEP_ALIVE, bytes(_INT.size))
            else:
                os.write(descriptor, b"\0")
        except OSError as error:
            raise WatchdogError(f"watchdog {opened.path}: {_name(error)} as it was petted") from error

    def close(self) -> None:
        """Raises StuckWatchdogError under nowayout: then it stays open. WatchdogError: it may count on."""
        opened, descriptor = self._here(), self._held()
        if opened.facts.nowayout or self._as_now(opened).nowayout:
            raise StuckWatchdogError(f"watchdog {opened.path}: {_NO_WAY_OUT}", self._time_s())
        try:
            os.write(descriptor, b"V")
        except OSError as error:
            raise WatchdogError(f"watchdog {opened.path}: {_name(error)} as it was to be disarmed") from error
        self.let_go()
        self._see_it_stop(opened)

    def _see_it_stop(self, opened: _Seen) -> None:
        """The kernel goes on without a word when a device does not stop; where sysfs tells, it is looked at."""
        until_s = self.clock() + SETTLES_S
        while self._as_now(opened).active:
            if self.clock() >= until_s:
                raise WatchdogError(
                    f"watchdog {opened.path}: it was closed with magic close and is active all the same"
                )
            self.pause(_AGAIN_S)

    def _as_now(self, opened: _Seen) -> Facts:
        if opened.facts.identity == IPMI:
            return self.machine.ipmi()
        return self.machine.facts(_name_of(opened.path)) if opened.path is not None else Facts()

    def let_go(self) -> None:
        descriptor, self._descriptor, self._opened, self._seen = self._descriptor, None, None, None
        if descriptor is not None:
            os.close(descriptor)
            self._let_go_s = self.clock()  # no look for who has it: nobody but our keeper, for a moment

    def descriptor(self) -> int | None:
        return self._descriptor

    def _give_up(self, why: str, *, for_good: bool) -> None:
        """It was opened and cannot be used: disarm it. Raises WatchdogError when it may count on, StuckWatchdogError when
        it cannot be let go.
        """
        opened = self._here()
        if opened.facts.nowayout:
            raise StuckWatchdogError(f"{why}; and {_NO_WAY_OUT}", self._time_s())
        if for_good:
            about = os.fstat(self._held())
            self._refused[about.st_rdev, about.st_ino] = why.removeprefix(f"watchdog {opened.path}: ")
        try:
            os.write(self._held(), b"V")
        except OSError as error:
            self.let_go()
            raise WatchdogError(f"{why}; and it may count on: {_name(error)} as it was to be disarmed") from error
        self.let_go()

    def _time_s(self) -> float:
        """Its time-out; 0 when it does not say."""
        try:
            return float(_INT.unpack(self.ioctl(self._held(), GET_TIMEOUT, bytes(_INT.size)))[0])
        except OSError:
            return 0.0

    def _held(self) -> int:
        if self._descriptor is None:
            raise WatchdogError(f"watchdog {self.path}: not open")
        return self._descriptor

    def _here(self) -> _Seen:
        if self._opened is None:
            raise WatchdogError(f"watchdog {self.path}: not open")
        return self._opened

    # -- the end ----------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """At once, by the kernel. Where that fails the device's time is cut short, once, and never petted again."""
        tried = resetting.reset(self.machine.root / "proc", shared_kernel=self.shared_kernel)
        if not self._starved:
            self._starved = True
            tried.append(self._starve())
        raise WatchdogError(f"this node was not reset: {'; '.join(tried)}")

    def _starve(self) -> str:
        """Setting a time-out is a pet: it is done only where less is left after it than before."""
        try:
            if self._opened is None:
                return f"its watchdog was armed for that, and fires in {self.open(1):g}s"
            opened, descriptor = self._here(), self._held()
            shortest = max(1, opened.facts.shortest_s)
            (left,) = _INT.unpack(self.ioctl(descriptor, GET_TIME_LEFT, bytes(_INT.size)))
            if left <= shortest + 1:
                return f"its watchdog fires in {left}s"
            self.ioctl(descriptor, SET_TIMEOUT, _INT.pack(shortest))
        except (OSError, WatchdogError) as error:
            return f"its watchdog is petted no more, and its time cannot be cut short ({error})"
        return f"its watchdog fires in {shortest}s"


_NO_WAY_OUT: Final = (
    "nowayout is set, so it cannot be disarmed once it was armed: its agent goes on petting it, and the node resets itself "
    "soon after that agent has ended, as at an uninstall. To have it otherwise load its module with nowayout=0, or, where "
    "the kernel was built with WATCHDOG_NOWAYOUT, give --watchdog another device; it takes a reboot"
)


def _unfit(facts: Facts) -> str:
    """What the device cannot do that it must."""
    if facts.options is None:
        return ""
    if facts.options & ALARM_ONLY:
        return f"{facts.identity} only raises an alarm when its time is over, and resets nothing: use another device"
    if not facts.options & MAGIC_CLOSE and not facts.nowayout:
        return (
            f"{facts.identity} has no magic close, so it stops counting when the agent dies: load its module with "
            "nowayout=1, or use another device, such as softdog"
        )
    return ""


def _name_of(path: Path) -> str:
    """The kernel's name of a device that may be called by another."""
    try:
        return path.readlink().name
    except OSError:
        return path.name


def _absent(path: Path) -> str:
    return (
        f"watchdog {path}: there is none: load the module of this machine's hardware (iTCO_wdt, sp5100_tco, ipmi_watchdog, "
        "i6300esb, ...) or softdog, with modprobe and in /etc/modules-load.d"
    )


def _failed(path: Path, error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"watchdog {path}: {_name(error)}: the agent must run as root in a privileged container to open it"
    return f"watchdog {path}: {_name(error)}"


def _name(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, '?')}, {error.strerror}"

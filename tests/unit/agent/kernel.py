"""A machine's files, and a kernel behind its watchdog device that answers ioctls: all below a directory of the test's.

The device is a FIFO, so that what is written to it can be read.
"""

import errno
import os
import struct
from pathlib import Path

from quorate.agent import linux_watchdog as driver
from quorate.agent.watchdog_facts import KEEPALIVE, MAGIC_CLOSE, SET_TIMEOUT, SOFTDOG

ALL = SET_TIMEOUT | MAGIC_CLOSE | KEEPALIVE
INT = struct.Struct("=i")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Kernel:
    """One device. `fails`: errno by request; `grain`: it rounds up to a multiple of that."""

    def __init__(self, root: Path, name: str = "watchdog0", identity: str = SOFTDOG, options: int = ALL) -> None:
        self.root, self.name, self.identity, self.options = root, name, identity, options
        self.clock = Clock()
        self.timeout = 60
        self.grain, self.status, self.left = 1, 0, 30
        self.fails: dict[int, int] = {}
        self.asked: list[str] = []
        self.path = root / "dev" / name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            os.mkfifo(self.path)
        self._reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.write("proc/sysrq-trigger", "")
        self.entry(identity=identity, state="inactive", nowayout="0", options=hex(options))

    def entry(self, **values: str) -> None:
        """What sysfs says of the device; an empty value takes it away."""
        for key, value in values.items():
            path = f"sys/class/watchdog/{self.name}/{key}"
            if value:
                self.write(path, value + "\n")
            else:
                (self.root / path).unlink(missing_ok=True)

    def no_entry(self) -> None:
        """A kernel without WATCHDOG_SYSFS."""
        for path in (self.root / "sys/class/watchdog" / self.name).iterdir():
            path.unlink()
        (self.root / "sys/class/watchdog" / self.name).rmdir()

    def write(self, path: str, text: str) -> None:
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(text)

    def ioctl(self, descriptor: int, request: int, argument: bytes, /) -> bytes:
        os.fstat(descriptor)  # it must be open
        if request in self.fails:
            number = self.fails[request]
            raise OSError(number, os.strerror(number))
        match request:
            case driver.GET_SUPPORT:
                return struct.pack("=II32s", self.options, 1, self.identity.encode())
            case driver.SET_TIMEOUT:
                asked = INT.unpack(argument)[0]
                self.timeout = -(-asked // self.grain) * self.grain
                self.asked.append(f"set {asked}")
                return INT.pack(self.timeout)
            case driver.GET_TIMEOUT:
                return INT.pack(self.timeout)
            case driver.KEEP_ALIVE:
                self.asked.append("pet")
                return argument
            case driver.GET_BOOT_STATUS:
                return INT.pack(self.status)
            case driver.GET_TIME_LEFT:
                return INT.pack(self.left)
        raise OSError(errno.ENOTTY, "what is that")

    def written(self) -> bytes:
        """What was written to the device since it was asked last."""
        try:
            return os.read(self._reading, 4096)
        except BlockingIOError:
            return b""

    def device(self, path: str = "", **more: object) -> driver.LinuxWatchdog:
        """The driver of it."""
        found = self.root / path if path else self.path
        return driver.LinuxWatchdog(found, ioctl=self.ioctl, clock=self.clock, pause=self.clock.sleep, **more)

    def end(self) -> None:
        os.close(self._reading)

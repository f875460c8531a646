"""The watchdog behind one small interface. `External` is the stand-in outside the node that lab and kind use;
`linux_watchdog.py` drives the kernel's devices, and `drivers.py` chooses.

The device stays open when a process that holds it dies, as long as another one (the keeper) holds it too: an open device
is one file descriptor that can be handed over.
"""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from quorate.core.types import WatchdogKind

ANSWER_S: Final = 0.5
"""A stand-in that does not answer a pet within this time is a device that failed."""


class WatchdogError(Exception):
    """The device is busy, absent, or did not do what was asked; the message says which and what to look at."""


class SilentWatchdogError(WatchdogError):
    """No answer came: it may have done what was asked."""


class UnusableWatchdogError(WatchdogError):
    """It cannot be armed as it is. The device says so by itself as long as that lasts (`Watchdog.trouble`)."""


class ClosedWatchdogError(WatchdogError):
    """It was opened, could not be used, and was disarmed again: it counts no more."""


class UnchangedWatchdogError(WatchdogError):
    """It did not take a time-out, and counts on as before."""


class StuckWatchdogError(WatchdogError):
    """It is open, counts, and cannot be let go. `timeout_s` as read back."""

    def __init__(self, text: str, timeout_s: float) -> None:
        super().__init__(text)
        self.timeout_s = timeout_s


class Watchdog(Protocol):
    """A device that resets the node unless it is petted. Opening and setting count as pets."""

    @property
    def kind(self) -> WatchdogKind | None:
        """What it is; None while there is none that could be armed."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with it as it is now, and what to do; "" when nothing is known of."""
        ...

    def open(self, timeout_s: float) -> float:
        """Arm it; the time-out as read back, in seconds. Raises WatchdogError, StuckWatchdogError."""
        ...

    def set_timeout(self, timeout_s: float) -> float:
        """Change the time-out of an open device; as read back. Raises WatchdogError, UnchangedWatchdogError."""
        ...

    def pet(self) -> None: ...

    def close(self) -> None:
        """Disarm (magic close). Raises WatchdogError, StuckWatchdogError."""
        ...

    def let_go(self) -> None:
        """Another process goes on with it: close our end, and disarm nothing."""
        ...

    def reset(self) -> None:
        """Reset the node now. Returns only if that failed."""
        ...

    def descriptor(self) -> int | None:
        """The open device, to be held by the keeper as well."""
        ...


@dataclass(slots=True)
class External:
    """A watchdog outside the node, petted through a Unix socket, one JSON object a line. It kills the node."""

    path: Path
    node: str
    kind: WatchdogKind = WatchdogKind.EXTERNAL
    trouble: str = ""
    _socket: socket.socket | None = None
    _buffer: bytes = b""

    @classmethod
    def inherited(cls, path: Path, node: str, descriptor: int) -> "External":
        """One that an earlier loop opened and the keeper held."""
        made = cls(path, node)
        made._socket = socket.socket(fileno=descriptor)
        made._socket.settimeout(ANSWER_S)
        return made

    def open(self, timeout_s: float) -> float:
        if self._socket is None:
            self._connect()
        return float(self._ask({"op": "open", "node": self.node, "timeout_s": timeout_s})["timeout_s"])

    def set_timeout(self, timeout_s: float) -> float:
        return float(self._ask({"op": "set", "timeout_s": timeout_s})["timeout_s"])

    def pet(self) -> None:
        self._ask({"op": "pet"})

    def close(self) -> None:
        self._ask({"op": "close"})
        self._drop()

    def let_go(self) -> None:
        self._drop()

    def reset(self) -> None:
        if self._socket is None:
            self._connect()
        self._ask({"op": "reset", "node": self.node})

    def descriptor(self) -> int | None:
        return self._socket.fileno() if self._socket is not None else None

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(self.path))
        except OSError as error:
            connection.close()
            raise WatchdogError(f"watchdog {self.path}: {error}: is the stand-in running?") from error
        self._socket, self._buffer = connection, b""

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One question and its answer. A device that fails is dropped: it is not open any more as far as we know.

        The stand-in echoes the number of a question: an inherited connection may still hold an answer to the loop that
        died, and that must not pass for ours.
        """
        if self._socket is None:
            raise WatchdogError(f"watchdog {self.path}: not open")
        number = time.monotonic_ns()
        try:
            self._socket.sendall(json.dumps({**request, "n": number}).encode() + b"\n")
            answer = _answer_to(number, self._line())
            while answer is None:
                answer = _answer_to(number, self._line())
        except OSError as error:
            self._drop()
            raise SilentWatchdogError(f"watchdog {self.path}: {request['op']}: {error}") from error
        if not answer.get("ok"):
            raise WatchdogError(f"watchdog {self.path}: {request['op']}: {answer.get('error', 'refused')}")
        return answer

    def _line(self) -> bytes:
        """The next line from the stand-in. Raises OSError, also when it has closed the connection."""
        while b"\n" not in self._buffer:
            received = self._socket.recv(4096) if self._socket is not None else b""
            if not received:
                raise ConnectionResetError("the stand-in closed the connection")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _answer_to(number: int, line: bytes) -> dict[str, Any] | None:
    """The answer, if this line is the one to that question: the rest of a line that a dead loop half read is none."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and answer.get("n") == number else None

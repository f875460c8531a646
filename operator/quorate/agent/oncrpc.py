"""ONC RPC over TCP (RFC 5531, 4506): as much of a client as it takes to ask a server whether it is there.

Whatever a server answers costs no more than so many bytes and so many seconds, and ends in RpcError if it makes no sense.
"""

import os
import random
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Final

MOST_BYTES: Final = 262_144
"""Of one answer: the export list of a large filer. More is not read."""
MOST_FRAGMENTS: Final = 256
LAST: Final = 0x80000000
RESERVED: Final = range(665, 1024)
"""Ports that only root has: exports are given to these alone unless they say insecure."""
_TRIES: Final = 4
_CALL, _REPLY, _VERSION = 0, 1, 2
_NOBODY, _SYS = 0, 1


class RpcError(Exception):
    """The server was not reached, or what it said is no answer; the message says which."""


class VersionError(RpcError):
    """The server has the program, and not this version of it. `low`, `high`: what it has; 0: it does not say."""

    def __init__(self, words: str, low: int = 0, high: int = 0) -> None:
        super().__init__(words)
        self.low, self.high = low, high


class Reader:
    """XDR, read from a text that anybody may have written. Every method raises RpcError when it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        if len(found) < length:
            raise RpcError("its answer ends too soon")
        self._at += length
        return found

    def number(self) -> int:
        found: int = struct.unpack(">I", self._take(4))[0]
        return found

    def large(self) -> int:
        found: int = struct.unpack(">Q", self._take(8))[0]
        return found

    def opaque(self, most: int) -> bytes:
        length = self.number()
        if length > most:
            raise RpcError(f"its answer has {length} bytes where {most} may be")
        found = self._take(length)
        self._take(-length % 4)
        return found


def opaque(data: bytes) -> bytes:
    """A text of variable length, as it goes over the wire."""
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


@dataclass(slots=True)
class Connection:
    """To one port of a server. All of it together ends at `until_s` (time.monotonic)."""

    server: str
    port: int
    until_s: float
    reserved: bool = False
    """Try to call from a port that only root has."""
    _socket: socket.socket | None = None
    _xid: int = field(default_factory=lambda: random.getrandbits(32))

    def __enter__(self) -> "Connection":
        try:
            self._socket = self._connect()
        except TimeoutError as error:
            raise RpcError(f"no connection to port {self.port} in time") from error
        except (OSError, UnicodeError) as error:
            raise RpcError(f"port {self.port}: {_words(error)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def _connect(self) -> socket.socket:
        """Every address in turn. Raises OSError."""
        last: OSError = OSError("no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.server, self.port, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            try:
                if self.reserved:
                    _bind_reserved(made)
                made.settimeout(self._left())
                made.connect(address)
            except OSError as error:
                made.close()
                last = error
            else:
                return made
        raise last

    def _left(self) -> float:
        """Raises TimeoutError when the time is over."""
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time is left")
        return left_s

    def call(
        self, program: int, version: int, procedure: int, arguments: bytes = b"", *, as_root: bool = False
    ) -> Reader:
        """One call; what follows the header of its answer. Raises RpcError, VersionError."""
        self._xid = (self._xid + 1) & 0xFFFFFFFF
        credential = _root() if as_root else numbers(_NOBODY, 0)
        head = numbers(self._xid, _CALL, _VERSION, program, version, procedure) + credential + numbers(_NOBODY, 0)
        record = head + arguments
        try:
            self._send(numbers(LAST | len(record)) + record)
            answer = Reader(self._receive())
        except TimeoutError as error:
            raise RpcError("it accepts a connection and does not answer in time") from error
        except OSError as error:
            raise RpcError(f"port {self.port}: {_words(error)}") from error
        return self._accepted(answer)

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            raise RpcError("not connected")
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def _receive(self) -> bytes:
        """One record: fragments, the last one marked. Raises RpcError, OSError."""
        record = b""
        for _ in range(MOST_FRAGMENTS):
            mark: int = struct.unpack(">I", self._exactly(4))[0]
            length = mark & ~LAST
            if len(record) + length > MOST_BYTES:
                raise RpcError(f"its answer is larger than {MOST_BYTES} bytes, or none of RPC")
            record += self._exactly(length)
            if mark & LAST:
                return record
        raise RpcError("its answer has no end")

    def _exactly(self, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            if self._socket is None:
                raise RpcError("not connected")
            self._socket.settimeout(self._left())
            more = self._socket.recv(min(65_536, length - len(found)))
            if not more:
                raise RpcError("it closes the connection without an answer")
            found += more
        return bytes(found)

    def _accepted(self, answer: Reader) -> Reader:
        if (answer.number(), answer.number()) != (self._xid, _REPLY):
            raise RpcError("its answer is none to what was asked")
        if answer.number() != 0:
            raise RpcError("it denies the call")
        answer.number()
        answer.opaque(400)
        status = answer.number()
        if status == 0:
            return answer
        if status == 2:
            low, high = answer.number(), answer.number()
            raise VersionError(f"it has versions {low} to {high}", low, high)
        words = {1: "it does not have this program", 3: "it does not have this procedure", 4: "it cannot read the call"}
        error = VersionError if status == 1 else RpcError
        raise error(words.get(status, f"it fails with status {status}"))


def _root() -> bytes:
    """AUTH_SYS of root on this machine."""
    body = numbers(0) + opaque(os.uname().nodename.encode()[:255]) + numbers(0, 0, 0)
    return numbers(_SYS, len(body)) + body


def _bind_reserved(made: socket.socket) -> None:
    """Where it may not, an ordinary port will do: it is the server that may mind."""
    for port in random.sample(RESERVED, _TRIES):
        try:
            made.bind(("", port))
        except PermissionError:
            return
        except OSError:
            continue
        return


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

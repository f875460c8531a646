"""An upgrade of the agent while the node is armed: the new one takes over between two pets, and no renewal is missed.

    new                                   old
    the lock is taken: connect  ------->  after its next renewal
                                <-------  estate: Lease, sequence, times, and the open watchdog
    the keeper holds the device
    "taken"                     ------->  within r, or it goes on as if nobody had asked
                                          the lock is unlocked
                                <-------  "yours": from here on it writes nothing and pets nothing
    the lock is taken, renews             waits: to be told to go, or for the lock to be free again

Who owns the node is a lock on a file under /run, and nothing else: loop and keeper hold the same one, so that it outlives
the death of either, and a loop that was started again asks it whether it is still the owner. An end of the connection
before "yours" means: not yours. Both wait without a time-out for the other's death, because the kernel tells them of it;
an old agent that hangs pets nothing either, and then the node is reset.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from quorate.core.selffence import Device, Guard
from quorate.core.timing import Timing
from quorate.core.types import Nonce, Uid

log = logging.getLogger(__name__)
SOCKET: Final = "handover.sock"
LOCK: Final = "owner.lock"
_MESSAGE_BYTES: Final = 1 << 17
AGAIN_S: Final = 0.2
_UNFIT_AGAIN_S: Final = 5.0
"""What keeps two agents from following each other is mended by a person."""
_TAKEN: Final = b"taken"
_YOURS: Final = b"yours"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estate:
    """What an agent must know to go on where another one stopped: the Lease as it was confirmed last, and the device."""

    lease: Json | None
    guard: Guard
    timing: Timing
    device: Device
    watchdog: str = ""
    """The kind of the device."""

    def encode(self) -> bytes:
        """Of the device what every version knows; the rest is learned from the device when its time-out is set next."""
        found = asdict(self)
        found["device"] = {name: found["device"][name] for name in ("open", "timeout_s", "attested_disarmed", "adrift")}
        found["stuck"] = self.device.stuck
        return json.dumps(found).encode()


def decode(message: bytes) -> Estate:
    """Raises ValueError, KeyError or TypeError for what is no estate."""
    found = json.loads(message)
    guard = found["guard"]
    lease_uid = Uid(guard["lease_uid"]) if guard["lease_uid"] is not None else None
    return Estate(
        lease=found["lease"],
        guard=Guard(**{**guard, "nonce": Nonce(guard["nonce"]), "lease_uid": lease_uid}),
        timing=Timing(**found["timing"]),
        device=Device(**found["device"], stuck=bool(found.get("stuck"))),
        watchdog=str(found["watchdog"]),
    )


class UnfitError(Exception):
    """What the other agent hands over is nothing that this one can go on with."""


class Lock:
    """The lock of the node's one agent: of the open file, so that all who hold `descriptor` hold it together."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def at(cls, path: Path) -> "Lock":
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def take(self) -> bool:
        """Have it, or go on having it. False: another agent has it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """For all who held it with us."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


class Offer:
    """The old one's side: whoever asks waits here until the loop is between two pets."""

    def __init__(self, path: Path, lock: Lock, wake: Callable[[], None]) -> None:
        self._lock = lock
        self._wake = wake
        self._closed = False
        self._asking: socket.socket | None = None
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(path))
        path.chmod(0o600)
        self._listening.listen(1)
        threading.Thread(target=self._accept, name="handover", daemon=True).start()

    @property
    def wanted(self) -> bool:
        return self._asking is not None

    def give(self, estate: Estate, descriptor: int | None, within_s: float) -> bool:
        """Hand everything over. True: it is the other's now. False: nothing has changed, whatever the other may think."""
        asking, self._asking = self._asking, None
        if asking is None:
            return False
        with asking:
            try:
                asking.settimeout(within_s)
                descriptors = [descriptor] if descriptor is not None else []
                socket.send_fds(asking, [estate.encode()], descriptors)
                if asking.recv(_MESSAGE_BYTES) != _TAKEN:
                    return False
            except OSError as error:
                log.warning("another agent asked to take over and did not: %r", error)
                return False
            # First: a loop that dies between the two must not be started again as the owner beside the other one.
            self._lock.release()
            try:
                asking.send(_YOURS)
            except OSError as error:
                log.warning("another agent asked to take over and has gone: %r", error)
                return not self._lock.take()
        return True

    def close(self) -> None:
        """Its path may be the successor's by now: that stays. Who asks here in spite of that is sent away."""
        self._closed = True
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # a close alone does not wake who waits in accept
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # closed
            if self._closed or self._asking is not None:
                connection.close()
                continue
            self._asking = connection
            self._wake()


class Holder(Protocol):
    """The keeper: it holds the device before the other one lets go, so that it stays open whatever happens here."""

    def hold(self, descriptor: int, timeout_s: float, *, stuck: bool = False) -> None: ...

    def drop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who wants to take over: its boot, the kinds of device that it could go on with, its lock and its keeper."""

    nonce: Nonce
    watchdogs: frozenset[str]
    lock: Lock
    holder: Holder

    def check(self, estate: Estate, descriptor: int | None) -> None:
        """Raises UnfitError."""
        if estate.guard.nonce != self.nonce:
            raise UnfitError(f"it calls this boot {estate.guard.nonce}, and this one {self.nonce}")
        if descriptor is not None and estate.watchdog not in self.watchdogs:
            raise UnfitError(
                f"it has armed a watchdog of kind {estate.watchdog or 'none'}, and this one has "
                f"{' or '.join(sorted(self.watchdogs)) or 'none'}: nobody would pet it. Take the guests off this node "
                "first, or delete the Pod of the other agent"
            )


def claim(
    directory: Path, claimant: Claimant, patience: Callable[[float], None] = time.sleep
) -> tuple[Estate, int | None] | None:
    """Become the node's agent: None when there was none, else what the one before handed over, with its open device."""
    said = ""
    while not claimant.lock.take():
        if not said:
            said = "another agent runs on this node: asking it to hand over"
            log.info("%s", said)
        pause_s = AGAIN_S
        try:
            found = _ask(directory / SOCKET, claimant)
            if found is not None:
                return found
        except UnfitError as error:
            text, pause_s = f"the other agent cannot be followed: {error}", _UNFIT_AGAIN_S
            if text != said:
                said = text
                log.error("%s", said)
        patience(pause_s)
    return None


def _ask(path: Path, claimant: Claimant) -> tuple[Estate, int | None] | None:
    """What was handed over, with the lock. Raises UnfitError."""
    descriptor, held = None, False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        try:
            asking.connect(str(path))
            message, descriptors, _, _ = socket.recv_fds(asking, _MESSAGE_BYTES, 1)
            if not message:
                return None
            descriptor = descriptors[0] if descriptors else None
            estate = decode(message)
            claimant.check(estate, descriptor)
            if descriptor is not None:
                held = True
                claimant.holder.hold(descriptor, estate.device.timeout_s, stuck=estate.device.stuck)
            asking.send(_TAKEN)
            if asking.recv(_MESSAGE_BYTES) == _YOURS and claimant.lock.take():
                given, descriptor = descriptor, None
                return estate, given
        except OSError as error:
            log.info("the other agent does not hand over: %s", error)
        except (ValueError, KeyError, TypeError) as error:
            raise UnfitError(f"its words cannot be understood: {error!r}") from error
        finally:
            if descriptor is not None:
                if held:
                    claimant.holder.drop()
                os.close(descriptor)
    return None

"""An upgrade of the agent while the node is armed: the new one takes over between two pets, and no renewal is missed.

    new                                   old
    the lock is taken: connect  ------->  after its next renewal
                                <-------  estate: Lease, sequence, times, and the open watchdog
    the keeper holds the device
    "taken"                     ------->  within r, or it goes on as if nobody had asked
                                <-------  "yours": from here on it writes nothing and pets nothing
    renews

Who owns the node is a lock on a file under /run, held by the keeper, so that it outlives a loop that crashes and ends with
the keeper. An end of the connection before "yours" means: not yours. Both wait without a time-out for the other's death,
because the kernel tells them of it; an old agent that hangs pets nothing either, and then the node is reset.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
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
_AGAIN_S: Final = 0.2
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

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def decode(message: bytes) -> Estate:
    """Raises ValueError, KeyError or TypeError for what is no estate."""
    found = json.loads(message)
    guard = found["guard"]
    lease_uid = Uid(guard["lease_uid"]) if guard["lease_uid"] is not None else None
    return Estate(
        lease=found["lease"],
        guard=Guard(**{**guard, "nonce": Nonce(guard["nonce"]), "lease_uid": lease_uid}),
        timing=Timing(**found["timing"]),
        device=Device(**found["device"]),
    )


class Offer:
    """The old one's side: whoever asks waits here until the loop is between two pets."""

    def __init__(self, path: Path, wake: Callable[[], None]) -> None:
        self._wake = wake
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
                asking.send(_YOURS)
            except OSError as error:
                log.warning("another agent asked to take over and did not: %r", error)
                return False
        return True

    def close(self) -> None:
        """Its path may be the successor's by now: that stays."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # closed
            if self._asking is not None:
                connection.close()
                continue
            self._asking = connection
            self._wake()


class Lock:
    """The lock of the node's one agent. `descriptor` is for the keeper, which holds on to it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """False: another agent has it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Holder(Protocol):
    """The keeper: it holds the device before the other one lets go, so that it stays open whatever happens here."""

    def hold(self, descriptor: int, timeout_s: float) -> None: ...

    def drop(self) -> None: ...


def claim(
    directory: Path, lock: Lock, holder: Holder, patience: Callable[[float], None] = time.sleep
) -> tuple[Estate, int | None] | None:
    """Become the node's agent: None when there was none, else what the one before handed over, with its open device."""
    said = False
    while not lock.take():
        if not said:
            log.info("another agent runs on this node: asking it to hand over")
            said = True
        found = _ask(directory / SOCKET, holder)
        if found is not None:
            for _ in range(10):  # its keeper lets the lock go in a moment; who owns the node is settled already
                if lock.take():
                    break
                patience(_AGAIN_S)
            return found
        patience(_AGAIN_S)
    return None


def _ask(path: Path, holder: Holder) -> tuple[Estate, int | None] | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        descriptor = None
        try:
            asking.connect(str(path))
            message, descriptors, _, _ = socket.recv_fds(asking, _MESSAGE_BYTES, 1)
            if not message:
                return None
            descriptor = descriptors[0] if descriptors else None
            estate = decode(message)
            if descriptor is not None:
                holder.hold(descriptor, estate.device.timeout_s)
            asking.send(_TAKEN)
            if asking.recv(_MESSAGE_BYTES) == _YOURS:
                return estate, descriptor
        except OSError as error:
            log.info("the other agent does not hand over: %s", error)
        except (ValueError, KeyError, TypeError) as error:
            log.error("the other agent's words cannot be understood: %r", error)
    if descriptor is not None:
        holder.drop()
        os.close(descriptor)
    return None

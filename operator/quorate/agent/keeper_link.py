"""The loop's end of the wire to its keeper, and what it inherits from it."""

import array
import json
import os
import socket

from quorate.agent.keeper import ADRIFT_VARIABLE, DEVICE_VARIABLE, KEEPER_VARIABLE, OWNER_VARIABLE, TOLD_VARIABLE
from quorate.core.selffence import Device


class KeeperLink:
    """The loop's end of the wire to its keeper."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = socket.socket(fileno=descriptor) if descriptor is not None else None

    def hold(self, descriptor: int, timeout_s: float, *, stuck: bool = False) -> None:
        """Hold this open device, too. `stuck`: it guards nobody, and a next loop must go on petting it."""
        if self._socket is not None:
            said = json.dumps({"timeout_s": timeout_s, "stuck": stuck}).encode()
            self._socket.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])

    def drop(self) -> None:
        """It was closed: let go of it."""
        if self._socket is not None:
            self._socket.send(b"{}")

    def lose(self) -> None:
        """It failed and may count on: let go of it, and tell the next loop."""
        if self._socket is not None:
            self._socket.send(b'{"adrift": true}')

    def own(self, descriptor: int) -> None:
        """Hold the lock of the node's one agent, too: this is the one, also if it was retired before."""
        if self._socket is not None:
            lock = array.array("i", [descriptor])
            self._socket.sendmsg([b'{"lock": true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, lock)])

    def retire(self) -> None:
        """Another agent has taken over: let go of everything, and start no other loop."""
        if self._socket is not None:
            self._socket.send(b'{"retired": true}')


def link() -> KeeperLink:
    """The wire that this process inherited; without a keeper, nowhere."""
    number = os.environ.get(KEEPER_VARIABLE)
    return KeeperLink(int(number) if number else None)


def owned() -> int | None:
    """Of a loop that was started again: the node's lock, if its keeper held it when it did so."""
    number = os.environ.get(OWNER_VARIABLE)
    return int(number) if number else None


def told_s() -> float | None:
    """Of a loop that was started again: when its keeper was told to go (`boot.now_s`), if it was."""
    moment = os.environ.get(TOLD_VARIABLE)
    return float(moment) if moment else None


def inherited() -> tuple[Device, int | None]:
    """The open device that the keeper held for us, and its descriptor; or that one is adrift."""
    text = os.environ.get(DEVICE_VARIABLE)
    if not text:
        return Device(adrift=bool(os.environ.get(ADRIFT_VARIABLE))), None
    said = json.loads(text)
    stuck = bool(said.get("stuck"))
    device = Device(open=True, timeout_s=float(said["timeout_s"]), attested_disarmed=stuck, stuck=stuck)
    return device, int(said["descriptor"])

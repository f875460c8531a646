"""The way to the node's container runtime: the socket that the machine's init gave to this kubelet.

Orders and signals go out; what became of them is read from the records. A change is only a hint to look at them again.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from quorate.lab import records
from quorate.lab.errors import LabError
from quorate.lab.kubelet.decide import Json
from quorate.lab.machine import MESSAGE_BYTES
from quorate.lab.records import Record

_LOOK_AGAIN_S: Final = 1.0
"""A hint may be lost while this kubelet is busy: the records are looked at again after this time."""


class RuntimeLink:
    """`changed` is called with the pod's uid, `shutdown` when the machine is about to go down cleanly."""

    def __init__(self, descriptor: int, run: Path, disk: Path, boot: int) -> None:
        self.boot = boot
        self._run = run
        self._disk = disk
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._told = asyncio.Event()
        self.changed: Callable[[str], None] = lambda _pod: None
        self.shutdown: Callable[[], None] = lambda: None

    def records(self, pod: str) -> dict[str, Record]:
        """The pod's containers, also those of earlier boots."""
        return records.load(self._run, self._disk, pod)

    def take_on(self, pod: str) -> None:
        """From now on this pod is known here: before anything of it starts."""
        (self._run / "pods" / pod).mkdir(parents=True, exist_ok=True)

    def known(self) -> list[str]:
        """Pods that an earlier kubelet of this boot has taken on."""
        return records.known_pods(self._run)

    def remembered(self) -> list[str]:
        """Pods of which container records are on the disk."""
        return [path.name for path in (self._disk / "containers").glob("*")]

    def forget(self, pod: str) -> None:
        """Nothing of this pod runs and nothing will."""
        directory = self._run / "pods" / pod
        for path in directory.glob("*"):
            path.unlink()
        if directory.is_dir():
            directory.rmdir()

    async def start(self, order: Json) -> Record:
        """Have a container started; returns its record once that says more than `starting`."""
        await self._send(order)
        while True:
            found = self.records(order["pod"]).get(order["container"])
            # Another one that runs already: the runtime has not started this one beside it.
            ours = found is not None and (found.id == order["id"] or found.live(self.boot))
            if found is not None and ours and found.state != records.STARTING:
                return found
            self._told.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._told.wait()

    async def signal(self, record: Record, number: signal.Signals) -> None:
        """Signal every process of a container."""
        await self._send({"op": "signal", "pod": record.pod, "container": record.container, "number": int(number)})

    async def drained(self) -> None:
        """Say that no container runs any more."""
        await self._send({"op": "drained"})

    async def listen(self) -> None:
        """Pass on what the runtime says, until the machine ends."""
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._socket, MESSAGE_BYTES):
            event = json.loads(message)
            self._told.set()
            if event["event"] == "changed":
                self.changed(event["pod"])
            elif event["event"] == "shutdown":
                self.shutdown()

    async def _send(self, message: Mapping[str, object]) -> None:
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_BYTES:
            raise LabError(
                f"an order of {len(data)} bytes is too long for the runtime ({MESSAGE_BYTES}): use a smaller env"
            )
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

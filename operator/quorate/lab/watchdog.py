"""The watchdog stand-in (kind `External`): one device a node, outside of the node, that kills it when nobody pets.

A process of its own, so that its clock depends on nothing that is busy:

    python -m quorate.lab.watchdog --socket PATH --lab ID

Unix stream socket, one JSON object a line, answered in order:

    {"op": "open", "node": "node1", "timeout_s": 5}   {"ok": true, "timeout_s": 5.0, "identity": "..."}
    {"op": "pet"}                                     {"ok": true}
    {"op": "set", "timeout_s": 8}                     {"ok": true, "timeout_s": 8.0}   counts as a pet
    {"op": "close"}                                   {"ok": true}   disarmed, as by the magic character
    {"op": "reset"}                                   {"ok": true}   the node is killed at once
    {"op": "unplug", "node": "node1"}                 {"ok": true}   the machine lost power, its device with it
    {"op": "stats", "node": "node1"}                  {"ok": true, "pets": 9, "longest_gap_s": 1.2, "kills": 0}
    anything else                                     {"ok": false, "error": "..."}

A number `n` in a request is echoed in its answer: whoever inherits a connection can tell old answers from its own.
The countdown starts with `open`. A connection that ends without `close` leaves it running, and the next one that opens
the node's device takes it over. After a kill the device is disarmed: a machine that resets loses its watchdog.
`reset` with a `node` works without an open device, as sysrq does. `unplug` is the machine's word, not the agent's. `stats`
is for onlookers: what this process saw of the node since it began, the longest time between two pets of one countdown.
"""

import argparse
import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from quorate.lab import processes

Kill = Callable[[str], Awaitable[None]]
"""Kills a node from outside and returns when nothing of it can run again."""

LONGEST_S: Final = 3600.0
_LINE_BYTES: Final = 4096
_RETRY_S: Final = 0.2
_log = logging.getLogger("quorate.lab.watchdog")


class RefusedError(Exception):
    """A request that cannot be granted, in words for the one who asked."""


@dataclass(slots=True)
class Stats:
    """What was seen of a node, over all its boots."""

    pets: int = 0
    longest_gap_s: float = 0.0
    kills: int = 0


class Device:
    """The watchdog of one node. `holder`: the connection that has it open."""

    def __init__(self, node: str, expired: Callable[[str], None], stats: Stats) -> None:
        self.node = node
        self.stats = stats
        self.holder: object | None = None
        self.timeout_s = 0.0
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._petted_s = 0.0

    @property
    def armed(self) -> bool:
        return self._timer is not None

    def pet(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self.armed:
            self.stats.longest_gap_s = max(self.stats.longest_gap_s, now_s - self._petted_s)
        self.stats.pets += 1
        self._petted_s = now_s
        self.disarm()
        self._timer = loop.call_later(self.timeout_s, self._expire)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        _log.warning("%s: not petted for %gs", self.node, self.timeout_s)
        self._expired(self.node)


class Watchdog:
    """The devices of all nodes, behind one socket. `kill` is called once for each expiry and reset, until it succeeds."""

    def __init__(self, kill: Kill, identity: str = "Quorate stand-in outside the node") -> None:
        self.identity = identity
        self._kill = kill
        self._devices: dict[str, Device] = {}
        self._stats: dict[str, Stats] = {}
        self._kills: dict[str, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def start(self, path: Path) -> None:
        """Listen. A socket left by an earlier one is replaced."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), str(path))

    async def stop(self) -> None:
        """Stop listening and disarm everything."""
        if self._server is not None:
            self._server.close()
        for device in self._devices.values():
            device.disarm()
        for task in list(self._kills.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def armed(self, node: str) -> bool:
        """Is that node's countdown running?"""
        device = self._devices.get(node)
        return device is not None and device.armed

    def open(self, holder: object, node: str, timeout_s: float) -> Device:
        """Start the node's countdown for this connection. Raises RefusedError while another one has the device."""
        device = self._devices.setdefault(node, Device(node, self.reset, self.stats(node)))
        if device.holder is not None:
            raise RefusedError(f"busy: the watchdog of {node} is open already")
        device.holder, device.timeout_s = holder, timeout_s
        device.pet()
        return device

    def reset(self, node: str) -> None:
        """Kill the node now; its device is disarmed."""
        self.unplug(node)
        if node not in self._kills:
            self.stats(node).kills += 1
            task = asyncio.get_running_loop().create_task(self._kill_for_certain(node))
            self._kills[node] = task
            task.add_done_callback(lambda _: self._kills.pop(node, None))

    def stats(self, node: str) -> Stats:
        """What was seen of that node so far."""
        return self._stats.setdefault(node, Stats())

    def unplug(self, node: str) -> None:
        """The machine lost power: disarm, and whoever had the device open has it no more."""
        device = self._devices.pop(node, None)
        if device is not None:
            device.disarm()
            device.holder = None

    async def _kill_for_certain(self, node: str) -> None:
        while True:
            try:
                await self._kill(node)
            except Exception:  # noqa: BLE001 whatever went wrong, a watchdog that gives up is none
                _log.exception("%s: could not be killed, trying again", node)
                await asyncio.sleep(_RETRY_S)
            else:
                _log.warning("%s: killed", node)
                return


class _Connection(asyncio.Protocol):
    """One client. Pets are taken in the callback that receives them: none that has arrived is passed by a timer."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._device: Device | None = None
        self._pending = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 its name is asyncio's
        device = self._open_device()
        if device is not None:
            device.holder = None  # without the magic close the countdown goes on

    def data_received(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._answer(line)
        if len(self._pending) > _LINE_BYTES and self._transport is not None:
            self._transport.close()

    def _answer(self, line: bytes) -> None:
        request: dict[str, Any] = {}
        try:
            request = _parse(line)
            answer = {"ok": True, **self._serve(request)}
        except RefusedError as refusal:
            answer = {"ok": False, "error": str(refusal)}
        if "n" in request:
            answer["n"] = request["n"]
        if self._transport is not None:
            self._transport.write(json.dumps(answer).encode() + b"\n")

    def _serve(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["op"]:
            case "open":
                return self._open(_node(request), _timeout(request))
            case "pet":
                self._held().pet()
            case "set":
                device = self._held()
                device.timeout_s = _timeout(request)
                device.pet()
                return {"timeout_s": device.timeout_s}
            case "close":
                device = self._held()
                device.disarm()
                device.holder, self._device = None, None
            case "reset":
                self._watchdog.reset(_node(request) if "node" in request else self._held().node)
            case "unplug":
                self._watchdog.unplug(_node(request))
            case "stats":
                return asdict(self._watchdog.stats(_node(request)))
            case op:
                raise RefusedError(f"op {op!r} is unknown: use open, pet, set, close, reset, unplug or stats")
        return {}

    def _open(self, node: str, timeout_s: float) -> dict[str, Any]:
        held = self._open_device()
        if held is not None:
            raise RefusedError(f"this connection has the watchdog of {held.node} open: close it first")
        self._device = self._watchdog.open(self, node, timeout_s)
        return {"timeout_s": timeout_s, "identity": self._watchdog.identity}

    def _open_device(self) -> Device | None:
        return self._device if self._device is not None and self._device.holder is self else None

    def _held(self) -> Device:
        device = self._open_device()
        if device is None or not device.armed:
            raise RefusedError("no device is open on this connection: open one first")
        return device


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise RefusedError(f"not a JSON object: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise RefusedError("not a JSON object with a string op")
    return request


def _node(request: dict[str, Any]) -> str:
    node = request.get("node")
    if not isinstance(node, str) or not node:
        raise RefusedError(f"node: found {node!r}, give the name of a node")
    return node


def _timeout(request: dict[str, Any]) -> float:
    found = request.get("timeout_s")
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found <= LONGEST_S:
        raise RefusedError(f"timeout_s: found {found!r}, give seconds above 0 and up to {LONGEST_S:g}")
    return float(found)


async def kill_node(lab: str, node: str) -> None:
    """Kill the boot of a virtual node that runs now, not one that begins while this goes on."""
    wanted = {processes.LAB: lab, processes.NODE: node}
    for boot in {process.marks.get(processes.BOOT, "") for process in processes.scan(wanted)} - {""}:
        await asyncio.to_thread(processes.cut_power, {**wanted, processes.BOOT: boot})


async def _run(path: Path, lab: str) -> None:
    await Watchdog(lambda node: kill_node(lab, node), f"Quorate lab {lab}").start(path)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.watchdog")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--lab", required=True, help="the lab whose nodes are killed: the value of QUORATE_LAB")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    asyncio.run(_run(arguments.socket, arguments.lab))


if __name__ == "__main__":
    main()

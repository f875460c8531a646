"""A virtual node as the one sees it who stands beside it: power switch, network plug, and the way it resets.

Everything of the node is found by its marks, so power off means that nothing of it is left, and is checked. When the
machine's first process ends without the switch having been touched it was reset (by its watchdog, say): it boots again
by itself after the firmware's delay, as real machines do.
"""

import asyncio
import json
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from quorate.lab import commands, processes
from quorate.lab.child import environment
from quorate.lab.errors import LabError, unknown
from quorate.lab.files import NodeFiles
from quorate.lab.options import FIRMWARE_S
from quorate.lab.runtime import timestamp
from quorate.lab.switch import Switch

_log = logging.getLogger(__name__)

Services = Callable[["VirtualNode"], list[dict[str, Any]]]
"""What the machine's init starts: [{"name", "argv"}]."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all nodes of a lab share."""

    lab: str
    claims: Path
    watchdog: Path
    unplug: Callable[[str], Awaitable[None]]
    """Tells the watchdog that this node lost power."""
    services: Services
    firmware_s: float = FIRMWARE_S


class VirtualNode:
    """One machine. Its verbs may be repeated: what is so already stays so."""

    def __init__(self, name: str, address: str, files: NodeFiles, site: Site, switch: Switch) -> None:
        self.name = name
        self.address = address
        self.files = files
        self.switch = switch
        self.site = site
        self.api_servers: list[str] = []
        """Where its agent finds the API server; none: where its kubeconfig says."""
        self.power = False
        self.frozen = False
        self.boot = 0
        self._process: asyncio.subprocess.Process | None = None
        self._attending: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def marks(self) -> dict[str, str]:
        """Carried by everything on this node, in every boot."""
        return {processes.LAB: self.site.lab, processes.NODE: self.name}

    @property
    def pid(self) -> int | None:
        """The machine's first process while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def verbs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What can be done to a node, by the names that people use."""
        return {
            "power-off": self.power_off,
            "power-on": self.power_on,
            "shutdown": self.shutdown,
            "reboot": self.reboot,
            "network-off": self.network_off,
            "network-on": self.network_on,
            "freeze": self.freeze,
            "thaw": self.thaw,
        }

    async def act(self, verb: str) -> None:
        """Carry out a verb by its name. Raises LabError."""
        if verb not in self.verbs:
            raise unknown("verb", verb, self.verbs)
        await self.verbs[verb]()

    async def power_on(self) -> None:
        async with self._lock:
            if not self.power:
                self.power = True
                await self._boot()

    async def power_off(self) -> None:
        """Nothing of it runs afterwards. Raises LabError when something will not die."""
        async with self._lock:
            self.power = False
            await self._stop_attending()
            await self._destroy()

    async def shutdown(self) -> None:
        """Press the power button and wait: the guests stop first, the agent ends last."""
        await self._go_down("poweroff")

    async def reboot(self) -> None:
        """The same, but the host says that it comes back, and does."""
        await self._go_down("reboot")
        await self.power_on()

    async def _go_down(self, how: str) -> None:
        async with self._lock:
            if self.frozen:
                raise LabError(f"{self.name} is frozen: thaw it first, or power it off")
            self.power = False
            process, attending = self._process, self._attending
            if process is None or process.stdin is None or attending is None:
                await self._stop_attending()
                return
            process.stdin.write(f"{how}\n".encode())
            await process.stdin.drain()
        await asyncio.wait([attending])

    async def freeze(self) -> None:
        """Stop everything of it, guests included; watchdog and network outside go on."""
        async with self._lock:
            if self._process is None:
                raise LabError(f"{self.name} does not run: its power is {self.status()['power']}")
            await asyncio.to_thread(processes.freeze, self.marks)
            self.frozen = True

    async def thaw(self) -> None:
        async with self._lock:
            await asyncio.to_thread(processes.thaw, self.marks)
            self.frozen = False

    async def network_off(self) -> None:
        self.switch.cut()

    async def network_on(self) -> None:
        self.switch.restore()

    def status(self) -> dict[str, Any]:
        """As `quorate lab status` shows it."""
        state = "frozen" if self.frozen else "running" if self._process is not None else "booting"
        return {
            "name": self.name,
            "power": "on" if self.power else "off",
            "state": state if self.power or self._process is not None else "off",
            "network": "on" if self.switch.up else "off",
            "boot": self.boot,
            "address": self.address,
            "pid": self.pid,
        }

    async def _boot(self) -> None:
        """Start the first process in a fresh run directory. What ran before must be gone."""
        self.boot = await asyncio.to_thread(_prepare, self.files)
        log = self.files.log / "machine.log"
        marks = {**self.marks, processes.BOOT: str(self.boot)}
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *["-m", "quorate.lab.machine", "--run", str(self.files.run), "--disk", str(self.files.disk)],
                *["--boot", str(self.boot), json.dumps(self.site.services(self))],
                env=environment(marks),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _log.info("%s: boot %d, pid %d", self.name, self.boot, self._process.pid)
        if self._attending is None or self._attending.done():
            self._attending = asyncio.get_running_loop().create_task(self._attend())

    async def _attend(self) -> None:
        """Follow the boots: after each end either stay off or reset."""
        while self._process is not None:
            code = await self._process.wait()
            async with self._lock:
                _log.info("%s: boot %d ended with %d", self.name, self.boot, code)
                await self._destroy()
            if self.power:
                await asyncio.sleep(self.site.firmware_s)
            async with self._lock:
                if not self.power:
                    self._attending = None
                    return
                await self._boot()

    async def _destroy(self) -> None:
        await asyncio.to_thread(processes.cut_power, self.marks)
        if self._process is not None:
            await self._process.wait()
        self._process, self.frozen = None, False
        await self.site.unplug(self.name)

    async def _stop_attending(self) -> None:
        """The caller holds the lock, and so the follower is waiting: for the process, the firmware, or the lock."""
        attending, self._attending = self._attending, None
        if attending is not None:
            attending.cancel()
            with suppress(asyncio.CancelledError):
                await attending


def _prepare(files: NodeFiles) -> int:
    """A fresh run directory, the disk as it is; returns the number of the boot that begins."""
    files.log.mkdir(parents=True, exist_ok=True)
    if not files.system_uuid.exists():
        files.system_uuid.write_text(f"{uuid.uuid4()}\n")
    boot = int(files.boots.read_text()) + 1 if files.boots.exists() else 1
    files.boots.write_text(f"{boot}\n")
    if files.run.exists():
        rmtree(files.run)
    (files.run / "agent").mkdir(parents=True)
    (files.run / "boot-id").write_text(f"{uuid.uuid4()}\n")
    (files.run / "booted-at").write_text(f"{timestamp()}\n")
    return boot


def node_services(node: VirtualNode) -> list[dict[str, Any]]:
    """The kubelet stand-in and the real agent."""
    kubelet = commands.kubelet(node.name, node.address, node.files, node.site.claims, node.boot)
    agent = commands.agent(node.name, node.address, node.files, node.site.watchdog, node.api_servers)
    return [{"name": "kubelet", "argv": kubelet}, {"name": "agent", "argv": agent}]

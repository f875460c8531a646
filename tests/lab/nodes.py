"""Virtual nodes for tests: real machines, with whatever services a test gives them."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.lab import processes
from quorate.lab.files import NodeFiles
from quorate.lab.processes import Process
from quorate.lab.switch import Switch
from quorate.lab.vnode import Services, Site, VirtualNode

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def sleepers(_node: VirtualNode) -> list[dict[str, Any]]:
    """A node whose services do nothing, until they are told to end."""
    return [{"name": "kubelet", "argv": SLEEP}, {"name": "agent", "argv": SLEEP}]


@dataclass
class Rack:
    """Nodes of one lab. `unplugged`: what the watchdog was told."""

    lab: str
    directory: Path
    services: Services = sleepers
    firmware_s: float = 0.1
    unplugged: list[str] = field(default_factory=list)

    def node(self, name: str = "node1", port: int = 9, host: str = "127.0.0.1") -> VirtualNode:
        """Powered off as yet; its switch leads to that port."""

        async def unplug(node: str) -> None:
            self.unplugged.append(node)

        site = Site(
            lab=self.lab,
            claims=self.directory / "claims",
            watchdog=self.directory / "watchdog.sock",
            unplug=unplug,
            services=self.services,
            firmware_s=self.firmware_s,
        )
        files = NodeFiles(self.directory / "nodes" / name)
        return VirtualNode(name, "127.77.255.1", files, site, Switch(host, port))

    def running(self, name: str = "node1") -> list[Process]:
        return processes.scan({processes.LAB: self.lab, processes.NODE: name})

    def states(self, name: str = "node1") -> set[str]:
        return {process.state for process in self.running(name)}

"""The command lines of everything that a lab runs, in one place."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quorate.lab.control_plane import keys_in
from quorate.lab.errors import unknown
from quorate.lab.files import LabFiles, NodeFiles
from quorate.lab.machine import SHUTTING_DOWN
from quorate.lab.options import CONTROL_PLANES

GATE_IMAGE: Final = "quorate-lab"
AGENT_PORT: Final = 9471
MANAGER_PORT: Final = 9470


@dataclass(frozen=True, slots=True)
class Addresses:
    """A lab's loopback range 127.77.<index>.0/24: every node and manager has an address of its own there."""

    index: int

    def node(self, number: int) -> str:
        """Of the node with this number, from 1."""
        return f"127.77.{self.index}.{number}"

    def manager(self, number: int) -> str:
        """Of the manager with this number, from 1."""
        return f"127.77.{self.index}.{200 + number}"


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def control_plane(kind: str, files: LabFiles) -> list[str]:
    """The API server; it writes the kubeconfig when it answers. Raises MisuseError."""
    kubeconfig = str(files.kubeconfig)
    if kind == "embedded":
        return python("quorate.lab.apiserver", "--port", "0", "--kubeconfig", kubeconfig)
    if kind == "real":
        return python("quorate.lab.control_plane", "--dir", str(files.control_plane), "--kubeconfig", kubeconfig)
    raise unknown("control plane", kind, CONTROL_PLANES)


def watchdog(lab: str, files: LabFiles) -> list[str]:
    return python("quorate.lab.watchdog", "--socket", str(files.watchdog), "--lab", lab)


def front(lab: str, files: LabFiles, clients: list[str], *, secure: bool) -> list[str]:
    """`secure`: behind it is a real API server, whose keys it borrows."""
    keys = ("--keys", str(keys_in(files.control_plane))) if secure else ()
    where = ("--socket", str(files.front), "--lab", lab, "--kubeconfig", str(files.kubeconfig))
    return python("quorate.lab.front", *where, *keys, *clients)


def manager(number: int, addresses: Addresses, kubeconfig: Path, fence_agents: Path) -> list[str]:
    return python(
        "quorate.cli.main",
        "manager",
        "--kubeconfig",
        str(kubeconfig),
        "--identity",
        f"manager-{number}",
        "--listen",
        f"{addresses.manager(number)}:{MANAGER_PORT}",
        "--gate-image",
        GATE_IMAGE,
        "--fence-agents",
        str(fence_agents),
    )


def kubelet(name: str, address: str, files: NodeFiles, claims: Path, boot: int) -> list[str]:
    """`--runtime-socket` is added by the machine."""
    return python(
        "quorate.lab.kubelet",
        "--node",
        name,
        "--address",
        address,
        "--kubeconfig",
        str(files.kubeconfig),
        "--run",
        str(files.run),
        "--disk",
        str(files.disk),
        "--claims",
        str(claims),
        "--boot",
        str(boot),
    )


def agent(name: str, address: str, files: NodeFiles, watchdog_socket: Path, servers: list[str]) -> list[str]:
    """`{machine_pid}` is filled in by the machine, whose first process it is. `servers`: none, or all that there are."""
    own = files.agent_kubeconfig
    return python(
        "quorate.agent",
        "--node",
        name,
        "--kubeconfig",
        str(own if own.exists() else files.kubeconfig),
        "--run-dir",
        str(files.run / "agent"),
        "--machine-pid",
        "{machine_pid}",
        "--system-uuid-file",
        str(files.system_uuid),
        "--watchdog",
        f"external:{watchdog_socket}",
        "--runtime",
        f"pids:{files.run / 'pods'}",
        "--listen",
        f"{address}:{AGENT_PORT}",
        "--shutdown-flag",
        str(files.run / SHUTTING_DOWN),
        *(f"--api-server={server}" for server in servers),
    )

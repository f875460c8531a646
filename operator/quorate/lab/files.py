"""Where a lab keeps its files: `${QUORATE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/quorate}/labs/<name>/`.

lab.json                 what the lab is: written before anything is started, so that `down` can always clean up
kubeconfig               for people
control.sock             the daemon; watchdog.sock: the watchdogs of all nodes; front.sock: the front, if there is one
log/                     of everything that runs outside the nodes
fence-agents/            where managers find fence_lab; fence-password: what it must be told
shared/claims/NS/NAME    volumes of claims: the same on every node, like NFS
nodes/NODE/disk          survives a reset: system UUID, container records, local volumes, logs
nodes/NODE/run           fresh with every boot, like a tmpfs on /run
nodes/NODE/fence-device  how its fence device is broken (fence_agent.py); absent: it works
nodes/NODE/kubeconfig    the API server through the node's own switch
managers/MANAGER         a kubeconfig: the API server through the front
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Final

from quorate.lab.errors import LabError, MisuseError, unknown

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
_SOCKET_PATH_BYTES: Final = 107
"""What the kernel takes as the path of a socket (sun_path, unix(7))."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of one node."""

    root: Path

    @property
    def disk(self) -> Path:
        return self.root / "disk"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def agent_kubeconfig(self) -> Path:
        """The agent's own from the next boot on, where somebody gave it rights of its own; else it has the node's."""
        return self.root / "agent-kubeconfig"

    @property
    def system_uuid(self) -> Path:
        return self.disk / "system-uuid"

    @property
    def boots(self) -> Path:
        """The number of the last boot."""
        return self.disk / "boots"

    @property
    def log(self) -> Path:
        return self.disk / "log"

    @property
    def fence_device(self) -> Path:
        """How its fence device is broken, if it is."""
        return self.root / "fence-device"


@dataclass(frozen=True, slots=True)
class LabFiles:
    """The files of one lab."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "lab.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def control(self) -> Path:
        return self.root / "control.sock"

    @property
    def watchdog(self) -> Path:
        return self.root / "watchdog.sock"

    @property
    def front(self) -> Path:
        return self.root / "front.sock"

    @property
    def control_plane(self) -> Path:
        """Everything of a real one."""
        return self.root / "control-plane"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def fence_agents(self) -> Path:
        """Where managers find the fence agent of the lab."""
        return self.root / "fence-agents"

    @property
    def fence_password(self) -> Path:
        """What that one must be told."""
        return self.root / "fence-password"

    @property
    def claims(self) -> Path:
        return self.root / "shared" / "claims"

    def node(self, name: str) -> NodeFiles:
        return NodeFiles(self.root / "nodes" / name)

    def manager(self, name: str) -> Path:
        """The kubeconfig of a manager that has one of its own."""
        return self.root / "managers" / name

    def remove(self) -> None:
        """Remove everything that the lab kept."""
        if self.root.exists():
            rmtree(self.root)


@dataclass(frozen=True, slots=True)
class LabState:
    """What must be known to end a lab. `id` is unique: it marks every process of this lab and of no other."""

    id: str
    name: str
    daemon_pid: int
    daemon_start_ticks: int

    def write(self, files: LabFiles) -> None:
        """Replace lab.json in one step."""
        fresh = files.state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(files.state)


def labs_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of all labs of this user."""
    cache = environ.get("QUORATE_CACHE")
    base = (
        Path(cache).absolute() if cache else Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quorate"
    )
    return base / "labs"


def lab_files(name: str) -> LabFiles:
    """The files of a lab that may or may not exist. Raises LabError when it cannot be one."""
    if not _NAME.fullmatch(name):
        raise MisuseError(
            f"lab name {name!r}: use at most 32 lower-case letters, digits and hyphens, beginning and ending with a "
            "letter or digit"
        )
    files = LabFiles(labs_root() / name)
    if len(os.fsencode(files.watchdog)) > _SOCKET_PATH_BYTES:
        raise LabError(
            f"{files.watchdog}: longer than the {_SOCKET_PATH_BYTES} bytes that a socket's path may have: "
            "set QUORATE_CACHE to a shorter directory"
        )
    return files


def known_labs() -> list[str]:
    """The labs that have state here, running or left over."""
    return sorted(path.parent.name for path in labs_root().glob("*/lab.json"))


def read_state(name: str) -> LabState:
    """What lab.json says. Raises MisuseError, or LabError when the file cannot be understood."""
    files = lab_files(name)
    try:
        return LabState(**json.loads(files.state.read_text()))
    except FileNotFoundError as error:
        raise unknown("lab", name, known_labs()) from error
    except (ValueError, TypeError) as error:
        raise LabError(f"{files.state}: not a lab's state ({error}): end its processes and remove it") from error

"""What really runs on this node, asked of the processes themselves and not of the API."""

import json
from pathlib import Path
from typing import Final, Protocol

from quorate.core.types import Uid

KUBELET_PODS: Final = Path("/var/lib/kubelet/pods")


class Runtime(Protocol):
    """The container runtime, as far as the agent needs it."""

    def running(self) -> frozenset[Uid]:
        """The Pods that have a process now."""
        ...

    def known(self) -> frozenset[Uid]:
        """The Pods that the kubelet has a record of."""
        ...


class CgroupRuntime:
    """A real node: every container process is in a cgroup that names its Pod. Needs hostPID, works for cgroup v1 and v2."""

    def __init__(self, proc: Path = Path("/proc"), pods: Path = KUBELET_PODS) -> None:
        self.proc = proc
        self.pods = pods

    def running(self) -> frozenset[Uid]:
        found = set()
        for directory in self.proc.iterdir():
            if not directory.name.isdigit():
                continue
            try:
                text = (directory / "cgroup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile; anything else would hide a process that runs
            found.update(_pods_in(text))
        return frozenset(found)

    def known(self) -> frozenset[Uid]:
        return frozenset(Uid(directory.name) for directory in self.pods.iterdir())


def _pods_in(cgroups: str) -> set[Uid]:
    """Pod uids in /proc/PID/cgroup: `.../pod<uid>/...` (cgroupfs) or `...-pod<uid with _>.slice/...` (systemd)."""
    found = set()
    for line in cgroups.splitlines():
        for part in line.rpartition(":")[2].split("/"):
            name = part.removesuffix(".slice")
            marker = name.rfind("pod")
            uid = name[marker + 3 :].replace("_", "-") if marker >= 0 else ""
            if len(uid) >= 32:
                found.add(Uid(uid))
    return found


class RecordRuntime:
    """A virtual node of the lab: its runtime keeps one record for each container, <directory>/<uid>/<container>.json."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def running(self) -> frozenset[Uid]:
        return frozenset(uid for uid in self.known() if self._runs(uid))

    def known(self) -> frozenset[Uid]:
        if not self.directory.is_dir():
            return frozenset()
        return frozenset(Uid(pod.name) for pod in self.directory.iterdir())

    def _runs(self, uid: Uid) -> bool:
        return any(_may_run(file) for file in (self.directory / uid).glob("*.json"))


def _may_run(file: Path) -> bool:
    """Only a record that says "exited" proves an end; one that cannot be read proves nothing."""
    try:
        return bool(json.loads(file.read_text()).get("state") != "exited")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):
        return True


def named(spec: str) -> Runtime:
    """The runtime of `--runtime`: `cgroup`, or `pids:DIRECTORY`. Raises ValueError."""
    driver, _, rest = spec.partition(":")
    match driver:
        case "cgroup" if not rest:
            return CgroupRuntime()
        case "pids" if rest:
            return RecordRuntime(Path(rest))
    raise ValueError(f"--runtime {spec!r}: use cgroup or pids:DIRECTORY")

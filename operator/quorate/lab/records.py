"""Container records: what the runtime of a virtual node knows, as files. This is the agent's `--runtime pids:DIR`.

    RUN/pods/UID/                  the kubelet knows this pod: made before anything of it starts, removed when all of it
                                   has ended and the kubelet has forgotten it
    RUN/pods/UID/CONTAINER.json    the record; state is starting, running or exited
    RUN/pods/UID/CONTAINER.pid     while it runs: the pid of its first process
    DISK/containers/UID/CONTAINER.json   the same record, which survives a reset as containerd's metadata do

A container may be running when its record says `starting`, or says `running` and the process `pid` with the start time
`startTicks` lives. A record is `exited` only when every process of the container is gone.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STARTING: Final = "starting"
RUNNING: Final = "running"
EXITED: Final = "exited"

_KEYS: Final = {
    "pod": "pod",
    "container": "container",
    "id": "id",
    "boot": "boot",
    "attempt": "attempt",
    "log": "log",
    "state": "state",
    "pid": "pid",
    "start_ticks": "startTicks",
    "started_at": "startedAt",
    "finished_at": "finishedAt",
    "exit_code": "exitCode",
    "reason": "reason",
    "message": "message",
    "last": "last",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One container. `attempt` counts its restarts, `last` is how the attempt before ended (a ContainerState)."""

    pod: str
    container: str
    id: str
    boot: int
    attempt: int
    log: str
    state: str = STARTING
    pid: int | None = None
    start_ticks: int | None = None
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    last: Mapping[str, Any] | None = None

    def live(self, boot: int) -> bool:
        """Does it run, or may it, in this boot?"""
        return self.boot == boot and self.state != EXITED


def encode(record: Record) -> str:
    return json.dumps({key: getattr(record, name) for name, key in _KEYS.items()}) + "\n"


def decode(text: str) -> Record:
    """Raises ValueError, KeyError or TypeError for anything but a record."""
    found = json.loads(text)
    return Record(**{name: found[key] for name, key in _KEYS.items()})


def save(run: Path, disk: Path, record: Record) -> None:
    """Write the record in both places; the disk first, so that a reset never finds less than there was."""
    for directory in (disk / "containers" / record.pod, run / "pods" / record.pod):
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / f".{record.container}.json.new"
        fresh.write_text(encode(record))
        fresh.replace(directory / f"{record.container}.json")
    pid_file = run / "pods" / record.pod / f"{record.container}.pid"
    if record.state == RUNNING:
        pid_file.write_text(f"{record.pid}\n")
    else:
        pid_file.unlink(missing_ok=True)


def load(run: Path, disk: Path, pod: str) -> dict[str, Record]:
    """The records of a pod by container, also those of earlier boots."""
    found = {}
    for directory in (disk / "containers" / pod, run / "pods" / pod):
        for path in directory.glob("*.json"):
            found[path.stem] = decode(path.read_text())
    return found


def known_pods(run: Path) -> list[str]:
    """The pods that this boot's kubelet has taken on and not forgotten."""
    pods = run / "pods"
    return sorted(os.listdir(pods)) if pods.is_dir() else []  # noqa: PTH208 names are wanted, not paths

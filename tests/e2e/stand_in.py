"""The watchdog of kind nodes: `quorate.lab.watchdog`, with a killer for containers. A process of its own, on the host.

    python -m tests.e2e.stand_in --socket DIRECTORY/watchdog.sock --power 172.17.0.1:2475 --cluster quorate

DIRECTORY is mounted into the nodes (kind-config.yaml); the agents pet through it. A node is a container here: `docker
kill` is its reset. A frozen one (`docker pause`) is thawed by that kill, and a busy guest would go on for milliseconds:
so every process of a frozen node is sent SIGKILL first. It dies of it before it can run again.

Beside it is the nodes' power switch (`power.py`), for fence_docker.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from quorate.lab.watchdog import Watchdog
from tests.e2e.power import PowerSwitch

CGROUPS: Final = Path("/sys/fs/cgroup")
DOCKER_S: Final = 20.0
_log = logging.getLogger("quorate.e2e.stand_in")


class StandInError(Exception):
    """docker did not do what was asked; the message has its own words."""


def freezer_of(container: str, cgroups_of_its_init: str, root: Path = CGROUPS) -> Path:
    """The directory of the cgroup that `docker pause` freezes, from /proc/PID/cgroup of the container's first process.

    systemd in a node moves itself deeper (`.../docker-ID.scope/init.scope`): the container's own is the part with its id.
    Raises StandInError.
    """
    paths = dict(line.split(":", 2)[1:] for line in cgroups_of_its_init.splitlines())
    for controller, base in (("freezer", root / "freezer"), ("", root)):  # v1 first: a hybrid machine has both
        parts = paths.get(controller, "").strip("/").split("/")
        for index, part in enumerate(parts):
            if container in part:
                return base.joinpath(*parts[: index + 1])
    raise StandInError(f"container {container[:12]}: its cgroup is not in {cgroups_of_its_init!r}")


def is_frozen(cgroup: Path) -> bool:
    """cgroup v1 says it in freezer.state, v2 in cgroup.events. One that has ended is not frozen."""
    with suppress(FileNotFoundError):
        return (cgroup / "freezer.state").read_text().strip() != "THAWED"
    with suppress(FileNotFoundError):
        return "frozen 1" in (cgroup / "cgroup.events").read_text()
    return False


def kill_frozen(cgroup: Path) -> int:
    """SIGKILL to every process in it and below. Frozen ones cannot fork, so one pass is all. Returns how many."""
    pids = {int(pid) for file in cgroup.rglob("cgroup.procs") for pid in file.read_text().split()}
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def docker(*arguments: str) -> str:
    """What it printed. Raises StandInError."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=DOCKER_S, check=False)
    if ended.returncode != 0:
        raise StandInError(f"docker {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def kill(node: str) -> None:
    """Reset a node: when this returns nothing of its boot runs any more. Raises StandInError, OSError."""
    container, pid = docker("inspect", "--format", "{{.Id}} {{.State.Pid}}", node).split()
    if pid == "0":
        return
    with suppress(FileNotFoundError):  # it ended meanwhile
        cgroup = freezer_of(container, Path(f"/proc/{pid}/cgroup").read_text())
        if is_frozen(cgroup):
            _log.warning("%s: SIGKILL to %d frozen processes", node, kill_frozen(cgroup))
    docker("kill", node)


def unplug(path: Path, node: str) -> None:
    """Say for a machine that loses power that its watchdog has none either: it must not kill the next boot."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(DOCKER_S)
        connection.connect(str(path))
        connection.sendall(json.dumps({"op": "unplug", "node": node}).encode() + b"\n")
        answer = connection.recv(4096)
    if not json.loads(answer).get("ok"):
        raise StandInError(f"unplug {node}: {answer!r}")


async def _run(path: Path, power: str, cluster: str) -> None:
    async def kill_node(node: str) -> None:
        await asyncio.to_thread(kill, node)

    await Watchdog(kill_node, "Quorate stand-in outside the kind nodes").start(path)
    host, _, port = power.rpartition(":")
    await PowerSwitch(cluster, docker, partial(unplug, path)).serve(host, int(port))
    _log.info("listening at %s and %s", path, power)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.stand_in", description="The watchdog of kind nodes.")
    parser.add_argument("--socket", type=Path, required=True, help="where agents pet; its directory is mounted")
    parser.add_argument("--power", required=True, metavar="HOST:PORT", help="where fence_docker switches nodes")
    parser.add_argument("--cluster", required=True, help="the kind cluster whose nodes may be switched")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    asyncio.run(_run(arguments.socket, arguments.power, arguments.cluster))


if __name__ == "__main__":
    main()

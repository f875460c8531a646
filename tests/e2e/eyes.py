"""Who runs a guest, seen from outside the API: the processes of all nodes in this machine's /proc, and each runtime's word.

Nodes are containers on this machine, so their guests are processes here, and the cgroup of each names node, Pod and
container.
"""

import re
from pathlib import Path
from typing import Final

import yaml

from quorate.lab import processes
from quorate.lab.observer import Eye, Instance
from quorate.lab.processes import Process
from tests.e2e.cluster import KindCluster
from tests.e2e.machine import KindError, run

ID: Final = re.compile(r"[0-9a-f]{64}")
POD: Final = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})")


class NodeEye(Eye):
    """Sees the guest whose main process has this command line, on these nodes (name -> id of its container)."""

    def __init__(self, guest: str, command: list[str], nodes: dict[str, str]) -> None:
        super().__init__(lab="")
        self._guest = guest
        self._command = b"\0".join(part.encode() for part in command) + b"\0"
        self._nodes = {container: name for name, container in nodes.items()}

    def _read(self, process: Process) -> tuple[int, Instance | None] | None:
        """Whose it is; None while that may change: any process may be about to become the guest by an exec."""
        if processes.read_bytes(f"/proc/{process.pid}/cmdline") != self._command:
            return None
        text = (processes.read_bytes(f"/proc/{process.pid}/cgroup") or b"").decode()
        instance = self.instance(text)
        return (process.start_ticks, instance) if instance is not None else None

    def instance(self, cgroups: str) -> Instance | None:
        """The guest whose process has this /proc/PID/cgroup, None for any other."""
        for line in cgroups.splitlines():
            ids, pod = ID.findall(line), POD.search(line)
            if len(ids) >= 2 and pod is not None and ids[0] in self._nodes:
                return Instance(self._guest, ids[-1], self._nodes[ids[0]], pod.group(1).replace("_", "-"))
        return None


def running(cluster: KindCluster, name: str) -> list[tuple[str, str]]:
    """The nodes and containers of a Pod that run now, by each node's containerd. Nodes that are off run none."""
    wanted = f'labels."io.kubernetes.pod.name"=={name},labels."io.kubernetes.container.name"=={name}'
    found = []
    for node in cluster.nodes():
        ctr = ("docker", "exec", node, "ctr", "-n", "k8s.io")
        known = set(run(*ctr, "containers", "ls", "-q", wanted).split())
        tasks = [row.split() for row in run(*ctr, "tasks", "ls").splitlines()[1:]]
        found += [(node, row[0]) for row in tasks if row[0] in known and row[-1] != "STOPPED"]
    return found


def only(cluster: KindCluster, name: str) -> tuple[str, str]:
    """The one node whose containerd runs it, and the container. Raises KindError when it runs nowhere or twice."""
    found = running(cluster, name)
    if len(found) != 1:
        raise KindError(f"guest {name} runs in {found or 'no container'}: expected exactly one")
    return found[0]


def command_of(sample: Path, name: str) -> list[str]:
    """The command of a guest in a manifest."""
    for one in yaml.safe_load_all(sample.read_text()):
        if one["kind"] == "HAResource" and one["metadata"]["name"] == name:
            found: list[str] = one["spec"]["guest"]["container"]["spec"]["containers"][0]["command"]
            return found
    raise KindError(f"{sample} has no HAResource {name}")

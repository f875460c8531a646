"""A virtual node with its real kubelet stand-in against an API server, and pods to put on it."""

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quorate.lab import commands, processes
from quorate.lab.apiclient import UNREACHABLE, Access, Api, ApiError, read_kubeconfig, write_kubeconfig
from quorate.lab.processes import Process
from quorate.lab.vnode import VirtualNode
from tests.lab.nodes import Rack
from tests.lab.waiting import eventually

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
WRITE = [sys.executable, "-m", "quorate.lab.guest", "--file", "data/journal", "--every", "0.005"]


def kubelet_only(node: VirtualNode) -> list[dict[str, Any]]:
    argv = commands.kubelet(node.name, node.address, node.files, node.site.claims, node.boot)
    return [{"name": "kubelet", "argv": argv}]


class Cluster:
    """One virtual node of one test, and an API client of one's own (not through the node's switch)."""

    def __init__(self, api: Api, node: VirtualNode, rack: Rack) -> None:
        self.api = api
        self.node = node
        self.rack = rack

    async def create(self, *containers: Json, name: str = "", **spec: Any) -> str:
        """A pod with restartPolicy Never bound to the node; returns its path."""
        name = name or f"pod-{uuid.uuid4().hex[:8]}"
        metadata = spec.pop("metadata", {})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": {
                "nodeName": self.node.name,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "automountServiceAccountToken": False,
                "containers": list(containers),
                **spec,
            },
        }
        await self.api.post(PODS, pod)
        return f"{PODS}/{name}"

    async def get(self, path: str) -> Json | None:
        try:
            return await self.api.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def until(self, path: str, check: Any, what: str = "") -> Json:
        """The pod as soon as `check(pod)` holds."""
        last: list[Json | None] = [None]

        async def look() -> Json | None:
            last[0] = await self.get(path)
            return last[0] if last[0] is not None and check(last[0]) else None

        try:
            return await eventually(look, what)
        except AssertionError as error:
            raise AssertionError(f"{what}: {(last[0] or {}).get('status')}\n{self.kubelet_log()}") from error

    async def until_gone(self, path: str) -> None:
        async def gone() -> bool:
            return await self.get(path) is None

        await eventually(gone, f"{path} gone")

    async def until_running(self, path: str) -> Json:
        return await self.until(path, lambda pod: pod["status"].get("phase") == "Running", "running")

    async def until_phase(self, path: str, phase: str) -> Json:
        return await self.until(path, lambda pod: pod["status"].get("phase") == phase, f"phase {phase}")

    def processes_of(self, pod: Json, role: str = "main") -> list[Process]:
        marks = {processes.LAB: self.rack.lab, processes.POD: pod["metadata"]["uid"], processes.ROLE: role}
        return processes.scan(marks)

    def kubelet(self) -> Process | None:
        """The kubelet's process while there is one."""
        for process in self.rack.running(self.node.name):
            command = (processes.read_bytes(f"/proc/{process.pid}/cmdline") or b"").split(b"\0")
            if command[1:3] == [b"-m", b"quorate.lab.kubelet"]:
                return process
        return None

    def kubelet_log(self) -> str:
        """What the node said last."""
        return "".join(path.read_text()[-3000:] for path in self.node.files.log.glob("*.log"))

    async def until_ready(self) -> Json:
        """The Node as this boot's kubelet reports it."""
        path = f"/api/v1/nodes/{self.node.name}"

        async def ready() -> Json | None:
            boot_id = self.node.files.run / "boot-id"
            found = await self.get(path)
            info = ((found or {}).get("status") or {}).get("nodeInfo") or {}
            return found if boot_id.exists() and info.get("bootID") == boot_id.read_text().strip() else None

        return await eventually(ready, f"{self.node.name} Ready: {self.kubelet_log()}")


@asynccontextmanager
async def cluster(kubeconfig: Path, lab_id: str, directory: Path) -> AsyncIterator[Cluster]:
    """A node of a name that no other test uses, running and Ready."""
    access = read_kubeconfig(kubeconfig)
    api = Api(access)
    server = urlsplit(access.server)
    rack = Rack(lab_id, directory, services=kubelet_only)
    node = rack.node(f"node-{uuid.uuid4().hex[:6]}", server.port or 0, server.hostname or "")
    port = await node.switch.start()
    node.files.root.mkdir(parents=True)
    write_kubeconfig(
        node.files.kubeconfig, Access(f"{server.scheme}://127.0.0.1:{port}", access.authority, access.token)
    )
    await node.power_on()
    found = Cluster(api, node, rack)
    try:
        await found.until_ready()
        yield found
    finally:
        await node.power_off()
        node.switch.stop()
        await api.close()


async def until_answers(kubeconfig: Path) -> None:
    """The API server is there and has made its namespaces."""
    api = Api(read_kubeconfig(kubeconfig))

    async def answers() -> bool:
        try:
            await api.get("/api/v1/namespaces/default")
            await api.create("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
        except (ApiError, *UNREACHABLE):
            return False
        return True

    await eventually(answers, "the API server answers")
    await api.close()


def container(*command: str, name: str = "main", **fields: Any) -> Json:
    return {"name": name, "image": "lab", "command": list(command), **fields}


def shell(script: str, name: str = "main", **fields: Any) -> Json:
    return container("sh", "-c", script, name=name, **fields)


def state_of(pod: Json, name: str = "main") -> Json:
    """A container's state."""
    status: Json = status_of(pod, name)["state"]
    return status


def status_of(pod: Json, name: str = "main") -> Json:
    status = pod["status"]
    known = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return next((one for one in known if one["name"] == name), {"state": {}})


def condition(pod: Json, kind: str) -> str:
    return next((one["status"] for one in pod["status"].get("conditions") or [] if one["type"] == kind), "")

"""A whole lab in the process that owns it: control plane, watchdog, virtual nodes, manager replicas, and their end."""

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from quorate.core.types import AGENT_NAMESPACE, GROUP, PART_OF, PART_OF_LABEL, SYSTEM_NAMESPACE, VERSION
from quorate.lab import commands, fence_agent, processes
from quorate.lab.apiclient import UNREACHABLE, Access, Api, ApiError, Json, read_kubeconfig, write_kubeconfig
from quorate.lab.child import Child
from quorate.lab.claims import bind_claims
from quorate.lab.commands import Addresses
from quorate.lab.controllers import run_controllers
from quorate.lab.errors import LabError, unknown
from quorate.lab.files import LabFiles, LabState
from quorate.lab.front.control import Front
from quorate.lab.options import Options
from quorate.lab.switch import Switch
from quorate.lab.virt.controller import run_virt_controller
from quorate.lab.vnode import Services, Site, VirtualNode, node_services

_START_S: Final = 60.0
_RESTART_S: Final = 0.5
_ANSWER_S: Final = 10.0
_POLL_S: Final = 0.05
_CLAIM_PORT: Final = 9470
_log = logging.getLogger(__name__)


class Lab:
    """Everything a lab runs. Making one claims its loopback range; `start` returns when it can be used."""

    def __init__(self, options: Options, files: LabFiles, services: Services = node_services) -> None:
        self.options = options
        self.files = files
        self.id = f"{options.name}-{secrets.token_hex(4)}"
        self.nodes: dict[str, VirtualNode] = {}
        self._services = services
        self._children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._claimed, index = _claim_range(self.id)
        self._addresses = Addresses(index)
        self._api: Api | None = None

    @property
    def marks(self) -> dict[str, str]:
        return {processes.LAB: self.id}

    def prepare(self) -> None:
        """Write lab.json: from here on `down` finds whatever is started. Raises LabError."""
        self.files.log.mkdir(parents=True, exist_ok=True)
        self.files.claims.mkdir(parents=True, exist_ok=True)
        LabState(
            id=self.id,
            name=self.options.name,
            daemon_pid=os.getpid(),
            daemon_start_ticks=processes.start_ticks(os.getpid()) or 0,
        ).write(self.files)

    async def start(self) -> None:
        """Start everything, in the order in which it needs each other. Raises LabError."""
        fence_agent.install(self.files)
        await self._child("watchdog", commands.watchdog(self.id, self.files))
        control_plane = await self._child("api-server", commands.control_plane(self.options.control_plane, self.files))
        async with _within(_START_S, "the API server to answer", control_plane):
            access = await self._api_answers(control_plane)
        self._api = Api(access)
        async with _within(_START_S, "the API server to serve Quorate's kinds", control_plane):
            await self._furnish(self._api)
        self._tasks.append(asyncio.create_task(bind_claims(self._api)))
        self._tasks.append(asyncio.create_task(run_controllers(self._api)))
        self._tasks.append(asyncio.create_task(run_virt_controller(self._api)))
        ports = await self._put_front(access) if self.options.front else {}
        for number in range(1, self.options.nodes + 1):
            await self._add_node(number, access, ports)
        for number in range(1, self.options.managers + 1):
            await self._add_manager(number, access, ports)
        async with _within(_START_S, "the nodes to be Ready", None):
            await self._nodes_ready(self._api)

    async def stop(self) -> None:
        """End everything and see that nothing is left. Raises LabError when something will not die."""
        for task in self._tasks:
            task.cancel()
        if self._api is not None:
            await self._api.close()
        for node in self.nodes.values():
            await node.power_off()
            node.switch.stop()
        for child in reversed(self._children):
            await child.stop()
        await asyncio.to_thread(processes.kill_all, self.marks)
        self._claimed.close()

    def node(self, name: str) -> VirtualNode:
        """Raises MisuseError."""
        if name not in self.nodes:
            raise unknown("node", name, self.nodes)
        return self.nodes[name]

    def status(self) -> dict[str, Any]:
        """As `quorate lab status -o json` prints it."""
        return {
            "name": self.options.name,
            "id": self.id,
            "controlPlane": self.options.control_plane,
            "kubeconfig": str(self.files.kubeconfig),
            "nodes": [node.status() for node in self.nodes.values()],
            "processes": [
                {"name": one.name, "pid": one.pid, "restarts": one.restarts, "exitCode": one.exit_code}
                for one in self._children
            ],
        }

    async def _child(self, name: str, argv: list[str], *, restart_s: float | None = None) -> Child:
        marks = {**self.marks, processes.SERVICE: name}
        log, growing = self.files.log / f"{name}.log", self.options.restarts_slow_down
        child = Child(name, argv, log, marks, restart_s=restart_s, growing=growing)
        self._children.append(child)
        await child.start()
        return child

    async def _api_answers(self, control_plane: Child) -> Access:
        while True:
            if control_plane.exit_code is not None:
                raise LabError(f"the API server ended ({control_plane.exit_code}): {control_plane.last_words()}")
            if self.files.kubeconfig.exists():
                with suppress(LabError, *UNREACHABLE):  # it may be half written, or be ahead of the server
                    access = read_kubeconfig(self.files.kubeconfig)
                    api = Api(access)
                    try:
                        await api.get("/api/v1/namespaces/default")
                        return access
                    finally:
                        await api.close()
            await asyncio.sleep(_POLL_S)

    async def _furnish(self, api: Api) -> None:
        """Namespaces, the CRDs where the server does not bring them along, and a Cluster if asked for."""
        for name in (SYSTEM_NAMESPACE, AGENT_NAMESPACE, "kube-node-lease"):
            metadata: Json = {"name": name}
            if name != "kube-node-lease":
                metadata["labels"] = {PART_OF_LABEL: PART_OF}
            await api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        if self.options.control_plane == "real":
            await _apply_crds(api)
        if self.options.profile:
            cluster = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Cluster",
                "metadata": {"name": self.options.name},
                "spec": {
                    "timing": {"profile": self.options.profile},
                    "fencing": {"acceptedWatchdogs": ["External"], "holdBack": "0s"},  # they are switched off at will
                },
            }
            await api.create(f"/apis/{GROUP}/{VERSION}/clusters", cluster)

    async def _put_front(self, access: Access) -> dict[str, int]:
        """Between the API server and everybody of the lab; returns the port of each client."""
        nodes = [f"node{number}" for number in range(1, self.options.nodes + 1)]
        clients = [f"manager-{number}" for number in range(1, self.options.managers + 1)]
        clients += [*nodes, *(client for node in nodes for client in self._agents_ways(node))]
        argv = commands.front(self.id, self.files, clients, secure=bool(access.authority))
        child = await self._child("front", argv)
        async with _within(_START_S, "the front to answer", child):
            while True:
                with suppress(LabError):
                    return await asyncio.to_thread(Front(self.files.front).ports)
                await asyncio.sleep(_POLL_S)

    def _agents_ways(self, node: str) -> list[str]:
        """What the front calls the addresses at which an agent finds the API server, if there are several."""
        several = self.options.api_servers if self.options.api_servers > 1 else 0
        return [f"{node}-api{number}" for number in range(1, several + 1)]

    async def _add_manager(self, number: int, access: Access, ports: Mapping[str, int]) -> None:
        name, kubeconfig = f"manager-{number}", self.files.kubeconfig
        if name in ports:
            kubeconfig = self.files.manager(name)
            kubeconfig.parent.mkdir(exist_ok=True)
            write_kubeconfig(kubeconfig, _at(access, ports[name]))
        argv = commands.manager(number, self._addresses, kubeconfig, self.files.fence_agents)
        await self._child(name, argv, restart_s=_RESTART_S)

    async def _add_node(self, number: int, access: Access, ports: Mapping[str, int]) -> None:
        name = f"node{number}"
        server = urlsplit(access.server)
        host, api = server.hostname or "", server.port or 0
        switch = Switch(host, ports.get(name, api))
        files = self.files.node(name)
        files.root.mkdir(parents=True)
        write_kubeconfig(files.kubeconfig, _at(access, await switch.start()))
        site = Site(
            lab=self.id,
            claims=self.files.claims,
            watchdog=self.files.watchdog,
            unplug=self._unplug,
            services=self._services,
            firmware_s=self.options.firmware_s,
        )
        node = VirtualNode(name, self._addresses.node(number), files, site, switch)
        for way in self._agents_ways(name):
            port = await switch.lead_to(host, ports.get(way, api))
            node.api_servers.append(_at(access, port).server)
        self.nodes[name] = node
        await node.power_on()

    async def _unplug(self, node: str) -> None:
        """A machine that loses power loses its watchdog. Answered, so that the next boot's device is never meant."""
        with suppress(ConnectionError, FileNotFoundError):  # a watchdog that has ended counts down no more
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(self.files.watchdog))
                writer.write(json.dumps({"op": "unplug", "node": node}).encode() + b"\n")
                await reader.readline()
                writer.close()

    async def _nodes_ready(self, api: Api) -> None:
        while True:
            with suppress(ApiError, *UNREACHABLE):
                nodes = (await api.get("/api/v1/nodes")).get("items") or []
                if sum(_is_ready(node) for node in nodes) == len(self.nodes):
                    return
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _within(limit_s: float, what: str, child: Child | None) -> AsyncIterator[None]:
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        said = f"; its log ends with: {child.last_words()}" if child is not None else ""
        raise LabError(f"waited {limit_s:g}s for {what}{said}") from error


def _claim_range(lab: str) -> tuple[socket.socket, int]:
    """A loopback range that no other lab on this machine uses, held by listening in it for as long as the lab lives."""
    first = sum(lab.encode())
    for offset in range(256):
        index = (first + offset) % 256
        held = socket.socket()
        try:
            held.bind((f"127.77.{index}.254", _CLAIM_PORT))
        except OSError:
            held.close()
            continue
        held.listen(1)
        return held, index
    raise LabError("all loopback ranges 127.77.0.0 to 127.77.255.0 are taken: end some labs")


def _at(access: Access, port: int) -> Access:
    """The same API server as somebody sees it through that port."""
    return replace(access, server=f"{urlsplit(access.server).scheme}://127.0.0.1:{port}")


def _is_ready(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _apply_crds(api: Api) -> None:
    """Create the CRDs from the models and wait until their resources are served."""
    from quorate.api.crd import KINDS, crd  # noqa: PLC0415 pydantic is large, and only a real API server needs this

    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in KINDS:
        await api.create(path, crd(kind))
    for kind in KINDS:
        await _served(api, f"/apis/{GROUP}/{VERSION}/{kind.plural}")


async def _served(api: Api, path: str) -> None:
    """Wait until the API server knows this resource: while it takes a new one in it says 404 and then 429."""
    while True:
        try:
            await api.get(path)
        except ApiError as error:
            if error.status not in {404, 429}:
                raise
            await asyncio.sleep(_POLL_S)
        else:
            return

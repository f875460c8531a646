"""The node's own objects: core/v1 Node with its status, and the kubelet's Lease."""

import asyncio
import logging
import os
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from quorate import __version__
from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, Json, describe
from quorate.lab.kubelet.spec import Place
from quorate.lab.runtime import timestamp
from quorate.sim.virt_objects import SCHEDULABLE_LABEL

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_RENEW_S: Final = 10
_STATUS_S: Final = 300
_RETRY_S: Final = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What nodeInfo says. `boot_id` is new with every boot, `system_uuid` the machine's for ever."""

    boot_id: str
    system_uuid: str


class NodeReporter:
    """Keeps the Node and its Lease as a kubelet does: registers, reports, renews; failures are tried again."""

    def __init__(self, api: Api, place: Place, identity: Identity) -> None:
        self._api = api
        self._place = place
        self._identity = identity
        self._path = f"/api/v1/nodes/{place.node}"
        self._since: dict[str, str] = {}
        self.shutting_down = False

    async def get(self) -> Json:
        """The Node as the API server has it now."""
        return await self._api.get(self._path)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep(self.report, _STATUS_S))
            tasks.create_task(self._keep(self._renew, _RENEW_S))

    async def _keep(self, act: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await act()
            except (ApiError, *UNREACHABLE) as error:
                _log.warning("node %s: %s", self._place.node, describe(error))
                await asyncio.sleep(_RETRY_S)
            else:
                await asyncio.sleep(every_s)

    async def report(self) -> None:
        """Register the node if it is not there, and write its status."""
        labels = {
            "kubernetes.io/hostname": self._place.node,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            SCHEDULABLE_LABEL: "true",  # virt-handler is a part of the kubelet here
        }
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._place.node, "labels": labels}}
        if not await self._api.create("/api/v1/nodes", body):
            await self._api.patch(self._path, {"metadata": {"labels": labels}})
        await self._api.patch(f"{self._path}/status", {"status": self._status()})

    async def _renew(self) -> None:
        path = f"{LEASES}/{self._place.node}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._place.node, "leaseDurationSeconds": 40, "renewTime": now}
        try:
            await self._api.patch(path, {"spec": spec})
        except ApiError as error:
            if error.status != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._place.node, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            await self._api.create(LEASES, lease)

    def _status(self) -> Json:
        cores, memory = os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        capacity = {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": "110"}
        return {
            "addresses": [
                {"type": "InternalIP", "address": self._place.address},
                {"type": "Hostname", "address": self._place.node},
            ],
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": self._conditions(),
            "nodeInfo": {
                "machineID": self._identity.system_uuid.replace("-", ""),
                "systemUUID": self._identity.system_uuid,
                "bootID": self._identity.boot_id,
                "kernelVersion": platform.release(),
                "osImage": "Quorate lab",
                "containerRuntimeVersion": f"lab://{__version__}",
                "kubeletVersion": "v1.34.4",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": _architecture(),
            },
        }

    def _conditions(self) -> list[Json]:
        ready = (
            ("False", "KubeletNotReady", "node is shutting down")
            if self.shutting_down
            else ("True", "KubeletReady", "kubelet is posting ready status")
        )
        enough = {
            "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        }
        found = []
        now = timestamp()
        for kind, (status, reason, message) in {**enough, "Ready": ready}.items():
            since = self._since.setdefault(f"{kind}={status}", now)
            times = {"lastHeartbeatTime": now, "lastTransitionTime": since}
            found.append({"type": kind, "status": status, "reason": reason, "message": message, **times})
        return found


def _architecture() -> str:
    """Go's name of this machine's architecture."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)

"""Nodes that are only told of: one process that plays the agents and kubelets of many, for a manager that cannot tell.

    python -m tests.bench.crowd --kubeconfig FILE --nodes N

It makes the Kubernetes nodes, renews each Lease as its agent would (armed when it is asked to be), and reports of every
guest's Pod that it runs as soon as it is bound. Nothing runs: what is measured here is the manager.
"""

import argparse
import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quorate.agent.orders import UNTIL_TOLD, parse
from quorate.api import attestation
from quorate.core.selffence import Orders
from quorate.core.types import AGENT_NAMESPACE, ATTESTATION_ANNOTATION, GUEST_LABEL, PROTOCOL, Uid, WatchdogKind
from quorate.core.world import Attestation
from quorate.kube.resources import KUBE_NODES, LEASES, NODES, PODS
from quorate.lab.apiclient import SYNC, UNREACHABLE, Api, ApiError, follow, read_kubeconfig

Json = dict[str, Any]
PARALLEL = 6


class Machine:
    """One node: its orders, as the manager gives them, and its Lease."""

    def __init__(self, api: Api, name: str, number: int) -> None:
        self.api = api
        self.name = name
        self.nonce = f"{number:012x}.{number:08x}"
        self.orders = Orders()
        self.sequence = 0
        self._lease: Json | None = None

    async def beat(self, first_s: float) -> None:
        """Renew for ever. `first_s`: not all of them at the same moment."""
        await asyncio.sleep(first_s)
        while True:
            began_s = time.monotonic()
            timing = self.orders.timing or UNTIL_TOLD
            try:
                await self._renew()
            except (ApiError, *UNREACHABLE):
                self._lease = None
            pause_s = timing.renew_s if self._lease is not None and self.orders.timing is not None else 0.5
            await asyncio.sleep(max(0.05, pause_s - (time.monotonic() - began_s)))

    async def _renew(self) -> None:
        path = LEASES.path(self.name, AGENT_NAMESPACE)
        found = self._lease if self._lease is not None else await self.api.get(path)
        self._lease = None
        self.sequence += 1
        said = self._attest(Uid(found["metadata"]["uid"]))
        # A merge patch with the version is the same compare-and-swap as the agent's PUT.
        body = {
            "metadata": {
                "resourceVersion": found["metadata"]["resourceVersion"],
                "annotations": {ATTESTATION_ANNOTATION: attestation.encode(said)},
            },
            "spec": {
                "holderIdentity": self.nonce,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "leaseDurationSeconds": 20,
            },
        }
        self._lease = await self.api.patch(path, body)

    def _attest(self, lease_uid: Uid) -> Attestation:
        timing = self.orders.timing or UNTIL_TOLD
        return Attestation(
            lease_uid=lease_uid,
            sequence=self.sequence,
            armed=self.orders.armed,
            watchdog=WatchdogKind.EXTERNAL,
            watchdog_s=timing.watchdog_s,
            timeout_s=timing.timeout_s,
            uptime_s=float(self.sequence),
            system_uuid=f"machine-{self.name}",
            protocol=PROTOCOL,
            generation=self.orders.generation,
            highest_term=self.orders.highest_term,
            highest_sequence=self.sequence,
        )


class Crowd:
    """All of them."""

    def __init__(self, api: Api, count: int) -> None:
        self.api = api
        self.machines = {f"n{number:02}": Machine(api, f"n{number:02}", number) for number in range(1, count + 1)}
        self._reported: set[str] = set()
        self._bound: asyncio.Queue[Json] = asyncio.Queue()

    async def run(self) -> None:
        """Until cancelled."""
        for name in self.machines:
            await self._join(name)
        apart_s = 2.0 / len(self.machines)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._obey())
            tasks.create_task(self._look())
            for _ in range(PARALLEL):
                tasks.create_task(self._report())
            for index, machine in enumerate(self.machines.values()):
                tasks.create_task(machine.beat(index * apart_s))

    async def _join(self, name: str) -> None:
        await self.api.create(KUBE_NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
        await self.api.patch(KUBE_NODES.path(name, subresource="status"), {"status": {"conditions": [ready]}})

    async def _obey(self) -> None:
        """What the manager asks of each node."""
        async for kind, found in follow(self.api, NODES.path()):
            for one in found["items"] if kind == SYNC else [found]:
                self.machines[one["metadata"]["name"]].orders = parse(one)

    async def _look(self) -> None:
        async for kind, found in follow(self.api, PODS.path(), labelSelector=GUEST_LABEL):
            for pod in found["items"] if kind == SYNC else [found]:
                uid = pod["metadata"]["uid"]
                if kind != "DELETED" and pod["spec"].get("nodeName") and uid not in self._reported:
                    self._reported.add(uid)
                    self._bound.put_nowait(pod)

    async def _report(self) -> None:
        while True:
            pod = await self._bound.get()
            metadata = pod["metadata"]
            path = PODS.path(metadata["name"], metadata["namespace"], "status")
            try:
                await self.api.patch(path, {"status": running(pod)})
            except (ApiError, *UNREACHABLE):
                self._reported.discard(metadata["uid"])
                with suppress(ApiError, *UNREACHABLE):
                    self._bound.put_nowait(await self.api.get(PODS.path(metadata["name"], metadata["namespace"])))


def running(pod: Json) -> Json:
    """The status that a kubelet gives a Pod whose containers have started, its gate having let it go on."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def status(name: str, state: Json, *, ready: bool) -> Json:
        return {
            "name": name,
            "image": "bench",
            "imageID": "bench",
            "containerID": f"bench://{pod['metadata']['uid']}-{name}",
            "restartCount": 0,
            "ready": ready,
            "started": ready,
            "state": state,
        }

    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": [{"type": kind, "status": "True"} for kind in ("Initialized", "Ready", "ContainersReady")],
        "initContainerStatuses": [
            status(one["name"], ended, ready=True) for one in pod["spec"].get("initContainers") or []
        ],
        "containerStatuses": [
            status(one["name"], {"running": {"startedAt": now}}, ready=True) for one in pod["spec"]["containers"]
        ],
    }


async def _run(kubeconfig: Path, count: int) -> None:
    api = Api(read_kubeconfig(kubeconfig))
    try:
        await Crowd(api, count).run()
    finally:
        await api.close()


def main() -> None:
    """Play until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_run(given.kubeconfig, given.nodes))


if __name__ == "__main__":
    main()

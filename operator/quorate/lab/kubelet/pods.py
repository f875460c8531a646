"""All pods bound to this node: follows the API server's list and gives each pod its worker."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from quorate.lab.apiclient import SYNC, follow
from quorate.lab.kubelet.decide import Json
from quorate.lab.kubelet.spec import is_launcher
from quorate.lab.kubelet.worker import Host, PodWorker

_DRAIN_REPORT_S: Final = 3.0
"""How long a shutdown waits for the API server to hear of the guests' end."""
_log = logging.getLogger(__name__)


class Pods:
    """The workers, by uid. What ran here before this kubelet started is adopted, or ended when nobody knows it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._shutting_down = False
        host.link.changed = self._changed

    async def run(self) -> None:
        """For ever."""
        selector = f"spec.nodeName={self._host.place.node}"
        async for kind, found in follow(self._host.api, "/api/v1/pods", fieldSelector=selector):
            if kind == SYNC:
                self._synced(found.get("items") or [])
            elif kind == "DELETED":
                self._vanished(found["metadata"]["uid"])
            else:
                self._seen(found)

    def launchers(self) -> list[Json]:
        """Of virtual machines, those that the API server knows."""
        pods = [one.pod for one in self._workers.values()]
        return [pod for pod in pods if is_launcher(pod)]

    async def shut_down(self) -> None:
        """Stop every pod, each within its grace period, and tell the API server if it can be reached."""
        self._shutting_down = True
        for worker in self._workers.values():
            worker.shut_down()
        workers = list(self._workers.values())
        await asyncio.gather(*(worker.ended.wait() for worker in workers))
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_REPORT_S):
                await asyncio.gather(*(worker.drained() for worker in workers))

    def _synced(self, pods: list[Json]) -> None:
        for pod in pods:
            self._seen(pod)
        listed = {pod["metadata"]["uid"] for pod in pods}
        for uid in set(self._workers) - listed:
            self._vanished(uid)
        for uid in {*self._host.link.known(), *self._host.link.remembered()} - listed - set(self._workers):
            self._adopt_orphan(uid)

    def _seen(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
        elif not (pod["metadata"].get("deletionTimestamp") and self._shutting_down):
            self._begin(PodWorker(self._host, pod))

    def _vanished(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanish()

    def _adopt_orphan(self, uid: str) -> None:
        """Containers of a pod that the API server no longer knows: they end, and with them all that is left of it."""
        _log.warning("pod %s: not known to the API server any more, its containers are stopped", uid)
        orphan = PodWorker(self._host, {"metadata": {"uid": uid, "namespace": "", "name": uid}, "spec": {}})
        orphan.vanish()
        self._begin(orphan)

    def _begin(self, worker: PodWorker) -> None:
        self._workers[worker.uid] = worker
        task = asyncio.get_running_loop().create_task(worker.run())
        self._tasks[worker.uid] = task
        task.add_done_callback(lambda _: self._ended(worker.uid))
        if self._shutting_down:
            worker.shut_down()

    def _ended(self, uid: str) -> None:
        del self._workers[uid], self._tasks[uid]

    def _changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.look()

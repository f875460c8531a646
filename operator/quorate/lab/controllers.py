"""The lab's StatefulSet controller, scheduler and attach-detach controller: what `sim/controllers.py` says, over HTTP.

The embedded API server has no controllers, and the real one of a lab runs without kube-controller-manager. Nothing is asked
while there is no StatefulSet.
"""

import asyncio
import logging
from typing import Final

from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, Json, describe
from quorate.sim.controllers import Seen, Step, steps

LOOKS_EVERY_S: Final = 0.25
IDLE_S: Final = 1.0
SETS: Final = "/apis/apps/v1/statefulsets"
ATTACHMENTS: Final = "/apis/storage.k8s.io/v1/volumeattachments"
_log = logging.getLogger(__name__)


async def run_controllers(api: Api) -> None:
    """For ever: one look, what it asks for, and the next look."""
    while True:
        pause_s = IDLE_S
        try:
            sets = await _list(api, SETS)
            if sets:
                pause_s = LOOKS_EVERY_S
                for step in steps(await _look(api, sets)):
                    await _take(api, step)
        except (ApiError, *UNREACHABLE) as error:
            _log.warning("workloads: %s", describe(error))
        await asyncio.sleep(pause_s)


async def _look(api: Api, sets: list[Json]) -> Seen:
    return Seen(
        sets=sets,
        pods=await _list(api, "/api/v1/pods"),
        nodes=await _list(api, "/api/v1/nodes"),
        claims=await _list(api, "/api/v1/persistentvolumeclaims"),
        attachments=await _list(api, ATTACHMENTS),
    )


async def _list(api: Api, path: str) -> list[Json]:
    items: list[Json] = (await api.get(path)).get("items") or []
    return items


async def _take(api: Api, step: Step) -> None:
    """One step. What somebody else has done meanwhile is looked at again; nothing is deleted but what was seen."""
    try:
        if step.verb == "create":
            await api.create(_collection(step), step.body)
        elif step.verb == "attach":
            await api.patch(f"{_collection(step)}/{step.name}/status", {"status": {"attached": True}})
        else:
            held = {"preconditions": {"uid": step.body["metadata"]["uid"]}}
            await api.delete(f"{_collection(step)}/{step.name}", held)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise


def _collection(step: Step) -> str:
    if step.kind == "VolumeAttachment":
        return ATTACHMENTS
    plural = {"Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims"}[step.kind]
    return f"/api/v1/namespaces/{step.namespace}/{plural}"

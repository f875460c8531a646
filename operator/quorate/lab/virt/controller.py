"""virt-controller and the scheduler of its Pods: what `sim/virt_controller.py` says, over HTTP.

Nothing is asked while there is no VirtualMachine, and where KubeVirt's kinds are not served it waits for them.
"""

import asyncio
import logging
import sys
from typing import Final

from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, Json, describe
from quorate.lab.runtime import timestamp
from quorate.sim.virt_controller import Seen, steps
from quorate.sim.virt_objects import INSTANCE, MACHINE, MIGRATION, Step

LOOKS_EVERY_S: Final = 0.2
IDLE_S: Final = 1.0
KUBEVIRT: Final = "/apis/kubevirt.io/v1"
PLURALS: Final = {
    MACHINE: "virtualmachines",
    INSTANCE: "virtualmachineinstances",
    MIGRATION: "virtualmachineinstancemigrations",
}
LAUNCHER: Final = (sys.executable, "-m", "quorate.lab.virt.launcher")
_log = logging.getLogger(__name__)


async def run_virt_controller(api: Api) -> None:
    """For ever: one look, what it asks for, and the next look."""
    while True:
        pause_s = IDLE_S
        try:
            seen = await _look(api)
            if seen is not None:
                pause_s = LOOKS_EVERY_S
                for step in steps(seen):
                    await _take(api, step)
        except (ApiError, *UNREACHABLE) as error:
            _log.warning("virtual machines: %s", describe(error))
        except Exception:  # noqa: BLE001 an object that this cannot read must not end it for all others
            _log.exception("virtual machines")
        await asyncio.sleep(pause_s)


async def _look(api: Api) -> Seen | None:
    """Everything of them; None where there is nothing, or KubeVirt is not installed."""
    try:
        machines, instances, migrations = [await _list(api, f"{KUBEVIRT}/{plural}") for plural in PLURALS.values()]
    except ApiError as error:
        if error.status in {404, 429}:
            return None
        raise
    if not machines and not instances and not migrations:
        return None
    pods, nodes = await _list(api, "/api/v1/pods"), await _list(api, "/api/v1/nodes")
    return Seen(machines, instances, migrations, pods, nodes, timestamp(), LAUNCHER)


async def _list(api: Api, path: str) -> list[Json]:
    items: list[Json] = (await api.get(path)).get("items") or []
    return items


async def _take(api: Api, step: Step) -> None:
    """One step. What somebody else has done meanwhile is looked at again; nothing is deleted but what was seen."""
    path = f"{_collection(step)}/{step.name}"
    try:
        if step.verb == "create":
            await api.create(_collection(step), step.body)
        elif step.verb == "bind":
            await api.post(f"{path}/binding", step.body)
        elif step.verb == "delete":
            await api.delete(path, {"preconditions": {"uid": step.body["metadata"]["uid"]}})
        else:
            await api.patch(f"{path}/status" if step.verb == "status" else path, step.body)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise


def _collection(step: Step) -> str:
    if step.kind == "Pod":
        return f"/api/v1/namespaces/{step.namespace}/pods"
    return f"{KUBEVIRT}/namespaces/{step.namespace}/{PLURALS[step.kind]}"

"""virt-handler: what happens to virtual machines on one node. It orders launchers about, and says how instances are.

A part of the node's kubelet here: it ends, is frozen and is cut off with its node. From `Scheduled` on an instance's phase
is its word. Whoever of source and target hears first that a guest has moved says so.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, Json, describe
from quorate.lab.errors import LabError
from quorate.lab.kubelet.spec import Place, root_of
from quorate.lab.runtime import timestamp
from quorate.lab.virt.orders import (
    ENDED,
    MIGRATION_ANNOTATION,
    MOVED,
    RUNNING,
    START_ANNOTATION,
    STOP_ANNOTATION,
    Migration,
    Orders,
    Report,
    orders_in,
    read_orders,
    read_report,
    report_in,
    write,
)
from quorate.sim.virt_objects import (
    CREATED_BY_LABEL,
    NODE_LABEL,
    is_down,
    status_of,
    with_condition,
)

LOOKS_EVERY_S: Final = 0.2
_QEMU_PORT: Final = 49152
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher on this node and what it says; None of an earlier boot, or before it has said anything."""

    pod: Json
    report: Report | None

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def state(self) -> str:
        return self.report.state if self.report is not None else ""


class Handler:
    """The handler of one node. `launchers`: the launcher Pods that its kubelet knows."""

    def __init__(self, api: Api, place: Place, boot: int, launchers: Callable[[], list[Json]]) -> None:
        self._api, self._place, self._boot, self._launchers = api, place, str(boot), launchers

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            by_instance: dict[tuple[str, str, str], list[Launcher]] = {}
            for pod in self._launchers():
                owner = _owner(pod)
                if owner:
                    where = (pod["metadata"]["namespace"], owner, pod["metadata"]["labels"][CREATED_BY_LABEL])
                    by_instance.setdefault(where, []).append(Launcher(pod, self._report(pod)))
            for (namespace, name, uid), found in by_instance.items():
                try:
                    await self._look(namespace, name, uid, found)
                except (LabError, *UNREACHABLE) as error:
                    if not isinstance(error, ApiError) or error.status not in {404, 409}:
                        _log.warning("machine %s/%s: %s", namespace, name, describe(error))
                except Exception:  # noqa: BLE001 a machine that this cannot handle must not stop those it can
                    _log.exception("machine %s/%s", namespace, name)

    def _report(self, pod: Json) -> Report | None:
        found = read_report(report_in(root_of(pod, pod["spec"]["containers"][0], self._place)))
        return found if found is not None and found.boot == self._boot else None

    def _order(self, launcher: Launcher, **wishes: Any) -> None:
        path = orders_in(root_of(launcher.pod, launcher.pod["spec"]["containers"][0], self._place))
        before = read_orders(path)
        after: Orders = replace(before, **wishes)
        if after != before:
            write(path, after)

    async def _look(self, namespace: str, name: str, uid: str, here: list[Launcher]) -> None:
        path = f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}"
        instance = await self._api.get(path)
        phase = status_of(instance).get("phase")
        if instance["metadata"]["uid"] != uid or phase not in {"Scheduled", "Running"}:
            return
        changes = await self._as_target(instance, here)
        if not changes and status_of(instance).get("nodeName") == self._place.node:
            changes = await self._as_source(instance, here)
        if changes:
            labels = changes.pop("labels", None)
            metadata = {
                "resourceVersion": instance["metadata"]["resourceVersion"],
                **({"labels": labels} if labels else {}),
            }
            await self._api.patch(path, {"metadata": metadata, "status": changes})

    # -- where it runs ----------------------------------------------------------------------------------------------

    async def _as_source(self, instance: Json, here: list[Launcher]) -> Json:
        """What is to be said of the instance that is this node's."""
        state: Json = status_of(instance).get("migrationState") or {}
        moves = bool(state) and not state.get("completed")
        mine = [one for one in here if not (moves and one.name == state.get("targetPod"))]
        if not mine:
            return {}
        launcher, going = _present(mine), bool(instance["metadata"].get("deletionTimestamp"))
        if going:
            wishes = await self._misbehaviour(instance)
            self._order(launcher, stop=wishes.get(STOP_ANNOTATION) != "hangs")
        if launcher.state == ENDED and launcher.report is not None:
            return {"phase": "Failed" if launcher.report.exit_code else "Succeeded"}
        begins = status_of(instance)["phase"] == "Scheduled"
        if (is_down(launcher.pod) and launcher.state != MOVED) or (launcher.report is None and not begins):
            return {"phase": "Failed"}  # of an earlier boot, or gone without a word: the domain is lost
        if begins:
            return await self._started(instance, launcher, going=going)
        return await self._migrated(state, launcher, instance) if moves else {}

    async def _started(self, instance: Json, launcher: Launcher, *, going: bool) -> Json:
        if launcher.state == RUNNING:
            migratable = await self._migratable(instance)
            return {"phase": "Running", "conditions": with_condition(instance, migratable)}
        if not going:
            wishes = await self._misbehaviour(instance)
            start, stops = wishes.get(START_ANNOTATION, ""), wishes.get(STOP_ANNOTATION, "")
            if start != "hangs":
                self._order(launcher, start=True, how=start, stops=stops)
        return {}

    async def _migratable(self, instance: Json) -> Json:
        """Can it be migrated? Its disks must be reachable from both nodes at once, and it has no device of its own."""
        found: Json = {"type": "LiveMigratable", "status": "True"}
        devices = instance["spec"]["domain"].get("devices") or {}
        if devices.get("hostDevices") or devices.get("gpus"):
            said = "VMI uses a PCI host devices"
            return {**found, "status": "False", "reason": "HostDeviceNotLiveMigratable", "message": said}
        for volume in instance["spec"].get("volumes") or ():
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim and "ReadWriteMany" not in await self._modes(instance, claim):
                said = f"cannot migrate VMI: PVC {claim} is not shared, live migration requires that all PVCs must be "
                said += "shared (using ReadWriteMany access mode)"
                return {**found, "status": "False", "reason": "DisksNotLiveMigratable", "message": said}
        return found

    async def _modes(self, instance: Json, claim: str) -> list[str]:
        namespace = instance["metadata"]["namespace"]
        found = await self._api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
        return list(found["spec"].get("accessModes") or ())

    async def _misbehaviour(self, instance: Json) -> dict[str, str]:
        """The annotations of its VirtualMachine."""
        meta = instance["metadata"]
        try:
            path = f"/apis/kubevirt.io/v1/namespaces/{meta['namespace']}/virtualmachines/{meta['name']}"
            found: dict[str, str] = (await self._api.get(path))["metadata"].get("annotations") or {}
        except ApiError as error:
            if error.status != 404:
                raise
            return {}
        return found

    # -- a migration ------------------------------------------------------------------------------------------------

    async def _migrated(self, state: Json, launcher: Launcher, instance: Json) -> Json:
        """The source's part of one that goes on."""
        uid, report = state["migrationUid"], launcher.report
        if state.get("sourceNode") != self._place.node or report is None:
            return {}
        if launcher.state == MOVED:
            return _moved(state, instance)
        if state.get("abortRequested"):
            self._order(launcher, abort=uid)
            if report.migration != uid:
                return _lost("migration was aborted before it began", aborted=True)
        if report.migration == uid and report.failure:
            return _lost(report.failure, aborted=bool(state.get("abortRequested")))
        port = next(iter(state.get("targetDirectMigrationNodePorts") or ()), "")
        if not state.get("targetNodeAddress") or not port:
            return {}
        if report.migration != uid:
            how = (await self._misbehaviour(instance)).get(MIGRATION_ANNOTATION, "")
            takes_s = float(how) if how.replace(".", "", 1).isdigit() else 1.0
            how = how if how in {"fails", "hangs", "dies"} else ""
            migration = Migration(uid, state["targetNodeAddress"], int(port), takes_s, how)
            self._order(launcher, migration=migration)
            return {}
        return {} if state.get("startTimestamp") else {"migrationState": {"startTimestamp": timestamp()}}

    async def _as_target(self, instance: Json, here: list[Launcher]) -> Json:
        state: Json = status_of(instance).get("migrationState") or {}
        launcher = next((one for one in here if one.name == state.get("targetPod")), None)
        if launcher is None or state.get("targetNode") != self._place.node or state.get("completed"):
            return {}
        self._order(launcher, incoming=state["migrationUid"])
        if launcher.state == RUNNING:
            return _moved(state, instance)
        if launcher.report is None or not launcher.report.port or state.get("targetNodeAddress"):
            return {}
        ports = {str(launcher.report.port): _QEMU_PORT}
        told = {"targetNodeAddress": self._place.address, "targetDirectMigrationNodePorts": ports}
        return {"migrationState": {**told, "targetNodeDomainDetected": True}}


def _present(launchers: list[Launcher]) -> Launcher:
    """The one that counts: of several on this node those that have ended, or moved, are of the past."""
    return max(
        launchers,
        key=lambda one: (one.state not in {MOVED, ENDED}, one.pod["metadata"].get("creationTimestamp") or ""),
    )


def _owner(pod: Json) -> str:
    """The name of the launcher's instance."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(one["name"]) for one in owners if one.get("kind") == "VirtualMachineInstance"), "")


def _moved(state: Json, instance: Json) -> Json:
    """It runs on the target now."""
    now, node = timestamp(), state["targetNode"]
    told = {"completed": True, "endTimestamp": now, "targetNodeDomainReadyTimestamp": now}
    begun = {} if state.get("startTimestamp") else {"startTimestamp": now}
    labels = {**(instance["metadata"].get("labels") or {}), NODE_LABEL: node}
    return {"nodeName": node, "migrationState": {**told, **begun}, "labels": labels}


def _lost(why: str, *, aborted: bool) -> Json:
    """It stays where it is."""
    told = {"completed": True, "failed": True, "failureReason": why, "endTimestamp": timestamp()}
    return {"migrationState": {**told, **({"abortStatus": "Succeeded"} if aborted else {})}}

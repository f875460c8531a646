"""Deeds on virtual machines: the run strategy, and the binding of a launcher. Each is safe to repeat.

Every change of a machine is one merge patch of the version that was judged: whoever else changes it is seen first.
"""

from typing import Any, Final

from quorate.core.actions import (
    BeginMigration,
    BindLauncher,
    EndMigration,
    HaltMachine,
    MachineAction,
    ReturnMachine,
    RunMachine,
    TakeMachine,
)
from quorate.core.machines import HALTED, KEPT_ANNOTATION, ONCE, RUNNING_WORD, SCHEDULER, SCHEDULER_ANNOTATION
from quorate.core.types import GUEST_LABEL, INSTANCE_ANNOTATION, NODE_ANNOTATION, NONCE_ANNOTATION
from quorate.core.world import Refusal
from quorate.kube.calls import Calls, Conflict, NotFound, Permanent
from quorate.kube.machines import strategy_of
from quorate.kube.resources import MACHINES, MIGRATIONS, PODS
from quorate.kube.store import Store
from quorate.kube.workloads import WORKLOAD_PODS

Json = dict[str, Any]
_PREPARED: Final = (INSTANCE_ANNOTATION, NODE_ANNOTATION, NONCE_ANNOTATION)


class MachineDeeds:
    """What the actions on virtual machines mean in API calls."""

    def __init__(self, api: Calls, store: Store) -> None:
        self.api = api
        self.store = store

    async def carry_out(self, action: MachineAction | BindLauncher | BeginMigration | EndMigration) -> None:
        """Any of them. Raises ApiError."""
        match action:
            case RunMachine():
                await self.run(action)
            case TakeMachine():
                await self.take(action)
            case HaltMachine():
                await self.halt(action)
            case ReturnMachine():
                await self.give_back(action)
            case BindLauncher():
                await self.bind(action)
            case BeginMigration():
                await self.migrate(action)
            case EndMigration():
                await self.end_migration(action)

    async def run(self, action: RunMachine) -> None:
        """Started once, as the instance that is recorded; KubeVirt copies the annotations to the launcher."""
        values = (action.instance.id, action.instance.node, action.instance.nonce)
        prepared = dict(zip(_PREPARED, map(str, values), strict=True))
        await self._take(action, ONCE, prepared)

    async def take(self, action: TakeMachine) -> None:
        """It runs on: only KubeVirt's own restarts end, and launchers to come wait for us."""
        await self._take(action, ONCE, {})

    async def halt(self, action: HaltMachine) -> None:
        await self._take(action, HALTED, {})

    async def _take(self, action: MachineAction, strategy: str, prepared: Json) -> None:
        """What it had before is kept at the first time."""
        path = MACHINES.path(action.name, action.guest.namespace)
        raw = await self._judged(action, path)
        spec, annotations = raw.get("spec") or {}, raw["metadata"].get("annotations") or {}
        template: Json = {"spec": {"schedulerName": SCHEDULER}}
        if prepared:
            template["metadata"] = {"annotations": prepared}
        kept: Json = {}
        if KEPT_ANNOTATION not in annotations:
            before = ((spec.get("template") or {}).get("spec") or {}).get("schedulerName")
            kept = {KEPT_ANNOTATION: strategy_of(spec), SCHEDULER_ANNOTATION: before}
        patch = {"spec": {"running": None, "runStrategy": strategy, "template": template}}
        await self._merge(action, path, patch, kept)

    async def give_back(self, action: ReturnMachine) -> None:
        """Everything of ours is taken off it."""
        path = MACHINES.path(action.name, action.guest.namespace)
        raw = await self._judged(action, path)
        before = (raw["metadata"].get("annotations") or {}).get(SCHEDULER_ANNOTATION)
        template: Json = {"spec": {"schedulerName": before}, "metadata": {"annotations": dict.fromkeys(_PREPARED)}}
        spec: Json = {"running": None, "runStrategy": action.strategy, "template": template}
        if action.strategy.startswith(RUNNING_WORD):
            spec |= {"running": action.strategy == f"{RUNNING_WORD}true", "runStrategy": None}
        await self._merge(action, path, {"spec": spec}, {KEPT_ANNOTATION: None, SCHEDULER_ANNOTATION: None})

    async def _judged(self, action: MachineAction, path: str) -> Json:
        """The machine, if it is still the version that was judged."""
        try:
            raw = await self.api.get(path)
        except NotFound:
            self.store.workloads.gone(MACHINES, (action.guest.namespace, action.name), action.uid)
            raise
        self.store.workloads.put(MACHINES, raw)
        metadata = raw["metadata"]
        if (metadata.get("uid"), metadata.get("resourceVersion")) != (action.uid, action.resource_version):
            raise Conflict(f"GET {path}", 409, "Conflict", "the machine has changed since it was judged")
        return raw

    async def _merge(self, action: MachineAction, path: str, patch: Json, annotations: Json) -> None:
        metadata: Json = {"uid": action.uid, "resourceVersion": action.resource_version}
        if annotations:
            metadata["annotations"] = annotations
        try:
            self.store.workloads.put(MACHINES, await self.api.merge(path, patch | {"metadata": metadata}))
        except Conflict:
            self.store.workloads.put(MACHINES, await self.api.get(path))
            raise

    async def bind(self, action: BindLauncher) -> None:
        """The API server binds exactly that Pod, unless it has a node or is being deleted."""
        path = PODS.path(action.pod, action.guest.namespace)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": action.pod, "namespace": action.guest.namespace, "uid": action.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": action.node},
        }
        try:
            await self.api.create(f"{path}/binding", body)
        except (Conflict, NotFound):
            await self._look(action, path)
            raise
        await self._look(action, path)

    async def migrate(self, action: BeginMigration) -> None:
        """One object of that name: made twice, it is the one that is there."""
        path = MIGRATIONS.path(namespace=action.guest.namespace)
        metadata = {
            "name": action.name,
            "namespace": action.guest.namespace,
            "labels": {GUEST_LABEL: action.guest.name},
        }
        body = {
            "apiVersion": MIGRATIONS.api_version,
            "kind": MIGRATIONS.kind,
            "metadata": metadata,
            "spec": {"vmiName": action.machine},
        }
        try:
            made = await self.api.create(path, body)
        except Conflict:
            made = await self.api.get(f"{path}/{action.name}")
        except Permanent as error:
            self.store.refuse(Refusal(action.migration, permanent=True, message=error.words))
            return
        self.store.workloads.put(MIGRATIONS, made)

    async def end_migration(self, action: EndMigration) -> None:
        """KubeVirt calls it off, if it still can."""
        path = MIGRATIONS.path(action.name, action.guest.namespace)
        try:
            raw = await self.api.delete(path, uid=action.uid)
        except NotFound:
            raw = {"kind": "Status"}
        if raw.get("kind") == "Status" or not raw["metadata"].get("finalizers"):
            self.store.workloads.gone(MIGRATIONS, (action.guest.namespace, action.name), action.uid)
        else:
            self.store.workloads.put(MIGRATIONS, raw)

    async def _look(self, action: BindLauncher, path: str) -> None:
        try:
            self.store.workloads.put(WORKLOAD_PODS, await self.api.get(path))
        except NotFound:
            self.store.workloads.gone(WORKLOAD_PODS, (action.guest.namespace, action.pod), action.uid)

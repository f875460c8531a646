"""A stand-in for KubeVirt's virt-controller, and for the scheduler of its Pods, as pure functions.

As read in KubeVirt 1.5 (pkg/virt-controller): a VirtualMachine has an instance by its run strategy, an instance gets one
launcher Pod and never a second one but as the target of a migration, and it goes once all its launchers' objects are gone.
What happens on nodes (virt-handler) is not here. The lab carries out what is said here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.sim.controllers import place
from quorate.sim.virt_objects import (
    CREATED_BY_LABEL,
    DEFAULT_SCHEDULER,
    FINAL,
    INSTANCE,
    INSTANCE_FINALIZER,
    MACHINE,
    MACHINE_FINALIZER,
    MIGRATION,
    MIGRATION_FINALIZER,
    MIGRATION_LABEL,
    NEW,
    NODE_LABEL,
    TARGET_LABEL,
    Json,
    Step,
    binding,
    condition,
    current,
    delete,
    differs,
    instance_of,
    is_down,
    is_ready,
    launcher,
    launcher_name,
    launchers,
    patch,
    place_of,
    run_strategy,
    status_of,
    with_condition,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """All objects that are looked at; `now` is RFC 3339, `command` what a launcher's container runs."""

    machines: Sequence[Json]
    instances: Sequence[Json]
    migrations: Sequence[Json]
    pods: Sequence[Json]
    nodes: Sequence[Json]
    now: str
    command: Sequence[str] = ()


def steps(seen: Seen) -> list[Step]:
    """What is to be done now; it is asked again after that."""
    instances = {place_of(one): one for one in seen.instances}
    found: list[Step] = []
    for machine in seen.machines:
        found.extend(_machine(machine, instances.get(place_of(machine))))
    for instance in seen.instances:
        found.extend(_instance(instance, launchers(instance, seen.pods), seen))
    for migration in seen.migrations:
        where = (migration["metadata"]["namespace"], migration["spec"].get("vmiName", ""))
        found.extend(_migration(migration, instances.get(where), seen))
    return [*found, *_schedule(seen)]


# -- a machine ----------------------------------------------------------------------------------------------------------


def _machine(machine: Json, instance: Json | None) -> Iterator[Step]:
    meta, finalizers = machine["metadata"], machine["metadata"].get("finalizers") or []
    if meta.get("deletionTimestamp"):
        if instance is not None:
            yield from delete(INSTANCE, instance)
        elif MACHINE_FINALIZER in finalizers:
            yield patch(MACHINE, machine, finalizers=[one for one in finalizers if one != MACHINE_FINALIZER])
        return
    if MACHINE_FINALIZER not in finalizers:
        yield patch(MACHINE, machine, finalizers=[*finalizers, MACHINE_FINALIZER])
        return
    strategy, asked = run_strategy(machine), status_of(machine).get("stateChangeRequests") or []
    over = status_of(instance).get("phase") in FINAL
    if instance is None:
        if _starts(machine, strategy, started=any(one.get("action") == "Start" for one in asked)):
            yield Step("create", INSTANCE, meta["namespace"], meta["name"], instance_of(machine))
            asked = []
    elif strategy == "Halted" or (over and strategy in {"Always", "RerunOnFailure"}):
        yield from delete(INSTANCE, instance)
        if strategy == "RerunOnFailure" and status_of(instance).get("phase") == "Failed":
            asked = [{"action": "Start"}]
    status = {
        "printableStatus": _printable(machine, instance),
        "created": instance is not None and not over,
        "ready": (condition(instance, "Ready") or {}).get("status") == "True",
        "runStrategy": strategy,
        "stateChangeRequests": asked,
    }
    if differs(status, status_of(machine)):
        yield patch(MACHINE, machine, verb="status", status={**status, "stateChangeRequests": asked or None})


def _starts(machine: Json, strategy: str, *, started: bool) -> bool:
    if strategy == "RerunOnFailure":
        return started or status_of(machine).get("runStrategy") != strategy
    return strategy in {"Always", "Once"} or (strategy == "Manual" and started)


def _printable(machine: Json, instance: Json | None) -> str:
    status = status_of(instance)
    moves = status.get("migrationState") or {}
    if machine["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if instance is None or status.get("phase") in FINAL:
        return "Stopped"
    if instance["metadata"].get("deletionTimestamp"):
        return "Stopping"
    if moves.get("startTimestamp") and not moves.get("endTimestamp"):
        return "Migrating"
    return "Running" if status.get("phase") == "Running" else "Starting"


# -- an instance --------------------------------------------------------------------------------------------------------


def _instance(instance: Json, pods: Sequence[Json], seen: Seen) -> Iterator[Step]:
    meta, status, pod = instance["metadata"], status_of(instance), current(instance, pods)
    phase, going = status.get("phase") or "", bool(meta.get("deletionTimestamp"))
    if going:
        for one in pods:
            yield from delete("Pod", one)
    if phase in FINAL:
        finalizers = meta.get("finalizers") or []
        if not pods and INSTANCE_FINALIZER in finalizers:
            yield patch(INSTANCE, instance, finalizers=[one for one in finalizers if one != INSTANCE_FINALIZER])
        return
    if phase in NEW and pod is None and not going and not _moves(instance, seen.migrations):
        yield Step("create", "Pod", meta["namespace"], launcher_name(instance, ""), launcher(instance, seen.command))
    changed: Json = {"activePods": {one["metadata"]["uid"]: one["spec"].get("nodeName") or "" for one in pods}}
    changed["conditions"] = with_condition(instance, _ready(instance, pod))
    wanted = _phase(phase, pod, going=going)
    labels: Json = {}
    if wanted == "Scheduled" and phase != wanted and pod is not None:
        changed |= {"nodeName": pod["spec"]["nodeName"], "migrationTransport": "Unix"}
        labels = {"labels": {NODE_LABEL: pod["spec"]["nodeName"]}}
    changed["phase"] = wanted
    if differs(changed, status):
        forgotten = dict.fromkeys(set(status.get("activePods") or {}) - set(changed["activePods"]))
        yield patch(
            INSTANCE, instance, status={**changed, "activePods": {**forgotten, **changed["activePods"]}}, **labels
        )


def _phase(phase: str, pod: Json | None, *, going: bool) -> str:
    """Where virt-controller takes it: to Scheduled. From there on it is virt-handler's, unless its launcher is gone."""
    if phase in NEW:
        return "Scheduling" if pod is not None else "Failed" if going else "Pending"
    if pod is None:
        return "Failed"
    if phase == "Scheduling":
        if is_down(pod) or pod["metadata"].get("deletionTimestamp"):
            return "Failed"
        return "Scheduled" if is_ready(pod) and not going else phase
    return phase


def _ready(instance: Json, pod: Json | None) -> Json:
    if pod is None:
        return {"type": "Ready", "status": "False", "reason": "PodNotExists"}
    if status_of(instance).get("phase") != "Running":
        return {"type": "Ready", "status": "False", "reason": "GuestNotRunning"}
    return {"type": "Ready", "status": "True" if is_ready(pod) else "False"}


def _moves(instance: Json, migrations: Sequence[Json]) -> list[Json]:
    """Its migrations that have not ended."""
    return [
        one
        for one in migrations
        if place_of(instance) == (one["metadata"]["namespace"], one["spec"].get("vmiName"))
        and status_of(one).get("phase") not in FINAL
    ]


# -- a migration --------------------------------------------------------------------------------------------------------


def _migration(migration: Json, instance: Json | None, seen: Seen) -> Iterator[Step]:
    meta, phase = migration["metadata"], status_of(migration).get("phase") or ""
    finalizers, going = meta.get("finalizers") or [], bool(meta.get("deletionTimestamp"))
    target = next((pod for pod in seen.pods if _of_migration(pod, meta["uid"])), None)
    if phase in FINAL:
        if phase == "Failed" and target is not None and not is_down(target):
            yield from delete("Pod", target)
        if MIGRATION_FINALIZER in finalizers:
            yield patch(MIGRATION, migration, finalizers=[one for one in finalizers if one != MIGRATION_FINALIZER])
    elif MIGRATION_FINALIZER not in finalizers and not going:
        labels = {**(meta.get("labels") or {}), "kubevirt.io/vmi-name": migration["spec"].get("vmiName", "")}
        yield patch(MIGRATION, migration, finalizers=[*finalizers, MIGRATION_FINALIZER], labels=labels)
    elif failed := _failure(migration, instance, target, seen):
        yield from _fail(migration, instance, failed, seen)
    elif going and not (_state(migration, instance) or {}).get("completed"):
        yield from _cancel(migration, instance, seen)
    elif instance is not None:
        yield from _go_on(migration, instance, target, seen)


def _fail(migration: Json, instance: Json | None, reason: str, seen: Seen) -> Iterator[Step]:
    state = _state(migration, instance)
    if instance is not None and state is not None and not state.get("completed"):
        ended = {"failed": True, "completed": True, "failureReason": reason, "endTimestamp": seen.now}
        yield patch(INSTANCE, instance, status={"migrationState": ended})
    yield _phased(migration, "Failed", instance, reason, seen)


def _cancel(migration: Json, instance: Json | None, seen: Seen) -> Iterator[Step]:
    """Before it is the nodes' it just fails; from then on the source is asked to give up, and says how that went."""
    state = _state(migration, instance)
    if instance is None or state is None:
        yield from _fail(migration, instance, "Migration failed due to being canceled", seen)
    elif not state.get("abortRequested"):
        yield patch(INSTANCE, instance, status={"migrationState": {"abortRequested": True}})


def _go_on(migration: Json, instance: Json, target: Json | None, seen: Seen) -> Iterator[Step]:
    phase, state = status_of(migration).get("phase") or "", _state(migration, instance)
    if phase == "Pending" and target is None:
        made = launcher(instance, seen.command, migration)
        yield Step("create", "Pod", made["metadata"]["namespace"], made["metadata"]["name"], made)
    if phase == "Scheduled" and state is None and target is not None:
        yield _handed_over(migration, instance, target, seen)
        return
    wanted = _next(phase, state or {}, target)
    if wanted != phase:
        yield _phased(migration, wanted, instance, "", seen)


def _of_migration(pod: Json, uid: str) -> bool:
    return (pod["metadata"].get("labels") or {}).get(MIGRATION_LABEL) == uid


def _state(migration: Json, instance: Json | None) -> Json | None:
    """What the instance says of this migration, once it was handed over to the nodes."""
    state: Json = status_of(instance).get("migrationState") or {}
    return state if state.get("migrationUid") == migration["metadata"]["uid"] else None


def _failure(migration: Json, instance: Json | None, target: Json | None, seen: Seen) -> str:
    phase, state = status_of(migration).get("phase") or "", _state(migration, instance)
    if instance is None:
        return "Migration failed because vmi does not exist."
    if state is not None and state.get("completed"):
        return str(state.get("failureReason") or "source node reported migration failed") if state.get("failed") else ""
    if status_of(instance).get("phase") in FINAL or instance["metadata"].get("deletionTimestamp"):
        return "Migration failed vmi shutdown during migration."
    if target is not None and (is_down(target) or target["metadata"].get("deletionTimestamp")):
        return "Migration failed because target pod shutdown during migration"
    if target is None and phase not in NEW:
        return "Migration target pod was removed during active migration."
    if not phase:
        others = [
            one for one in _moves(instance, seen.migrations) if one["metadata"]["uid"] != migration["metadata"]["uid"]
        ]
        if any(status_of(one).get("phase") for one in others):
            return "VMI is not eligible for migration because another migration job is in progress."
        if (condition(instance, "LiveMigratable") or {}).get("status") == "False":
            return "VMI is not eligible for migration because it is not live migratable."
    return ""


def _next(phase: str, state: Json, target: Json | None) -> str:
    if state.get("completed"):
        return "Succeeded"
    reached = {
        "": "Pending",
        "Pending": "Scheduling" if target is not None else phase,
        "Scheduling": "Scheduled" if target is not None and is_ready(target) else phase,
        "Scheduled": "PreparingTarget" if state.get("targetNode") else phase,
        "PreparingTarget": "TargetReady" if state.get("targetNodeAddress") else phase,
        "TargetReady": "Running" if state.get("startTimestamp") else phase,
    }
    return reached.get(phase, phase)


def _handed_over(migration: Json, instance: Json, target: Json, seen: Seen) -> Step:
    """From here on the nodes carry it out."""
    source = current(instance, launchers(instance, seen.pods)) or {"metadata": {"name": ""}}
    old: Mapping[str, Any] = status_of(instance).get("migrationState") or {}
    state = {
        "migrationUid": migration["metadata"]["uid"],
        "sourceNode": status_of(instance).get("nodeName", ""),
        "sourcePod": source["metadata"]["name"],
        "targetNode": target["spec"]["nodeName"],
        "targetPod": target["metadata"]["name"],
    }
    labels = {**(instance["metadata"].get("labels") or {}), TARGET_LABEL: target["spec"]["nodeName"]}
    return patch(INSTANCE, instance, status={"migrationState": {**dict.fromkeys(old), **state}}, labels=labels)


def _phased(migration: Json, phase: str, instance: Json | None, reason: str, seen: Seen) -> Step:
    passed = status_of(migration).get("phaseTransitionTimestamps") or []
    status: Json = {"phase": phase}
    status["phaseTransitionTimestamps"] = [*passed, {"phase": phase, "phaseTransitionTimestamp": seen.now}]
    state = _state(migration, instance)
    if phase in FINAL and state is not None:
        status["migrationState"] = {**state, **({"failed": True, "failureReason": reason} if reason else {})}
    elif reason:
        status["migrationState"] = {"failed": True, "completed": True, "failureReason": reason}
    return patch(MIGRATION, migration, verb="status", status=status)


# -- the scheduler, and how a step is written ---------------------------------------------------------------------------


def _schedule(seen: Seen) -> Iterator[Step]:
    """Launchers that name no scheduler of their own go to the emptiest node, no target to where its source is."""
    load = {node["metadata"]["name"]: 0 for node in seen.nodes}
    for pod in seen.pods:
        if pod["spec"].get("nodeName") in load:
            load[pod["spec"]["nodeName"]] += 1
    for pod in seen.pods:
        labels, meta = pod["metadata"].get("labels") or {}, pod["metadata"]
        mine = pod["spec"].get("schedulerName", DEFAULT_SCHEDULER) == DEFAULT_SCHEDULER
        if CREATED_BY_LABEL not in labels or pod["spec"].get("nodeName") or not mine or meta.get("deletionTimestamp"):
            continue
        beside = {
            other["spec"].get("nodeName")
            for other in seen.pods
            if (other["metadata"].get("labels") or {}).get(CREATED_BY_LABEL) == labels[CREATED_BY_LABEL]
        }
        nodes = [node for node in seen.nodes if node["metadata"]["name"] not in beside]
        node = place({"spec": {"template": {"spec": pod["spec"]}}}, nodes, load)
        if node is not None:
            load[node] += 1
            yield Step("bind", "Pod", meta["namespace"], meta["name"], binding(pod, node))

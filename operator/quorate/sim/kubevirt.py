"""Stand-ins for virt-controller and virt-handler, as pure functions: what they do with machines, their runs and launchers.

A machine with the run strategy Always or Once has a run (a VirtualMachineInstance), one that is Halted has none. A run has
one launcher, and never another one: when that has ended, so has the run. A launcher without our scheduler's name goes to
the emptiest node, as Kubernetes' scheduler would have it. The simulator and the lab carry out what is said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.machines import SCHEDULABLE_LABEL, SCHEDULER
from quorate.kube.machines import DOMAIN_ANNOTATION, LAUNCHER_LABEL, NAME_LABEL, RUN_LABEL, strategy_of
from quorate.sim.controllers import Step, place

Json = dict[str, Any]
API_VERSION: Final = "kubevirt.io/v1"
FINALIZER: Final = "foregroundDeleteVirtualMachine"
FINAL: Final = frozenset({"Succeeded", "Failed"})
_RUNNING: Final = "running="


@dataclass(frozen=True, slots=True)
class Seen:
    """All objects that they look at."""

    machines: Sequence[Json]
    runs: Sequence[Json]
    pods: Sequence[Json]
    nodes: Sequence[Json]


def steps(seen: Seen) -> list[Step]:
    """What is to be done now; it is asked again after that.

    The verbs: create, delete, status (its new status), release (its finalizers are taken off), bind (to that node).
    """
    found: list[Step] = []
    runs = {_place(one): one for one in seen.runs}
    for machine in seen.machines:
        if "deletionTimestamp" not in machine["metadata"]:
            found.extend(_machine(machine, runs.get(_place(machine))))
    launchers: dict[str, list[Json]] = {}
    for pod in seen.pods:
        run = (pod["metadata"].get("labels") or {}).get(RUN_LABEL)
        if run:
            launchers.setdefault(run, []).append(pod)
    for run_of in seen.runs:
        found.extend(_run(run_of, launchers.get(run_of["metadata"]["uid"], [])))
    found.extend(_schedule([pod for pods in launchers.values() for pod in pods], seen))
    return found


def _place(one: Json) -> tuple[str, str]:
    return one["metadata"]["namespace"], one["metadata"]["name"]


# -- machines -----------------------------------------------------------------------------------------------------------


def _machine(machine: Json, run: Json | None) -> Iterable[Step]:
    namespace, name = _place(machine)
    wanted = {f"{_RUNNING}true": "Always", f"{_RUNNING}false": "Halted"}.get(
        strategy_of(machine["spec"]), strategy_of(machine["spec"])
    )
    ending = run is not None and "deletionTimestamp" in run["metadata"]
    phase = ((run or {}).get("status") or {}).get("phase", "")
    if run is None and wanted in {"Always", "Once", "RerunOnFailure"}:
        yield Step("create", "VirtualMachineInstance", namespace, name, run_of(machine))
    elif run is not None and not ending:
        again = (phase in FINAL and wanted == "Always") or (phase == "Failed" and wanted == "RerunOnFailure")
        if wanted == "Halted" or again:
            yield Step("delete", "VirtualMachineInstance", namespace, name, run)
    said = "Stopped" if run is None else "Stopping" if ending else "Running" if phase == "Running" else "Starting"
    status = {"printableStatus": said, "ready": said == "Running"}
    if (machine.get("status") or {}) != status:
        yield Step("status", "VirtualMachine", namespace, name, status)


def run_of(machine: Json) -> Json:
    """A run, as virt-controller makes it of the template."""
    metadata, template = machine["metadata"], machine["spec"].get("template") or {}
    described = template.get("metadata") or {}
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {**(described.get("labels") or {}), NAME_LABEL: metadata["name"]},
            "annotations": dict(described.get("annotations") or {}),
            "ownerReferences": [_owner(machine, "VirtualMachine")],
            "finalizers": [FINALIZER],
        },
        "spec": dict(template.get("spec") or {}),
    }


def _owner(one: Json, kind: str) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": one["metadata"]["name"],
        "uid": one["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


# -- runs ---------------------------------------------------------------------------------------------------------------


def _run(run: Json, launchers: list[Json]) -> Iterable[Step]:
    namespace, name = _place(run)
    status: Json = run.get("status") or {}
    phase = status.get("phase") or "Pending"
    if "deletionTimestamp" in run["metadata"]:
        if not launchers:
            yield Step("release", "VirtualMachineInstance", namespace, name, run)
        yield from _end(launchers)
        return
    if phase in FINAL:
        yield from _end([one for one in launchers if _phase(one) not in FINAL])
        return
    if not launchers and phase == "Pending":
        yield Step("create", "Pod", namespace, "", launcher_of(run))
        return
    now = _seen_phase(launchers, phase)
    node = next((one["spec"]["nodeName"] for one in launchers if one["spec"].get("nodeName")), None)
    told = {"phase": now} | ({"nodeName": node} if node else {})
    if any(status.get(key) != value for key, value in told.items()):
        yield Step("status", "VirtualMachineInstance", namespace, name, status | told)


def _end(launchers: Iterable[Json]) -> Iterable[Step]:
    for one in launchers:
        if "deletionTimestamp" not in one["metadata"]:
            yield Step("delete", "Pod", *_place(one), one)


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _seen_phase(launchers: list[Json], before: str) -> str:
    """What its launcher has come to."""
    if not launchers:
        return "Failed"
    phase = _phase(launchers[0])
    if phase in FINAL:
        return phase
    if phase == "Running":
        return "Running"
    return before if before == "Running" else "Scheduled" if launchers[0]["spec"].get("nodeName") else "Scheduling"


def launcher_of(run: Json) -> Json:
    """The launcher of a run, not yet bound."""
    metadata, spec = run["metadata"], run["spec"]
    label, value = LAUNCHER_LABEL
    volumes = [
        {"name": one["name"], "persistentVolumeClaim": {"claimName": one["persistentVolumeClaim"]["claimName"]}}
        for one in spec.get("volumes") or []
        if "persistentVolumeClaim" in one
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"virt-launcher-{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), label: value, RUN_LABEL: metadata["uid"]},
            "annotations": {**(metadata.get("annotations") or {}), DOMAIN_ANNOTATION: metadata["name"]},
            "ownerReferences": [_owner(run, "VirtualMachineInstance")],
        },
        "spec": {
            "restartPolicy": "Never",
            "schedulerName": spec.get("schedulerName") or "default-scheduler",
            "nodeSelector": {**(spec.get("nodeSelector") or {}), SCHEDULABLE_LABEL: "true"},
            "tolerations": list(spec.get("tolerations") or []),
            "terminationGracePeriodSeconds": int(spec.get("terminationGracePeriodSeconds", 30)),
            "containers": [{"name": "compute", "image": "virt-launcher"}],
            **({"volumes": volumes} if volumes else {}),
        },
    }


# -- the scheduler ------------------------------------------------------------------------------------------------------


def _schedule(launchers: Iterable[Json], seen: Seen) -> Iterable[Step]:
    """Those that are not left to Quorate."""
    load: dict[str, int] = {}
    for pod in seen.pods:
        if pod["spec"].get("nodeName"):
            load[pod["spec"]["nodeName"]] = load.get(pod["spec"]["nodeName"], 0) + 1
    for pod in launchers:
        waits = pod["spec"].get("schedulerName") == SCHEDULER
        if waits or pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
            continue
        node = place(_as_set(pod), seen.nodes, load)
        if node is not None:
            yield Step("bind", "Pod", *_place(pod), {"node": node})


def _as_set(pod: Json) -> Json:
    return {"spec": {"template": {"spec": pod["spec"]}}}


def schedulable(labels: Mapping[str, str]) -> dict[str, str]:
    """A node's labels, with the one that virt-handler gives it."""
    return {**labels, SCHEDULABLE_LABEL: "true"}

"""Stand-ins for virt-controller and virt-handler, as pure functions: what they do with machines, their runs and launchers.

A machine with the run strategy Always or Once has a run (a VirtualMachineInstance), one that is Halted has none. A run has
one launcher, and never another one but the target of a live migration: when it has ended, so has the run. A launcher
without our scheduler's name goes to the emptiest node, as Kubernetes' scheduler would have it. The simulator and the lab
carry out what is said here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.core.machines import SCHEDULABLE_LABEL, SCHEDULER
from quorate.kube.machines import DOMAIN_ANNOTATION, JOB_LABEL, LAUNCHER_LABEL, NAME_LABEL, RUN_LABEL, strategy_of
from quorate.sim.controllers import Step, place

Json = dict[str, Any]
API_VERSION: Final = "kubevirt.io/v1"
FINALIZER: Final = "foregroundDeleteVirtualMachine"
FINAL: Final = frozenset({"Succeeded", "Failed"})
_RUNNING: Final = "running="


@dataclass(frozen=True, slots=True)
class Seen:
    """All objects that they look at. `outcomes`: uid of a migration -> was what runs handed over? Once it is known.

    `silent`: nodes whose virt-handler starts nothing in the launchers that come.
    """

    machines: Sequence[Json]
    runs: Sequence[Json]
    pods: Sequence[Json]
    nodes: Sequence[Json]
    jobs: Sequence[Json] = ()
    outcomes: Mapping[str, bool] = field(default_factory=dict)
    silent: Collection[str] = ()


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
    for one in seen.runs:
        own = launchers.get(one["metadata"]["uid"], [])
        jobs = [job for job in seen.jobs if _names(job, one)]
        moved = _handed_over(one, jobs, own, seen.outcomes)
        found.extend(_run(moved, own, jobs, one, seen.silent))
        found.extend(step for job in jobs for step in _job(job, moved, own, seen.outcomes))
    known = {_place(one) for one in seen.runs}
    found.extend(
        _told(job, "Failed")
        for job in seen.jobs
        if (job["metadata"]["namespace"], job["spec"]["vmiName"]) not in known and _job_phase(job) not in FINAL
    )
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


def _run(run: Json, launchers: list[Json], jobs: list[Json], before: Json, silent: Collection[str]) -> Iterable[Step]:
    """`run` as it is by what was handed over, `before` as it is written."""
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
    pod = _active(run, launchers)
    now = _seen_phase(pod, phase, silent)
    node = status.get("nodeName") or (pod["spec"].get("nodeName") if pod is not None else None)
    told = status | {"phase": now} | ({"nodeName": node} if node else {})
    if told != (before.get("status") or {}):
        yield Step("status", "VirtualMachineInstance", namespace, name, told)
    known = {job["metadata"]["uid"] for job in jobs if _job_phase(job) != "Failed"}
    yield from _end(one for one in launchers if _target_of(one) not in {"", *known} and one is not pod)


def _active(run: Json, launchers: list[Json]) -> Json | None:
    """The launcher in which it runs: of several the one on its node, of those there the one that has not ended."""
    node = (run.get("status") or {}).get("nodeName")
    order = sorted(
        launchers, key=lambda one: (one["spec"].get("nodeName") != node, _phase(one) in FINAL, _target_of(one))
    )
    return order[0] if order else None


# -- migrations ---------------------------------------------------------------------------------------------------------


def _names(job: Json, run: Json) -> bool:
    return (job["metadata"]["namespace"], job["spec"]["vmiName"]) == _place(run)


def _target_of(pod: Json) -> str:
    """The uid of the migration that a launcher is the target of, "" for none."""
    return str((pod["metadata"].get("labels") or {}).get(JOB_LABEL, ""))


def _job_phase(job: Json) -> str:
    return str((job.get("status") or {}).get("phase") or "")


def _told(job: Json, phase: str) -> Step:
    return Step(
        "status", "VirtualMachineInstanceMigration", *_place(job), {**(job.get("status") or {}), "phase": phase}
    )


def _handed_over(run: Json, jobs: list[Json], launchers: list[Json], outcomes: Mapping[str, bool]) -> Json:
    """The run, on the node that it was handed over to."""
    for job in jobs:
        uid = job["metadata"]["uid"]
        target = next((one for one in launchers if _target_of(one) == uid), None)
        if outcomes.get(uid) and _job_phase(job) not in FINAL and target is not None:
            return run | {"status": {**(run.get("status") or {}), "nodeName": target["spec"]["nodeName"]}}
    return run


def _job(job: Json, run: Json, launchers: list[Json], outcomes: Mapping[str, bool]) -> Iterable[Step]:
    """One migration. Of two of one run the second waits; one that was refused its target waits for ever."""
    uid, phase = job["metadata"]["uid"], _job_phase(job)
    if phase in FINAL:
        return
    target = next((one for one in launchers if _target_of(one) == uid), None)
    if uid in outcomes:
        yield _told(job, "Succeeded" if outcomes[uid] else "Failed")
    elif "deletionTimestamp" in run["metadata"] or (run.get("status") or {}).get("phase") != "Running":
        yield _told(job, "Failed")
    elif target is None and phase in {"", "Pending"}:
        if all(_target_of(one) == "" or _phase(one) in FINAL or one is _active(run, launchers) for one in launchers):
            yield Step("create", "Pod", run["metadata"]["namespace"], "", target_of(run, uid))
            yield _told(job, "Scheduling")
    elif target is None or _phase(target) in FINAL or "deletionTimestamp" in target["metadata"]:
        yield _told(job, "Failed")
    else:
        ready = _phase(target) == "Running"
        now = "Running" if ready else "Scheduled" if target["spec"].get("nodeName") else "Scheduling"
        if now != phase:
            yield _told(job, now)


def target_of(run: Json, job: str) -> Json:
    """The launcher on the target: as the first one, for that migration, and not where the run is."""
    made = launcher_of(run)
    made["metadata"]["labels"][JOB_LABEL] = job
    return made


def _end(launchers: Iterable[Json]) -> Iterable[Step]:
    for one in launchers:
        if "deletionTimestamp" not in one["metadata"]:
            yield Step("delete", "Pod", *_place(one), one)


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _seen_phase(pod: Json | None, before: str, silent: Collection[str]) -> str:
    """What its launcher has come to."""
    if pod is None:
        return "Failed"
    phase = _phase(pod)
    if phase in FINAL:
        return phase
    if phase == "Running" and pod["spec"].get("nodeName") not in silent:
        return "Running"
    return before if before == "Running" else "Scheduled" if pod["spec"].get("nodeName") else "Scheduling"


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
            "labels": {
                **(metadata.get("labels") or {}),
                label: value,
                RUN_LABEL: metadata["uid"],
                NAME_LABEL: hostname_of(run),
            },
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


def hostname_of(run: Json) -> str:
    """What KubeVirt calls it inside: a label of its launchers, which is not always the machine's name."""
    return str(run["spec"].get("hostname") or run["metadata"]["name"].split(".")[0][:63])


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

"""KubeVirt's objects as its stand-ins make and read them: machines, instances, launchers, and what is asked of the API."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
API_VERSION: Final = "kubevirt.io/v1"
MACHINE: Final = "VirtualMachine"
INSTANCE: Final = "VirtualMachineInstance"
MIGRATION: Final = "VirtualMachineInstanceMigration"
LAUNCHER_LABEL: Final = "kubevirt.io"
"""Of a launcher; its value is virt-launcher."""
CREATED_BY_LABEL: Final = "kubevirt.io/created-by"
MIGRATION_LABEL: Final = "kubevirt.io/migrationJobUID"
NODE_LABEL: Final = "kubevirt.io/nodeName"
TARGET_LABEL: Final = "kubevirt.io/migrationTargetNodeName"
DOMAIN_ANNOTATION: Final = "kubevirt.io/domain"
MACHINE_FINALIZER: Final = "kubevirt.io/virtualMachineControllerFinalize"
INSTANCE_FINALIZER: Final = "foregroundDeleteVirtualMachine"
MIGRATION_FINALIZER: Final = "kubevirt.io/migrationJobFinalize"
SCHEDULABLE_LABEL: Final = "kubevirt.io/schedulable"
"""Of a node whose virt-handler lives."""
HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
DEFAULT_SCHEDULER: Final = "default-scheduler"
FINAL: Final = frozenset({"Succeeded", "Failed"})
DISKS: Final = "/var/run/kubevirt-private/vmi-disks"
"""Where a launcher has the volumes of its machine."""
NEW: Final = frozenset({"", "Pending"})


@dataclass(frozen=True, slots=True)
class Step:
    """One call: `verb` is create, delete, patch or status (merge patches with a resourceVersion), or bind."""

    verb: str
    kind: str
    namespace: str
    name: str
    body: Json


def status_of(found: Json | None) -> Json:
    """An object's status; empty where there is no object, or it has none."""
    status: Json = (found or {}).get("status") or {}
    return status


def condition(found: Json | None, kind: str) -> Json | None:
    """The condition of that type."""
    return next((one for one in status_of(found).get("conditions") or () if one.get("type") == kind), None)


def with_condition(found: Json, new: Json) -> list[Json]:
    """All conditions, with this one in place of that of its type."""
    others = [one for one in status_of(found).get("conditions") or () if one.get("type") != new["type"]]
    return [*others, new]


def launchers(instance: Json, pods: Sequence[Json]) -> list[Json]:
    """The launcher Pods of an instance, source and target of a migration, in the order in which they were made."""
    uid = instance["metadata"]["uid"]
    found = [pod for pod in pods if any(one.get("uid") == uid for one in pod["metadata"].get("ownerReferences") or [])]
    return sorted(found, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))


def current(instance: Json, pods: Sequence[Json]) -> Json | None:
    """The launcher that the instance runs in: the newest one on its node, or the newest of all while it has none."""
    node = status_of(instance).get("nodeName")
    return next((pod for pod in reversed(pods) if not node or pod["spec"].get("nodeName") == node), None)


def is_down(pod: Json) -> bool:
    """Has it ended, as its kubelet says?"""
    return status_of(pod).get("phase") in FINAL


def is_ready(pod: Json) -> bool:
    return (condition(pod, "Ready") or {}).get("status") == "True"


def run_strategy(machine: Json) -> str:
    """When the machine runs, whichever of the two fields says it."""
    spec = machine["spec"]
    return str(spec.get("runStrategy") or ("Always" if spec.get("running") else "Halted"))


def instance_of(machine: Json) -> Json:
    """The instance of a machine: its template."""
    template, meta = machine["spec"]["template"], machine["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": MACHINE, "name": meta["name"], "uid": meta["uid"]}
    given = template.get("metadata") or {}
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE,
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": dict(given.get("labels") or {}),
            "annotations": dict(given.get("annotations") or {}),
            "finalizers": [INSTANCE_FINALIZER],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def launcher(instance: Json, command: Sequence[str] = (), migration: Json | None = None) -> Json:
    """The Pod of an instance, or that of a migration's target."""
    meta, spec = instance["metadata"], instance["spec"]
    kinds = ("tolerations", "schedulerName", "priorityClassName")
    volumes = [one for one in spec.get("volumes") or () if "persistentVolumeClaim" in one]
    compute: Json = {"name": "compute", "image": "virt-launcher", "resources": _resources(spec)}
    compute["volumeMounts"] = [{"name": one["name"], "mountPath": f"{DISKS}/{one['name']}"} for one in volumes]
    if command:
        compute["command"] = list(command)
    labels = {**(meta.get("labels") or {}), LAUNCHER_LABEL: "virt-launcher", CREATED_BY_LABEL: meta["uid"]}
    labels["vm.kubevirt.io/name"] = str(spec.get("hostname") or meta["name"].split(".")[0][:63])
    labels.pop(NODE_LABEL, None)
    annotations = {**(meta.get("annotations") or {}), DOMAIN_ANNOTATION: meta["name"]}
    annotations["kubectl.kubernetes.io/default-container"] = "compute"
    if migration is not None:
        labels[MIGRATION_LABEL] = migration["metadata"]["uid"]
        annotations["kubevirt.io/migrationJobName"] = migration["metadata"]["name"]
    owner = {"apiVersion": API_VERSION, "kind": INSTANCE, "name": meta["name"], "uid": meta["uid"]}
    affinity = dict(spec.get("affinity") or {})
    if migration is not None:  # never where its source is
        apart = {"labelSelector": {"matchLabels": {CREATED_BY_LABEL: meta["uid"]}}, "topologyKey": HOSTNAME_LABEL}
        affinity["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    grace = spec.get("terminationGracePeriodSeconds", 30)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": launcher_name(instance, migration["metadata"]["uid"] if migration else ""),
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {
            **{kind: spec[kind] for kind in kinds if spec.get(kind)},
            **({"affinity": affinity} if affinity else {}),
            "nodeSelector": {**(spec.get("nodeSelector") or {}), SCHEDULABLE_LABEL: "true"},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace + 15,
            "volumes": [{"name": one["name"], "persistentVolumeClaim": _claim(one)} for one in volumes],
            "containers": [compute],
        },
    }


def _claim(volume: Json) -> Json:
    return {"claimName": volume["persistentVolumeClaim"]["claimName"]}


def _resources(spec: Json) -> Json:
    """What the domain asks for: its memory counts whichever way it is written."""
    domain = spec.get("domain") or {}
    found: Json = dict(domain.get("resources") or {})
    guest = (domain.get("memory") or {}).get("guest")
    if guest and "memory" not in (found.get("requests") or {}):
        found["requests"] = {**(found.get("requests") or {}), "memory": guest}
    return {key: found[key] for key in ("requests", "limits") if key in found}


def launcher_name(instance: Json, migration: str) -> str:
    ending = hashlib.sha256(f"{instance['metadata']['uid']}/{migration}".encode()).hexdigest()[:5]
    return f"virt-launcher-{instance['metadata']['name']}-{ending}"


def binding(pod: Json, node: str) -> Json:
    """What a scheduler says of that very Pod."""
    meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"], "uid": pod["metadata"]["uid"]}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}


def place_of(found: Json) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def delete(kind: str, found: Json) -> Iterator[Step]:
    if not found["metadata"].get("deletionTimestamp"):
        yield Step("delete", kind, *place_of(found), found)


def patch(kind: str, found: Json, *, verb: str = "patch", status: Json | None = None, **metadata: Any) -> Step:
    held = {"resourceVersion": found["metadata"]["resourceVersion"], **metadata}
    return Step(verb, kind, *place_of(found), {"metadata": held, **({"status": status} if status is not None else {})})


def differs(wanted: Json, found: Json) -> bool:
    return any((found.get(key) or None) != (value or None) for key, value in wanted.items())

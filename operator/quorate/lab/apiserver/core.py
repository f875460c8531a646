"""Kubernetes' own kinds and KubeVirt's, as far as manager, agent, the lab's stand-ins and kubectl meet them: by kind the
schemas of its FIELDS, the STATUS of a new one, and RULES, which yield what else is wrong. What is not named here is kept as
it comes.
"""

from collections.abc import Callable, Iterator

from quorate.api.schema import DNS_LABEL, OPEN, TEXT, Cause, Json, quoted, wrong


def _object(*needed: str, **fields: Json) -> Json:
    return OPEN | {"required": list(needed), "properties": fields, "default": {}}


_BY_NAME: Json = {"type": "array", "x-kubernetes-list-type": "map", "x-by-key": "name"}
_MICRO_TIME = TEXT | {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[-+]\d\d:\d\d)$"}
_MOUNTS = {"type": "array", "items": _object("name", "mountPath", name=TEXT, mountPath=TEXT)}
_CONTAINERS = _BY_NAME | {"items": _object("name", "image", name=DNS_LABEL, image=TEXT, volumeMounts=_MOUNTS)}
_VOLUMES = _BY_NAME | {"items": _object("name", name=TEXT)}
_POD = _object("containers", containers=_CONTAINERS, initContainers=_CONTAINERS, volumes=_VOLUMES)
_POD["properties"] |= {"restartPolicy": {"enum": ["Always", "OnFailure", "Never"], "default": "Always"}}
_POD["properties"] |= {"terminationGracePeriodSeconds": {"type": "integer", "default": 30}, "nodeName": TEXT}
_LEASE = _object(acquireTime=_MICRO_TIME, renewTime=_MICRO_TIME, leaseDurationSeconds={"type": "integer", "minimum": 1})
FIELDS: dict[str, Json] = {"Pod": {"spec": _POD}, "Lease": {"spec": _LEASE}, "Event": {"eventTime": _MICRO_TIME}}
FIELDS["Node"] = {"spec": _object(), "status": _object()}
_MACHINE = _object("domain", domain=OPEN | {"required": ["devices"], "properties": {"devices": OPEN}})
_TEMPLATE = OPEN | {"properties": {"spec": _MACHINE}}
FIELDS["VirtualMachine"] = {
    "spec": _object("template", template=_TEMPLATE, runStrategy=TEXT, running={"type": "boolean"})
}
FIELDS["VirtualMachine"] |= {"status": OPEN | {"properties": {"printableStatus": TEXT | {"default": "Stopped"}}}}
FIELDS["VirtualMachineInstance"] = {"spec": _MACHINE}
FIELDS["VirtualMachineInstanceMigration"] = {"spec": _object(vmiName=TEXT)}
STATUS: dict[str, Json] = {"Pod": {"phase": "Pending"}, "Namespace": {"phase": "Active"}}
STATUS["CustomResourceDefinition"] = {"conditions": [{"type": "Established", "status": "True"}]}


def _pod(new: Json, _: Json | None) -> Iterator[Cause]:
    if not new["spec"]["containers"]:
        yield Cause("spec.containers", "Required")
    volumes = [one["name"] for one in new["spec"].get("volumes", ())]
    for part in ("containers", "initContainers"):
        for at, container in enumerate(new["spec"].get(part, ())):
            for number, mount in enumerate(container.get("volumeMounts", ())):
                if mount["name"] not in volumes:
                    where = f"spec.{part}[{at}].volumeMounts[{number}].name"
                    yield Cause(where, "NotFound", f"Not found: {quoted(mount['name'])}")


def _event(new: Json, _: Json | None) -> Iterator[Cause]:
    for name in ("reportingComponent", "reportingInstance", "action", "reason", "type"):
        if "eventTime" in new and not new.get(name):  # an Event of the new kind is complete
            yield Cause(name.replace("Component", "Controller"), "Required")
    about = new.get("involvedObject", {}).get("namespace")
    if new["metadata"]["namespace"] not in ([about] if about else ["default", "kube-system"]):
        yield wrong("involvedObject.namespace", about or "", "does not match event.namespace")


def _namespace(new: Json, old: Json | None) -> Iterator[Cause]:
    meta, name = new["metadata"], new["metadata"].get("name", "")
    new["metadata"] = meta | {"labels": meta.get("labels", {}) | {"kubernetes.io/metadata.name": name}}
    if old is None:
        new["spec"] = {"finalizers": ["kubernetes"]}  # its contents hold it
    if "deletionTimestamp" in meta:
        new["status"] = {"phase": "Terminating"}
    if "." in name:
        yield wrong("metadata.name", name, "must not contain dots")


def _revision(new: Json, old: Json | None) -> Iterator[Cause]:
    if old and new.get("data") != old.get("data"):
        yield wrong("data", new.get("data"), "field is immutable")


RULES: dict[str, Callable[[Json, Json | None], Iterator[Cause]]]
RULES = {"Pod": _pod, "Event": _event, "Namespace": _namespace, "ControllerRevision": _revision}

"""A container guest as a Pod: the user's template, and what keeps it from running twice.

The name is the HAResource's, so that there can be one at a time; the node is set by the planner; `restartPolicy: Never`,
because a kubelet that was cut off or rebooted would start it again by itself; our finalizer, so that nothing is forgotten
before it has stopped as a fact; and the start gate, an init container that ends the Pod in any boot but the one it was
made for.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.status import Instance
from quorate.core.storage import nfs_claim, own_claim
from quorate.core.types import (
    CLUSTER_LABEL,
    GUEST_LABEL,
    INSTANCE_ANNOTATION,
    INSTANCE_FINALIZER,
    NODE_ANNOTATION,
    NONCE_ANNOTATION,
    TEMPLATE_ANNOTATION,
    Content,
    GuestKey,
)
from quorate.core.world import StorageView
from quorate.kube.resources import HARESOURCES

Json = dict[str, Any]
GATE: Final = "quorate-gate"
_TOLERATIONS: Final = [
    {"key": key, "operator": "Exists", "effect": "NoExecute"}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the start gate comes from, and the port on which agents answer it."""

    image: str
    agent_port: int


class UnrenderableError(Exception):
    """A template that no Pod can be made of; the message names the field and the remedy."""


def template_of(guest: Mapping[str, Any]) -> Json:
    """What a guest's Pod is made from, as it is kept in a revision."""
    spec = guest["spec"]
    return {"container": spec["guest"]["container"], "storage": spec.get("storage") or []}


def render(
    guest: Mapping[str, Any],
    template: Mapping[str, Any],
    storages: Mapping[str, StorageView],
    gate: Gate,
    cluster: str,
) -> Json:
    """The Pod without its instance: what a dry run tries. Raises UnrenderableError."""
    try:
        return _render(guest, template, storages, gate, cluster)
    except (AttributeError, TypeError, ValueError) as error:  # not even the shape of a PodSpec
        raise UnrenderableError(f"spec.guest.container.spec is not a PodSpec ({error}): correct it") from error


def _render(
    guest: Mapping[str, Any],
    template: Mapping[str, Any],
    storages: Mapping[str, StorageView],
    gate: Gate,
    cluster: str,
) -> Json:
    name, namespace = guest["metadata"]["name"], guest["metadata"]["namespace"]
    container = template["container"]
    metadata = container.get("metadata") or {}
    spec: Json = copy.deepcopy(dict(container["spec"]))
    spec["restartPolicy"] = "Never"
    spec["tolerations"] = [*(spec.get("tolerations") or []), *_TOLERATIONS]
    spec["initContainers"] = [_gate_container(gate), *(spec.get("initContainers") or [])]
    _mount(spec, GuestKey(namespace, name), template.get("storage") or [], storages)
    for one in (*spec["initContainers"], *(spec.get("containers") or [])):
        if isinstance(one, dict):
            one.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**(metadata.get("labels") or {}), GUEST_LABEL: name, CLUSTER_LABEL: cluster},
            "annotations": dict(metadata.get("annotations") or {}),
            "finalizers": [INSTANCE_FINALIZER],
            "ownerReferences": [
                {
                    "apiVersion": HARESOURCES.api_version,
                    "kind": HARESOURCES.kind,
                    "name": name,
                    "uid": guest["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }


def bind(pod: Json, instance: Instance, *, shared_kernel: bool, scheduler: bool) -> Json:
    """The Pod of one instance.

    `shared_kernel`: its node shares the kernel with others, so the gate must ask the agent which boot this is.
    `scheduler`: a claim of it is still unbound and must be bound where the guest goes: only the scheduler can do that, so
    it is pinned by affinity instead of bound by name.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["annotations"] |= {
        INSTANCE_ANNOTATION: instance.id,
        NODE_ANNOTATION: instance.node,
        NONCE_ANNOTATION: instance.nonce,
        TEMPLATE_ANNOTATION: instance.template_hash,
    }
    environment = spec["initContainers"][0]["env"]
    environment.append({"name": "QUORATE_NONCE", "value": instance.nonce})
    # A runtimeClass may bring a kernel of its own: what the container reads there is not the node's boot.
    asks_agent = shared_kernel or bool(spec.get("runtimeClassName"))
    environment.append({"name": "QUORATE_SHARED_KERNEL", "value": "yes" if asks_agent else "no"})
    if scheduler:
        _pin(spec, instance.node)
    else:
        spec["nodeName"] = instance.node
    return pod


def claims_of(pod: Json) -> list[str]:
    """The names of the claims that the Pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]


def _gate_container(gate: Gate) -> Json:
    return {
        "name": GATE,
        "image": gate.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "quorate.agent.gate"],
        "env": [
            {"name": "QUORATE_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "QUORATE_AGENT_PORT", "value": str(gate.agent_port)},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _mount(spec: Json, guest: GuestKey, mounts: list[Json], storages: Mapping[str, StorageView]) -> None:
    """Every Storage is a volume of the Pod, mounted into every container of the user's."""
    if not mounts:
        return
    volumes = spec.setdefault("volumes", [])
    for index, mount in enumerate(mounts):
        storage = storages.get(mount["name"])
        if storage is None:
            raise UnrenderableError(
                f"the accepted template mounts Storage {mount['name']!r}, which does not exist any more: "
                "create it again, or correct the template"
            )
        volume: Json = {"name": f"quorate-storage-{index}"}
        claim = _claim(guest, storage)
        if claim:
            volume["persistentVolumeClaim"] = {"claimName": claim}
        else:
            volume["hostPath"] = {"path": storage.path, "type": "Directory"}
        volumes.append(volume)
        mounted: Json = {"name": volume["name"], "mountPath": mount["path"]}
        if Content.ROOT_DIR not in storage.content:
            mounted["readOnly"] = True
        for one in (*spec["initContainers"][1:], *(spec.get("containers") or [])):
            one.setdefault("volumeMounts", []).append(dict(mounted))


def _claim(guest: GuestKey, storage: StorageView) -> str:
    """The name of the claim that it is to this guest; "" for a directory of the node."""
    if storage.nfs is not None:
        return nfs_claim(storage.name)
    if storage.volume_class is not None:
        return own_claim(guest, storage.name)
    return storage.claim[1] if storage.claim is not None else ""


def _pin(spec: Json, node: str) -> None:
    """Required affinity for exactly this node, beside whatever the template requires."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.setdefault("nodeSelectorTerms", [{}])
    for term in terms:
        term.setdefault("matchFields", []).append(field)

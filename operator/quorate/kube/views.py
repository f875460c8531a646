"""Objects of Kubernetes itself -> the core's views: Pods, nodes, Leases. Never raises: anybody may have written them."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

from quorate.api import attestation, quantity
from quorate.core import beats
from quorate.core.load import NOTHING, Size
from quorate.core.pods import ContainerView, PodView
from quorate.core.selectors import Taint
from quorate.core.types import (
    ATTESTATION_ANNOTATION,
    GUEST_LABEL,
    INSTANCE_ANNOTATION,
    INSTANCE_FINALIZER,
    NODE_ANNOTATION,
    NONCE_ANNOTATION,
    TEMPLATE_ANNOTATION,
    InstanceId,
    NodeName,
    Nonce,
    Uid,
)
from quorate.core.world import Attestation, Beat, KubeNode

MEDIK8S: Final = ("medik8s.io/", "remediation.medik8s.io/")
MACHINE_ANNOTATION: Final = "cluster.x-k8s.io/machine"
SOLE_ANNOTATION: Final = "quorate.dev/sole-remediator"

Raw = Mapping[str, Any]


def pod(raw: Raw) -> PodView:
    """A guest's Pod. One without our label is nobody's instance: it only takes the name."""
    return _pod(raw, ours=GUEST_LABEL in (raw["metadata"].get("labels") or {}))


def launcher_pod(raw: Raw) -> PodView:
    """A virt-launcher Pod. It bears the annotations of the machine's template, and no label of ours."""
    return _pod(raw, ours=True)


def _pod(raw: Raw, *, ours: bool) -> PodView:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    annotations = metadata.get("annotations") or {}
    instance, nonce = annotations.get(INSTANCE_ANNOTATION), annotations.get(NONCE_ANNOTATION)
    finalizers = metadata.get("finalizers") or []
    owner = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), None)
    conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or []}
    return PodView(
        uid=Uid(metadata.get("uid", "")),
        resource_version=metadata.get("resourceVersion", ""),
        node=NodeName(spec.get("nodeName") or annotations.get(NODE_ANNOTATION, "")),
        bound=bool(spec.get("nodeName")),
        owner=Uid(owner["uid"]) if owner is not None else None,
        instance=InstanceId(instance) if ours and instance else None,
        nonce=Nonce(nonce) if nonce else None,
        template_hash=annotations.get(TEMPLATE_ANNOTATION, ""),
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        message=status.get("message") or _unscheduled(status),
        ready=conditions.get("Ready") == "True",
        deleting=metadata.get("deletionTimestamp") is not None,
        held=INSTANCE_FINALIZER in finalizers,
        foreign_finalizers=tuple(one for one in finalizers if one != INSTANCE_FINALIZER),
        containers=_containers(spec, status),
    )


def _containers(spec: Raw, status: Raw) -> tuple[ContainerView, ...]:
    """One entry for each declared container: one that the kubelet does not mention has not ended."""
    reported = {
        one["name"]: one
        for key in ("initContainerStatuses", "containerStatuses")
        for one in status.get(key) or []
        if "name" in one
    }
    found = []
    for key, init in (("initContainers", True), ("containers", False)):
        for declared in spec.get(key) or []:
            sidecar = init and declared.get("restartPolicy") == "Always"
            found.append(_container(declared["name"], init and not sidecar, reported.get(declared["name"])))
    return tuple(found)


def _container(name: str, init: bool, reported: Raw | None) -> ContainerView:
    if reported is None:
        return ContainerView(name, init)
    state, last = reported.get("state") or {}, reported.get("lastState") or {}
    kind = next((key for key in ("running", "terminated", "waiting") if state.get(key) is not None), "unknown")
    detail = state.get(kind) or {}
    # A container that never ran is "terminated" as well when its Pod is deleted, but without a start and an id.
    ran = kind == "running" or bool(detail.get("startedAt") or detail.get("containerID"))
    started = ran or bool(last.get("terminated")) or bool(reported.get("restartCount"))
    return ContainerView(
        name=name,
        init=init,
        state=kind,
        started=started,
        exit_code=detail.get("exitCode"),
        reason=detail.get("reason") or "",
        message=(detail.get("message") or "").strip()[-512:],
    )


def _unscheduled(status: Raw) -> str:
    """Where the scheduler binds (an unbound claim), its words are the ones that matter while the Pod is Pending."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


def kube_node(raw: Raw) -> KubeNode:
    """The Kubernetes node."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    ready = next((one.get("status") for one in status.get("conditions") or [] if one.get("type") == "Ready"), None)
    taints = tuple(Taint(one["key"], one.get("effect", ""), one.get("value") or "") for one in spec.get("taints") or [])
    return KubeNode(
        name=NodeName(metadata["name"]),
        uid=Uid(metadata.get("uid", "")),
        labels=dict(metadata.get("labels") or {}),
        taints=taints,
        unschedulable=bool(spec.get("unschedulable")),
        ready=None if ready is None else ready == "True",
        size=_allocatable(status),
        remediator=_remediator(metadata.get("annotations") or {}, taints),
        boot_id=(status.get("nodeInfo") or {}).get("bootID") or "",
    )


def _remediator(annotations: Mapping[str, str], taints: Iterable[Taint]) -> str:
    """medik8s taints a node while it is at work on it. What Cluster API does with a Machine its Kubernetes node does not
    say, so it is asked for in words that it is not covered by a MachineHealthCheck.
    """
    taint = next((one.key for one in taints if one.key.startswith(MEDIK8S)), "")
    if taint:
        return f"medik8s is at work on it (taint {taint})"
    machine = annotations.get(MACHINE_ANNOTATION, "")
    if machine and annotations.get(SOLE_ANNOTATION) != "true":
        return (
            f"Cluster API has it as Machine {machine}, and a MachineHealthCheck may take it in hand (if none covers it, "
            f"annotate its Kubernetes node with {SOLE_ANNOTATION}=true)"
        )
    return ""


def _allocatable(status: Raw) -> Size | None:
    try:
        return quantity.size(status["allocatable"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def requested_by_node(pods: Iterable[Raw]) -> dict[NodeName, Size]:
    """What Pods that are bound and have not ended request of their nodes. One that cannot be read requests nothing."""
    found: dict[NodeName, Size] = {}
    for raw in pods:
        spec, phase = raw.get("spec") or {}, (raw.get("status") or {}).get("phase")
        node = NodeName(spec.get("nodeName") or "")
        if node and phase not in {"Succeeded", "Failed"}:
            found[node] = found.get(node, NOTHING) + _requested(spec)
    return found


def _requested(spec: Raw) -> Size:
    try:
        return quantity.requested(spec)
    except (AttributeError, TypeError, ValueError):
        return NOTHING


def lease(before: Beat | None, raw: Raw, now_s: float) -> Beat:
    """One more version of a node's Lease."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    text = (metadata.get("annotations") or {}).get(ATTESTATION_ANNOTATION)
    return beats.saw(
        before,
        uid=Uid(metadata.get("uid", "")),
        resource_version=metadata.get("resourceVersion", ""),
        holder=spec.get("holderIdentity") or "",
        attestation=attestation.decode(text),
        now_s=now_s,
    )


def material(before: Beat | None, after: Beat) -> bool:
    """Does this version say more than "still there"? Only then is a round worth its time."""
    if before is None or not before.moved or before.holder != after.holder or before.uid != after.uid:
        return True
    if before.attestation is None or after.attestation is None:
        return before.attestation is not after.attestation
    return _words(before.attestation) != _words(after.attestation)


_words: Callable[[Attestation], object] = attrgetter(
    "armed",
    "watchdog",
    "watchdog_s",
    "timeout_s",
    "generation",
    "drained",
    "left",
    "going",
    "trouble",
    "idle",
    "gone",
    "protocol",
)
"""What an attestation says besides "still there"."""

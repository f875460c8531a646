"""What placement must know of what runs: of a guest's pod template, as people wrote it down."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from quorate.api import quantity
from quorate.api.haresource import HAResourceSpec
from quorate.core.load import NOTHING, Size
from quorate.core.selectors import NodeTerm, Requirement, Toleration
from quorate.core.world import Mount, Template

Raw = Mapping[str, Any]
DIGEST: Final = 16


def template(spec: HAResourceSpec, mounts: tuple[Mount, ...]) -> Template:
    """What placement must know of a pod template; the hash covers all that makes the Pod another one.

    A workload has one of its own, which is no business of ours.
    """
    container = spec.guest.container
    if container is None:
        return Template(hash="")
    pod = container.spec
    content = [
        container.metadata.model_dump(mode="json"),
        pod,
        [(mount.storage, mount.path) for mount in mounts],
    ]
    return placement(pod, digest(json.dumps(content, sort_keys=True, separators=(",", ":"))))


def placement(pod: dict[str, Any], name: str) -> Template:
    """What a PodSpec, or what has the same fields of it, says of where it may be; `name`: the hash."""
    try:
        return Template(
            hash=name,
            node_selector=tuple(sorted((pod.get("nodeSelector") or {}).items())),
            node_terms=_node_terms(pod),
            tolerations=tuple(_toleration(one) for one in pod.get("tolerations") or []),
            problem=_template_problem(pod),
            size=_size(pod),
        )
    except (AttributeError, TypeError, KeyError):
        # Not even the shape of a PodSpec: the API server will say what is wrong with it.
        return Template(hash=name)


def digest(text: str) -> str:
    """Another one for another text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def _size(pod: Raw) -> Size:
    """What it requests; nothing, where the API server will say that it is no quantity."""
    try:
        return quantity.requested(pod)
    except ValueError:
        return NOTHING


_OURS = {
    "nodeName": "Quorate chooses the node: remove it, or use nodeSelector or a required node affinity",
    "schedulerName": "Quorate chooses the node: remove it",
    "schedulingGates": "Quorate chooses the node: remove them",
    "topologySpreadConstraints": "Quorate runs exactly one Pod of a guest: remove them",
}


def _template_problem(pod: Raw) -> str:
    """A field of the template that cannot be honoured, with the remedy; empty: none."""
    where = "spec.guest.container.spec"
    for field, remedy in _OURS.items():
        if pod.get(field):
            return f"{where}.{field} is set: {remedy}"
    policy = pod.get("restartPolicy", "Never")
    if policy != "Never":
        return (
            f"{where}.restartPolicy is {policy}: a rebooted kubelet would start it behind Quorate's back. Remove it "
            "(Quorate restarts the guest: spec.maxRestart)"
        )
    for index, one in enumerate(pod.get("containers") or []):
        if one.get("restartPolicy", "Never") != "Never" or one.get("restartPolicyRules"):
            return (
                f"{where}.containers[{index}] has a restartPolicy of its own: the kubelet would start it again after it "
                "was seen to end. Remove it (Quorate restarts the guest: spec.maxRestart)"
            )
    for kind in ("podAffinity", "podAntiAffinity"):
        if ((pod.get("affinity") or {}).get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution"):
            return f"{where}.affinity.{kind} is required: it is not honoured here; use a required node affinity"
    return ""


def _node_terms(pod: Raw) -> tuple[NodeTerm, ...] | None:
    affinity = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return None
    return tuple(
        NodeTerm(_requirements(term.get("matchExpressions")), _requirements(term.get("matchFields")))
        for term in affinity.get("nodeSelectorTerms") or []
    )


def _requirements(found: Any) -> tuple[Requirement, ...]:
    return tuple(Requirement(one["key"], one["operator"], tuple(one.get("values") or ())) for one in found or [])


def _toleration(raw: Raw) -> Toleration:
    return Toleration(
        key=raw.get("key") or "",
        operator=raw.get("operator") or "Equal",
        value=raw.get("value") or "",
        effect=raw.get("effect") or "",
    )

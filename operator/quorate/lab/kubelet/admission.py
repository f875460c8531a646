"""Does a node admit a pod? As a kubelet asks itself when it first sees one, and again after each restart of its own.

Reasons and messages are those of Kubernetes 1.34 (lifecycle/predicate.go); Quorate takes them as the kubelet's word that
the pod never started.
"""

from dataclasses import dataclass

from quorate.core.selectors import NodeTerm, Requirement, Taint, Toleration
from quorate.lab.kubelet.decide import Json, init_containers


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the pod is not admitted: a CamelCase reason and a sentence."""

    reason: str
    message: str


def admit(pod: Json, node: Json, *, shutting_down: bool = False) -> Rejection | None:
    """Why this node does not take this pod, None when it does."""
    if shutting_down:
        return Rejection("NodeShutdown", "Pod was rejected as the node is shutting down.")
    if any(one.get("restartPolicy") for one in init_containers(pod)):
        return Rejection(
            "PodFeatureUnsupported", "the lab's kubelet runs no sidecars: remove restartPolicy of initContainers"
        )
    if not _selected(pod["spec"], node["metadata"].get("labels") or {}, node["metadata"]["name"]):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if not _tolerated(pod["spec"], (node.get("spec") or {}).get("taints") or []):
        return _failed("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def _failed(predicate: str, message: str) -> Rejection:
    return Rejection(predicate, f"Predicate {predicate} failed: {message}")


def _selected(spec: Json, labels: dict[str, str], name: str) -> bool:
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(one).matches(labels, name) for one in required.get("nodeSelectorTerms") or [])


def _term(raw: Json) -> NodeTerm:
    return NodeTerm(_requirements(raw, "matchExpressions"), _requirements(raw, "matchFields"))


def _requirements(raw: Json, field: str) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(one["key"], one["operator"], tuple(one.get("values") or ())) for one in raw.get(field) or ()
    )


def _tolerated(spec: Json, taints: list[Json]) -> bool:
    """A kubelet looks at NoExecute only: NoSchedule is the scheduler's."""
    tolerations = [
        Toleration(
            one.get("key") or "", one.get("operator") or "Equal", one.get("value") or "", one.get("effect") or ""
        )
        for one in spec.get("tolerations") or []
    ]
    return all(
        any(one.tolerates(Taint(taint["key"], taint["effect"], taint.get("value") or "")) for one in tolerations)
        for taint in taints
        if taint["effect"] == "NoExecute"
    )

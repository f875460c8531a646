"""Which mode of scheduling is in force, and why it is not the one that is asked for.

Dynamic needs fresh measurements of every node that is Online: with some missing, measured nodes would be compared with
guessed ones. Then requests decide, as in Static, until the measurements are back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quorate.core.conditions import Finding, some
from quorate.core.quick import quick
from quorate.core.status import NodeStatus
from quorate.core.types import NodeName, NodeState, SchedulingMode
from quorate.core.world import NodeView, World

METRICS_AGE_S: Final = 120
"""Older measurements say nothing of now. metrics-server measures every 15 to 60 seconds."""
NAMED: Final = 5
CONDITION: Final = "SchedulingInForce"


@quick
@dataclass(frozen=True, slots=True)
class InForce:
    """The mode that nodes are chosen by, and a condition; None in mode Basic, in which nothing can be missing."""

    mode: SchedulingMode
    finding: Finding | None


def in_force(world: World, statuses: Mapping[NodeName, NodeStatus]) -> InForce:
    """The mode of this round."""
    wished = world.cluster.spec.scheduling.mode
    if wished is SchedulingMode.BASIC:
        return InForce(wished, None)
    online = [node for node in world.nodes if statuses[node.name].state is NodeState.ONLINE]
    if wished is SchedulingMode.DYNAMIC:
        problem = _not_measured(world, online)
        if problem is not None:
            return InForce(SchedulingMode.STATIC, problem)
    return InForce(wished, _unknown_size(online) or Finding(CONDITION, True, str(wished), _WORDS[wished]))


def _not_measured(world: World, online: list[NodeView]) -> Finding | None:
    absent = [node.name for node in online if node.usage is None]
    limit = world.wall - METRICS_AGE_S * 1000
    old = [node.name for node in online if node.usage is not None and node.usage.at < limit]
    if absent:
        why = f"metrics.k8s.io says nothing of {some(absent, NAMED)}"
        remedy = (
            "install metrics-server (kubectl top nodes shows whether it works), or set spec.scheduling.mode to Static"
        )
        return Finding(CONDITION, False, "MetricsAbsent", f"requests decide, as in mode Static: {why}: {remedy}")
    if old:
        why = f"what metrics.k8s.io says of {some(old, NAMED)} is older than {METRICS_AGE_S}s"
        return Finding(
            CONDITION, False, "MetricsTooOld", f"requests decide, as in mode Static: {why}: see metrics-server"
        )
    return None


def _unknown_size(online: list[NodeView]) -> Finding | None:
    unknown = [node.name for node in online if node.kube is not None and node.kube.size is None]
    if not unknown:
        return None
    text = "status.allocatable of these Kubernetes nodes cannot be read: they have no limit, and come last"
    return Finding(CONDITION, False, "AllocatableUnknown", f"{text}: {some(unknown, NAMED)}")


_WORDS: Final = {
    SchedulingMode.STATIC: "nodes are chosen by what guests request",
    SchedulingMode.DYNAMIC: "nodes are chosen by what is used, as measured by metrics.k8s.io; requested memory is a limit",
}

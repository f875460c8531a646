"""What is said of a protected workload: its conditions, and one sentence."""

from collections.abc import Mapping, Sequence
from typing import Final

from quorate.core.conditions import Finding, merge, plural, some, summary
from quorate.core.draft import Draft
from quorate.core.quick import replace
from quorate.core.types import FENCE_TAINT, GuestState, NodeName, Uid, Wanted
from quorate.core.workload_pods import incident_of, unproven
from quorate.core.workloads import (
    MAX_PODS,
    NOTHING_RUNS,
    PROTECTED,
    Matched,
    PodRecord,
    WorkloadKind,
    WorkloadPod,
    sid_of,
)
from quorate.core.world import NodeView, WorkloadView

NAMED: Final = 5


def describe(draft: Draft, view: WorkloadView, beyond: int, awaited: Sequence[str]) -> bool:
    """Say what is so, in one sentence. Is the workload whole, with every Pod Ready on a node that is not lost?"""
    matched = view.matched or Matched()
    wrong = _missing(view, matched)
    if wrong and not draft.status.pods:
        draft.stall(wrong)
        return False
    wanted = sum(one.replicas for one in matched.objects)
    ready = sum(record.ready for record in draft.status.pods)
    if awaited:
        more = f" (and {len(awaited) - 1} more)" if len(awaited) > 1 else ""
        draft.say(f"{awaited[0]}{more}")
        return False
    where = sorted({record.node for record in draft.status.pods})
    whole = ready >= wanted and not wrong and all(record.ready for record in draft.status.pods) and beyond == 0
    if not wanted and not draft.status.pods:
        draft.say(
            f"{_named(matched)} is scaled to zero: nothing runs, so nothing is protected; scale it up with kubectl"
        )
        return True
    if not wanted and not wrong:
        left = some([record.name for record in draft.status.pods], NAMED)
        draft.say(f"{_named(matched)} is scaled to zero: waiting for {left} to end")
        return False
    on = f" on {some(where, NAMED)}" if where else ""
    draft.say(wrong or f"{ready} of {plural(wanted, 'Pod')} Ready{on}")
    return whole


def _named(matched: Matched) -> str:
    return some([str(one) for one in matched.objects], NAMED)


def _missing(view: WorkloadView, matched: Matched) -> str:
    """What is wrong with what the HAResource names; empty: nothing."""
    target, namespace = view.guest.spec.workload, view.guest.key.namespace
    if target is None or (matched.objects and not all(one.deleting for one in matched.objects)):
        return ""
    if matched.objects:
        return f"{_named(matched)} is being deleted: delete this HAResource as well, or make the workload again"
    if matched.taken:
        what, who = matched.taken[0]
        return (
            f"{what} is protected by {who} already, which is older: delete one of the two HAResources (quorate remove)"
        )
    if target.selector is not None:
        if not target.selector.requirements:
            return f"there is no StatefulSet in namespace {namespace}: create one, or delete this HAResource"
        return (
            f"no StatefulSet in namespace {namespace} has the labels {target.selector}: correct "
            "spec.guest.workload.selector"
        )
    return (
        f"there is no {target.kind} {target.name} in namespace {namespace}: create it, or correct spec.guest.workload "
        "(kind, name)"
    )


def finish(draft: Draft, view: WorkloadView) -> None:
    """The conditions, and what only describes the rest."""
    status, guest, world = draft.status, view.guest, draft.world
    if guest.deleting:
        return
    ignored = guest.spec.wanted is Wanted.IGNORED
    ready = status.state is GuestState.IGNORED if ignored else status.ready
    stalled = draft.stalled
    findings: list[Finding] = [
        *summary(
            ready=ready and not stalled,
            reason=str(status.state),
            message=stalled or status.message,
            stalled=bool(stalled),
        )
    ]
    if view.matched is not None and not ignored:
        findings.append(_protected(draft, view.matched))
        findings.extend(_overlap(view.matched))
    conditions = merge(status.conditions, findings, now=world.wall, generation=guest.generation)
    finished = replace(
        status,
        guest=sid_of(guest.key),
        cluster_name=world.cluster.name,
        observed_generation=guest.generation,
        conditions=conditions,
    )
    if finished != status:
        draft.status = finished


def _overlap(matched: Matched) -> list[Finding]:
    if not matched.taken:
        return []
    said = some([f"{what} by {who}" for what, who in matched.taken], NAMED)
    text = f"protected already by an older HAResource: {said}. This one leaves them alone: delete one of the two"
    return [Finding("Exclusive", False, "ProtectedTwice", text)]


def _protected(draft: Draft, matched: Matched) -> Finding:
    """Would every Pod be released, were its node lost now?"""
    nodes = {node.name: node for node in draft.world.nodes}
    pods = {pod.uid: pod for pod in matched.pods}
    if not draft.status.pods:
        waiting = [pod.name for pod in matched.pods if pod.node is None]
        text = f"no Pod runs{f': {some(waiting, NAMED)} wait for a node' if waiting else ''}"
        return Finding(PROTECTED, False, NOTHING_RUNS, text)
    for reason, said in (
        ("NodeCannotProveItsDeath", _bare(draft, nodes)),
        ("ReplacedByItsController", _impatient(matched)),
        ("ToleratesEverything", [f"Pod {r.name}" for r in draft.status.pods if _heedless(r, pods)]),
    ):
        if said:
            return Finding(PROTECTED, False, reason, _WORDS[reason].format(some(said, NAMED)))
    more = len([pod for pod in matched.pods if pod.node is not None]) - len(draft.status.pods)
    if more > 0 and len(draft.status.pods) >= MAX_PODS:
        text = f"{MAX_PODS} Pods are protected, {more} more are not: use several HAResources, each with other labels"
        return Finding(PROTECTED, False, "TooManyPods", text)
    text = f"{plural(len(draft.status.pods), 'Pod')}: each on a node whose death can be proven"
    return Finding(PROTECTED, True, "EveryNodeProvable", text)


_WORDS: Final = {
    "NodeCannotProveItsDeath": "were these nodes lost, nothing would be removed until somebody says that they are off: {}",
    "ReplacedByItsController": (
        "{}: Kubernetes itself starts replacements 300 s after a node was lost, proven dead or not. Let its template "
        "tolerate node.kubernetes.io/not-ready and node.kubernetes.io/unreachable (NoExecute) without tolerationSeconds"
    ),
    "ToleratesEverything": (
        f"{{}}: tolerates the taint {FENCE_TAINT} (operator Exists without a key?), so a kubelet that boots again starts "
        "it while it may run elsewhere. Name the taints that it is to tolerate"
    ),
}


def _bare(draft: Draft, nodes: Mapping[NodeName, NodeView]) -> list[str]:
    """Pods on nodes that could not prove their death."""
    said: list[str] = []
    known: dict[NodeName, str] = {}
    for record in draft.status.pods:
        if record.node not in known:
            known[record.node] = _why(draft, nodes.get(record.node), record)
        if known[record.node]:
            said.append(f"Pod {record.name} ({known[record.node]})")
    return said


def _why(draft: Draft, node: NodeView | None, record: PodRecord) -> str:
    """Of one that is lost already its incident says what is awaited."""
    return "" if incident_of(draft.room, record) is not None else unproven(draft.room, node, record)


def _impatient(matched: Matched) -> list[str]:
    return [str(one) for one in matched.objects if one.kind is WorkloadKind.DEPLOYMENT and not one.patient]


def _heedless(record: PodRecord, pods: Mapping[Uid, WorkloadPod]) -> bool:
    pod = pods.get(record.uid)
    return pod is not None and pod.heedless

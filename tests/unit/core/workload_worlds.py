"""Small worlds with a StatefulSet `db`, whose one Pod runs on n1."""

from dataclasses import replace

from quorate.core.actions import Action, Plan
from quorate.core.plan import plan
from quorate.core.selectors import Taint
from quorate.core.status import Evidence, GuestStatus, Incident
from quorate.core.types import (
    FENCE_TAINT,
    OUT_OF_SERVICE_TAINT,
    EvidenceKind,
    GuestKey,
    GuestState,
    NodeName,
    Nonce,
    Stage,
    Uid,
)
from quorate.core.workloads import (
    KubeletLook,
    KubeletSeen,
    Matched,
    PodRecord,
    VolumesLook,
    WorkloadKind,
    WorkloadObject,
    WorkloadPod,
    WorkloadTarget,
)
from quorate.core.world import GuestSpec, GuestView, KubeNode, NodeView, Template, WorkloadView
from tests.unit.core.worlds import NOW, WALL, beat, incident, node, said, world

KEY = GuestKey("shop", "db")
TARGET = WorkloadTarget(WorkloadKind.STATEFUL_SET, "db")
SET = WorkloadObject(WorkloadKind.STATEFUL_SET, "db", Uid("set"), replicas=1)
N1 = NodeName("n1")
OWNER = ("StatefulSet", "db", Uid("set"))


def pod(name: str = "db-0", on: str = "n1", **changes: object) -> WorkloadPod:
    found = WorkloadPod(
        name,
        Uid(f"uid-{name}"),
        "5",
        OWNER,
        NodeName(on),
        phase="Running",
        ready=True,
        running=True,
        marks="m1",
        seen_s=NOW - 50,
    )
    return replace(found, **changes)


def record(name: str = "db-0", on: str = "n1", **changes: object) -> PodRecord:
    found = PodRecord(name, Uid(f"uid-{name}"), NodeName(on), Nonce(f"{on}.1"), ready=True, boot_id="b1", marks="m1")
    return replace(found, **changes)


def view(
    pods: tuple[WorkloadPod, ...] = (),
    records: tuple[PodRecord, ...] = (),
    objects: tuple[WorkloadObject, ...] = (SET,),
    *,
    volumes: VolumesLook | None = None,
    taken: tuple[tuple[str, str], ...] = (),
    spec: dict[str, object] | None = None,
    **status: object,
) -> WorkloadView:
    before = GuestStatus(state=GuestState.STARTED, since=WALL, cluster_name="prod", ready=True, pods=records)
    guest = GuestView(
        KEY,
        Uid("guest"),
        replace(GuestSpec(Template(""), workload=TARGET), **(spec or {})),
        replace(before, **status),
        generation=1,
        resource_version="1",
    )
    return WorkloadView(guest, Matched(objects, pods, taken), volumes)


def kube(name: str = "n1", *, evict: bool = False, off: bool = False, boot_id: str = "b1") -> KubeNode:
    taints = [Taint(FENCE_TAINT, "NoSchedule", "n1-x")]
    if evict:
        taints.append(Taint(FENCE_TAINT, "NoExecute", "n1-x"))
    if off:
        taints.append(Taint(OUT_OF_SERVICE_TAINT, "NoExecute", "n1-x"))
    return KubeNode(NodeName(name), Uid(f"kube-{name}"), taints=tuple(taints), ready=True, boot_id=boot_id)


def fenced(**changes: object) -> Incident:
    proof = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "armed and silent for 15s")
    found = incident(stage=Stage.FENCED, evidence=(proof,), kubelet=KubeletSeen("k/7"))
    return replace(found, **changes)


def lost(case: Incident | None = None, look: KubeletLook | None = None, **kube_changes: object) -> NodeView:
    """n1, whose Lease was taken."""
    case = case or fenced()
    taken = beat("n1", age_s=30, holder="fenced/n1-x/n1.1", attestation=said("n1"))
    return node("n1", status={"incident": case, "state": "Fence"}, beat=taken, kube=kube(**kube_changes), kubelet=look)


def planned(one: WorkloadView, n1: NodeView | None = None, **changes: object) -> Plan:
    n1 = n1 if n1 is not None else node("n1", kube=KubeNode(N1, Uid("kube-n1"), ready=True, boot_id="b1"))
    return plan(world(nodes=(n1, node("n2"), node("n3")), workloads=(one,), **changes))


def outcome(one: WorkloadView, n1: NodeView | None = None, **changes: object) -> tuple[GuestStatus, list[Action]]:
    """The workload's status after a round, and its actions."""
    made = planned(one, n1, **changes)
    status = next((write.status for write in made.statuses if write.ref == KEY.ref), one.guest.status)
    assert isinstance(status, GuestStatus)
    return status, [action for action in made.actions if action.subject == KEY.ref]


def condition(status: GuestStatus, kind: str) -> tuple[str, str, str]:
    """Its status, reason and message; empty where there is none."""
    found = next((one for one in status.conditions if one.type == kind), None)
    return (found.status, found.reason, found.message) if found is not None else ("", "", "")

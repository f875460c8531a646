"""Small worlds with a virtual machine `win`, whose launcher runs on n1."""

from dataclasses import replace

from quorate.core.actions import Action, Plan
from quorate.core.invariants import check
from quorate.core.machines import Launcher, MachineRun, MachineView, current
from quorate.core.plan import plan
from quorate.core.pods import ContainerView
from quorate.core.status import GuestStatus
from quorate.core.types import GuestState, InstanceId, MachineKey, NodeName, Nonce, Uid
from quorate.core.workloads import PodRecord, WorkloadPod
from quorate.core.world import GuestSpec, GuestView, KubeNode, NodeView, Template
from tests.unit.core.worlds import NOW, WALL, instance, node, pod, world

KEY = MachineKey("default", "win")
RUN = MachineRun(Uid("run"), "Running")
N1 = NodeName("n1")


def made(on: str | None = "n1", **changes: object) -> WorkloadPod:
    """The launcher as a Pod that others made."""
    found = WorkloadPod(
        "virt-launcher-win",
        Uid("pod-1"),
        "5",
        ("VirtualMachineInstance", "win", Uid("run")),
        NodeName(on) if on else None,
        phase="Running",
        ready=True,
        running=True,
        marks="m1",
        seen_s=NOW - 50,
    )
    return replace(found, **changes)


def launcher(on: str | None = "n1", *, work: dict[str, object] | None = None, **changes: object) -> Launcher:
    one = pod(on or "n1", bound=on is not None, template_hash="", held=False, **changes)
    bare = {} if on else {"phase": "Pending", "ready": False, "running": False, "marks": ""}
    return Launcher(
        "virt-launcher-win",
        one,
        made(on, uid=one.uid, deleting=one.deleting, **{**bare, **(work or {})}),
        Uid("run"),
        True,
    )


def waiting(**changes: object) -> Launcher:
    """Not bound yet."""
    containers = (ContainerView("compute"),)
    return launcher(None, **{"phase": "Pending", "ready": False, "containers": containers, **changes})


def machine(*launchers: Launcher, **changes: object) -> MachineView:
    found = MachineView(
        "win",
        uid=Uid("vm"),
        resource_version="9",
        strategy="Once",
        kept="Always",
        instance=InstanceId("i1"),
        scheduler="quorate",
        run=RUN if launchers else None,
        launchers=launchers,
    )
    return replace(found, **changes)


def record(on: str = "n1", **changes: object) -> PodRecord:
    found = PodRecord(
        "virt-launcher-win", Uid("pod-1"), NodeName(on), Nonce(f"{on}.1"), ready=True, boot_id="b1", marks="m1"
    )
    return replace(found, **changes)


def drawn(**changes: object):
    """An instance that was never bound."""
    return instance(template_hash="", **{"uid": None, "began": False, "started": False, **changes})


def guest(view: MachineView | None, **changes: object) -> GuestView:
    status = GuestStatus(
        state=GuestState.STARTED,
        since=WALL,
        cluster_name="prod",
        ready=True,
        ready_since=WALL,
        node=N1,
        instance=instance(template_hash=""),
        pods=(record(),),
    )
    status = replace(status, **changes.pop("status", {}))
    known = status.instance
    found = {
        "status": status,
        "spec": replace(GuestSpec(Template(""), machine="win"), **changes.pop("spec", {})),
        "held": True,
        "generation": 1,
        "resource_version": "1",
        "machine": view,
        "pod": current(view, known.uid if known else None, known.id if known else None) if view is not None else None,
    }
    return GuestView(KEY, Uid("guest"), **{**found, **changes})


def n1(**changes: object) -> NodeView:
    return node("n1", **{"kube": KubeNode(N1, Uid("kube-n1"), ready=True, boot_id="b1"), **changes})


def planned(one: GuestView, *nodes: NodeView, **changes: object) -> Plan:
    """The plan, which breaks no invariant."""
    given = world(guests=(one,), nodes=nodes or (n1(), node("n2"), node("n3")), **changes)
    made_plan = plan(given)
    assert check(given, made_plan) == ()
    return made_plan


def outcome(one: GuestView, *nodes: NodeView, **changes: object) -> tuple[GuestStatus, list[Action]]:
    """The guest's status after a round, and its actions."""
    made_plan = planned(one, *nodes, **changes)
    status = next((write.status for write in made_plan.statuses if write.ref == KEY.ref), one.status)
    assert isinstance(status, GuestStatus)
    return status, [action for action in made_plan.actions if action.subject == KEY.ref]

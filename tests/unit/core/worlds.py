"""Small worlds for unit tests: a cluster of two nodes, one guest, everything as it should be."""

from dataclasses import replace

from quorate.core.actions import Action
from quorate.core.plan import plan
from quorate.core.pods import ContainerView, PodView
from quorate.core.status import Arming, ClusterStatus, GuestStatus, Incident, Instance, NodeStatus, WatchdogStatus
from quorate.core.timing import Profile, TimingSpec
from quorate.core.types import (
    GuestKey,
    GuestState,
    IncidentId,
    InstanceId,
    Instant,
    NodeName,
    NodeState,
    Nonce,
    Stage,
    Uid,
    WatchdogKind,
)
from quorate.core.world import (
    Attestation,
    Beat,
    ClusterSpec,
    ClusterView,
    GuestSpec,
    GuestView,
    KubeNode,
    NodeView,
    Sighting,
    Template,
    World,
)

NOW = 1000.0
WALL = Instant(1_000_000)
KEY = GuestKey("default", "web")
EXTERNAL = (WatchdogKind.EXTERNAL,)
SPEC = ClusterSpec(timing=TimingSpec(Profile.FAST), accepted_watchdogs=EXTERNAL)


def said(name: str, sequence: int = 50, **changes: object) -> Attestation:
    found = Attestation(Uid(f"lease-{name}"), sequence, True, "External", 5, 1.5, 500, f"machine-{name}", 1, 1)
    return replace(found, **changes)


def beat(name: str, age_s: float = 0.5, *, holder: str = "", moved: bool = True, **changes: object) -> Beat:
    holder = holder or f"{name}.1"
    seen = NOW - age_s
    attestation = changes.pop("attestation", None) or said(name, **changes)
    return Beat(
        Uid(f"lease-{name}"),
        "77",
        holder,
        attestation,
        seen,
        moved,
        sightings=(Sighting(holder, seen - 400, seen, 100, attestation.sequence),),
    )


def node(name: str, **changes: object) -> NodeView:
    status = NodeStatus(
        state=NodeState.ONLINE,
        since=WALL,
        nonce=Nonce(f"{name}.1"),
        system_uuid=f"machine-{name}",
        agent_protocol=1,
        watchdog=WatchdogStatus("External", True, 5, 1.5, generation=1),
        arming=Arming(1, wanted=True),
    )
    found = {
        "status": replace(status, **changes.pop("status", {})),
        "kube": KubeNode(NodeName(name), Uid(f"kube-{name}"), ready=True),
        "beat": beat(name),
        "resource_version": "1",
    }
    return NodeView(NodeName(name), Uid(f"node-{name}"), "prod", **{**found, **changes})


def instance(name: str = "n1", **changes: object) -> Instance:
    found = Instance(
        InstanceId("i1"), NodeName(name), Nonce(f"{name}.1"), "t1", WALL, Uid("pod-1"), began=True, started=True
    )
    return replace(found, **changes)


def pod(name: str = "n1", **changes: object) -> PodView:
    found = PodView(
        uid=Uid("pod-1"),
        resource_version="5",
        node=NodeName(name),
        owner=Uid("guest"),
        instance=InstanceId("i1"),
        nonce=Nonce(f"{name}.1"),
        template_hash="t1",
        phase="Running",
        ready=True,
        held=True,
        containers=(ContainerView("main", state="running", started=True),),
    )
    return replace(found, **changes)


def guest(**changes: object) -> GuestView:
    status = GuestStatus(
        state=GuestState.STARTED,
        since=WALL,
        cluster_name="prod",
        ready=True,
        ready_since=WALL,
        node=NodeName("n1"),
        instance=instance(),
        template_hash="t1",
    )
    found = {
        "status": replace(status, **changes.pop("status", {})),
        "spec": replace(GuestSpec(Template("t1")), **changes.pop("spec", {})),
        "held": True,
        "pod": pod(),
        "generation": 1,
        "resource_version": "1",
    }
    return GuestView(KEY, Uid("guest"), **{**found, **changes})


def world(*, nodes: tuple[NodeView, ...] | None = None, guests: tuple[GuestView, ...] = (), **changes: object) -> World:
    nodes = nodes if nodes is not None else (node("n1"), node("n2"), node("n3"))
    cluster = ClusterView("prod", Uid("cluster"), SPEC, ClusterStatus(quorate=True, ever_quorate=True), held=True)
    found = {
        "now_s": NOW,
        "wall": WALL,
        "entropy": "entropy",
        "term": 3,
        "manager": "m1",
        "cluster": cluster,
        "kube_nodes": tuple(one.kube for one in nodes if one.kube is not None),
    }
    return World(**{**found, "nodes": nodes, "guests": guests, **changes})


def incident(name: str = "n1", **changes: object) -> Incident:
    found = Incident(IncidentId(f"{name}-x"), Nonce(f"{name}.1"), WALL, "no heartbeat for 9.0s", Stage.SUSPECTED, 50, 3)
    return replace(found, **changes)


def run(one: GuestView, **changes: object) -> tuple[GuestStatus, list[Action]]:
    """One round: the guest's status after it, and its actions."""
    made = plan(world(guests=(one,), **changes))
    status = next((write.status for write in made.statuses if write.ref == KEY.ref), one.status)
    return status, [action for action in made.actions if action.subject == KEY.ref]

"""One Cluster of three nodes as its manager would have written it, whole or in trouble. Times are far from any clock."""

from dataclasses import replace
from typing import Any

from quorate.api.attestation import encode
from quorate.core.conditions import merge, summary
from quorate.core.status import (
    ClusterStatus,
    GuestStatus,
    Incident,
    Instance,
    NodeStatus,
    StorageStatus,
    TimingStatus,
    VotesStatus,
    WatchdogStatus,
)
from quorate.core.types import (
    ATTESTATION_ANNOTATION,
    GuestState,
    IncidentId,
    InstanceId,
    Instant,
    NodeName,
    NodeState,
    Nonce,
    Stage,
    Uid,
)
from quorate.core.world import Attestation
from quorate.view.snapshot import Snapshot
from tests.unit.view.recorded import Raw, custom, lease

NOW = Instant(1_795_000_000_000)
SECOND = 1000
SOON = Instant(NOW + 12 * SECOND)
TIMING = TimingStatus("Fast", "chosen in spec.timing.profile", 1.0, 1.5, 5.0, 8.6, 14.7)
WATCHDOG = WatchdogStatus("Hardware", armed=True, timeout_s=5.0, renewal_timeout_s=1.5)


def ago(seconds: float) -> Instant:
    return Instant(NOW - round(seconds * SECOND))


def ready(*, holds: bool = True, reason: str = "Fine", message: str = "") -> tuple[Any, ...]:
    found = summary(ready=holds, reason=reason, message=message)
    return merge((), found, now=ago(60), generation=1)


def cluster_status(**changes: Any) -> ClusterStatus:
    whole = ClusterStatus(
        quorate=True,
        ever_quorate=True,
        votes=VotesStatus(3, 3, 3, 2, "3/3"),
        manager="quorate-0",
        term=4,
        timing=TIMING,
        fencing="Armed 3/3",
        nodes="3/3",
        guests="1 started",
        message="quorate (3 of 3 votes, need 2), guests: 1 started",
        conditions=ready(reason="Quorate"),
    )
    return replace(whole, **changes)


def not_quorate() -> ClusterStatus:
    message = "not quorate (1 of 3 votes, need 2): nothing is fenced, recovered, started or moved"
    return cluster_status(
        quorate=False,
        votes=VotesStatus(3, 3, 1, 2, "1/3"),
        message=message,
        conditions=ready(holds=False, reason="NotQuorate", message=message),
    )


def node_status(**changes: Any) -> NodeStatus:
    online = NodeStatus(
        state=NodeState.ONLINE,
        since=ago(600),
        votes=1,
        nonce=Nonce("boot"),
        watchdog=WATCHDOG,
        watchdog_text="Hardware 5s armed",
        guests=1,
        message="renews its Lease",
        conditions=ready(reason="Online"),
    )
    return replace(online, **changes)


def lost(*, release_by: Instant | None, stage: Stage = Stage.SUSPECTED, guests: int = 1) -> NodeStatus:
    incident = Incident(
        id=IncidentId("n1-abc"),
        nonce=Nonce("boot"),
        opened=ago(3),
        reason="no heartbeat for 8.7s",
        stage=stage,
        sequence=9,
        term=4,
        release_by=release_by,
    )
    return node_status(state=NodeState.FENCE, incident=incident, guests=guests, message="lost", conditions=())


def guest_status(**changes: Any) -> GuestStatus:
    node = NodeName("n1")
    running = GuestStatus(
        guest="ct:shop/web",
        state=GuestState.STARTED,
        cluster_name="prod",
        ready=True,
        node=node,
        tries="0/1 0/1",
        instance=Instance(InstanceId("i"), node, Nonce("boot"), "hash", ago(60), started=True),
        message="runs on n1",
        conditions=ready(reason="Started"),
    )
    return replace(running, **changes)


def in_error() -> GuestStatus:
    message = "it failed on n1 with exit code 1 (Error): hands off until spec.state is Disabled or the command reset"
    return guest_status(
        guest="ct:shop/api",
        state=GuestState.ERROR,
        ready=False,
        tries="0/1 2/1",
        message=message,
        conditions=ready(holds=False, reason="Error", message=message),
    )


def in_fence() -> GuestStatus:
    message = "waiting for proof that n1 is off, at the latest 11:06:52 UTC"
    return guest_status(
        state=GuestState.FENCE,
        ready=False,
        target=NodeName("n2"),
        message=message,
        conditions=ready(holds=False, reason="Fence", message=message),
    )


def cluster(status: ClusterStatus | None = None, name: str = "prod") -> Raw:
    return custom("Cluster", name, status=status or cluster_status())


def node(name: str, status: NodeStatus | None = None, cluster_name: str = "prod") -> Raw:
    return custom("Node", name, spec={"clusterName": cluster_name, "votes": 1}, status=status or node_status())


def guest(status: GuestStatus | None = None, name: str = "web", **spec: Any) -> Raw:
    container = {"spec": {"containers": [{"name": name, "image": "web:1"}]}}
    wished = {"state": "Started", "guest": {"container": container}, **spec}
    return custom("HAResource", name, namespace="shop", spec=wished, status=status or guest_status())


def storage(name: str, status: StorageStatus | None = None) -> Raw:
    available = StorageStatus(shared=True, nodes="3/3", state="Available", message="used by 1 guest")
    spec = {"type": "Claim", "claim": {"namespace": "shop", "name": "data"}, "allowedNamespaces": ["shop"]}
    return custom("Storage", name, spec=spec, status=status or available)


def leases(**ages_s: float) -> tuple[Raw, ...]:
    return tuple(lease(name, "boot", ago(age)) for name, age in ages_s.items())


def leader(age_s: float = 1.0, holder: str = "quorate-0") -> tuple[Raw, ...]:
    return (lease("manager-prod", holder, ago(age_s)),)


def whole() -> Snapshot:
    """Everything as wished."""
    return Snapshot(
        clusters=(cluster(),),
        nodes=(node("n1"), node("n2", node_status(guests=0)), node("n3", node_status(guests=0))),
        guests=(guest(),),
        storages=(storage("media"),),
        leases=leases(n1=0.4, n2=0.9, n3=1.2),
        leaders=leader(),
    )


def node_lost(release_by: Instant | None = SOON) -> Snapshot:
    """n1 is silent, its guest waits for proof."""
    status = cluster_status(
        votes=VotesStatus(3, 3, 2, 2, "2/3"),
        message="n1 is lost (no heartbeat for 8.7s): proven dead no later than 11:06:52 UTC; 1 guest waits for it",
    )
    return replace(
        whole(),
        clusters=(cluster(status),),
        nodes=(node("n1", lost(release_by=release_by)), node("n2"), node("n3", node_status(guests=0))),
        guests=(guest(in_fence()),),
        leases=leases(n1=11.0, n2=0.9, n3=1.2),
    )


def quorum_lost() -> Snapshot:
    """n1 and n2 are silent: one vote of three."""
    before = node_lost()
    silent = node("n2", node_status(state=NodeState.UNKNOWN, message="no heartbeat"))
    return replace(
        before,
        clusters=(cluster(not_quorate()),),
        nodes=(before.nodes[0], silent, before.nodes[2]),
        leases=leases(n1=61.0, n2=40.0, n3=1.2),
    )


def kube_node(name: str, *, cordoned: bool = False, is_ready: bool = True) -> Raw:
    """The Kubernetes node of that name."""
    condition = {"type": "Ready", "status": "True" if is_ready else "False"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": cordoned},
        "status": {"conditions": [condition]},
    }


def as_object(raw: Raw, namespace: str) -> Raw:
    """A Lease as the API server returns it, with the attestation of a node that has an armed watchdog."""
    said = Attestation(Uid("l"), 9, True, "Hardware", 5.0, 1.5, 60.0, "m", 1, 1)
    metadata = {
        **raw["metadata"],
        "namespace": namespace,
        "uid": "l",
        "annotations": {ATTESTATION_ANNOTATION: encode(said)},
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": raw["spec"]}

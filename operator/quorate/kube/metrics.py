"""All metrics of a manager process, in a registry of its own (docs/metrics.md says what they mean).

What happens is counted when it has happened: a transition of a status when its compare-and-swap has succeeded, a deed
when it is done. As each version of an object is replaced once, no replica counts what another one has counted. What *is*
(gauges) is read when somebody asks, from the World as the next plan would see it, and only by the replica that leads the
Cluster: nothing can go stale, and no replica contradicts it.
"""

from collections import Counter as Tallied
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate import __version__
from quorate.core.actions import Action
from quorate.core.sequence import Said
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus, StorageStatus
from quorate.core.types import EvidenceKind, GuestState, Kind, NodeState, Stage
from quorate.core.world import NodeView, World
from quorate.kube.leader import Elector
from quorate.kube.store import Store

Status: TypeAlias = ClusterStatus | NodeStatus | GuestStatus | StorageStatus
# a second series for each counter, of which nobody asks anything
disable_created_metrics()  # type: ignore[no-untyped-call]

API_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
PLAN_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)
ROUND_BUCKETS_S: Final = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RECOVERY_BUCKETS_S: Final = (5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 300, 600)

_GAUGES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("build_info", "Version of this manager.", ("version",)),
    ("store_synced", "Has everything been listed once?", ()),
    ("store_watching", "Are changes being watched?", ()),
    ("leader", "May this replica act? Without a cluster: for what belongs to none.", ("cluster",)),
    ("term", "Term of this leader.", ("cluster",)),
    ("leader_renewal_age_seconds", "Time since the leader's last confirmed renewal was sent.", ("cluster",)),
    ("cluster_quorate", "Does the Cluster have quorum?", ("cluster",)),
    ("cluster_votes", "Votes of the Cluster.", ("cluster", "kind")),
    ("nodes", "Members by state.", ("cluster", "state")),
    (
        "fence_device_healthy",
        "Did the fence device answer when it was asked last, before it was needed?",
        ("cluster", "node", "device"),
    ),
    ("node_armed", "Did the node's agent attest an armed watchdog last?", ("cluster", "node")),
    ("node_heartbeat_age_seconds", "Time since this manager saw the last heartbeat.", ("cluster", "node")),
    ("incidents_open", "Nodes with an open incident.", ("cluster",)),
    ("guests", "Guests by state.", ("cluster", "state")),
    ("guests_as_wished", "Guests that are what their spec asks for (condition Ready).", ("cluster",)),
)


@dataclass(frozen=True, slots=True)
class Seat:
    """A Lease this replica competes for. `look`: the World of its Cluster now; None for the house (cluster "")."""

    cluster: str
    elector: Elector
    look: Callable[[], World | None]


class Metrics:
    """One manager's. `seats` and `store` are read when somebody asks."""

    def __init__(self, store: Store, seats: Callable[[], Iterable[Seat]]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Seen(store, seats))
        self.incidents = self._counter("incidents", "Incidents opened.", "cluster")
        self.fenced = self._counter(
            "fenced", "Boots whose Lease was taken, by their first evidence.", "cluster evidence"
        )
        self.recoveries = self._counter("recoveries", "Guests that run again after their node was lost.", "cluster")
        self.recovery_s = self._histogram(
            "recovery_duration_seconds", "From the suspicion of its node to a guest that is Ready.", RECOVERY_BUCKETS_S
        )
        self.failures = self._counter("guest_failures", "Failed tries: ends that count for the limits.", "cluster")
        self.errors = self._counter("guest_errors", "Guests that went into Error.", "cluster")
        self.writes = self._counter("status_writes", "Statuses written, by compare-and-swap.", "cluster kind result")
        self.deeds = self._counter("actions", "Deeds of plans.", "cluster action result")
        self.breaches = self._counter("invariant_breaches", "Breaches found in plans: bugs.", "cluster")
        self.plan_s = self._histogram("plan_duration_seconds", "Building a World and planning.", PLAN_BUCKETS_S)
        self.round_s = self._histogram("round_duration_seconds", "Planning and carrying out.", ROUND_BUCKETS_S)
        self.requests = self._counter("api_requests", "Answers of the API server, each try.", "method code")
        self.request_s = self._histogram(
            "api_request_duration_seconds", "How long one try took.", API_BUCKETS_S, "method"
        )

    def _counter(self, name: str, text: str, labels: str) -> Counter:
        return Counter(f"quorate_{name}", text, labels.split(), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], labels: str = "cluster") -> Histogram:
        return Histogram(f"quorate_{name}", text, labels.split(), buckets=buckets, registry=self.registry)

    def exposition(self) -> bytes:
        """What `/metrics` answers: text format 0.0.4."""
        return generate_latest(self.registry)

    def request(self, method: str, code: int, seconds: float) -> None:
        """One try of a call to the API server; code 0: it gave no answer."""
        self.requests.labels(method, str(code) if code else "none").inc()
        self.request_s.labels(method).observe(seconds)

    def tally(self, cluster: str) -> "Tally":
        return Tally(self, cluster)


class Tally:
    """What is done for one Cluster. Its counters are there, at 0, before anything is counted: a first one is a change."""

    def __init__(self, metrics: Metrics, cluster: str) -> None:
        self._metrics = metrics
        self._cluster = cluster
        self._round_s = metrics.round_s.labels(cluster)
        self._of = cache(lambda counter, *labels: counter.labels(cluster, *labels))
        """A series, found once: to look it up takes longer than to count."""
        if not cluster:
            return
        for counter in (metrics.incidents, metrics.recoveries, metrics.failures, metrics.errors, metrics.breaches):
            counter.labels(cluster)
        for evidence in EvidenceKind:
            metrics.fenced.labels(cluster, evidence)
        metrics.recovery_s.labels(cluster)
        metrics.plan_s.labels(cluster)

    def wrote(self, kind: Kind, before: Status | None, after: Status) -> None:
        """This status has been replaced by that one."""
        self._of(self._metrics.writes, kind, "written").inc()
        if isinstance(after, NodeStatus):
            self._node(before if isinstance(before, NodeStatus) else NodeStatus(), after)
        elif isinstance(after, GuestStatus):
            self._guest(before if isinstance(before, GuestStatus) else GuestStatus(), after)

    def not_written(self, kind: Kind, *, conflict: bool) -> None:
        """A status could not be written: somebody was faster, or for another reason."""
        self._metrics.writes.labels(self._cluster, kind, "conflict" if conflict else "failed").inc()

    @contextmanager
    def deed(self, action: Action) -> Iterator[None]:
        """Around a deed; one that raises has failed."""
        result = "failed"
        try:
            yield
            result = "done"
        finally:
            self._of(self._metrics.deeds, type(action).__name__, result).inc()

    def breached(self, count: int) -> None:
        self._metrics.breaches.labels(self._cluster).inc(count)

    def planned(self, seconds: float) -> None:
        self._of(self._metrics.plan_s).observe(seconds)

    def went_round(self, seconds: float) -> None:
        self._round_s.observe(seconds)

    def _node(self, before: NodeStatus, after: NodeStatus) -> None:
        old, new = before.incident, after.incident
        if new is None:
            return
        known = old is not None and old.id == new.id
        if not known:
            self._metrics.incidents.labels(self._cluster).inc()
        if new.stage is Stage.FENCED and not (known and old is not None and old.stage is Stage.FENCED):
            evidence = str(new.evidence[0].kind) if new.evidence else ""
            self._metrics.fenced.labels(self._cluster, evidence).inc()

    def _guest(self, before: GuestStatus, after: GuestStatus) -> None:
        if after.state is GuestState.ERROR and before.state is not GuestState.ERROR:
            self._metrics.errors.labels(self._cluster).inc()
            if len(after.failed_nodes) > len(before.failed_nodes):  # else its template was refused
                self._metrics.failures.labels(self._cluster).inc()
        elif after.next_try is not None and after.next_try != before.next_try:
            self._metrics.failures.labels(self._cluster).inc()
        recovery = after.recovery
        if recovery is None or recovery.ready is None:
            return
        if before.recovery is None or before.recovery.ready != recovery.ready:
            self._metrics.recoveries.labels(self._cluster).inc()
            if recovery.duration_s is not None:
                self._metrics.recovery_s.labels(self._cluster).observe(recovery.duration_s)


class _Seen(Collector):
    """The gauges, as they are when somebody asks."""

    def __init__(self, store: Store, seats: Callable[[], Iterable[Seat]]) -> None:
        self._store = store
        self._seats = seats

    def collect(self) -> Iterator[Metric]:
        found = {name: GaugeMetricFamily(f"quorate_{name}", text, labels=labels) for name, text, labels in _GAUGES}
        found["build_info"].add_metric([__version__], 1)
        found["store_synced"].add_metric([], self._store.synced)
        found["store_watching"].add_metric([], self._store.watching)
        for seat in self._seats():
            elector, leads = seat.elector, seat.elector.valid()
            found["leader"].add_metric([seat.cluster], leads)
            if not leads:
                continue
            found["term"].add_metric([seat.cluster], elector.term)
            found["leader_renewal_age_seconds"].add_metric([seat.cluster], elector.renewal_age_s())
            world = seat.look()
            if world is not None:
                _describe(found, world)
        yield from found.values()
        text = "Times that watching ended by itself and began anew."
        yield CounterMetricFamily("quorate_watch_restarts", text, self._store.watch_restarts)


def _describe(found: dict[str, GaugeMetricFamily], world: World) -> None:
    """The gauges of one Cluster."""
    name, status = world.cluster.name, world.cluster.status
    found["cluster_quorate"].add_metric([name], status.quorate)
    for kind in ("expected", "total", "live", "needed"):
        found["cluster_votes"].add_metric([name, kind], getattr(status.votes, kind))
    nodes = Tallied(node.status.state for node in world.nodes)
    for node_state in NodeState:
        found["nodes"].add_metric([name, node_state], nodes[node_state])
    for node in world.nodes:
        found["node_armed"].add_metric([name, node.name], _armed(node))
        for one in node.health:
            found["fence_device_healthy"].add_metric([name, node.name, one.device], one.said in {Said.ON, Said.OFF})
        seen_s = node.beat.seen_s if node.beat is not None else node.lease_missing_s
        if seen_s is not None:
            found["node_heartbeat_age_seconds"].add_metric([name, node.name], world.now_s - seen_s)
    found["incidents_open"].add_metric([name], sum(node.status.incident is not None for node in world.nodes))
    everyone = (*world.guests, *(view.guest for view in world.workloads))
    guests = Tallied(guest.status.state for guest in everyone)
    for guest_state in GuestState:
        found["guests"].add_metric([name, guest_state], guests[guest_state])
    ready = (any(one.type == "Ready" and one.status == "True" for one in guest.status.conditions) for guest in everyone)
    found["guests_as_wished"].add_metric([name], sum(ready))


def _armed(node: NodeView) -> bool:
    beat = node.beat
    return beat is not None and beat.nonce is not None and beat.attestation is not None and beat.attestation.armed

"""Objects -> the report. Pure: the same snapshot at the same moment gives the same report."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from quorate.core.status import ClusterStatus, Condition
from quorate.core.types import Instant, Kind, Ref
from quorate.view.guests import cluster_of, guest_report
from quorate.view.nodes import node_report
from quorate.view.report import (
    Attention,
    ClusterReport,
    GuestReport,
    Health,
    ManagerReport,
    Report,
    StorageReport,
    worst,
)
from quorate.view.snapshot import Raw, Snapshot, name_of, named, read_status, renewed, spec_of
from quorate.view.storages import storage_report
from quorate.view.votes import because, enough, wished_options

MANAGER_GRACE_S: Final = 5.0
"""What a leader's Lease may be older than its duration before the report calls the manager silent: clocks differ."""
DEFAULT_LEASE_S: Final = 15.0
DEFAULT_SUSPECT_S: Final = 60.0
"""How old a beat may be to count as heard while a Cluster has no times yet."""

Row = TypeVar("Row", GuestReport, StorageReport)


@dataclass(frozen=True, slots=True)
class Reading:
    """How guests are read: a program that looks again and again remembers those that have not changed."""

    report: Callable[[Raw], GuestReport] = guest_report
    cluster: Callable[[Raw, Sequence[str]], str | None] = cluster_of


def build(snapshot: Snapshot, now: Instant, reading: Reading | None = None) -> Report:
    """The report of everything in the snapshot at that moment."""
    read = reading or Reading()
    names = sorted(name_of(raw) for raw in snapshot.clusters)
    clusters = tuple(_cluster(raw, snapshot, names, now, read) for raw in sorted(snapshot.clusters, key=name_of))
    storages = _ordered(storage_report(raw) for raw in snapshot.storages)
    strays = _ordered(read.report(raw) for raw in snapshot.guests if read.cluster(raw, names) is None)
    attention = _of_no_cluster(snapshot, names)
    health = worst(
        *(cluster.health for cluster in clusters),
        *(row.health for row in storages),
        *(row.health for row in strays),
        *(line.health for line in attention),
    )
    return Report(now, health, clusters, storages, strays, attention)


def _cluster(raw: Raw, snapshot: Snapshot, names: list[str], now: Instant, read: Reading) -> ClusterReport:
    status, problem = read_status(raw, ClusterStatus)
    name = name_of(raw)
    suspect_after_s = status.timing.suspect_after_s if status.timing is not None else DEFAULT_SUSPECT_S
    members = [
        node_report(
            node,
            named(snapshot.leases, name_of(node)),
            now=now,
            suspect_after_s=suspect_after_s,
            quorate=status.quorate,
        )
        for node in snapshot.nodes
        if spec_of(node).get("clusterName") == name
    ]
    nodes = tuple(sorted((report for report, _ in members), key=lambda node: node.name))
    guests = _ordered(read.report(guest) for guest in snapshot.guests if read.cluster(guest, names) == name)
    manager = _manager(status, snapshot, name, now)
    own = _attention(status, problem, name, manager)
    attention = (*own, *(line for _, lines in members for line in lines))
    return ClusterReport(
        name=name,
        health=worst(
            *(line.health for line in attention),
            *(row.health for row in nodes),
            *(row.health for row in guests),
        ),
        quorate=status.quorate,
        quorate_since=status.quorate_since,
        votes=status.votes,
        device=status.device,
        options=wished_options(spec_of(raw).get("quorum") or {}),
        manager=manager,
        timing=status.timing,
        fencing=status.fencing,
        disarm=status.disarm,
        rules=status.rules,
        capacity=status.capacity.text if status.capacity is not None else "",
        sentence=status.message,
        conditions=status.conditions,
        attention=tuple(sorted(attention, key=lambda line: -line.health.severity)),
        nodes=nodes,
        guests=guests,
    )


def _manager(status: ClusterStatus, snapshot: Snapshot, name: str, now: Instant) -> ManagerReport:
    """Who leads, and whether it still does: a status whose writer is gone only tells the past."""
    if snapshot.leaders is None:
        return ManagerReport(status.manager, status.term, silent=False)
    lease = named(snapshot.leaders, f"manager-{name}")
    beat, spec = renewed(lease), spec_of(lease) if lease is not None else {}
    allowed_s = float(spec.get("leaseDurationSeconds") or DEFAULT_LEASE_S) + MANAGER_GRACE_S
    silent = beat is None or not spec.get("holderIdentity") or now - beat > allowed_s * 1000
    return ManagerReport(status.manager, status.term, silent, beat)


def _attention(status: ClusterStatus, problem: str, name: str, manager: ManagerReport) -> tuple[Attention, ...]:
    """What is to be known of the Cluster as a whole."""
    who = str(Ref(Kind.CLUSTER, name))
    found = []
    if problem:
        found.append(Attention(Health.DEGRADED, who, problem))
    if manager.silent:
        found.append(_silent(who, status))
    if not status.quorate and (status.votes.total or not manager.silent):
        found.append(_not_quorate(who, status))
    for condition in status.conditions:
        line = _condition(who, condition, quorate=status.quorate)
        if line is not None:
            found.append(line)
    return tuple(found)


def _silent(who: str, status: ClusterStatus) -> Attention:
    said = "what follows is what the last one wrote" if status.manager else "nobody has looked at it yet"
    return Attention(
        Health.CRITICAL,
        who,
        f"no manager leads it, so nothing is fenced, recovered, started or moved; {said}",
        remedy="See whether the managers run: kubectl -n quorate-system get pods",
    )


def _not_quorate(who: str, status: ClusterStatus) -> Attention:
    votes = status.votes
    if not status.ever_quorate or not votes.live:
        return Attention(Health.CRITICAL, who, status.message or "not quorate: no votes are counted yet")
    return Attention(
        Health.CRITICAL,
        who,
        f"not quorate ({votes.live} of {votes.expected} votes, need {votes.needed}{because(votes)}): "
        "nothing is fenced, recovered, started or moved",
        remedy="Bring nodes back, or if they are lost for good: "
        f"quorate cluster expected {enough(votes)} --reason TEXT",
    )


def _condition(who: str, condition: Condition, *, quorate: bool) -> Attention | None:
    """The line of a condition that is not as it should be. Others speak for Ready where both fail."""
    failing = condition.status == "False"
    match condition.type:
        case "HistoryForward" if failing:
            return Attention(Health.CRITICAL, who, condition.message)
        case "Ready" if failing and quorate and condition.reason not in {"Stalled", "HistoryBackwards"}:
            return Attention(Health.DEGRADED, who, condition.message)
        case (
            "TimingValid"
            | "NodesEnrolled"
            | "ApiFast"
            | "RulesHonoured"
            | "SchedulingInForce"
            | "QuorumOptionsInForce"
            | "QuorumDeviceHeard"
        ) if failing:
            return Attention(Health.DEGRADED, who, condition.message)
        case "Armed" if failing or condition.reason == "DisarmIsOver":
            return Attention(Health.DEGRADED, who, condition.message, remedy="" if failing else "quorate arm")
        case "ExpectedVotesActive" if condition.status == "True":
            return Attention(Health.DEGRADED, who, condition.message)
        case "CapacitySufficient" if failing and condition.reason == "NoPlace" and quorate:
            return Attention(Health.HEALTHY, who, condition.message)
        case "SurvivesNodeFailure" if failing:
            remedy = "Three votes are needed to survive the loss of one node"
            return Attention(Health.HEALTHY, who, condition.message, remedy=remedy)
    return None


def _of_no_cluster(snapshot: Snapshot, names: list[str]) -> tuple[Attention, ...]:
    found = []
    if not names:
        found.append(
            Attention(Health.DEGRADED, "Quorate", "there is no Cluster", remedy="Make one: quorate cluster create NAME")
        )
    for node in snapshot.nodes:
        cluster = spec_of(node).get("clusterName")
        if cluster not in names:
            who, finding = str(Ref(Kind.NODE, name_of(node))), f"spec.clusterName: no Cluster is named {cluster!r}"
            remedy = f"Create it, or delete the Node: kubectl delete qn {name_of(node)}"
            found.append(Attention(Health.DEGRADED, who, finding, remedy=remedy))
    return tuple(found)


def _ordered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """What needs attention first, then by name."""
    return tuple(sorted(rows, key=lambda row: (-row.health.severity, _name(row))))


def _name(row: GuestReport | StorageReport) -> str:
    return row.guest if isinstance(row, GuestReport) else row.name

"""What pages show, made once for each change: the report, the rules, the log and the recoveries.

Guests that have not changed are not read again, so that a change among thousands costs as much as one among few.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final, Generic, TypeVar

from quorate.api import parse
from quorate.core.load import NOTHING, Size
from quorate.core.status import Timeline
from quorate.core.types import Instant
from quorate.kube import views
from quorate.view.build import Reading, build
from quorate.view.guests import cluster_of, guest_report, key_of
from quorate.view.history import Happening, history
from quorate.view.report import ClusterReport, GuestReport, Report
from quorate.view.rules import RuleReport, rules
from quorate.view.snapshot import Raw, Snapshot, name_of, renewed, spec_of

LOGGED: Final = 200
TOLD: Final = 12
"""So many recoveries are drawn."""

T = TypeVar("T")


class Memo(Generic[T]):
    """A function of an object, remembered until the object is another."""

    def __init__(self, function: Callable[[Raw], T]) -> None:
        self._function = function
        self._known: dict[tuple[str, str], tuple[Raw, T]] = {}

    def __call__(self, raw: Raw) -> T:
        key = key_of(raw)
        known = self._known.get(key)
        if known is not None and known[0] is raw:
            return known[1]
        made = self._function(raw)
        self._known[key] = (raw, made)
        return made

    def forget_others(self, kept: Sequence[Raw]) -> None:
        """Drop what is gone, once that is worth it."""
        if len(self._known) > 2 * len(kept) + 100:
            there = {key_of(raw) for raw in kept}
            self._known = {key: value for key, value in self._known.items() if key in there}


@dataclass(frozen=True, slots=True)
class Recovery:
    """The last recovery of one guest, and where it runs now."""

    guest: str
    node: str
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Use:
    """What a node's guests request of what it has, in percent; None: not known."""

    cpu: int | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment. `version` grows with every picture. `problem`: why it may be old, `heard`: how old."""

    version: int
    report: Report
    rules: tuple[RuleReport, ...] = ()
    log: tuple[Happening, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    uses: dict[str, Use] = field(default_factory=dict)
    places: dict[str, frozenset[str]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    heard: Instant | None = None

    def cluster(self, name: str) -> ClusterReport | None:
        """The Cluster of that name, or the first one."""
        clusters = self.report.clusters
        return next((one for one in clusters if one.name == name), clusters[0] if clusters else None)


class Painter:
    """Makes pictures, and remembers what went into the last one."""

    def __init__(self) -> None:
        self._version = 0
        self._report = Memo(guest_report)
        self._cluster: Memo[str | None] = Memo(lambda raw: cluster_of(raw, self._names))
        self._size = Memo(_size)
        self._names: tuple[str, ...] = ()

    def paint(self, snapshot: Snapshot, events: Sequence[Raw], machines: Sequence[Raw] | None, now: Instant) -> Picture:
        """The picture of a snapshot at that moment. `machines`: the nodes of Kubernetes, None: not to be read."""
        names = tuple(sorted(name_of(raw) for raw in snapshot.clusters))
        if names != self._names:
            self._names = names
            self._cluster = Memo(lambda raw: cluster_of(raw, self._names))
        for memo in (self._report, self._cluster, self._size):
            memo.forget_others(snapshot.guests)
        report = build(snapshot, now, Reading(self._report, lambda raw, _: self._cluster(raw)))
        self._version += 1
        reports = [(raw, self._report(raw)) for raw in snapshot.guests]
        return Picture(
            version=self._version,
            report=report,
            rules=rules(snapshot),
            log=_log(snapshot, events, reports),
            recoveries=_recoveries([one for _, one in reports]),
            uses=self._uses(snapshot.guests, machines or ()),
            places=_places(snapshot.storages, machines or ()),
            comments={one.guest: str(text) for raw, one in reports if (text := spec_of(raw).get("comment"))},
        )

    def _uses(self, guests: Sequence[Raw], machines: Sequence[Raw]) -> dict[str, Use]:
        """What guests request on each node, of what Kubernetes says that the node has."""
        asked: dict[str, list[Size]] = {}
        for raw in guests:
            node = (raw.get("status") or {}).get("node")
            if node:
                asked.setdefault(str(node), []).append(self._size(raw))
        found = {}
        for machine in machines:
            view = views.kube_node(machine)
            if view.size is None:
                continue
            used = sum(asked.get(view.name, ()), NOTHING)
            found[str(view.name)] = Use(_percent(used.cpu_m, view.size.cpu_m), _percent(used.memory, view.size.memory))
        return found


def _percent(part: float, whole: float) -> int | None:
    return min(999, round(100 * part / whole)) if whole else None


def _size(raw: Raw) -> Size:
    try:
        return parse.guest(raw).spec.template.size
    except parse.UnreadableError:
        return NOTHING


def _places(storages: Sequence[Raw], machines: Sequence[Raw]) -> dict[str, frozenset[str]]:
    """The nodes on which each Storage should be; one that is for every node is left out."""
    found: dict[str, frozenset[str]] = {}
    for raw in storages:
        try:
            wanted = parse.storage(raw).nodes
        except parse.UnreadableError:
            continue
        if wanted is not None:
            there = (one for one in machines if wanted.matches(one["metadata"].get("labels") or {}))
            found[name_of(raw)] = frozenset(name_of(one) for one in there)
    return found


def _log(
    snapshot: Snapshot, events: Sequence[Raw], reports: Sequence[tuple[Raw, GuestReport]]
) -> tuple[Happening, ...]:
    """The newest first. Only guests that have something to tell are asked."""
    told = [raw for raw, _ in reports if _tells(raw)]
    newest = nlargest(LOGGED, told, key=lambda raw: str((raw.get("status") or {}).get("since") or ""))
    known = Snapshot(snapshot.clusters, snapshot.nodes, tuple(newest), snapshot.storages)
    return tuple(reversed(history(known, events)))[:LOGGED]


def _tells(raw: Raw) -> bool:
    status = raw.get("status") or {}
    return bool(status.get("recovery") or status.get("lastTermination"))


def _recoveries(guests: Sequence[GuestReport]) -> tuple[Recovery, ...]:
    told = [(one, one.recovery) for one in guests if one.recovery is not None]
    newest = nlargest(TOLD, told, key=lambda pair: (pair[1].suspected, pair[0].guest))
    return tuple(Recovery(one.guest, one.node, timeline) for one, timeline in newest)


def guests_by_node(guests: Sequence[GuestReport]) -> Counter[str]:
    """How many are on each node."""
    return Counter(one.node for one in guests if one.node)


def beats(leases: Sequence[Raw] | None) -> dict[str, Instant]:
    """When each node was heard last, by its own clock."""
    return {name_of(raw): at for raw in leases or () if (at := renewed(raw)) is not None}

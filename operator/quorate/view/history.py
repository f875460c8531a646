"""What happened, in order: Events about our objects, and what the statuses remember after the Events are gone.

A status keeps the last recovery of a guest, its last end, and the open incident of a node; an Event lives about an hour.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.api.wire import parse_instant
from quorate.core.status import GuestStatus, NodeStatus, Timeline
from quorate.core.timing import seconds
from quorate.core.types import GROUP, GuestKey, Instant, Kind, NodeName, Ref, node_ref
from quorate.view.columns import Row, columns
from quorate.view.guests import key_of, sid_of, workload_of
from quorate.view.snapshot import Raw, Snapshot, name_of, read_status


@dataclass(frozen=True, slots=True)
class Happening:
    """One line. `node` is a node that it is about as well, `recorded` where it was found: Event or status."""

    at: Instant
    object: str
    reason: str
    sentence: str
    recorded: str
    warning: bool = False
    node: str = ""


def history(snapshot: Snapshot, events: Iterable[Raw]) -> tuple[Happening, ...]:
    """Everything that is known to have happened, the newest last."""
    sids = {key_of(raw): sid_of(raw) for raw in snapshot.guests}
    told = [one for raw in events if (one := _event(raw, sids)) is not None]
    notes = [(one.object, one.sentence) for one in told]
    found = [*told]
    for raw in snapshot.nodes:
        # The Event of the same incident says the same.
        found += [
            one
            for one in _node(raw)
            if not any(about == one.object and one.sentence.rpartition(" ")[2] in said for about, said in notes)
        ]
    for raw in snapshot.guests:
        found += _guest(raw)
    return tuple(sorted(found, key=lambda one: (one.at, one.object)))


def _event(raw: Raw, sids: Mapping[GuestKey, str]) -> Happening | None:
    """An Event about one of our objects; None for any other."""
    regarding = raw.get("regarding") or {}
    if str(regarding.get("apiVersion", "")).partition("/")[0] != GROUP:
        return None
    at = _moment(raw)
    if at is None:
        return None
    kind, name, namespace = (str(regarding.get(key, "")) for key in ("kind", "name", "namespace"))
    known = kind in set(Kind)
    key = GuestKey(namespace, name)
    guest = sids.get(key, key.sid) if kind == Kind.HARESOURCE else ""
    return Happening(
        at=at,
        object=guest or (str(Ref(Kind(kind), name, namespace)) if known else f"{kind} {name}"),
        reason=str(raw.get("reason", "")),
        sentence=str(raw.get("note", "")),
        recorded="Event",
        warning=raw.get("type") == "Warning",
    )


def _moment(raw: Raw) -> Instant | None:
    """When it happened last, by whichever of an Event's many clocks was set."""
    series: Mapping[str, object] = raw.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        raw.get("eventTime"),
        raw.get("deprecatedLastTimestamp"),
        raw["metadata"].get("creationTimestamp"),
    ):
        try:
            if isinstance(text, str):
                return parse_instant(text)
        except ValueError:
            continue
    return None


def _node(raw: Raw) -> Iterator[Happening]:
    status, _ = read_status(raw, NodeStatus)
    incident = status.incident
    if incident is None:
        return
    name = NodeName(name_of(raw))
    who = str(node_ref(name))
    yield Happening(
        incident.opened, who, "Suspected", f"{incident.reason}: incident {incident.id}", "status", True, name
    )
    for one in incident.evidence:
        yield Happening(one.at, who, "Proven", f"{one.kind}: {one.detail}", "status", True, name)


def _guest(raw: Raw) -> Iterator[Happening]:
    status, _ = read_status(raw, GuestStatus)
    who = status.guest or sid_of(raw)
    ended, recovery = status.last_termination, status.recovery
    if ended is not None:
        code = f" with exit code {ended.exit_code}" if ended.exit_code is not None else ""
        words = f": {ended.message.strip()}" if ended.message.strip() else ""
        text = f"it ended on {ended.node}{code} ({ended.reason}){words}"
        yield Happening(ended.at, who, "Ended", text, "status", bool(ended.exit_code), ended.node)
    if recovery is None:
        return
    lost = recovery.node
    yield Happening(recovery.suspected, who, "NodeLost", f"{lost}, where it ran, was suspected", "status", True, lost)
    took = f", {seconds(recovery.duration_s)} after the suspicion" if recovery.duration_s is not None else ""
    where = f" on {status.node}" if status.node is not None else ""
    steps = (
        _of_workload(recovery, took)
        if workload_of(raw)
        else (
            (recovery.fenced, "Released", f"{lost} was proven dead ({recovery.evidence or 'no evidence kept'})"),
            (recovery.released, "Recovering", "what was left of the old instance is cleared away, a node is chosen"),
            (recovery.created, "Created", f"its new instance was made{where}"),
            (recovery.ready, "Recovered", f"it runs again{where}{took}"),
        )
    )
    for at, reason, text in steps:
        if at is not None:
            yield Happening(at, who, reason, text, "status", False, lost)


def _of_workload(recovery: Timeline, took: str) -> tuple[tuple[Instant | None, str, str], ...]:
    lost, volumes = recovery.node, ", ".join(recovery.volumes)
    return (
        (recovery.fenced, "Proven", f"{lost} was proven dead ({recovery.evidence or 'no evidence kept'})"),
        (recovery.released, "Released", f"the Lease of {lost} was taken: the Pods that are stuck there may be removed"),
        (recovery.removed, "Removed", f"no Pod was stuck on {lost} any more"),
        (recovery.detached, "Detached", f"{volumes}: detached from {lost}"),
        (recovery.attached, "Attached", f"{volumes}: attached elsewhere"),
        (recovery.ready, "Recovered", f"every Pod was Ready again{took}"),
    )


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Draws it as a table, times in UTC."""

    happenings: tuple[Happening, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [
            Row(
                cells=(Text(when(one.at)), Text(one.object), Text(one.reason, "yellow" if one.warning else "")),
                why=one.sentence,
                marked=one.warning,
            )
            for one in self.happenings
        ]
        yield from columns(console, ("TIME (UTC)", "OBJECT", "REASON"), rows, why="WHAT HAPPENED")


def when(moment: Instant) -> str:
    """A moment of any day, as people read it."""
    return datetime.fromtimestamp(moment / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")

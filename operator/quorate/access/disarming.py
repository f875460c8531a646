"""HA's hands off a Cluster until a moment, and on again: what it means, and writing it."""

from typing import TYPE_CHECKING

from quorate.access.errors import UsageError
from quorate.api.wire import format_instant, parse_instant
from quorate.core.timing import parse_duration
from quorate.core.types import DisarmMode, Instant
from quorate.kube.resources import CLUSTERS

if TYPE_CHECKING:
    from quorate.access.client import Api


def meaning(cluster: str, end: Instant) -> list[str]:
    """What it is about to change, in lines."""
    text = format_instant(end)
    return [
        f"Cluster {cluster} until {text}: nothing is fenced, recovered, started or moved, and no node resets itself.",
        "What a node runs that is lost meanwhile stays down, until HA is armed and the node has booted again or you",
        "confirm that it is off (quorate fence confirm): its silence proves nothing.",
    ]


def disarm(api: "Api", cluster: str, mode: DisarmMode, reason: str, end: Instant) -> str:
    """Write the wish; returns what is said of it. Raises CliError."""
    wish = {"mode": str(mode), "reason": reason, "until": format_instant(end)}
    api.merge(CLUSTERS.path(cluster), {"spec": {"disarm": wish}})
    return f"Cluster {cluster}: it disarms"


def arm(api: "Api", cluster: str) -> None:
    """Take the wish back. Raises CliError."""
    api.merge(CLUSTERS.path(cluster), {"spec": {"disarm": None}})


def moment(until: str | None, lasts: str | None, now: Instant) -> Instant:
    """The end that was meant. Raises UsageError for none, two, or one that is past."""
    if until is not None and lasts is not None:
        raise UsageError("--for and --until both say when it ends: use one of them")
    if until is None and lasts is None:
        raise UsageError(
            "say when it ends, with --for 30m or --until TIME: a disarm without an end is one that is forgotten"
        )
    try:
        end = parse_instant(until) if until is not None else Instant(now + round(parse_duration(lasts or "") * 1000))
    except ValueError as error:
        option = "--until" if until is not None else "--for"
        raise UsageError(f"{option}: {error}. Write for example --for 30m or --until 2026-01-31T14:00:00Z") from error
    if end <= now:
        raise UsageError(f"--until: {until} is over already" if until is not None else "--for: it must last some time")
    return end

"""`cluster quorum`: the options of votequorum on the command line, as a patch of `spec.quorum`."""

from typing import TYPE_CHECKING, Any, Final

from quorate.access.errors import UsageError
from quorate.access.names import the_cluster
from quorate.core.timing import parse_duration
from quorate.kube.resources import CLUSTERS

if TYPE_CHECKING:
    from quorate.cli.session import Session

OFF: Final = "off"
HAND: Final = frozenset({"expectedVotes"})
"""What lies in spec.quorum and is no option."""


def patch(
    *,
    wait_for_all: bool | None,
    auto_tie_breaker: bool | None,
    tie_breaker: list[str] | None,
    last_man_standing: str | None,
    two_node: bool | None,
    device: str | None,
    device_votes: int | None,
) -> dict[str, Any]:
    """What changes in spec.quorum; None takes a field out. Raises UsageError."""
    switches = {"waitForAll": wait_for_all, "twoNode": two_node, "autoTieBreaker": auto_tie_breaker}
    found: dict[str, Any] = {name: wish for name, wish in switches.items() if wish is not None}
    if auto_tie_breaker is False:
        found["autoTieBreakerNodes"] = None
    if tie_breaker:
        found |= {"autoTieBreaker": True, "autoTieBreakerNodes": tie_breaker}
    if last_man_standing is not None:
        found["lastManStanding"] = None if last_man_standing == OFF else {"window": _window(last_man_standing)}
    if device_votes is not None and device in {None, OFF}:
        raise UsageError("--device-votes belongs to --device NAME")
    if device is not None:
        found["device"] = None if device == OFF else {"name": device, "votes": device_votes}
    return found


def _window(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--last-man-standing: {error}. Write for example 10s, or {OFF}") from error
    return text


def change(session: "Session", wanted: str | None, changes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write the changes, if there are any; the Cluster's name, and the options that it wishes then. Raises CliError."""
    name = str(the_cluster(session.api.items(CLUSTERS.path()), wanted)["metadata"]["name"])
    path = CLUSTERS.path(name)
    raw = session.api.merge(path, {"spec": {"quorum": changes}}) if changes else session.api.get(path)
    spec = (raw.get("spec") or {}).get("quorum") or {}
    return name, {key: value for key, value in spec.items() if key not in HAND and value not in (False, [], None)}


def words(options: dict[str, Any]) -> str:
    """The options as a person reads them."""
    return ", ".join(_word(name, value) for name, value in sorted(options.items())) or "none: a majority decides"


def _word(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key} {one}" for key, one in value.items() if one is not None)
        return f"{name} ({inner})" if inner else name
    if isinstance(value, list):
        return f"{name} {' '.join(map(str, value))}"
    return name if value is True else f"{name} {value}"

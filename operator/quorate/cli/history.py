"""`quorate history`: what happened to everything, to one guest, or to one node."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError, UsageError
from quorate.cli import completion
from quorate.cli.output import Format, Output, console, data, note, say
from quorate.cli.session import Session, verb
from quorate.core.types import NodeName, node_ref
from quorate.kube.resources import EVENTS

if TYPE_CHECKING:
    from quorate.view.history import Happening
    from quorate.view.snapshot import Snapshot

KEPT: Final = (
    "Kubernetes keeps Events for about an hour. Of what is older only the last recovery and the last end of each guest "
    "and the open incidents are known: they stand in the statuses"
)
EXAMPLES: Final = (
    "quorate history               everything that is still known",
    "quorate history web           one guest",
    "quorate history node1         one node, and the guests that it lost",
    "quorate history --since 10m   the last ten minutes",
)
HOUSEHOLD: Final = "default"
"""Where Events about cluster-scoped objects live."""


def register(app: typer.Typer, section: str) -> None:
    verb(app, history, examples=EXAMPLES, section=section)


def history(
    session: Session,
    about: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completion.guests_and_nodes, metavar="[GUEST|NODE]", help="Only what concerns it."
        ),
    ] = None,
    *,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only what is younger, such as 1h.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what happened, the newest last.

    From the Events about Quorate's objects and from what their statuses remember. Kubernetes forgets Events after
    about an hour; the last recovery and the last end of each guest are kept.
    """
    from quorate.access.gather import gather
    from quorate.api.wire import to_wire
    from quorate.view import history as view

    earliest = _earliest(since)
    snapshot = gather(session.api, session.namespace)
    happened = view.history(snapshot, _events(session))
    if about is not None:
        meant = _meant(session, snapshot, happened, about)
        happened = tuple(one for one in happened if _concerns(one, meant))
    if earliest is not None:
        now = session.api.now()
        happened = tuple(one for one in happened if one.at >= now - earliest)
    if output is not Format.TABLE:
        say(data({"history": [to_wire(one) for one in happened]}, output))
    elif happened:
        console().print(view.HistoryView(happened), soft_wrap=True)
    else:
        say("nothing is known to have happened" + (f" within {since}" if since else ""))
    note(f"note: {KEPT}")


def _earliest(since: str | None) -> int | None:
    """How many milliseconds to look back. Raises UsageError."""
    from quorate.core.timing import parse_duration

    if since is None:
        return None
    try:
        return round(parse_duration(since) * 1000)
    except ValueError as error:
        raise UsageError(f"--since: {error}") from error


def _events(session: Session) -> list[dict[str, Any]]:
    """Of all namespaces, or of the one that was asked for and of where those of Clusters and Nodes are."""
    if session.namespace is None:
        return session.api.items(EVENTS.path())
    places = dict.fromkeys((session.namespace, HOUSEHOLD))
    return [one for place in places for one in session.api.items(EVENTS.path(namespace=place))]


def _concerns(one: "Happening", meant: "tuple[set[str], str]") -> bool:
    objects, node = meant
    return one.object in objects or (bool(node) and one.node == node)


def _meant(
    session: Session, snapshot: "Snapshot", happened: "tuple[Happening, ...]", about: str
) -> tuple[set[str], str]:
    """The objects of that name, and the node if it is one. A name of both a guest and a node means both.

    What is gone may still have a history. Raises CliError when nothing of that name is known.
    """
    from quorate.access.names import nearest
    from quorate.view.guests import key_of, sid_of
    from quorate.view.snapshot import name_of

    sids = {key_of(raw): sid_of(raw) for raw in snapshot.guests}
    guests = set(sids.values())
    nodes = {name_of(raw) for raw in snapshot.nodes}
    seen = {one.object for one in happened}
    found: set[str] = set()
    node = ""
    ref = str(node_ref(NodeName(about)))
    if about in nodes or ref in seen:
        found.add(ref)
        node = about
    try:
        key = session.guest(about)
        sid = sids.get(key, key.sid)
    except UsageError:
        if not found:
            raise
    else:
        if sid in guests | seen:
            found.add(sid)
    if not found:
        known = sorted(guests | nodes)
        raise CliError(
            f"no guest and no node is named {about!r} (known: {', '.join(known) or 'there is none'})"
            f"{nearest(about, known)}"
        )
    return found, node

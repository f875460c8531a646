"""`quorate nodes` and `quorate list`: the members, and what was asked of the guests. Short forms of `quorate status`."""

from typing import Final

import typer

from quorate.cli.output import PveFormat, PveOutput, console, data, say
from quorate.cli.session import Session, verb

NODES_EXAMPLES: Final = (
    "quorate nodes                 the members: votes, heartbeat, watchdog, guests",
    "quorate nodes -o pve          the lines of pvecm status, whose last block is pvecm nodes",
)
LIST_EXAMPLES: Final = (
    "quorate list                  every guest under HA, and what was asked of it",
    "quorate list -n shop          those of one namespace",
    "quorate list -o pve           the lines of ha-manager config",
)


def register_nodes(app: typer.Typer, section: str) -> None:
    verb(app, nodes, examples=NODES_EXAMPLES, section=section)


def register_guests(app: typer.Typer, section: str) -> None:
    verb(app, list_guests, name="list", examples=LIST_EXAMPLES, section=section)


def nodes(session: Session, *, output: PveOutput = PveFormat.TABLE) -> None:
    """List the nodes that vote (pvecm nodes).

    Its votes, how it is, how old its last heartbeat is, its watchdog and its guests; and why, where it is not as
    wished. What to do about that stands in quorate status.
    """
    from quorate.access.gather import gather
    from quorate.api.wire import to_wire
    from quorate.view import pve
    from quorate.view.build import build
    from quorate.view.table import NodesView

    report = build(gather(session.api), session.api.now())
    if output is PveFormat.TABLE:
        console().print(NodesView(report), soft_wrap=True)
    elif output is PveFormat.PVE:
        say("\n".join(pve.pvecm(report)))
    else:
        rows = [{"cluster": one.name, **to_wire(node)} for one in report.clusters for node in one.nodes]
        say(data({"nodes": rows}, output))


def list_guests(session: Session, *, output: PveOutput = PveFormat.TABLE) -> None:
    """List guests with their settings (ha-manager config).

    What was asked of each: state, limits, image, storage. How each one is stands in quorate status.
    """
    from quorate.access.gather import gather
    from quorate.api.wire import to_wire
    from quorate.view import pve
    from quorate.view.settings import SettingsView, settings

    found = settings(gather(session.api, session.namespace))
    if output is PveFormat.TABLE:
        console().print(SettingsView(found), soft_wrap=True)
    elif output is PveFormat.PVE:
        say("\n".join(pve.config(found)))
    else:
        say(data({"guests": [to_wire(guest) for guest in found]}, output))

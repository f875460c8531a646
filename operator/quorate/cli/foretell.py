"""`what-if` and `explain`: the planner's own answers, on what can be read now. Nothing is changed, no manager is needed."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.cli.errors import CliError
from quorate.cli.guests import Guest
from quorate.cli.output import Format, Output, console, data, say
from quorate.cli.session import Session, verb
from quorate.core.types import NodeName
from quorate.kube.resources import CLUSTERS

if TYPE_CHECKING:
    from quorate.core.capacity import Loss
    from quorate.core.world import World

Fail = Annotated[
    list[str] | None,
    typer.Option("--fail", metavar="NODE,NODE", help="These nodes are lost together; may be repeated."),
]
ClusterName = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="Which Cluster, if there are several.")
]
EXIT_CODES: Final = (
    "Exit code  0  every guest concerned would have another node",
    "           1  one would have none, or there would be no quorum",
)
WHAT_IF_EXAMPLES: Final = (
    "quorate what-if                      each node by itself (N-1)",
    "quorate what-if --fail node3         which guest would go where",
    "quorate what-if --fail node2,node3   both at once",
)
EXPLAIN_EXAMPLES: Final = ("quorate explain web", "quorate explain ct:shop/web -o json")


def register(app: typer.Typer, section: str) -> None:
    verb(app, explain, examples=EXPLAIN_EXAMPLES, section=section)
    verb(app, what_if, name="what-if", table=EXIT_CODES, examples=WHAT_IF_EXAMPLES, section=section)


def what_if(session: Session, *, fail: Fail = None, cluster: ClusterName = None, output: Output = Format.TABLE) -> int:
    """Show what the loss of nodes would mean.

    Which guest would go where, and which would have no node: judged by the planner on what is now, with memory that
    guests request as a limit. Nothing is changed.
    """
    from quorate.api.wire import to_wire
    from quorate.cli.names import the_cluster
    from quorate.cli.world import whole
    from quorate.core.capacity import Survey
    from quorate.view.foretold import LossesView, LossView

    world = whole(session.api, the_cluster(session.api.items(CLUSTERS.path()), cluster))
    questions = Survey(world)
    lost = _named(world, [name for text in fail or () for name in text.split(",") if name])
    losses = [questions.lose(lost)] if lost else [questions.lose((name,)) for name in questions.nodes]
    if output is not Format.TABLE:
        say(data({"losses": [_plain(loss, to_wire(loss)) for loss in losses]}, output))
    elif lost:
        console().print(LossView(losses[0]), soft_wrap=True)
    elif losses:
        console().print(LossesView(losses), soft_wrap=True)
    else:
        say(f"no node of Cluster {world.cluster.name} is heard from")
    return 0 if losses and all(loss.survived for loss in losses) else 1


def _named(world: "World", names: list[str]) -> list[NodeName]:
    """Raises CliError for a name that is no member's."""
    known = [node.name for node in world.nodes]
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise CliError(f"--fail: no node of Cluster {world.cluster.name} is named {name!r} (its nodes: {there})")
    return [NodeName(name) for name in names]


def _plain(loss: "Loss", written: dict[str, Any]) -> dict[str, Any]:
    """With what follows from the parts, and guests as they are called everywhere."""
    moves = [
        {"guest": move.guest.sid, "from": move.source, "to": move.node, "reason": move.reason} for move in loss.moves
    ]
    return {**written, "moves": moves, "survived": loss.survived}


def explain(session: Session, guest: Guest, *, output: Output = Format.TABLE) -> None:
    """Show why a guest is where it is, and why not elsewhere.

    What it waits for, and until when. For each node: whether the guest could start there, and if not, why. Judged by the
    planner on what is now.
    """
    from quorate.api.wire import to_wire
    from quorate.cli.commands import fetch
    from quorate.cli.names import the_cluster
    from quorate.cli.world import whole
    from quorate.core import explain as core
    from quorate.view.foretold import ExplanationView

    key, api = session.guest(guest), session.api
    name = (fetch(api, key).get("status") or {}).get("clusterName")
    if not name:
        raise CliError(f"{key.sid}: no Cluster looks after it yet. See quorate status")
    world = whole(api, the_cluster(api.items(CLUSTERS.path()), name))
    view = next((one for one in world.guests if one.key == key), None)
    if view is None:
        raise CliError(
            f"{key.sid} cannot be read: see its condition, kubectl describe har {key.name} -n {key.namespace}"
        )
    found = core.explain(world, view)
    if output is Format.TABLE:
        console().print(ExplanationView(found, world.wall), soft_wrap=True)
    else:
        written = {**to_wire(found), "guest": key.sid, "status": to_wire(found.status)}
        say(data(written, output))

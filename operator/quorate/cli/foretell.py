"""`what-if` and `explain`: the planner's own answers, on what can be read now. Nothing is changed, no manager is needed."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError
from quorate.cli import completion
from quorate.cli.options import ClusterName
from quorate.cli.output import Format, Output, console, data, say
from quorate.cli.session import Session, verb
from quorate.core.types import NodeName
from quorate.kube.resources import CLUSTERS, NODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quorate.core.capacity import Loss
    from quorate.core.types import GuestKey
    from quorate.core.world import GuestView, NodeView, World

Fail = Annotated[
    list[str] | None,
    typer.Option(
        "--fail",
        metavar="NODE,NODE",
        help="These nodes are lost together; may be repeated.",
        autocompletion=completion.nodes_in_a_row,
    ),
]
About = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.guests_and_nodes,
        metavar="GUEST|NODE",
        help="NAME, NAMESPACE/NAME or ct:NAMESPACE/NAME; or a node.",
    ),
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
EXPLAIN_EXAMPLES: Final = ("quorate explain web", "quorate explain ct:shop/web -o json", "quorate explain node2")


def register(app: typer.Typer, section: str) -> None:
    verb(app, explain, examples=EXPLAIN_EXAMPLES, section=section)
    verb(app, what_if, name="what-if", table=EXIT_CODES, examples=WHAT_IF_EXAMPLES, section=section)


def what_if(session: Session, *, fail: Fail = None, cluster: ClusterName = None, output: Output = Format.TABLE) -> int:
    """Show what the loss of nodes would mean.

    Which guest would go where, and which would have no node: judged by the planner on what is now, with memory that
    guests request as a limit. Nothing is changed.
    """
    from quorate.access.names import the_cluster
    from quorate.access.world import whole
    from quorate.api.wire import to_wire
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


def explain(session: Session, about: About, *, output: Output = Format.TABLE) -> None:
    """Show why a guest is where it is, and why not elsewhere.

    Of a guest: what it waits for, and until when; for each node, whether the guest could start there, and if not, why.
    Judged by the planner on what is now. Of a workload: its Pods, and whether each is protected. Of a node: how it is,
    what is awaited of it, and what each of its guests says. A name of both means the guest.
    """
    from quorate.access.world import whole
    from quorate.api.wire import to_wire
    from quorate.core import explain as core
    from quorate.core.world import NodeView
    from quorate.view.foretold import ExplanationView, NodePicture

    subject, cluster = _subject(session, about)
    if not isinstance(subject, str) and _explained(session, subject, output):
        return
    world = whole(session.api, cluster)
    found = _in_world(world, subject)
    if isinstance(found, NodeView):
        here = (*core.guests_of(world, found.name), *core.workloads_on(world, found.name))
        if output is Format.TABLE:
            console().print(NodePicture(found, here, world.wall), soft_wrap=True)
        else:
            guests = [
                {"guest": one.status.guest or one.key.sid, "state": one.status.state, "message": one.status.message}
                for one in here
            ]
            say(data({"node": found.name, "status": to_wire(found.status), "guests": guests}, output))
        return
    said = core.explain(world, found)
    if output is Format.TABLE:
        console().print(ExplanationView(said, world.wall), soft_wrap=True)
    else:
        say(data({**to_wire(said), "guest": found.key.sid, "status": to_wire(found.status)}, output))


def _explained(session: Session, key: "GuestKey", output: Format) -> bool:
    """Of a workload: its Pods, where they are, whether each is protected, and its last recovery. False for a container."""
    from quorate.access.commands import fetch
    from quorate.view.guests import sid_of, workload_of
    from quorate.view.workloads import WorkloadPicture

    raw = fetch(session.api, key)
    if not workload_of(raw):
        return False
    if output is Format.TABLE:
        nodes = session.api.items(NODES.path())
        states = {str(one["metadata"]["name"]): str((one.get("status") or {}).get("state", "")) for one in nodes}
        console().print(WorkloadPicture(raw, states), soft_wrap=True)
    else:
        say(data({"guest": sid_of(raw), "workload": workload_of(raw), "status": raw.get("status") or {}}, output))
    return True


def _subject(session: Session, about: str) -> "tuple[GuestKey | NodeName, Mapping[str, Any]]":
    """The guest or the node of that name, and its Cluster. Raises CliError."""
    from quorate.access.commands import fetch
    from quorate.access.names import the_cluster

    api = session.api
    clusters = api.items(CLUSTERS.path())
    try:
        key = session.guest(about)
        name = (fetch(api, key).get("status") or {}).get("clusterName")
    except CliError:
        node = next((one for one in api.items(NODES.path()) if one["metadata"]["name"] == about), None)
        if node is None:
            raise
        return NodeName(about), the_cluster(clusters, node["spec"].get("clusterName"))
    if not name:
        raise CliError(f"{key.sid}: no Cluster looks after it yet. See quorate status")
    return key, the_cluster(clusters, name)


def _in_world(world: "World", subject: "GuestKey | NodeName") -> "GuestView | NodeView":
    """Raises CliError for a guest that is there and cannot be read."""
    if isinstance(subject, str):
        return next(one for one in world.nodes if one.name == subject)
    found = next((one for one in world.guests if one.key == subject), None)
    if found is None:
        where = f"kubectl describe har {subject.name} -n {subject.namespace}"
        raise CliError(f"{subject.sid} cannot be read: see its condition, {where}")
    return found

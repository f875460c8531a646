"""`maintenance on|off NODE`: guests leave a node for as long as somebody works on it."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.access.errors import CliError
from quorate.access.waiting import Deadline, wait_for
from quorate.cli import completion
from quorate.cli.help import Verbs
from quorate.cli.options import Timeout
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import NodeState
from quorate.view.words import plural

if TYPE_CHECKING:
    from quorate.core.status import NodeStatus

ON_EXAMPLES: Final = (
    'quorate maintenance on node2 --reason "kernel update"',
    "quorate maintenance on node2 --wait && ssh node2 reboot",
)
OFF_EXAMPLES: Final = ("quorate maintenance off node2", "quorate maintenance off node2 --wait")
NodeArgument = Annotated[
    str, typer.Argument(autocompletion=completion.nodes, metavar="NODE", help="The node to work on.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until its guests have moved.")]


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    verb(group, begin, name="on", examples=ON_EXAMPLES)
    verb(group, end, name="off", examples=OFF_EXAMPLES)
    app.add_typer(group, name="maintenance", rich_help_panel=section, help="Empty a node to work on it.")


def begin(
    session: Session,
    node: NodeArgument,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks.")] = "",
    wait: Wait = False,
    timeout: Timeout = "10m",
) -> None:
    """Move a node's guests away, and start none there (ha-manager crm-command node-maintenance enable).

    The node goes on voting. A guest moves when another node is ready for it; one that has nowhere to go runs on, and is
    named. All return by themselves when the maintenance ends. What is not under HA stays: that is for kubectl drain.
    """
    from quorate.access import maintaining
    from quorate.access.commands import node_status

    deadline = Deadline(timeout)
    said = maintaining.begin(session.api, node, reason)
    if not wait:
        say(f"{said}. Next: wait until none is left (quorate maintenance on {node} --wait)")
        return
    note(said)
    done = wait_for(lambda: node_status(session.api, node), _drained, deadline)
    if done is None:
        now = node_status(session.api, node)
        raise CliError(f"{node} is not empty after {deadline.timeout_s:g}s: it is {now.state}, {now.message}")
    say(f"{node}: no guest is left, it can be worked on. Afterwards: quorate maintenance off {node}")


def end(session: Session, node: NodeArgument, *, wait: Wait = False, timeout: Timeout = "10m") -> None:
    """End the maintenance: the guests that left the node return (ha-manager crm-command node-maintenance disable).

    A guest that was recovered or failed elsewhere meanwhile stays where it is.
    """
    from quorate.access import maintaining
    from quorate.access.commands import node_status

    deadline = Deadline(timeout)
    if not maintaining.end(session.api, node):
        say(f"{node} is not in maintenance: nothing was changed")
        return
    coming = len(maintaining.coming(session.api, node))
    if not wait:
        say(f"{node}: the maintenance is over. Next: {plural(coming, 'guest')} to return, once it is online")
        return
    note(f"{node}: the maintenance is over, {plural(coming, 'guest')} to return")
    done = wait_for(lambda: _back(session, node), lambda back: back, deadline)
    if done is None:
        now = node_status(session.api, node)
        left = [f"{node}: {now.state}, {now.message}", *maintaining.coming(session.api, node)]
        raise CliError("\n  ".join([f"not all is back after {deadline.timeout_s:g}s:", *left]))
    say(f"{node} is online, and every guest that had left it is back")


def _drained(status: "NodeStatus") -> bool:
    return any(one.type == "Drained" and one.status == "True" for one in status.conditions)


def _back(session: Session, node: str) -> bool:
    from quorate.access import maintaining
    from quorate.access.commands import node_status

    return node_status(session.api, node).state is NodeState.ONLINE and not maintaining.coming(session.api, node)

"""`quorate fence confirm|release`: a person vouches that a lost node is off, or lets one come back."""

from typing import Annotated, Final

import typer

from quorate.cli import completion
from quorate.cli.ask import confirm
from quorate.cli.help import Verbs
from quorate.cli.options import Yes
from quorate.cli.output import say
from quorate.cli.session import Session, verb
from quorate.core.types import RELEASE_ANNOTATION
from quorate.kube.resources import NODES

EXAMPLES: Final = ("quorate fence confirm node2",)
RELEASE_EXAMPLES: Final = ("quorate fence release node2",)
REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    group.callback()(_group)
    verb(group, confirm_node, name="confirm", examples=EXAMPLES)
    verb(group, release_node, name="release", examples=RELEASE_EXAMPLES)
    app.add_typer(group, name="fence", rich_help_panel=section, help="Fencing: what a person can add to the evidence.")


def _group() -> None:
    """`confirm` and `release` are verbs of their own."""


def confirm_node(
    session: Session,
    node: Annotated[str, typer.Argument(autocompletion=completion.nodes, metavar="NODE", help="The lost node.")],
    *,
    yes: Yes = False,
) -> None:
    """Vouch that a lost node is off.

    Its guests may then start elsewhere. For a node that nothing else proves dead: no watchdog was armed, and it
    does not come back. Go and look, or pull its plug, first: if it still runs, its guests run twice and their data
    is lost. A node whose watchdog was armed is released by the clock alone, and not earlier through this.
    """
    from quorate.access import vouching

    incident, meaning = vouching.look(session.api, node)
    confirm(meaning, f"Is {node} certainly off, and will it stay off until its guests run elsewhere?", yes=yes)
    said = vouching.confirm(session.api, node, incident)
    say(f"{said}; quorate status -w")


def release_node(
    session: Session,
    node: Annotated[str, typer.Argument(autocompletion=completion.nodes, metavar="NODE", help="The fenced node.")],
    *,
    yes: Yes = False,
) -> None:
    """Let a fenced node come back.

    A node that was lost and came back several times within an hour waits longer each time before guests start there
    again; this ends the wait. A fenced node that never rebooted has lost its Lease for good, because its old guests may
    still run there; this gives the Lease back to the same boot. Go and look first: nothing of its old guests may run.
    """
    from quorate.access import vouching
    from quorate.access.commands import node_status

    status = node_status(session.api, node)
    incident = vouching.fenced_incident(node, status)
    boot = vouching.boot_to_release(incident, status, session.api.now())
    held = boot != incident.nonce
    known = f"Incident {incident.id}: {node} is fenced ({incident.reason})."
    if held:
        confirm([known, f"It is {status.message}."], f"May guests start on {node} again?", yes=yes)
    else:
        lines = [
            f"{known} Boot {boot} of it has never ended, as far as is known.",
            "Its guests run elsewhere. If one of them still runs there as well, nothing will end it after this.",
        ]
        confirm(lines, f"Does nothing of its old guests run on {node} any more?", yes=yes)
    user = vouching.whoami(session.api)
    value = f"{incident.id}/{boot}/{user}"
    session.api.merge(NODES.path(node), {"metadata": {"annotations": {RELEASE_ANNOTATION: value}}})
    then = "guests may start there" if held else "it gets its Lease back, and is a member again when its agent renews"
    say(f"{node}: {user} lets it come back (incident {incident.id}). Next: {then}; quorate status -w")

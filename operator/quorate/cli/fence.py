"""`quorate fence confirm|release`: a person vouches that a lost node is off, or lets one come back."""

from typing import Annotated, Final

import typer

from quorate.cli import completion
from quorate.cli.ask import confirm
from quorate.cli.help import Verbs
from quorate.cli.options import Yes
from quorate.cli.output import say
from quorate.cli.session import Session, verb

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

    back = vouching.look_back(session.api, node)
    confirm(back.meaning, back.question, yes=yes)
    said = vouching.release(session.api, back)
    say(f"{said}; quorate status -w")

"""`quorate fence confirm`: a person vouches that a lost node is off."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.cli.ask import confirm
from quorate.cli.errors import ApiError, CliError
from quorate.cli.help import Verbs
from quorate.cli.options import Yes
from quorate.cli.output import say
from quorate.cli.session import Session, verb
from quorate.core.types import CONFIRM_ANNOTATION, Instant, Stage
from quorate.kube.resources import HARESOURCES, NODES

if TYPE_CHECKING:
    from quorate.core.status import Incident, NodeStatus

EXAMPLES: Final = ("quorate fence confirm node2",)
REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    group.callback()(_group)
    verb(group, confirm_node, name="confirm", examples=EXAMPLES)
    app.add_typer(group, name="fence", rich_help_panel=section, help="Fencing: what a person can add to the evidence.")


def _group() -> None:
    """A callback makes typer keep `confirm` a verb of its own, although it is the only one."""


def confirm_node(
    session: Session,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The lost node.")],
    *,
    yes: Yes = False,
) -> None:
    """Vouch that a lost node is off.

    Its guests may then start elsewhere. For a node that nothing else proves dead: no watchdog was armed, and it
    does not come back. Go and look, or pull its plug, first: if it still runs, its guests run twice and their data
    is lost. A node whose watchdog was armed is released by the clock alone, and not earlier through this.
    """
    from quorate.cli.commands import node_status

    status = node_status(session.api, node)
    incident = open_incident(node, status)
    guests = [one for one in session.api.items(HARESOURCES.path()) if (one.get("status") or {}).get("node") == node]
    confirm(
        meaning(node, incident, guests, session.api.now()),
        f"Is {node} certainly off, and will it stay off until its guests run elsewhere?",
        yes=yes,
    )
    user = whoami(session)
    value = f"{incident.id}/{incident.nonce}/{user}"
    session.api.merge(NODES.path(node), {"metadata": {"annotations": {CONFIRM_ANNOTATION: value}}})
    say(f"{node}: {user} vouches that it is off (incident {incident.id}). Next: {follows(incident)}; quorate status -w")


def open_incident(node: str, status: "NodeStatus") -> "Incident":
    """The incident that can be confirmed. Raises CliError when there is none."""
    incident = status.incident
    if incident is None:
        raise CliError(
            f"{node} has no open incident (it is {status.state}: {status.message}). There is nothing to confirm"
        )
    if incident.stage is Stage.FENCED:
        raise CliError(
            f"{node} is fenced already (incident {incident.id}): its guests are released, nothing to confirm"
        )
    return incident


def meaning(node: str, incident: "Incident", guests: list[dict[str, Any]], now: Instant) -> list[str]:
    """The incident, and what confirming it brings about, in lines."""
    from quorate.view import words

    sids = ", ".join(str((one.get("status") or {}).get("guest")) for one in guests) or "none"
    lines = [
        f"Incident {incident.id}: {node} was lost {words.since(incident.opened, now)} ago ({incident.reason}).",
        f"Guests that start elsewhere once it is proven off: {sids}.",
        "If it is not off, they run twice, and what they write is damaged. Nothing checks this after you.",
    ]
    if incident.release_by is not None:
        lines.append(
            f"Its watchdog was armed: it is released by the clock, {words.deadline(incident.release_by, now)}; "
            "confirming does not make that earlier."
        )
    return lines


def follows(incident: "Incident") -> str:
    if incident.release_by is not None:
        return "its guests are released when its Lease has expired, not before"
    return "its guests recover as soon as the Cluster is quorate and its Lease is taken"


def whoami(session: Session) -> str:
    """Our name as the API server knows it; where it cannot be asked, the kubeconfig's name of the user."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = session.api.create(REVIEWS, review, managed=False)
        name = str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")
    except ApiError:
        name = ""
    if not name and not session.login.user:
        raise CliError(f"{session.login.origin}: it names no user, and somebody must vouch. Use a kubeconfig with one")
    return name or session.login.user

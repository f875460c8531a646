"""`quorate fence confirm|release`: a person vouches that a lost node is off, or lets one come back."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.cli.ask import confirm
from quorate.cli.errors import ApiError, CliError
from quorate.cli.help import Verbs
from quorate.cli.options import Yes
from quorate.cli.output import say
from quorate.cli.session import Session, verb
from quorate.core.flapping import held_until
from quorate.core.types import CONFIRM_ANNOTATION, RELEASE_ANNOTATION, TAKEN, Instant
from quorate.kube.resources import HARESOURCES, NODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quorate.core.status import Incident, NodeStatus
    from quorate.core.types import Nonce

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
    guests = [one for one in session.api.items(HARESOURCES.path()) if _is_on(one, node)]
    confirm(
        meaning(node, incident, guests, session.api.now()),
        f"Is {node} certainly off, and will it stay off until its guests run elsewhere?",
        yes=yes,
    )
    user = whoami(session)
    value = f"{incident.id}/{incident.nonce}/{user}"
    session.api.merge(NODES.path(node), {"metadata": {"annotations": {CONFIRM_ANNOTATION: value}}})
    say(f"{node}: {user} vouches that it is off (incident {incident.id}). Next: {follows(incident)}; quorate status -w")


def _is_on(raw: "Mapping[str, Any]", node: str) -> bool:
    """Is the guest there, or a Pod of the workload?"""
    status = raw.get("status") or {}
    return status.get("node") == node or any(one.get("node") == node for one in status.get("pods") or ())


def release_node(
    session: Session,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The fenced node.")],
    *,
    yes: Yes = False,
) -> None:
    """Let a fenced node come back.

    A node that was lost and came back several times within an hour waits longer each time before guests start there
    again; this ends the wait. A fenced node that never rebooted has lost its Lease for good, because its old guests may
    still run there; this gives the Lease back to the same boot. Go and look first: nothing of its old guests may run.
    """
    from quorate.cli.commands import node_status

    status = node_status(session.api, node)
    incident = fenced_incident(node, status)
    boot = boot_to_release(incident, status, session.api.now())
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
    user = whoami(session)
    value = f"{incident.id}/{boot}/{user}"
    session.api.merge(NODES.path(node), {"metadata": {"annotations": {RELEASE_ANNOTATION: value}}})
    then = "guests may start there" if held else "it gets its Lease back, and is a member again when its agent renews"
    say(f"{node}: {user} lets it come back (incident {incident.id}). Next: {then}; quorate status -w")


def fenced_incident(node: str, status: "NodeStatus") -> "Incident":
    """The incident of a node that can be released. Raises CliError when there is none."""
    incident = status.incident
    if incident is None:
        raise CliError(f"{node} is not fenced (it is {status.state}: {status.message}). There is nothing to release")
    if incident.stage not in TAKEN:
        raise CliError(
            f"{node} is lost, but not fenced yet (incident {incident.id}): its guests may still run there. If it is "
            f"certainly off, run quorate fence confirm {node}"
        )
    if status.guests:
        guests = "its guest is" if status.guests == 1 else f"its {status.guests} guests are"
        raise CliError(f"{node}: {guests} still recorded there. Wait until they run elsewhere (quorate status -w)")
    return incident


def boot_to_release(incident: "Incident", status: "NodeStatus", now: Instant) -> "Nonce":
    """The boot that waits: a later one that is held back, or else the fenced one."""
    returns = status.returns
    if returns is None or returns.at < incident.opened or held_until(returns, returns.nonce, now) is None:
        return incident.nonce
    return returns.nonce


def open_incident(node: str, status: "NodeStatus") -> "Incident":
    """The incident that can be confirmed. Raises CliError when there is none."""
    incident = status.incident
    if incident is None:
        raise CliError(
            f"{node} has no open incident (it is {status.state}: {status.message}). There is nothing to confirm"
        )
    if incident.stage in TAKEN and not status.guests:
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

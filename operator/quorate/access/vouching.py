"""A person's word as evidence: that a lost node is off, or that a fenced one may come back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.access.commands import node_status
from quorate.access.errors import ApiError, CliError
from quorate.core.flapping import held_until
from quorate.core.status import Incident, NodeStatus
from quorate.core.types import CONFIRM_ANNOTATION, RELEASE_ANNOTATION, TAKEN, Instant, Nonce
from quorate.kube.resources import HARESOURCES, NODES
from quorate.view import words

if TYPE_CHECKING:
    from quorate.access.client import Api
    from quorate.access.reader import Reader

REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def look(api: "Reader", node: str) -> tuple[Incident, list[str]]:
    """The incident of a lost node that can be confirmed, and what that would bring about, in lines. Raises CliError."""
    incident = open_incident(node, node_status(api, node))
    guests = [one for one in api.items(HARESOURCES.path()) if is_on(one, node)]
    return incident, meaning(node, incident, guests, api.now())


def confirm(api: "Api", node: str, incident: Incident) -> str:
    """Vouch, in our own name, that the node is off; returns what is said of it. Raises CliError."""
    user = whoami(api)
    value = f"{incident.id}/{incident.nonce}/{user}"
    api.merge(NODES.path(node), {"metadata": {"annotations": {CONFIRM_ANNOTATION: value}}})
    return f"{node}: {user} vouches that it is off (incident {incident.id}). Next: {follows(incident)}"


@dataclass(frozen=True, slots=True)
class Return:
    """A fenced node that could come back. `held`: only because it came back too often; else its old boot never ended."""

    node: str
    incident: Incident
    boot: Nonce
    held: bool
    meaning: tuple[str, ...]

    @property
    def question(self) -> str:
        if self.held:
            return f"May guests start on {self.node} again?"
        return f"Does nothing of its old guests run on {self.node} any more?"


def look_back(api: "Reader", node: str) -> Return:
    """What letting a fenced node come back would bring about. Raises CliError."""
    status = node_status(api, node)
    incident = fenced_incident(node, status)
    boot = boot_to_release(incident, status, api.now())
    known = f"Incident {incident.id}: {node} is fenced ({incident.reason})."
    if boot != incident.nonce:
        return Return(node, incident, boot, held=True, meaning=(known, f"It is {status.message}."))
    never = f"{known} Boot {boot} of it has never ended, as far as is known."
    twice = "Its guests run elsewhere. If one of them still runs there as well, nothing will end it after this."
    return Return(node, incident, boot, held=False, meaning=(never, twice))


def release(api: "Api", back: Return) -> str:
    """Let it come back, in our own name; returns what is said of it. Raises CliError."""
    user = whoami(api)
    value = f"{back.incident.id}/{back.boot}/{user}"
    api.merge(NODES.path(back.node), {"metadata": {"annotations": {RELEASE_ANNOTATION: value}}})
    then = "it gets its Lease back, and is a member again when its agent renews"
    return (
        f"{back.node}: {user} lets it come back (incident {back.incident.id}). "
        f"Next: {'guests may start there' if back.held else then}"
    )


def is_on(raw: Mapping[str, Any], node: str) -> bool:
    """Is the guest there, or a Pod of the workload?"""
    status = raw.get("status") or {}
    return status.get("node") == node or any(one.get("node") == node for one in status.get("pods") or ())


def fenced_incident(node: str, status: NodeStatus) -> Incident:
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


def boot_to_release(incident: Incident, status: NodeStatus, now: Instant) -> Nonce:
    """The boot that waits: a later one that is held back, or else the fenced one."""
    returns = status.returns
    if returns is None or returns.at < incident.opened or held_until(returns, returns.nonce, now) is None:
        return incident.nonce
    return returns.nonce


def open_incident(node: str, status: NodeStatus) -> Incident:
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


def meaning(node: str, incident: Incident, guests: list[dict[str, Any]], now: Instant) -> list[str]:
    """The incident, and what confirming it brings about, in lines."""
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


def follows(incident: Incident) -> str:
    if incident.release_by is not None:
        return "its guests are released when its Lease has expired, not before"
    return "its guests recover as soon as the Cluster is quorate and its Lease is taken"


def whoami(api: "Api") -> str:
    """Our name as the API server knows it; where it cannot be asked, the kubeconfig's name of the user."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = api.create(REVIEWS, review, managed=False)
        name = str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")
    except ApiError:
        name = ""
    if not name and not api.login.user:
        raise CliError(f"{api.login.origin}: it names no user, and somebody must vouch. Use a kubeconfig with one")
    return name or api.login.user

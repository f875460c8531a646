"""What stands in the way of a relocation: judged with the planner's own filters before a command is written.

The manager decides, and on newer facts. What we may not read (Kubernetes nodes, Leases) is left to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quorate.access import ruled
from quorate.access.commands import members
from quorate.access.errors import CliError, ForbiddenError, NotFoundError
from quorate.api import parse
from quorate.api.wire import from_wire
from quorate.core.commands import companions
from quorate.core.place import Candidate, rejection
from quorate.core.status import ClusterStatus
from quorate.core.types import AGENT_NAMESPACE, GuestState, NodeName
from quorate.core.world import GuestView, NodeView
from quorate.kube import views
from quorate.kube.resources import CLUSTERS, KUBE_NODES, LEASES, STORAGES

if TYPE_CHECKING:
    from quorate.access.reader import Reader

Raw = dict[str, Any]


def obstacles(api: "Reader", raw: Raw, target: str) -> list[str]:
    """Every reason why the guest cannot go to that node now; empty: the way is clear. Raises CliError."""
    try:
        guest = parse.guest(raw)
        name = guest.status.cluster_name
        if not name:
            return [f"no Cluster looks after it yet: {guest.status.message or 'no manager has looked at it'}"]
        cluster = api.get(CLUSTERS.path(name))
        return [*_of_cluster(cluster), *_of_guest(guest), *_of_node(api, guest, cluster, members(api, name), target)]
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error


def _of_cluster(cluster: Raw) -> list[str]:
    status = from_wire(ClusterStatus, cluster.get("status"))
    if status.quorate:
        return []
    votes = status.votes
    counted = f"{votes.live} of {votes.expected} votes, need {votes.needed}"
    return [f"Cluster {cluster['metadata']['name']} is not quorate ({counted}): nothing is moved"]


def _of_guest(guest: GuestView) -> list[str]:
    state = guest.status.state
    if state is GuestState.STARTED:
        return []
    return [
        f"a guest is relocated while it is Started, it is {state}: {guest.status.message or 'it has no status yet'}"
    ]


def _of_node(api: "Reader", guest: GuestView, cluster: Raw, members: Sequence[Raw], target: str) -> list[str]:
    name = cluster["metadata"]["name"]
    raw = next((one for one in members if one["metadata"]["name"] == target), None)
    if raw is None:
        known = ", ".join(sorted(one["metadata"]["name"] for one in members)) or "none"
        return [f"no node of Cluster {name} is named {target!r} (its nodes: {known})"]
    view = _observed(api, parse.node(raw))
    if view is None:
        return []
    storages = {one.name: one for one in (parse.storage(found) for found in api.items(STORAGES.path()))}
    spec = parse.cluster(cluster).spec
    candidate = Candidate(view, view.status.state, 0)
    reason = rejection(guest.spec, candidate, storages, spec)
    if reason is not None:
        return [f"node {target}: {reason}"]
    return _of_rules(api, guest, cluster, lambda peer: rejection(peer.spec, candidate, storages, spec), view.name)


def _of_rules(
    api: "Reader", guest: GuestView, cluster: Raw, hard: Callable[[GuestView], str | None], target: NodeName
) -> list[str]:
    """What the rules have against it, for the guest itself and for those that would have to come along."""
    board = ruled.board(api, cluster) if cluster["spec"].get("rules") else None
    if board is None or guest.key not in board.guests:
        return []
    reason = board.forbids(guest.key, target)
    found = [f"node {target}: {reason}"] if reason is not None else []
    for peer in companions(board, guest.key, target):
        reason = hard(board.guests[peer]) or board.forbids(peer, target)
        if reason is not None:
            found.append(f"{peer.sid} would have to come along, and node {target}: {reason}")
    return found


def _observed(api: "Reader", view: NodeView) -> NodeView | None:
    """The node with what Kubernetes and its Lease say of it; None when we may not know."""
    try:
        kube = views.kube_node(api.get(KUBE_NODES.path(view.name)))
    except NotFoundError:
        kube = None
    except ForbiddenError:
        return None
    try:
        lease = api.get(LEASES.path(NodeName(view.name), AGENT_NAMESPACE))
    except NotFoundError:
        return replace(view, kube=kube)
    except ForbiddenError:
        return None
    return replace(view, kube=kube, beat=views.lease(None, lease, 0.0))

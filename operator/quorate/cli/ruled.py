"""Rules judged by the core, here, before anything is written: what would be ignored, and what keeps a guest from a node."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quorate.api import parse
from quorate.cli.errors import ForbiddenError
from quorate.core.board import Board, board_of, rulebook
from quorate.core.contradictions import Contradiction
from quorate.core.rulebook import Rulebook
from quorate.core.types import Instant
from quorate.core.world import GuestView, NodeView, World
from quorate.kube import views
from quorate.kube.resources import HARESOURCES, KUBE_NODES, NODES

if TYPE_CHECKING:
    from quorate.cli.client import Api

Raw = dict[str, Any]


def board(api: "Api", cluster: Raw) -> Board | None:
    """Where every guest of the Cluster is, and what the rules say; None when we may not see them all."""
    world = _world(api, cluster)
    return board_of(world) if world is not None else None


def judged(api: "Api", cluster: Raw) -> Rulebook | None:
    """What would become of the rules in this Cluster's spec; None when we may not see whom they are about."""
    world = _world(api, cluster)
    return rulebook(world) if world is not None else None


def about(book: Rulebook, rule: str) -> Contradiction | None:
    """Why this rule would be ignored, None if it would not."""
    return next((one for one in book.ignored if rule in one.rules), None)


def _world(api: "Api", cluster: Raw) -> World | None:
    """As much of a World as rules depend on. Raises UnreadableError for a Cluster whose rules cannot be read."""
    view = parse.cluster(cluster)
    try:
        members = [one for one in api.items(NODES.path()) if one["spec"].get("clusterName") == view.name]
        found = api.items(HARESOURCES.path())
    except ForbiddenError:
        return None
    kubes = _kube_nodes(api)
    nodes = sorted((_with(parse.node(one), kubes) for one in members), key=lambda node: node.name)
    guests = sorted((one for raw in found if (one := _guest(raw, view.name)) is not None), key=lambda one: one.key)
    return World(0.0, Instant(0), "", 0, "", view, tuple(nodes), tuple(guests))


def _kube_nodes(api: "Api") -> dict[str, Raw]:
    try:
        return {str(one["metadata"]["name"]): one for one in api.items(KUBE_NODES.path())}
    except ForbiddenError:
        return {}


def _with(node: NodeView, kubes: dict[str, Raw]) -> NodeView:
    raw = kubes.get(node.name)
    return replace(node, kube=views.kube_node(raw)) if raw is not None else node


def _guest(raw: Raw, cluster: str) -> GuestView | None:
    """A guest of that Cluster; one that cannot be read is the manager's to complain of."""
    try:
        guest = parse.guest(raw)
    except parse.UnreadableError:
        return None
    return guest if (guest.status.cluster_name or guest.spec.cluster_name or cluster) == cluster else None

"""The World as the command line may read it: the planner's own functions answer questions on it, without a manager."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quorate.access.commands import members
from quorate.access.errors import CliError, ForbiddenError
from quorate.api import parse
from quorate.core.load import NOTHING, Size
from quorate.core.types import AGENT_NAMESPACE, GUEST_LABEL, Instant, NodeName, SchedulingMode
from quorate.core.world import Beat, GuestView, NodeView, WorkloadView, World
from quorate.kube import reaches, views
from quorate.kube.resources import HARESOURCES, KUBE_NODES, LEASES, PODS, STORAGES

if TYPE_CHECKING:
    from quorate.access.reader import Reader

Raw = Mapping[str, Any]


def sketch(api: "Reader", cluster: Raw) -> World:
    """As much as rules depend on; Kubernetes' own nodes if they may be read. Raises CliError, UnreadableError."""
    try:
        kubes = api.items(KUBE_NODES.path())
    except ForbiddenError:
        kubes = []
    return _world(api, cluster, kubes)


def whole(api: "Reader", cluster: Raw) -> World:
    """All that placement depends on. Raises CliError, naming what could not be read."""
    try:
        world = _world(api, cluster, api.items(KUBE_NODES.path()))
        leases = {one["metadata"]["name"]: one for one in api.items(LEASES.path(namespace=AGENT_NAMESPACE))}
        storages = tuple(parse.storage(one) for one in api.items(STORAGES.path()))
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error
    others = _others(api, world)
    nodes = tuple(
        replace(
            node,
            beat=_beat(leases.get(node.name)),
            reach=reaches.read(leases[node.name]) if node.name in leases else (),
            others=others.get(node.name, NOTHING) if others is not None else None,
        )
        for node in world.nodes
    )
    return replace(world, wall=api.now(), nodes=nodes, storages=storages)


def _world(api: "Reader", cluster: Raw, kubes: Iterable[Raw]) -> World:
    view, known = parse.cluster(cluster), {str(one["metadata"]["name"]): one for one in kubes}
    found = api.items(HARESOURCES.path())
    nodes = sorted((_with(parse.node(one), known) for one in members(api, view.name)), key=lambda node: node.name)
    guests = sorted((one for raw in found if (one := _guest(raw, view.name)) is not None), key=lambda one: one.key)
    ours = tuple(one for one in guests if one.spec.workload is None)
    protected = tuple(WorkloadView(one) for one in guests if one.spec.workload is not None)
    return World(0.0, Instant(0), "", 0, "", view, tuple(nodes), ours, protected)


def _beat(raw: Raw | None) -> Beat | None:
    return views.lease(None, raw, 0.0) if raw is not None else None


def _others(api: "Reader", world: World) -> dict[NodeName, Size] | None:
    """What Pods that are no guests request; None where nobody looks at requests, or where we may not see them."""
    if world.cluster.spec.scheduling.mode is SchedulingMode.BASIC:
        return None
    try:
        return views.requested_by_node(api.items(PODS.path(), labels=f"!{GUEST_LABEL}"))
    except ForbiddenError:
        return None


def _with(node: NodeView, kubes: Mapping[str, Raw]) -> NodeView:
    raw = kubes.get(node.name)
    return replace(node, kube=views.kube_node(raw)) if raw is not None else node


def _guest(raw: Raw, cluster: str) -> GuestView | None:
    """A guest of that Cluster; one that cannot be read is the manager's to complain of."""
    try:
        guest = parse.guest(raw)
    except parse.UnreadableError:
        return None
    return guest if (guest.status.cluster_name or guest.spec.cluster_name or cluster) == cluster else None

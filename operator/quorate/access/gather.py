"""Ask the API server for what the report is made of."""

from typing import TYPE_CHECKING

from quorate.access.errors import ForbiddenError, NotFoundError
from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE
from quorate.kube.resources import CLUSTERS, HARESOURCES, LEASES, NODES, STORAGES
from quorate.view.snapshot import Raw, Snapshot

if TYPE_CHECKING:
    from quorate.access.client import Api


def gather(api: "Api", namespace: str | None = None) -> Snapshot:
    """Everything of Quorate's; guests of one namespace only if one is given. Raises CliError."""
    return Snapshot(
        clusters=tuple(api.items(CLUSTERS.path())),
        nodes=tuple(api.items(NODES.path())),
        guests=tuple(api.items(HARESOURCES.path(namespace=namespace or ""))),
        storages=tuple(api.items(STORAGES.path())),
        leases=_leases(api, AGENT_NAMESPACE),
        leaders=_leases(api, SYSTEM_NAMESPACE),
    )


def _leases(api: "Api", namespace: str) -> tuple[Raw, ...] | None:
    """Heartbeats, for display only: who may not read them sees the rest."""
    try:
        return tuple(api.items(LEASES.path(namespace=namespace)))
    except (ForbiddenError, NotFoundError):
        return None

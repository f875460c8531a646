"""`cluster accept-history`: what ran backwards, and a person's word that the store is right as it is now."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.access.errors import CliError
from quorate.access.names import the_cluster
from quorate.api.wire import from_wire
from quorate.core.status import ClusterStatus, Rewind
from quorate.core.types import ACCEPT_ANNOTATION
from quorate.kube.resources import CLUSTERS
from quorate.view import words

if TYPE_CHECKING:
    from quorate.cli.session import Session
    from quorate.core.types import Instant


@dataclass(frozen=True, slots=True)
class Found:
    """A Cluster whose history waits for a person."""

    name: str
    version: str
    rewind: Rewind
    now: "Instant"


def look(session: "Session", wanted: str | None) -> Found:
    """The Cluster that is meant, with its open rewind. Raises CliError when there is nothing to accept."""
    raw = the_cluster(session.api.items(CLUSTERS.path()), wanted)
    name, status = raw["metadata"]["name"], from_wire(ClusterStatus, raw.get("status"))
    rewind = status.rewind
    if rewind is None or rewind.ended is not None:
        raise CliError(f"Cluster {name}: its history is in order, there is nothing to accept ({status.message})")
    if rewind.accepted is not None:
        raise CliError(f"Cluster {name}: {rewind.id} is accepted already. {status.message}")
    return Found(name, raw["metadata"]["resourceVersion"], rewind, session.api.now())


def meaning(found: Found) -> list[str]:
    """What ran backwards, and what accepting it brings about, in lines."""
    return [
        f"{found.rewind.id}, noticed {words.since(found.rewind.since, found.now)} ago: {found.rewind.why}.",
        "What the statuses say of guests and boots is as old as the copy. Look at every node first: what runs there that",
        "is recorded nowhere must be stopped by hand (crictl ps), or it may run twice.",
        "After this every node renews its Lease once, and work goes on from what is recorded.",
    ]


def write(session: "Session", found: Found) -> None:
    """Accept exactly this rewind, on the version that was looked at."""
    annotations = {ACCEPT_ANNOTATION: found.rewind.id}
    patch = {"metadata": {"resourceVersion": found.version, "annotations": annotations}}
    session.api.merge(CLUSTERS.path(found.name), patch)

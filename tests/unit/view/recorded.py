"""Objects as the API server would return them, written from the core's own statuses so that they stay true."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from quorate.api.wire import to_wire
from quorate.core.types import GROUP, VERSION, Instant
from quorate.view.snapshot import Snapshot
from tests.toy import Toy

Raw = dict[str, Any]
MANAGER_LEASE_S = 15


def custom(kind: str, name: str, *, namespace: str = "", spec: Mapping[str, Any] | None = None, status: object) -> Raw:
    """One of our objects with that status (None: nobody has looked at it yet)."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    raw: Raw = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": dict(spec or {})}
    if status is not None:
        raw["status"] = to_wire(status)
    return raw


def lease(name: str, holder: str, renewed: Instant, duration_s: int = MANAGER_LEASE_S) -> Raw:
    return {
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": holder,
            "renewTime": datetime.fromtimestamp(renewed / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "leaseDurationSeconds": duration_s,
        },
    }


def now_of(toy: Toy) -> Instant:
    return Instant(round(toy.now_s * 1000))


def snapshot_of(toy: Toy) -> Snapshot:
    """Everything in a toy cluster, with the heartbeats that its managers have seen."""
    beats = {name: beat for manager in toy.managers for name, beat in manager.beats.items()}
    return Snapshot(
        clusters=(custom("Cluster", "prod", status=toy.cluster.status),),
        nodes=tuple(
            custom("Node", name, spec={"clusterName": "prod", "votes": view.votes}, status=view.status)
            for name, view in toy.nodes.items()
        ),
        guests=tuple(
            custom(
                "HAResource",
                key.name,
                namespace=key.namespace,
                spec={"state": str(view.spec.wanted)},
                status=view.status,
            )
            for key, view in toy.guests.items()
        ),
        leases=tuple(
            lease(name, toy.leases[name].holder, Instant(round(beat.seen_s * 1000))) for name, beat in beats.items()
        ),
        leaders=(lease("manager-prod", "manager-1", now_of(toy)),),
    )

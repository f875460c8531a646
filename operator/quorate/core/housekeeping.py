"""What belongs to no single Cluster: the Storages, and guests whose Cluster cannot be told.

Whoever holds the Lease `manager` does this; the Clusters have leaders of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from quorate.core.actions import Action, Plan, SetFinalizer, StatusWrite
from quorate.core.bounds import bounded
from quorate.core.conditions import merge, plural, summary
from quorate.core.place import MISSING
from quorate.core.quick import replace
from quorate.core.status import StorageStatus
from quorate.core.types import IN_USE_FINALIZER, INSTANCE_FINALIZER, Instant, Kind, Ref, StorageType
from quorate.core.world import GuestView, KubeNode, StorageView

MAX_NAMED: Final = 50
"""Users of a Storage that its status names; more are counted."""


@dataclass(frozen=True, slots=True)
class Household:
    """`claims`: the (namespace, name) of the PersistentVolumeClaims that exist, of those that Storages name."""

    wall: Instant
    clusters: tuple[str, ...]
    storages: tuple[StorageView, ...]
    guests: tuple[GuestView, ...]
    kube_nodes: tuple[KubeNode, ...]
    claims: frozenset[tuple[str, str]] = frozenset()


def resolve_cluster(guest: GuestView, clusters: Sequence[str]) -> tuple[str | None, str]:
    """The Cluster a guest belongs to, or None and what to do about it. Once told it is sticky."""
    sticky, asked = guest.status.cluster_name, guest.spec.cluster_name
    if sticky in clusters:
        return sticky, ""
    known = ", ".join(sorted(clusters)) or "there is none"
    if asked:
        if asked in clusters:
            return asked, ""
        return None, f"spec.clusterName: no Cluster is named {asked!r} (known: {known}): name one of them or create it"
    if len(clusters) == 1:
        return clusters[0], ""
    if not clusters:
        return None, "there is no Cluster: create one (quorate cluster create NAME)"
    return None, f"spec.clusterName is empty and there are several Clusters ({known}): name one of them"


def tidy(house: Household) -> Plan:
    """Statuses and finalizers of the Storages and of guests without a Cluster."""
    statuses: list[StatusWrite] = []
    actions: list[Action] = []
    for storage in house.storages:
        status = bounded(_storage_status(house, storage))
        ref = Ref(Kind.STORAGE, storage.name)
        if status != storage.status:
            statuses.append(StatusWrite(ref, storage.resource_version, status))
        in_use = bool(storage.used_by)
        if in_use != storage.held and (not in_use or not storage.deleting):
            actions.append(SetFinalizer(ref, IN_USE_FINALIZER, present=in_use))
    for guest in house.guests:
        cluster, problem = resolve_cluster(guest, house.clusters)
        if cluster is not None:
            continue
        findings = summary(ready=False, reason="NoCluster", message=problem, stalled=True)
        conditions = merge(guest.status.conditions, findings, now=house.wall, generation=guest.generation)
        generation = guest.generation
        stalled = bounded(replace(guest.status, message=problem, conditions=conditions, observed_generation=generation))
        if stalled != guest.status:
            statuses.append(StatusWrite(guest.key.ref, guest.resource_version, stalled))
        if guest.deleting and guest.held and guest.status.instance is None and guest.pod is None:
            actions.append(SetFinalizer(guest.key.ref, INSTANCE_FINALIZER, present=False))
    return Plan(statuses=tuple(statuses), actions=tuple(actions))


def _storage_status(house: Household, storage: StorageView) -> StorageStatus:
    state, message = _state(house, storage)
    workers = [kube for kube in house.kube_nodes if not kube.control_plane]
    there = [kube for kube in workers if storage.nodes is None or storage.nodes.matches(kube.labels)]
    named = storage.used_by[:MAX_NAMED]
    more = len(storage.used_by) - len(named)
    refused = bool(storage.trouble) and bool(storage.used_by) != storage.held
    if refused:
        message = f"{message}; {storage.trouble}"
    reason = ("StillHeld" if storage.held else "NotHeld") if refused else state
    findings = summary(ready=reason == "Available", reason=reason, message=message, stalled=state == MISSING or refused)
    return replace(
        storage.status,
        shared=storage.type is StorageType.CLAIM,
        nodes=f"{len(there)}/{len(workers)}",
        used_by=(*named, f"and {more} more") if more else named,
        state=state,
        message=message,
        observed_generation=storage.generation,
        conditions=merge(storage.status.conditions, findings, now=house.wall, generation=storage.generation),
    )


def _state(house: Household, storage: StorageView) -> tuple[str, str]:
    if storage.deleting:
        users = ", ".join(storage.used_by[:MAX_NAMED])
        return "Deleting", f"waits to be deleted: in use by {users}" if users else "no longer in use"
    if storage.disabled:
        return "Disabled", "disabled: no guest starts with it"
    if storage.claim is not None and storage.claim not in house.claims:
        namespace, name = storage.claim
        return MISSING, (
            f"Storage {storage.name}: PersistentVolumeClaim {namespace}/{name} (spec.claim) does not exist: create it "
            "or name another one"
        )
    count = len(storage.used_by)
    return "Available", f"used by {plural(count, 'guest')}"

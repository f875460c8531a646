"""What belongs to no single Cluster: the Storages, and guests whose Cluster cannot be told.

Whoever holds the Lease `manager` does this; the Clusters have leaders of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from quorate.core import volumes
from quorate.core.actions import Action, Plan, SetFinalizer, StatusWrite
from quorate.core.bounds import bounded
from quorate.core.conditions import merge, plural, some, summary
from quorate.core.place import MISSING
from quorate.core.quick import replace
from quorate.core.status import StorageStatus
from quorate.core.storage import Reach, Unreached, reach_of
from quorate.core.types import IN_USE_FINALIZER, INSTANCE_FINALIZER, Instant, Kind, NodeName, Ref, StorageType
from quorate.core.world import GuestView, KubeNode, StorageView

MAX_NAMED: Final = 50
"""Users of a Storage that its status names; more are counted."""
USED_STEP: Final = 5
"""Percent: how full a Storage is follows in such steps, so that a status is not written for every file."""
NAMED_NODES: Final = 3
AVAILABLE: Final = "Available"
DEGRADED: Final = "Degraded"
UNREACHABLE: Final = "Unreachable"


@dataclass(frozen=True, slots=True)
class Household:
    """`claims`: the (namespace, name) of the PersistentVolumeClaims that exist, of those that Storages name; `classes`: the
    StorageClasses likewise. `sight`: what is there of the volumes of NFS Storages. `reach`: what the agents of nodes that
    are heard say.
    """

    wall: Instant
    clusters: tuple[str, ...]
    storages: tuple[StorageView, ...]
    guests: tuple[GuestView, ...]
    kube_nodes: tuple[KubeNode, ...]
    claims: frozenset[tuple[str, str]] = frozenset()
    classes: frozenset[str] = frozenset()
    sight: volumes.Sight = field(default_factory=dict)
    reach: Mapping[NodeName, tuple[Reach, ...]] = field(default_factory=dict)


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
        actions.extend(volumes.deeds(storage, house.sight))
        in_use = _in_use(storage)
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


def _in_use(storage: StorageView) -> bool:
    """A guest names it, or something that was made of it is left."""
    return bool(storage.used_by or storage.status.volumes)


def _storage_status(house: Household, storage: StorageView) -> StorageStatus:
    workers = [kube for kube in house.kube_nodes if not kube.control_plane]
    there = [kube.name for kube in workers if storage.nodes is None or storage.nodes.matches(kube.labels)]
    said = {name: found for name in there if (found := reach_of(house.reach.get(name, ()), storage.uid)) is not None}
    unreached = tuple(Unreached(name, found.why) for name, found in sorted(said.items()) if not found.reached)
    made = volumes.recorded(storage, house.sight)
    state, message = _state(
        house, replace(storage, status=replace(storage.status, unreached=unreached, volumes=made)), said
    )
    named = storage.used_by[:MAX_NAMED]
    more = len(storage.used_by) - len(named)
    refused = bool(storage.trouble) and (_in_use(storage) != storage.held or any(one.problem for one in made))
    if refused:
        message = f"{message}; {storage.trouble}"
    reason = ("StillHeld" if storage.held else "NotHeld") if refused else state
    ready = reason in {AVAILABLE, DEGRADED}
    findings = summary(ready=ready, reason=reason, message=message, stalled=state in {MISSING, UNREACHABLE} or refused)
    return replace(
        storage.status,
        shared=storage.type is not StorageType.LOCAL,
        content=", ".join(storage.content),
        nodes=_count(storage, len(there), len(workers), said),
        unreached=unreached,
        used=_used(storage.status.used, said),
        volumes=made,
        used_by=(*named, f"and {more} more") if more else named,
        state=state,
        message=message,
        observed_generation=storage.generation,
        conditions=merge(storage.status.conditions, findings, now=house.wall, generation=storage.generation),
    )


def _count(storage: StorageView, there: int, workers: int, said: Mapping[NodeName, Reach]) -> str:
    if storage.nfs is None:
        return f"{there}/{workers}"
    return f"{sum(one.reached for one in said.values()) if said else '?'}/{there}"


def _used(before: str, said: Mapping[NodeName, Reach]) -> str:
    """As the fullest that was said; what is nearer than a step to what it was stays as it was."""
    known = [one for one in said.values() if one.reached and one.size]
    if not known:
        return ""
    percent, size = max((one.used, one.size) for one in known)
    text, was = f"of {_bytes(size)}", before.partition("%")[0]
    if before.endswith(text) and was.isdigit() and abs(int(was) - percent) < USED_STEP:
        return before
    return f"{percent}% {text}"


def _bytes(size: int) -> str:
    """In the largest unit of which there is one: it says how large a disk is, and need not say more."""
    unit = next((at for at in (5, 4, 3, 2, 1) if size >= 1024**at), 0)
    return f"{size / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"


def _state(house: Household, storage: StorageView, said: Mapping[NodeName, Reach]) -> tuple[str, str]:
    if storage.deleting:
        users = ", ".join(storage.used_by[:MAX_NAMED])
        left = ", ".join(f"{one.namespace}/{one.claim}" for one in storage.status.volumes)
        if left and not users:
            return "Deleting", f"waits to be deleted: claims are taken away first: {left}"
        return "Deleting", f"waits to be deleted: in use by {users}" if users else "no longer in use"
    if storage.disabled:
        return "Disabled", "disabled: no guest starts with it"
    if storage.claim is not None and storage.claim not in house.claims:
        namespace, name = storage.claim
        return MISSING, (
            f"Storage {storage.name}: PersistentVolumeClaim {namespace}/{name} (spec.claim) does not exist: create it "
            "or name another one"
        )
    if storage.volume_class is not None and storage.volume_class.name not in house.classes:
        return MISSING, (
            f"Storage {storage.name}: StorageClass {storage.volume_class.name} (spec.storageClass.name) does not exist: "
            "create it or name another one"
        )
    return _reached(storage, said)


def _reached(storage: StorageView, said: Mapping[NodeName, Reach]) -> tuple[str, str]:
    users, away = f"used by {plural(len(storage.used_by), 'guest')}", storage.status.unreached
    found = _missed(away)
    if away and len(away) == len(said):
        server = storage.nfs.server if storage.nfs is not None else ""
        return UNREACHABLE, f"no node that has looked reaches it: {'; '.join(found)}: see to the server {server}"
    found += [f"namespace {one.namespace}: {one.problem}" for one in storage.status.volumes if one.problem]
    return (DEGRADED if found else AVAILABLE), "; ".join([users, *found[: 2 * NAMED_NODES]])


def _missed(away: Sequence[Unreached]) -> list[str]:
    """Who does not reach it; those with the same reason together."""
    together: dict[str, list[str]] = {}
    for one in away:
        together.setdefault(one.why, []).append(one.node)
    return [
        f"{some(nodes, NAMED_NODES)} {'do' if len(nodes) > 1 else 'does'} not reach it ({why})"
        for why, nodes in list(together.items())[:NAMED_NODES]
    ]

"""What is made of an NFS Storage: one volume and one claim in each namespace with guests that use it. Never data.

Each is recorded in the Storage's status before it is made, and struck off when both are gone. A volume or claim of that
name that is not ours is left alone, and said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quorate.core.actions import ProvideVolume, RemoveVolume
from quorate.core.quick import replace
from quorate.core.storage import Volume, nfs_claim, nfs_volume
from quorate.core.types import Kind, Ref, Uid
from quorate.core.world import StorageView

MOST_VOLUMES: Final = 256
"""Namespaces that a Storage is given to; as many as it can allow."""
AWAITED: Final = "it is being made"


@dataclass(frozen=True, slots=True)
class Thing:
    """What stands under the name of a volume or a claim. `holder`: the uid of the claim that a volume is held for."""

    uid: Uid
    ours: bool
    deleting: bool = False
    bound: bool = False
    holder: Uid | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Both of one namespace; None: there is none of that name."""

    volume: Thing | None = None
    claim: Thing | None = None

    @property
    def gone(self) -> bool:
        """Is nothing of ours left?"""
        return not any(one is not None and one.ours for one in (self.volume, self.claim))


Sight = Mapping[tuple[str, str], Seen]
"""(Storage, namespace) -> what was seen. What could not be looked at is not in it."""


def wanted(storage: StorageView) -> tuple[str, ...]:
    """The namespaces with guests that may use it."""
    if storage.nfs is None:
        return ()
    used = {sid.partition(":")[2].partition("/")[0] for sid in storage.used_by}
    return tuple(sorted(used & set(storage.namespaces)))[:MOST_VOLUMES]


def recorded(storage: StorageView, sight: Sight) -> tuple[Volume, ...]:
    """What the status is to say: all that are wanted, and those that are still to go."""
    before, asked = {one.namespace: one for one in storage.status.volumes}, wanted(storage)
    kept = [one for one in before if one in asked or not _gone(sight.get((storage.name, one)))]
    new = [one for one in asked if one not in before]
    made = (before.get(name) or _new(storage, name) for name in sorted([*kept, *new][:MOST_VOLUMES]))
    return tuple(replace(one, problem=_problem(one, sight.get((storage.name, one.namespace)))) for one in made)


def _gone(seen: Seen | None) -> bool:
    return seen is not None and seen.gone


def _new(storage: StorageView, namespace: str) -> Volume:
    name = storage.name
    return Volume(namespace, nfs_volume(name, namespace), nfs_claim(name), AWAITED)


def _problem(volume: Volume, seen: Seen | None) -> str:
    """Why guests there cannot use it; as it was where nobody could look."""
    if seen is None:
        return volume.problem
    for kind, name, thing in (
        ("PersistentVolume", volume.volume, seen.volume),
        ("PersistentVolumeClaim", f"{volume.namespace}/{volume.claim}", seen.claim),
    ):
        if thing is None:
            continue
        if not thing.ours:
            return f"there is a {kind} {name} that is not this Storage's, and it is left alone: rename or delete it"
        if thing.deleting:
            return f"{kind} {name} is being deleted, and made anew once it is gone: no Pod may use it meanwhile"
    if seen.volume is None or seen.claim is None:
        return AWAITED
    if not seen.claim.bound:
        return f"PersistentVolumeClaim {volume.namespace}/{volume.claim} is not bound yet"
    return ""


def deeds(storage: StorageView, sight: Sight) -> list[ProvideVolume | RemoveVolume]:
    """What is to be made or taken away, of what is recorded."""
    found: list[ProvideVolume | RemoveVolume] = []
    ref, keep = Ref(Kind.STORAGE, storage.name), set(wanted(storage))
    for one in storage.status.volumes:
        seen = sight.get((storage.name, one.namespace))
        if seen is None:
            continue
        volume, claim = seen.volume, seen.claim
        if one.namespace not in keep:
            gone = [
                thing.uid if thing is not None and thing.ours and not thing.deleting else None
                for thing in (volume, claim)
            ]
            if any(gone):
                found.append(RemoveVolume(ref, one, *gone))
        elif _held_for_another(volume, claim):
            # Kubernetes never binds it again: its claim was deleted by hand. It is retained, so no data goes with it.
            found.append(RemoveVolume(ref, one, volume.uid if volume is not None else None, None))
        elif storage.held and (volume is None or claim is None) and not _in_the_way(volume, claim):
            found.append(ProvideVolume(ref, one, claim.uid if claim is not None else None))
    return found


def _held_for_another(volume: Thing | None, claim: Thing | None) -> bool:
    if volume is None or not volume.ours or volume.deleting or not volume.holder:
        return False
    return claim is None or (claim.ours and claim.uid != volume.holder)


def _in_the_way(*things: Thing | None) -> bool:
    return any(one is not None and (one.deleting or not one.ours) for one in things)

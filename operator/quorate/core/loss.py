"""A Storage that is lost under a guest: its node does not reach it any more, says the agent there.

It is a condition of the guest. By the Storage's `onLoss` the guest also moves, once that has lasted for a while, to a node
of which it is known that it reaches what was lost: not to one that has not looked yet, and nowhere when none reaches it.
"""

from collections.abc import Iterator
from typing import Final

from quorate.core.conditions import Finding
from quorate.core.draft import Draft
from quorate.core.quick import replace
from quorate.core.storage import Reach, reach_of
from quorate.core.types import Instant, OnLoss
from quorate.core.world import NodeView, StorageView

CONDITION: Final = "StorageReached"
HOLD_MS: Final = 60_000
"""It must have been lost for so long before its guest moves: a server that restarts is back sooner."""


def lost(draft: Draft) -> list[tuple[StorageView, Reach]]:
    """What the guest mounts and the node of its instance does not reach."""
    instance = draft.instance
    if instance is None or instance.ended or not draft.guest.spec.mounts:
        return []
    there = draft.room.candidate(instance.node)
    if there is None or not there.view.reach:
        return []
    found = ((storage, reach_of(there.view.reach, storage.uid)) for storage in _mounted(draft))
    return [(storage, reach) for storage, reach in found if reach is not None and not reach.reached]


def _mounted(draft: Draft) -> Iterator[StorageView]:
    for mount in draft.guest.spec.mounts:
        storage = draft.room.storages.get(mount.storage)
        if storage is not None:
            yield storage


def words(draft: Draft) -> str:
    """What is lost, to be added to where the guest runs; "" while nothing is."""
    found = lost(draft)
    if not found:
        return ""
    return "; it does not reach " + ", ".join(f"Storage {storage.name} from there" for storage, _ in found)


def finding(draft: Draft) -> Finding | None:
    """The condition, for as long as something is lost."""
    found, instance = lost(draft), draft.instance
    if not found or instance is None:
        return None
    said = "; ".join(f"{storage.name}: {reach.why or 'no reason given'}" for storage, reach in found)
    policy = (
        "it moves when that lasts and another node reaches it"
        if any(storage.on_loss is OnLoss.RELOCATE for storage, _ in found)
        else "it stays there (the Storage's spec.onLoss is Ignore)"
    )
    return Finding(CONDITION, False, "NotReached", f"{instance.node} does not reach Storage {said}; {policy}")


def leave(draft: Draft) -> bool:
    """Is the guest to go to a node that reaches what is lost here? True: that node is its target and it may go."""
    gone = [storage for storage, _ in lost(draft) if storage.on_loss is OnLoss.RELOCATE]
    instance = draft.instance
    if not gone or instance is None:
        return False
    until = Instant(_since(draft) + HOLD_MS)
    if draft.world.wall < until:
        draft.wake_at(until)
        return False
    unfit = tuple(node.name for node in draft.world.nodes if not _reaches(node, gone))
    choice = draft.choose(avoid=(*draft.status.failed_nodes, *unfit), patient=True)
    if choice.node is None or choice.node == instance.node:
        return False
    named = ", ".join(storage.name for storage in gone)
    draft.say(f"{instance.node} does not reach Storage {named}: it moves to {choice.node}, which does")
    draft.status = replace(draft.status, target=choice.node)
    return True


def _since(draft: Draft) -> Instant:
    """Since when the guest's condition says so; now, if it is still to be said."""
    for condition in draft.guest.status.conditions:
        if condition.type == CONDITION and condition.status == "False":
            return condition.last_transition_time
    return draft.world.wall


def _reaches(node: NodeView, storages: list[StorageView]) -> bool:
    found = [reach_of(node.reach, storage.uid) for storage in storages]
    return all(one is not None and one.reached for one in found)

"""Maintenance: a node's guests leave it, and come back when it is over (Proxmox VE HA: node-maintenance).

The node keeps its vote, its Lease and, while guests are left, its armed watchdog. A guest moves once a node is found that
may run it and has armed its watchdog; one that has nowhere to go runs on, and the node's condition `Drained` names it.
Where the only other node does not arm, it is asked again with a growing pause, on the way there and back (`arming.py`).
A guest remembers the node that it left. It forgets it when it comes to run elsewhere for another reason (its new node was
lost, or it failed there), but not because a person moved it meanwhile.
"""

from quorate.core.draft import Draft
from quorate.core.quick import replace
from quorate.core.types import NodeName, NodeState


def moves(draft: Draft) -> bool:
    """Is a guest that runs to go, away or back? True: it has a target and may."""
    return leave(draft) or _come_back(draft)


def leave(draft: Draft) -> bool:
    """Does the guest's node drain, and is there another one for it? True: it has a target and may go."""
    instance = draft.instance
    if instance is None or not _drains(draft, instance.node):
        return False
    choice = draft.choose(avoid=draft.status.failed_nodes, patient=True)
    if choice.node is None:
        draft.room.staying.setdefault(instance.node, {})[draft.guest.key.sid] = choice.reasons
        draft.say(f"runs on {instance.node}, which is in maintenance: no other node can run it: {choice.reasons}")
        return False
    draft.say(f"{instance.node} is in maintenance: it moves to {choice.node}")
    draft.status = replace(draft.status, target=choice.node, maintenance_node=instance.node)
    return True


def _come_back(draft: Draft) -> bool:
    """Is the maintenance of the node that it left over? True: that node is its target and it may go."""
    instance, home = draft.instance, draft.status.maintenance_node
    if instance is None or home is None:
        return False
    found = draft.room.candidate(home)
    if found is None or (instance.node == home and found.state is NodeState.ONLINE):
        # The node has left the cluster, or the guest is back (or never left).
        draft.status = replace(draft.status, maintenance_node=None)
        return False
    if instance.node == home or draft.rejection(found) is not None or draft.pause(found) is not None:
        return False
    draft.say(f"the maintenance of {home} is over: it moves back")
    draft.status = replace(draft.status, target=home)
    return True


def awaits(draft: Draft) -> str:
    """What keeps a guest from the node that it left, where that is its watchdog; to be added to where it runs."""
    home = draft.status.maintenance_node
    found = draft.room.candidate(home) if home is not None else None
    why = draft.pause(found) if found is not None and found.state is NodeState.ONLINE else None
    return f", and does not return to {home} yet: {why}" if why else ""


def _drains(draft: Draft, node: NodeName) -> bool:
    status = draft.room.statuses.get(node)
    return status is not None and status.state is NodeState.MAINTENANCE

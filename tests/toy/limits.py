"""The memory that nodes have: no plan may promise more of it, whatever else it must honour."""

from quorate.core.actions import Plan
from quorate.core.load import NOTHING, room_for
from quorate.core.status import GuestStatus
from quorate.core.types import CpuPolicy, GuestKey, SchedulingMode
from quorate.core.world import GuestView, World


def overfull(world: World, made: Plan) -> list[str]:
    """The nodes on which this plan draws an instance that has no room beside all that may run there."""
    scheduling = world.cluster.spec.scheduling
    if scheduling.mode is SchedulingMode.BASIC:
        return []
    after = {guest.key: guest.status for guest in world.guests}
    for write in made.statuses:
        if isinstance(write.status, GuestStatus):
            after[GuestKey(write.ref.namespace, write.ref.name)] = write.status
    wholes = {node.name: node.kube.size for node in world.nodes if node.kube is not None}
    others = {node.name: node.others or NOTHING for node in world.nodes}
    found = []
    for guest in world.guests:
        node = _drawn(guest, after[guest.key])
        whole = wholes.get(node) if node is not None else None
        if whole is None:
            continue
        beside = [one for one in world.guests if one.key != guest.key and _there(after[one.key], node)]
        taken = sum((one.spec.template.size for one in beside), others[node])
        loose = scheduling.cpu is CpuPolicy.OVERCOMMIT
        reason = room_for(whole - taken, guest.spec.template.size, overcommit_cpu=loose)
        if reason is not None:
            found.append(f"{guest.key.sid} on {node}: {reason}")
    return found


def _drawn(guest: GuestView, after: GuestStatus):
    before, now = guest.status.instance, after.instance
    new = now is not None and now.uid is None and (before is None or before.id != now.id)
    return now.node if now is not None and new else None


def _there(status: GuestStatus, node) -> bool:
    return status.instance is not None and status.instance.node == node and not status.instance.ended

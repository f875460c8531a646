"""Guests that need no round: nearly all of a thousand, nearly always.

A shortcut, no rule: `settled` says that the state machine of `guests.py` would change nothing and ask for nothing. Whatever
it is not sure of takes the long way. Every plan of the toy cluster is made both ways and compared.
"""

from quorate.core.draft import Room
from quorate.core.order import CONDITION
from quorate.core.pods import PodView
from quorate.core.status import GuestStatus, Instance
from quorate.core.types import GuestState, NodeState, Wanted
from quorate.core.world import GuestView


def settled(room: Room, guest: GuestView) -> bool:
    """Does it run as it should, on a node without an incident, described as it is, with nothing asked of it?"""
    status, spec = guest.status, guest.spec
    instance, pod = status.instance, guest.pod
    if instance is None or pod is None or status.state is not GuestState.STARTED or guest.trouble or guest.command:
        return False
    node = room.statuses.get(instance.node)
    return (
        node is not None
        and node.incident is None
        and node.state is not NodeState.MAINTENANCE
        and status.maintenance_node is None
        and room.quorate
        and spec.wanted is Wanted.STARTED
        and not spec.mounts
        and (not spec.start_after or room.order.problem(guest, room.world.cluster.name) is None)
        and not guest.deleting
        and not spec.machine
        and guest.held
        and spec.template.hash == status.template_hash == instance.template_hash
        and _runs(pod, instance)
        and status.ready
        and _described(status, guest.generation, instance)
        and guest.key not in room.moves
        and room.board.at_rest(guest.key, instance.node)
    )


def _runs(pod: PodView, instance: Instance) -> bool:
    """The Pod is the instance's, all of it is recorded, and every main container runs."""
    if pod.uid != instance.uid or pod.instance != instance.id or pod.deleting or not pod.bound or not pod.ready:
        return False
    if not instance.began or not instance.started or instance.ended or instance.stopping or pod.phase != "Running":
        return False
    for container in pod.containers:  # noqa: SIM110 asked of every guest in every round: a generator costs twice as much
        if not container.init and container.state != "running":
            return False
    return True


def _described(status: GuestStatus, generation: int, instance: Instance) -> bool:
    """No counter is to be cleared later, and the parts that only describe the rest are up to date."""
    if (
        status.target is not None
        or status.restarts
        or status.failed_nodes
        or status.next_try
        or status.since is None
        or not status.conditions
    ):
        return False
    if status.observed_generation != generation or status.message != f"runs on {instance.node}":
        return False
    for condition in status.conditions:
        if (condition.type == "Stalled" and condition.status == "True") or condition.type == CONDITION:
            return False
    return True

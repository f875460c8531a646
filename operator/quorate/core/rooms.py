"""The Room of a plan, or of a question that is asked of the same World."""

from collections.abc import Mapping

from quorate.core.board import board_of
from quorate.core.disarm import FREE, Brake
from quorate.core.draft import Room
from quorate.core.guard import ready_for_guests
from quorate.core.ledger import Ledger
from quorate.core.order import start_order
from quorate.core.quick import replace
from quorate.core.quorum import Quorum
from quorate.core.status import NodeStatus
from quorate.core.types import HEARD, Answer, NodeName
from quorate.core.world import NodeView, World


def room_of(
    world: World, quorum: Quorum, statuses: Mapping[NodeName, NodeStatus], ledger: Ledger, brake: Brake = FREE
) -> Room:
    """Everybody counted where they are. `statuses`: the nodes' own, after their round."""
    # A node in maintenance as well: an instance that is recorded there already is made, and leaves it after that.
    armed = frozenset(
        node.name
        for node in world.nodes
        if statuses[node.name].state in HEARD and ready_for_guests(_with(node, statuses[node.name]), world.cluster.spec)
    )
    room = Room(
        world,
        quorum,
        dict(statuses),
        armed,
        {storage.name: storage for storage in world.storages},
        brake,
        order=start_order(world.guests),
        board=board_of(world),
        ledger=ledger,
    )
    for guest in world.guests:
        room.occupy(guest)
    for view in world.workloads:
        room.recount((), view.guest.status.pods)
    return room


def recorded_quorum(world: World) -> Quorum:
    """As the last plan recorded it: nothing is counted anew."""
    votes = world.cluster.status.votes
    answer = Answer.YES if world.cluster.status.quorate else Answer.NO
    return Quorum((), votes.total, votes.expected, votes.live, 0, votes.needed, answer)


def _with(node: NodeView, status: NodeStatus) -> NodeView:
    return node if node.status is status else replace(node, status=status)

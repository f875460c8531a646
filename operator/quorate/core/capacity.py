"""If nodes are lost: which guests would go where, and which would have no node.

The planner's own filters, rules and order answer, on a World in which these nodes are gone. Requested memory (and processor
time, as the Cluster says) is a limit in every mode here: what a kubelet would refuse has no place, also where mode Basic
would try. Nothing is held back for it: what has no place runs on as long as its node does, and it is said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from quorate.core import scheduling
from quorate.core.capacity_status import CapacityStatus, Unplaced
from quorate.core.conditions import Finding, plural
from quorate.core.draft import Draft, Room
from quorate.core.ledger import ledger_of, places
from quorate.core.members import effective_votes
from quorate.core.quick import replace
from quorate.core.quorum import Memory, Vote, count, recalled
from quorate.core.quorum_options import in_force
from quorate.core.rooms import recorded_quorum, room_of
from quorate.core.status import GuestStatus
from quorate.core.types import HEARD, Answer, GuestKey, GuestState, NodeName, SchedulingMode, Wanted
from quorate.core.world import GuestView, World

CONDITION: Final = "CapacitySufficient"
KEPT: Final = 16
"""So many guests without a place are listed in the status."""
NAMED: Final = 3
PREVIEWS: Final = 3
"""While their node is being proven dead, targets are looked for in every round; who is to be together then finds a place
that has room for all. So many rounds are played."""


@dataclass(frozen=True, slots=True)
class Move:
    """A guest that ran, or was about to start, on a node that is lost.

    `node`: where it would go; None: nowhere, and `reason` says why.
    """

    guest: GuestKey
    source: NodeName
    node: NodeName | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What the loss of some nodes together would mean. `quorum`: why nothing would be recovered at all; "" if it would."""

    nodes: tuple[NodeName, ...]
    quorum: str
    moves: tuple[Move, ...]

    @property
    def unplaced(self) -> tuple[Move, ...]:
        return tuple(move for move in self.moves if move.node is None)

    @property
    def survived(self) -> bool:
        return not self.quorum and not self.unplaced


class Survey:
    """Questions to one World. Costs as much as a plan to make; a loss as much as recovering its guests."""

    def __init__(self, world: World) -> None:
        self.world = world
        statuses = {node.name: node.status for node in world.nodes}
        mode = scheduling.in_force(world, statuses).mode
        by_number = mode is SchedulingMode.BASIC
        ledger = ledger_of(world, SchedulingMode.STATIC if by_number else mode, statuses, by_number=by_number)
        self._room = room_of(world, recorded_quorum(world), statuses, ledger)
        self.nodes = [node.name for node in world.nodes if statuses[node.name].state in HEARD]
        """Those that can still be lost: it is heard from them."""
        self._near: dict[NodeName, list[GuestView]] = {}
        for guest in world.guests:
            for name in _held_by(guest):
                self._near.setdefault(name, []).append(guest)

    def load(self, node: NodeName) -> tuple[int, int]:
        """How much would have to go elsewhere: the memory that its guests request, and how many they are."""
        guests = self._near.get(node, ())
        return sum(guest.spec.template.size.memory for guest in guests), len(guests)

    def lose(self, names: Iterable[NodeName]) -> Loss:
        """What would become of the guests of these nodes, were they all lost now."""
        lost = tuple(sorted(set(names)))
        room = self._without(lost)
        hit = {guest.key: guest for name in lost for guest in self._near.get(name, ())}
        away = {key: _released(guest.status, lost) for key, guest in hit.items()}
        for key, guest in hit.items():
            room.moved(guest, away[key])
            room.saw(key, away[key])
        order = sorted(
            (key for key, after in away.items() if after.instance is None),
            key=lambda key: (-hit[key].spec.priority, key),
        )
        moves: list[Move] = []
        for _ in range(PREVIEWS if self._any_together(room, order) else 1):
            moves = [self._place(room, hit[key], away[key], lost) for key in order]
        return Loss(lost, self._no_quorum(lost), tuple(moves))

    def _any_together(self, room: Room, guests: Iterable[GuestKey]) -> bool:
        """Does where one of them goes depend on where the ones after it go?"""
        found = (room.board.terms(key) for key in guests)
        return any(terms is not None and (terms.together or terms.zone_together) for terms in found)

    def _without(self, lost: Sequence[NodeName]) -> Room:
        """A Room of its own, in which these nodes are no candidates."""
        base = self._room
        return replace(
            base,
            world=replace(self.world, nodes=tuple(node for node in self.world.nodes if node.name not in lost)),
            counts=dict(base.counts),
            board=replace(base.board, now=dict(base.board.now)),
            ledger=base.ledger.copied(),
            _candidates={},
        )

    def _place(self, room: Room, guest: GuestView, status: GuestStatus, lost: Sequence[NodeName]) -> Move:
        preview = room.ledger.counted(guest).target
        draft = Draft(room, guest, replace(status, target=preview))
        choice = draft.choose_from_all(prefer=preview, avoid=status.failed_nodes)
        source = next(name for name in _held_by(guest) if name in lost)
        after = replace(status, target=choice.node)
        room.moved(guest, after)
        room.saw(guest.key, after)
        reason = "" if choice.node is not None else choice.reasons or "no other node is left"
        return Move(guest.key, source, choice.node, reason)

    def _no_quorum(self, lost: Sequence[NodeName]) -> str:
        """The count as it would be then, by the options and the memory of now; "" for a yes."""
        world, status = self.world, self.world.cluster.status
        weights = [(node, effective_votes(world, node)) for node in world.nodes]
        options = in_force(world.cluster.spec.quorum, [(node.name, weight) for node, weight in weights]).options
        votes = [
            Vote(
                node.name,
                weight,
                Answer.YES if node.name in self.nodes and node.name not in lost else Answer.NO,
                boot=(node.beat.nonce if node.beat is not None else None) or "",
            )
            for node, weight in weights
        ]
        if status.device is not None:
            heard = Answer.YES if status.device.heard else Answer.NO
            votes.append(Vote(NodeName(status.device.name), status.device.votes, heard, member=False))
        quorum, _ = count(votes, recalled(votes, status.quorum or Memory(waiting=not status.quorate)), options)
        return "" if quorum.answer is Answer.YES else quorum.sentence


def survey(world: World) -> CapacityStatus:
    """How many nodes may be lost now, looking no further than one more than the Cluster is to tolerate.

    Every single loss is played through. Of several nodes together only the ones that carry most are: trying all of them
    takes too long, and what the fullest ones leave room for the others nearly always do as well.
    """
    asked, limit = Survey(world), world.cluster.spec.tolerate_node_failures + 1
    single = [asked.lose((name,)) for name in asked.nodes]
    failed = tuple(loss for loss in single if not loss.survived)
    survivable = 0
    if single and not failed:
        survivable = 1
        fullest = sorted(asked.nodes, key=lambda name: (*(-part for part in asked.load(name)), name))
        while survivable < limit and not failed:
            loss = asked.lose(fullest[: survivable + 1])
            if loss.survived and len(fullest) > survivable:
                survivable += 1
            else:
                failed = (loss,)
    unplaced = [(loss, move) for loss in failed for move in loss.unplaced]
    return CapacityStatus(
        survivable=survivable,
        text=_text(single),
        votes=next((f"{_names(loss.nodes)} lost: {loss.quorum}" for loss in failed if loss.quorum), ""),
        unplaced=tuple(Unplaced(move.guest.sid, _names(loss.nodes), move.reason) for loss, move in unplaced[:KEPT]),
        more=max(0, len(unplaced) - KEPT),
    )


def finding(world: World, capacity: CapacityStatus | None) -> Finding | None:
    """The condition; None while nobody has looked."""
    if capacity is None:
        return None
    wanted = world.cluster.spec.tolerate_node_failures
    nodes = plural(capacity.survivable, "node")
    if capacity.survivable >= wanted:
        return Finding(CONDITION, True, "Sufficient", f"{nodes} can be lost now, {wanted} must be")
    text = f"{nodes} can be lost now, and tolerateNodeFailures is {wanted}"
    if not capacity.unplaced:
        return Finding(
            CONDITION, False, "Votes", f"{text}: with {capacity.votes or 'one more lost there is no quorum'}"
        )
    first, *others = (f"{one.guest} (of {one.lost})" for one in capacity.unplaced)
    count = len(others) + capacity.more
    more = f", and {plural(count, 'more guest')}" if count else ""
    said = f"{text}: {first} would have no node ({capacity.unplaced[0].reason}){more}"
    return Finding(CONDITION, False, "NoPlace", f"{said}. They run on meanwhile. See quorate what-if")


def inputs(world: World) -> tuple[object, ...]:
    """What a survey depends on: while this is equal, there is no need for another one."""
    cluster = world.cluster
    nodes = tuple(
        (
            node.name,
            node.status.state,
            node.votes,
            node.kube,
            node.reach,
            node.others,
            node.zone,
            node.deleting,
            node.status.watchdog,
        )
        for node in world.nodes
    )
    guests = tuple(
        (
            guest.key,
            guest.spec,
            guest.labels,
            guest.deleting,
            guest.status.state,
            _held_by(guest),
            guest.status.failed_nodes,
        )
        for guest in world.guests
    )
    return cluster.spec, cluster.status.quorate, cluster.status.votes, nodes, guests, world.storages


def shape(world: World) -> tuple[object, ...]:
    """The part of it that people wait to see: which nodes there are, and which of them are heard from."""
    return tuple((node.name, node.votes, node.status.state in HEARD) for node in world.nodes)


def _text(losses: Sequence[Loss]) -> str:
    """One line of what any single loss would mean."""
    words = []
    for loss in losses:
        if loss.quorum:
            words.append(f"{_names(loss.nodes)} NOT ok (no quorum)")
        elif loss.unplaced:
            words.append(f"{_names(loss.nodes)} NOT ok ({plural(len(loss.unplaced), 'guest')})")
    good = [_names(loss.nodes) for loss in losses if loss.survived]
    if len(words) + len(good) > 2 * NAMED and len(good) > NAMED:
        return ", ".join([*words[: 2 * NAMED], f"{len(good)} of {len(losses)} ok"])
    return ", ".join([*words[: 2 * NAMED], *(f"{name} ok" for name in good)])


def _names(nodes: Sequence[NodeName]) -> str:
    return " and ".join(nodes)


def _held_by(guest: GuestView) -> list[NodeName]:
    """The nodes whose loss is something to a guest that is to run: where it may be running, and where it is about to."""
    status = guest.status
    if (
        guest.spec.wanted is not Wanted.STARTED
        or guest.deleting
        or status.state in {GuestState.ERROR, GuestState.IGNORED}
    ):
        return []
    return sorted(places(status))


def _released(status: GuestStatus, lost: Sequence[NodeName]) -> GuestStatus:
    """As it is once what was on these nodes is proven dead."""
    instance, target = status.instance, status.target
    if instance is not None and (instance.node in lost or instance.ended):
        instance = None
    return replace(status, instance=instance, target=None if target in lost else target)

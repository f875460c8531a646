"""Automatic rebalancing: which guests move because nodes are unevenly loaded (Proxmox VE HA: ha-auto-rebalance).

Only where a person asked for it, and only while all is calm: no incident, no maintenance, nobody on the way. The imbalance
must exceed the threshold for the whole hold, a move must make it better by the margin, and after some moves the hold begins
anew. Each move lowers the imbalance, so that moves come to an end and nothing goes to and fro. Rules come before load, and
nobody moves to make room for another one.

A measurement tells of a moment that is over. In mode Dynamic a node takes part only once it has been measured at least a
hold after the last guest came to it or left it: by older news a node that has just been relieved is still full.

Imbalance is Proxmox's (behaviour, section 11): the deviation over the mean of the nodes' loads, a load being the mean of
its processor and memory parts, divided so that it lies between 0 (all alike) and 1 (all on one node).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from quorate.core.commands import unanswered
from quorate.core.disarm import Hold
from quorate.core.draft import Room
from quorate.core.follow import failed_there
from quorate.core.ledger import Ledger
from quorate.core.load import NOTHING, rank_rows, share
from quorate.core.quick import replace
from quorate.core.status import RebalanceStatus
from quorate.core.types import (
    GuestKey,
    GuestState,
    Instant,
    NodeName,
    NodeState,
    RebalanceMethod,
    SchedulingMode,
    Wanted,
)
from quorate.core.world import AutoRebalance, GuestView, World

S = GuestState
ON_THE_WAY: Final = frozenset({S.MIGRATE, S.RELOCATE, S.FENCE, S.RECOVERY, S.REQUEST_STOP, S.FREEZE})
TARGETS: Final = 3
"""For each guest so many nodes are weighed: the least loaded ones that may run it. Others are no better for the balance."""
SHORTLIST: Final = 64
"""Of the moves that improve the balance most, so many are weighed by TOPSIS."""

Loads = dict[NodeName, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """`moves`: who is to go where now. `status`: what the next plan must know. `wake`: when the hold is over."""

    moves: Mapping[GuestKey, NodeName] = field(default_factory=dict)
    status: RebalanceStatus | None = None
    wake: Instant | None = None


@dataclass(frozen=True, slots=True)
class _Option:
    """One move, and the imbalance after it."""

    after: float
    guest: GuestView
    source: NodeName
    target: NodeName


def imbalance(loads: Mapping[NodeName, tuple[float, float]]) -> float:
    """0 (all alike) to 1 (all on one node)."""
    each = [(cpu + memory) / 2 for cpu, memory in loads.values()]
    return _imbalance(sum(each), sum(x * x for x in each), len(each))


def _imbalance(total: float, squares: float, count: int) -> float:
    if count < 2 or total <= 0:
        return 0.0
    mean = total / count
    return sqrt(max(0.0, squares / count - mean * mean)) / mean / sqrt(count - 1)


def rebalance(world: World, room: Room, mode: SchedulingMode) -> Rebalancing:
    """The moves of this round. `mode`: the one in force; where it is not the one asked for, nothing moves."""
    asked, before = world.cluster.spec.scheduling.auto, world.cluster.status.rebalance
    if asked is None:
        return Rebalancing()
    if mode is not world.cluster.spec.scheduling.mode or not room.quorate or room.brake.hold is not Hold.NOTHING:
        return Rebalancing(status=before)
    loads = loads_of(room.ledger)
    uneven = imbalance(loads)
    last, touched = (before.last, before.nodes) if before is not None else ("", ())
    if 100 * uneven <= asked.threshold:
        return Rebalancing(status=RebalanceStatus(None, last, touched) if last else None)
    since = before.since if before is not None and before.since is not None else world.wall
    due = Instant(since + round(asked.hold_s * 1000))
    waiting = Rebalancing(status=RebalanceStatus(since, last, touched), wake=due if world.wall < due else None)
    if world.wall < due or not _calm(world, room):
        return waiting
    moves = _moves(world, room, loads, asked, _told(world, mode, asked, touched))
    if not moves:
        return waiting
    said = ", ".join(f"{one.guest.key.sid} from {one.source} to {one.target}" for one in moves)
    between = tuple(sorted({node for one in moves for node in (one.source, one.target)}))
    return Rebalancing({one.guest.key: one.target for one in moves}, RebalanceStatus(None, said, between))


def _told(
    world: World, mode: SchedulingMode, asked: AutoRebalance, touched: Collection[NodeName]
) -> frozenset[NodeName]:
    """The nodes of which the load is known as it has been since guests came or left. `touched`: by the last moves.

    What left a node for the load is Ready on another of those nodes later than that.
    """
    names = frozenset(node.name for node in world.nodes)
    if mode is not SchedulingMode.DYNAMIC:
        return names
    came: dict[NodeName, Instant] = {}
    for guest in world.guests:
        instance, since = guest.status.instance, guest.status.ready_since
        if instance is not None and since is not None:
            came[instance.node] = max(since, came.get(instance.node, since))
    last = max((came[node] for node in touched if node in came), default=Instant(0))
    hold_ms = round(asked.hold_s * 1000)
    return frozenset(
        node.name
        for node in world.nodes
        if node.usage is not None
        and node.usage.at
        >= max(came.get(node.name, Instant(0)), last if node.name in touched else Instant(0)) + hold_ms
    )


def loads_of(ledger: Ledger) -> Loads:
    """The parts (processor, memory) of each node that are taken, in the measure of the mode."""
    return {node: share(ledger.load.get(node, NOTHING), whole) for node, whole in ledger.total.items()}


def _calm(world: World, room: Room) -> bool:
    """Nothing else is going on that moves guests or is about to."""
    for node in world.nodes:
        member = room.statuses[node.name]
        if member.incident is not None or member.state is NodeState.MAINTENANCE or node.deleting:
            return False
    for guest in world.guests:
        status = guest.status
        if status.state in ON_THE_WAY or status.target is not None:
            return False
        if status.state is S.STARTING and status.instance is not None:
            return False
    return True


def _moves(world: World, room: Room, loads: Loads, asked: AutoRebalance, told: Collection[NodeName]) -> list[_Option]:
    """The best moves one after the other, each given the ones before it, as many as may be under way at once."""
    room = replace(room, ledger=room.ledger.copied(), board=replace(room.board, now=dict(room.board.now)))
    ledger, loads, chosen = room.ledger, dict(loads), list[_Option]()
    movable = [guest for guest in world.guests if _movable(world, room, guest, asked)]
    while len(chosen) < asked.max_moves:
        before = imbalance(loads)
        least = before * (1 - asked.margin / 100)
        options = [one for one in _options(room, loads, movable, told) if one.after < before and one.after <= least]
        if not options or 100 * before <= asked.threshold:
            break
        best = _best(ledger, loads, options, asked.method)
        chosen.append(best)
        movable.remove(best.guest)
        going = replace(best.guest.status, target=best.target)
        ledger.move(best.guest, best.guest.status, going)
        room.saw(best.guest.key, going)
        loads.update(_after(ledger, loads, best))
    return chosen


def _movable(world: World, room: Room, guest: GuestView, asked: AutoRebalance) -> bool:
    """It runs as it should, has done so for the hold, and nothing else is about it: no rule to be together, no failure."""
    status, spec = guest.status, guest.spec
    instance, terms = status.instance, room.board.terms(guest.key)
    if status.state is not S.STARTED or instance is None or instance.ended or instance.stopping or guest.pod is None:
        return False
    settled_ms = world.wall - status.ready_since if status.ready_since is not None else 0
    return (
        spec.wanted is Wanted.STARTED
        and not guest.deleting
        and not guest.trouble
        and not guest.pod.deleting
        and status.ready
        and settled_ms >= asked.hold_s * 1000
        and not status.restarts
        and not status.failed_nodes
        and status.maintenance_node is None
        and spec.template.hash == instance.template_hash
        and (terms is None or not (terms.together or terms.zone_together))
        and unanswered(guest, status) is None
    )


def _options(room: Room, loads: Loads, movable: list[GuestView], told: Collection[NodeName]) -> Iterator[_Option]:
    """Every move that is worth a thought: from a node above the average to one of the least loaded that may have it."""
    ledger = room.ledger
    each = {node: (cpu + memory) / 2 for node, (cpu, memory) in loads.items()}
    total, squares = sum(each.values()), sum(x * x for x in each.values())
    by_load = sorted(each, key=lambda node: (each[node], node))
    for guest in movable:
        source = guest.status.instance.node if guest.status.instance is not None else NodeName("")
        if source not in told or each.get(source, 0.0) * len(each) <= total:
            continue
        left = TARGETS
        for target in by_load:
            if each[target] >= each[source] or not left:
                break
            if target in told and _may_go(room, guest, source, target):
                left -= 1
                size = ledger.expected(guest)
                off, on = sum(share(size, ledger.total[source])) / 2, sum(share(size, ledger.total[target])) / 2
                from_s, to_t = each[source], each[target]
                changed = (from_s - off) ** 2 - from_s**2 + (to_t + on) ** 2 - to_t**2
                after = _imbalance(total - off + on, squares + changed, len(each))
                yield _Option(after, guest, source, target)


def _may_go(room: Room, guest: GuestView, source: NodeName, target: NodeName) -> bool:
    """As for a start there; and no rule would bring it back."""
    candidate, terms = room.candidate(target), room.board.terms(guest.key)
    if candidate is None or candidate.failed_to_arm or failed_there(room, guest.status, target):
        return False
    if terms is not None and terms.priority(target) < terms.priority(source):
        return False
    if room.board.forbids(guest.key, target) is not None:
        return False
    return room.rejection(guest, candidate) is None


def _best(ledger: Ledger, loads: Loads, options: list[_Option], method: RebalanceMethod) -> _Option:
    """By the imbalance that is left, or by the four criteria of a placement; ties by name."""

    def by_name(one: _Option) -> tuple[object, ...]:
        return one.guest.key, one.source, one.target

    shortlist = sorted(options, key=lambda one: (round(one.after, 9), *by_name(one)))[:SHORTLIST]
    if method is RebalanceMethod.BRUTE_FORCE:
        return shortlist[0]
    rows = {}
    for number, one in enumerate(shortlist):
        after = [*({**loads, **_after(ledger, loads, one)}).values()]
        kinds = ([cpu for cpu, _ in after], [memory for _, memory in after])
        rows[number] = tuple(
            1 + value for kind in kinds for value in (sqrt(sum(x * x for x in kind) / len(kind)), max(kind))
        )
    scores = rank_rows(rows)
    return shortlist[min(rows, key=lambda number: (-scores[number], number))]


def _after(ledger: Ledger, loads: Loads, one: _Option) -> Loads:
    """The loads of the two nodes once it has moved."""
    size = ledger.expected(one.guest)
    off, on = share(size, ledger.total[one.source]), share(size, ledger.total[one.target])
    source, target = loads[one.source], loads[one.target]
    return {
        one.source: (source[0] - off[0], source[1] - off[1]),
        one.target: (target[0] + on[0], target[1] + on[1]),
    }

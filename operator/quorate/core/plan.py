"""The only entry point: World -> Plan. Quorum, liveness, fencing, guests, and what follows for nodes and Cluster.

Total and deterministic: the same World gives the same Plan, and no input makes it fail; a guest whose round goes wrong
is set aside with a condition and the others go on. Time is a field of the World, the next time to look of the Plan.
"""

from dataclasses import dataclass
from typing import Final

from quorate.core import brakes, disarm, history, loss, machine_round, members
from quorate.core import cluster as clusters
from quorate.core.actions import Action, Note, Plan, SetFinalizer, StatusWrite
from quorate.core.bounds import bounded
from quorate.core.conditions import Finding, merge, summary
from quorate.core.counting import count_votes
from quorate.core.disarm import Hold
from quorate.core.draft import Draft, IllegalMoveError, Room
from quorate.core.fencing import node_round
from quorate.core.guests import guest_round
from quorate.core.launchers import vanished
from quorate.core.ledger import ledger_of
from quorate.core.liveness import Pulse, read
from quorate.core.members import Enrolment
from quorate.core.migration import sides
from quorate.core.order import CONDITION
from quorate.core.quick import replace
from quorate.core.quorum import Quorum
from quorate.core.rebalance import rebalance
from quorate.core.rooms import room_of
from quorate.core.rulewords import rules_in_words
from quorate.core.scheduling import in_force
from quorate.core.settled import settled
from quorate.core.status import ClusterStatus, Condition, GuestStatus, Instance, NodeStatus, Rewind
from quorate.core.stuck import NOBODY
from quorate.core.tries import text as tries_text
from quorate.core.types import (
    INSTANCE_FINALIZER,
    MEMBER_FINALIZER,
    Answer,
    GuestKey,
    GuestState,
    Kind,
    NodeName,
    Ref,
    Wanted,
    node_ref,
)
from quorate.core.workload_pods import instance_of, stuck
from quorate.core.workload_round import workload_round
from quorate.core.workload_words import finish
from quorate.core.world import GuestView, World

_WHILE_WRONG: Final = frozenset({CONDITION, loss.CONDITION, machine_round.CONDITION})


@dataclass(slots=True)
class Making:
    """A plan in the making."""

    world: World
    statuses: list[StatusWrite]
    actions: list[Action]
    notes: list[Note]
    wakes: list[float]

    def wake(self, moment_s: float | None) -> None:
        if moment_s is not None:
            self.wakes.append(moment_s)


def plan(world: World) -> Plan:
    """Decide everything that one Cluster needs done now."""
    making = Making(world, [], [], [], [])
    if world.term <= 0:
        return Plan(sentence="not the leader: observing only")
    newer = members.newest_term(world)
    if newer > world.term:
        return Plan(sentence=f"a newer leader has written (term {newer}, ours is {world.term}): nothing is done")
    timing = clusters.resolved_timing(world)
    pulses = {node.name: read(node, timing.timing, world.now_s) for node in world.nodes}
    silences = tuple(
        (name, pulse.suspect_after_s) for name, pulse in pulses.items() if pulse.suspect_after_s is not None
    )
    counted = count_votes(world, pulses, timing.timing.suspect_after_s)
    making.wake(counted.wake_at_s)
    past = history.judge(world, pulses)
    quorate = counted.quorum.answer is Answer.YES
    brake = disarm.judge(world, quorate=quorate)
    if past.waiting:
        _let_go_of_the_missing(making, pulses, past.rewind)
        outlook = clusters.Outlook(timing, counted, {}, {}, Enrolment(), past, brake=brake)
        return replace(_hands_off(making, outlook), silences=silences)
    if brake.wish is not None:
        making.wake(world.after(brake.wish.until))
    nodes = _nodes(making, pulses, counted.quorum, hands_off=brake.hold is Hold.ALL)
    scheduling = in_force(world, nodes)
    room = room_of(world, counted.quorum, nodes, ledger_of(world, scheduling.mode, nodes), brake)
    balance = rebalance(world, room, scheduling.mode)
    room.moves = balance.moves
    if balance.wake is not None:
        making.wake(world.after(balance.wake))
    guests = {**_guests(making, room), **_workloads(making, room)}
    nodes = members.finish(world, nodes, room, timing.timing)
    for view in world.nodes:
        _write(making, node_ref(view.name), view.resource_version, view.status, nodes[view.name])
    _hold_members(making, nodes)
    enrolment = members.enrol(world, quorate=quorate)
    making.actions.extend(enrolment.actions)
    outlook = clusters.Outlook(
        timing,
        counted,
        nodes,
        guests,
        enrolment,
        past,
        rules=rules_in_words(room.board),
        scheduling=scheduling.finding,
        capacity=world.capacity or world.cluster.status.capacity,
        rebalance=balance.status,
        brake=brake,
    )
    status = clusters.cluster_status(world, outlook)
    cluster_ref = Ref(Kind.CLUSTER, world.cluster.name)
    _write(making, cluster_ref, world.cluster.resource_version, world.cluster.status, status)
    making.notes.extend(clusters.notes(world, status))
    return Plan(
        statuses=tuple(making.statuses),
        actions=tuple(making.actions),
        notes=tuple(making.notes),
        sentence=status.message,
        wake_at_s=min(making.wakes, default=None),
        silences=silences,
    )


def _let_go_of_the_missing(making: Making, pulses: dict[NodeName, Pulse], rewind: Rewind | None) -> None:
    """A node that will never renew again, whose Node a person deletes for that: held, everybody would wait for it for ever.

    Its guests stay as they are recorded, and count as in Fence without evidence.
    """
    if rewind is None or rewind.accepted is None:
        return
    for node in making.world.nodes:
        if node.deleting and node.held and pulses[node.name].alive is not Answer.YES:
            making.actions.append(SetFinalizer(node_ref(node.name), MEMBER_FINALIZER, present=False))


def _hands_off(making: Making, outlook: clusters.Outlook) -> Plan:
    """History runs backwards: nothing is done but to say so, on the Cluster."""
    world = making.world
    nodes = {node.name: node.status for node in world.nodes}
    guests = {guest.key: guest.status for guest in (*world.guests, *(one.guest for one in world.workloads))}
    status = clusters.cluster_status(world, replace(outlook, nodes=nodes, guests=guests))
    ref = Ref(Kind.CLUSTER, world.cluster.name)
    _write(making, ref, world.cluster.resource_version, world.cluster.status, status)
    return Plan(
        statuses=tuple(making.statuses),
        actions=tuple(making.actions),
        notes=clusters.notes(world, status),
        sentence=status.message,
        wake_at_s=min(making.wakes, default=None),
    )


def _write(
    making: Making, ref: Ref, version: str, before: object, after: NodeStatus | GuestStatus | ClusterStatus
) -> None:
    """Record a status only if it changed: fewer writes matter more than faster ones."""
    if after is before or after == before:
        return
    kept = bounded(after)
    if kept != before:
        making.statuses.append(StatusWrite(ref, version, replace(kept, term=making.world.term)))


def _nodes(
    making: Making, pulses: dict[NodeName, Pulse], quorum: Quorum, *, hands_off: bool
) -> dict[NodeName, NodeStatus]:
    """Every node's own round."""
    world, quorate = making.world, quorum.answer is Answer.YES
    braked = replace(brakes.judge(world, pulses), live=quorum.live, needed=quorum.needed)
    instances: dict[NodeName, list[Instance]] = {}
    for guest in world.guests:
        for instance in sides(guest.status):
            if not (instance.ended and _untouched(guest)):
                instances.setdefault(instance.node, []).append(instance)
        for record in vanished(guest):
            instances.setdefault(record.node, []).append(instance_of(world, record))
    statuses, pods = {}, stuck(world)
    for node in world.nodes:
        here = instances.get(node.name, ())
        outcome = node_round(
            world,
            node,
            pulses[node.name],
            here,
            quorate=quorate,
            hands_off=hands_off,
            brakes=braked,
            stuck=pods.get(node.name, NOBODY),
        )
        statuses[node.name] = outcome.status
        making.actions.extend(outcome.actions)
        making.notes.extend(outcome.notes)
        making.wake(outcome.wake_at_s)
    return statuses


def _untouched(guest: GuestView) -> bool:
    return guest.status.state in {GuestState.ERROR, GuestState.IGNORED}


def _guests(making: Making, room: Room) -> dict[GuestKey, GuestStatus]:
    """Every guest's round, by priority and then by name; each sees where the ones before it went."""
    statuses = {guest.key: guest.status for guest in making.world.guests}
    for guest in sorted(making.world.guests, key=lambda guest: -guest.spec.priority):
        if settled(room, guest):
            continue
        draft = _one_guest(room, guest)
        room.saw(guest.key, draft.status)
        if draft.status is not guest.status:
            statuses[guest.key] = draft.status
            room.moved(guest, draft.status)
        making.actions.extend(draft.actions)
        making.notes.extend(draft.notes)
        for moment_s in draft.wakes:
            making.wake(moment_s)
        _write(making, guest.key.ref, guest.resource_version, guest.status, draft.status)
    return statuses


def _workloads(making: Making, room: Room) -> dict[GuestKey, GuestStatus]:
    """Every protected workload's round."""
    statuses = {}
    for view in making.world.workloads:
        draft = workload_round(room, view)
        if view.guest.trouble:
            draft.stall(view.guest.trouble)
        finish(draft, view)
        statuses[view.guest.key] = draft.status
        room.recount(view.guest.status.pods, draft.status.pods)
        making.actions.extend(draft.actions)
        making.notes.extend(draft.notes)
        for moment_s in draft.wakes:
            making.wake(moment_s)
        _write(making, view.guest.key.ref, view.guest.resource_version, view.guest.status, draft.status)
    return statuses


def _one_guest(room: Room, guest: GuestView) -> Draft:
    try:
        draft = guest_round(room, guest)
    except IllegalMoveError as bug:
        draft = Draft(room, guest, guest.status)
        draft.stall(f"set aside because of a bug in Quorate, please report it: {bug}")
        draft.note("GuestQuarantined", draft.stalled, warning=True)
    if guest.trouble:
        draft.stall(guest.trouble)
    instance = draft.status.instance
    if instance is not None and not instance.ended and not guest.held and not guest.deleting:
        # Somebody took our finalizer off, or the instance was found: it must not be forgotten while it may run.
        draft.actions.append(SetFinalizer(guest.key.ref, INSTANCE_FINALIZER, present=True))
    _finish_guest(draft)
    return draft


def _finish_guest(draft: Draft) -> None:
    """The parts of a guest's status that only describe the rest."""
    status, guest, world = draft.status, draft.guest, draft.world
    order = draft.room.order.problem(guest, world.cluster.name)
    storage = loss.finding(draft)
    more = [one for one in (order, storage, machine_round.finding(draft)) if one is not None]
    as_it_was = status is guest.status and status.observed_generation == guest.generation
    if as_it_was and not draft.stalled and not more and status.conditions and not any(map(_stale, status.conditions)):
        return  # nothing moved, and it was described before: the usual case of a thousand guests
    ready, reason = _as_wished(draft)
    stalled = draft.stalled
    findings: tuple[Finding, ...] = summary(
        ready=ready and not stalled, reason=reason, message=stalled or status.message, stalled=bool(stalled)
    )
    conditions = merge(status.conditions, (*findings, *more), now=world.wall, generation=guest.generation)
    finished = replace(
        status,
        guest=guest.key.sid,
        cluster_name=world.cluster.name,
        tries=tries_text(draft),
        observed_generation=guest.generation,
        conditions=conditions,
    )
    if finished != status:
        draft.status = finished


def _stale(condition: Condition) -> bool:
    """One that holds only as long as something is wrong, which is not so any more."""
    return condition.type in _WHILE_WRONG or (condition.type == "Stalled" and condition.status == "True")


def _as_wished(draft: Draft) -> tuple[bool, str]:
    state, want = draft.status.state, draft.want
    if want is Wanted.STARTED:
        return state is GuestState.STARTED and draft.status.ready, str(state)
    if want is Wanted.IGNORED:
        return state is GuestState.IGNORED, str(state)
    return state is GuestState.STOPPED, str(state)


def _hold_members(making: Making, nodes: dict[NodeName, NodeStatus]) -> None:
    """Our finalizer on Nodes and the Cluster while guests or an incident exist; off again when they do not."""
    world = making.world
    busy_cluster = bool(world.guests or world.workloads)
    for node in world.nodes:
        status = nodes[node.name]
        busy = status.guests > 0 or status.incident is not None
        busy_cluster = busy_cluster or status.incident is not None
        if busy != node.held and (busy is False or not node.deleting):
            making.actions.append(SetFinalizer(node_ref(node.name), MEMBER_FINALIZER, present=busy))
    held = world.cluster.held
    if busy_cluster != held and (not busy_cluster or not world.cluster.deleting):
        making.actions.append(
            SetFinalizer(Ref(Kind.CLUSTER, world.cluster.name), MEMBER_FINALIZER, present=busy_cluster)
        )

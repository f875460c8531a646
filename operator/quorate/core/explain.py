"""Why a guest is where it is, why not elsewhere, and what it waits for: the planner's own answers, asked one by one."""

from dataclasses import dataclass
from typing import Final

from quorate.core import overdue
from quorate.core.conditions import plural
from quorate.core.draft import Draft, Room
from quorate.core.follow import failed_there
from quorate.core.ledger import ledger_of, places
from quorate.core.load import NOTHING, share
from quorate.core.place import Candidate
from quorate.core.rooms import recorded_quorum, room_of
from quorate.core.scheduling import in_force
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, Instant, NodeName
from quorate.core.world import GuestView, World

FAILED: Final = "it failed there, and the node has not come back anew since"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one node. `here`: the guest is there. `refusal`: why it may not start there; "" if it may.

    `merits`: what speaks for the node, or is the same everywhere.
    """

    node: NodeName
    here: bool
    refusal: str
    merits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`best`: where it would go, had it to start now; None: nowhere. `until`: when what it waits for ends at the latest."""

    guest: GuestKey
    status: GuestStatus
    best: NodeName | None
    verdicts: tuple[Verdict, ...]
    until: Instant | None = None


def explain(world: World, guest: GuestView) -> Explanation:
    """Everything that decides where this guest is. Nodes in the order in which they would be chosen."""
    statuses = {node.name: node.status for node in world.nodes}
    ledger = ledger_of(world, in_force(world, statuses).mode, statuses)
    room = room_of(world, recorded_quorum(world), statuses, ledger)
    draft = Draft(room, guest, guest.status)
    best = draft.choose(avoid=guest.status.failed_nodes).node or draft.choose().node
    verdicts = [_verdict(draft, candidate) for candidate in room.candidates()]
    verdicts.sort(key=lambda one: (not one.here, one.node != best, bool(one.refusal), one.node))
    return Explanation(guest.key, guest.status, best, tuple(verdicts), _until(room, guest))


def guests_of(world: World, node: NodeName) -> tuple[GuestView, ...]:
    """The guests that are on a node or on their way there."""
    return tuple(guest for guest in world.guests if node in places(guest.status))


def workloads_on(world: World, node: NodeName) -> tuple[GuestView, ...]:
    """The protected workloads that have a Pod there."""
    return tuple(one.guest for one in world.workloads if any(pod.node == node for pod in one.guest.status.pods))


def _verdict(draft: Draft, candidate: Candidate) -> Verdict:
    name, status = candidate.view.name, draft.status
    here = status.instance is not None and status.instance.node == name
    refusal = draft.rejection(candidate) or ""
    if not refusal and not here and failed_there(draft.room, status, name):
        refusal = FAILED
    return Verdict(name, here, refusal, tuple(_merits(draft, candidate)))


def _merits(draft: Draft, candidate: Candidate) -> list[str]:
    name, wish, room = candidate.view.name, draft.wish(), draft.room
    found = []
    here, near = wish.company.get(name, (0, 0))
    if here:
        found.append(f"{here} that it is to be together with {'is' if here == 1 else 'are'} there")
    if near:
        found.append(f"{near} that it is to share a zone with {'is' if near == 1 else 'are'} near")
    terms = room.board.terms(draft.guest.key)
    if terms is not None and name in wish.priority:
        found.append(f"priority {wish.priority[name]} by rule {terms.node_rule}")
    if candidate.failed_to_arm:
        found.append("the last choice: it was asked to arm its watchdog once, and did not in time")
    found.append(_load(draft, candidate))
    return found


def _load(draft: Draft, candidate: Candidate) -> str:
    name, ledger = candidate.view.name, draft.room.ledger
    guests = plural(candidate.guests, "guest")
    whole = ledger.total.get(name)
    if not ledger.weighs or whole is None:
        return guests
    cpu, memory = share(ledger.requested.get(name, NOTHING), whole)
    return f"{guests}, {memory:.0%} of its memory and {cpu:.0%} of its processor time requested"


def _until(room: Room, guest: GuestView) -> Instant | None:
    """When what it waits for is over at the latest, where there is such a moment."""
    status, wall = guest.status, room.world.wall
    if status.next_try is not None and status.next_try > wall:
        return status.next_try
    instance = status.instance
    if instance is None:
        return None
    if status.state is GuestState.STARTING:
        return Instant(instance.drawn + round(guest.spec.start_timeout_s * 1000))
    limit = overdue.deadline(guest, guest.pod)
    if instance.stopping and limit is not None and limit > room.world.now_s:
        return Instant(wall + round((limit - room.world.now_s) * 1000))
    node = room.statuses.get(instance.node)
    incident = node.incident if node is not None else None
    return incident.release_by if incident is not None and status.state is GuestState.FENCE else None

"""One guest's round in the making: its status as decided so far, and what the rest of the plan knows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from quorate.core import arming
from quorate.core.actions import Action, Note
from quorate.core.board import Board, Wish
from quorate.core.disarm import FREE, Brake
from quorate.core.ledger import Ledger, places
from quorate.core.machines import current
from quorate.core.order import StartOrder
from quorate.core.place import Candidate, Choice, Refusal, choose, rejection
from quorate.core.pods import PodView
from quorate.core.quick import replace
from quorate.core.quorum import Quorum
from quorate.core.status import GuestStatus, Instance, NodeStatus
from quorate.core.types import Answer, GuestKey, GuestState, Instant, NodeName, Uid, Wanted
from quorate.core.workloads import PodRecord
from quorate.core.world import GuestView, NodeView, StorageView, World


class IllegalMoveError(Exception):
    """A move that the state table does not have. A bug: the guest is left as it was and quarantined."""


@dataclass(slots=True)
class Room:
    """What all guests of one plan share.

    `statuses` are the nodes' after their own round; `armed` the nodes that hold an armed watchdog; `counts` and `board`
    move with the plan; `brake` is what disarming holds.
    """

    world: World
    quorum: Quorum
    statuses: dict[NodeName, NodeStatus]
    armed: frozenset[NodeName]
    storages: Mapping[str, StorageView]
    brake: Brake = FREE
    counts: dict[NodeName, int] = field(default_factory=dict)
    asks: dict[NodeName, set[Uid]] = field(default_factory=dict)
    resets: dict[NodeName, str] = field(default_factory=dict)
    """Node -> the sid of the guest for which it is to be reset."""
    staying: dict[NodeName, dict[str, str]] = field(default_factory=dict)
    """Node in maintenance -> the sids of the guests that cannot leave it, and why."""
    order: StartOrder = field(default_factory=StartOrder)
    board: Board = field(default_factory=Board)
    ledger: Ledger = field(default_factory=Ledger)
    moves: Mapping[GuestKey, NodeName] = field(default_factory=dict)
    """Who is to move for the load in this round, and where to."""
    _candidates: dict[NodeName, Candidate] = field(default_factory=dict)
    _refusals: dict[tuple[object, ...], dict[NodeName, str | None]] = field(default_factory=dict)
    """What makes templates differ for placement -> what each node says to such a guest: neither changes within a plan."""

    @property
    def quorate(self) -> bool:
        return self.quorum.answer is Answer.YES and self.world.term > 0

    def candidates(self, names: Collection[NodeName] | None = None) -> list[Candidate]:
        """The members, or those of these names."""
        known = self._candidates
        return [
            known.get(node.name) or self._candidate(node)
            for node in self.world.nodes
            if names is None or node.name in names
        ]

    def _candidate(self, node: NodeView) -> Candidate:
        """Kept until a guest comes or goes: a node's state does not change within a plan."""
        made = self._candidates[node.name] = Candidate(
            view=node,
            state=self.statuses[node.name].state,
            guests=self.counts.get(node.name, 0),
            slow_to_arm=self.slow_to_arm(node.name),
            failed_to_arm=self.failed_to_arm(node.name),
        )
        return made

    def candidate(self, name: NodeName) -> Candidate | None:
        """The member of that name."""
        return next(iter(self.candidates((name,))), None)

    def rejection(self, guest: GuestView, candidate: Candidate) -> str | None:
        """Why this guest may not start there, whatever the rules say; None if it may."""
        return self.refusal(guest)(candidate) or self.ledger.full((guest,), candidate.view.name)

    def refusal(self, guest: GuestView) -> Refusal:
        """What each node says to this guest, were it empty; equal guests are told the same."""
        spec, template = guest.spec, guest.spec.template
        kind = (template.node_selector, template.node_terms, template.tolerations, spec.mounts)
        known = self._refusals.setdefault(kind, {})

        def refuse(candidate: Candidate) -> str | None:
            name = candidate.view.name
            if name in self.resets:
                return "it is asked to reset itself"
            if name not in known:
                known[name] = rejection(spec, candidate, self.storages, self.world.cluster.spec)
            return known[name]

        return refuse

    def arms_until(self, node: NodeName) -> Instant | None:
        """When a node that was asked to arm its watchdog has had time enough for it, None while it is not asked."""
        return arming.until(self.statuses[node])

    def failed_to_arm(self, node: NodeName) -> bool:
        """Has it been asked once, let the time for it pass, and not armed since?"""
        return node not in self.armed and (self.statuses[node].arming.failed or self.slow_to_arm(node))

    def pauses(self, node: NodeName) -> Instant | None:
        """Until when a node that failed to arm is not asked again for a guest that has time; None: it may be."""
        asked = self.statuses[node].arming
        again = arming.again_at(asked)
        if asked.wanted or again is None or self.world.wall >= again or not self.failed_to_arm(node):
            return None
        return again

    def slow_to_arm(self, node: NodeName) -> bool:
        """Is it asked to arm, and has it had time enough?"""
        until = self.arms_until(node)
        return node not in self.armed and until is not None and self.world.wall >= until

    def saw(self, guest: GuestKey, status: GuestStatus) -> None:
        """Where a guest is by now, for those that a rule ties to it."""
        if self.board.book.terms:
            self.board.now[guest] = status

    def occupy(self, guest: GuestView) -> None:
        """Count a guest where it is and where it is going."""
        self._recount(guest.status, 1)

    def moved(self, guest: GuestView, status: GuestStatus) -> None:
        """Count a guest where it is by now, and no longer where it was."""
        before = self.ledger.counted(guest)
        self._recount(before, -1)
        self._recount(status, 1)
        self.ledger.move(guest, before, status)

    def recount(self, before: tuple[PodRecord, ...], after: tuple[PodRecord, ...]) -> None:
        """Count the Pods of a protected workload where they are by now."""
        if after is not before:
            for records, by in ((before, -1), (after, 1)):
                for record in records:
                    self.counts[record.node] = self.counts.get(record.node, 0) + by
                    self._candidates.pop(record.node, None)

    def _recount(self, status: GuestStatus, by: int) -> None:
        for node in places(status):
            self.counts[node] = self.counts.get(node, 0) + by
            self._candidates.pop(node, None)


@dataclass(slots=True)
class Draft:
    """The guest, its status so far, and what follows from it. `actions` belong to the last pass only."""

    room: Room
    guest: GuestView
    status: GuestStatus
    actions: list[Action] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)
    stalled: str = ""

    @property
    def world(self) -> World:
        return self.room.world

    @property
    def want(self) -> Wanted:
        """What is asked of it. A deleted HAResource stops its guest, whatever its spec says."""
        return Wanted.DISABLED if self.guest.deleting else self.guest.spec.wanted

    @property
    def instance(self) -> Instance | None:
        return self.status.instance

    @property
    def pod(self) -> PodView | None:
        """Its Pod. Of a virtual machine that of the instance as it is by now: a live migration may just have moved it."""
        machine, instance = self.guest.machine, self.status.instance
        if machine is None:
            return self.guest.pod
        return current(machine, instance.uid if instance else None, instance.id if instance else None)

    def wish(self) -> Wish:
        """What the rules say of this guest on each node, as everything stands by now."""
        self.room.saw(self.guest.key, self.status)
        return self.room.board.wish(self.guest.key)

    def choose(
        self, *, prefer: NodeName | None = None, avoid: tuple[NodeName, ...] = (), patient: bool = False
    ) -> Choice:
        """The best node for this guest, as everything stands by now.

        `avoid`: nodes on which it failed. `patient`: it runs, and does not send for one that pauses (`core/arming.py`).
        """
        room, guest = self.room, self.guest
        refusal, full = room.refusal(guest), room.ledger.full

        def refuse(candidate: Candidate) -> str | None:
            return (
                refusal(candidate)
                or full((guest,), candidate.view.name)
                or (self.pause(candidate) if patient else None)
            )

        return choose(
            room.candidates(),
            refuse if room.ledger.weighs or patient else refusal,
            prefer=prefer,
            stays=not guest.spec.failback,
            avoid=avoid,
            wish=self.wish(),
            rating=room.ledger.rating(guest),
        )

    def choose_from_all(self, *, prefer: NodeName | None, avoid: tuple[NodeName, ...]) -> Choice:
        """The same; when all that is left are nodes it failed on, the least bad of those."""
        choice = self.choose(prefer=prefer, avoid=avoid)
        return self.choose(prefer=prefer) if choice.node is None and avoid else choice

    def rejection(self, candidate: Candidate) -> str | None:
        """Why this guest may not start there; None if it may."""
        return self.room.rejection(self.guest, candidate) or self.wish().forbidden.get(candidate.view.name)

    def pause(self, candidate: Candidate) -> str | None:
        """Why it does not send for a node while it runs elsewhere, which it says again when that is over."""
        again = self.room.pauses(candidate.view.name)
        if again is None:
            return None
        self.wake_at(again)
        return arming.in_words(self.room.statuses[candidate.view.name].arming)

    def set_instance(self, instance: Instance | None) -> None:
        self.status = replace(self.status, instance=instance)

    def say(self, message: str) -> None:
        """What is done or awaited, in one sentence. It must not change by itself: statuses are written when it does."""
        if message != self.status.message:
            self.status = replace(self.status, message=message)

    def stall(self, message: str) -> None:
        """Nothing goes on until a person acts; the message names object, field, finding and remedy."""
        self.stalled = message
        self.say(message)

    def note(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.notes.append(Note(self.guest.key.ref, reason, message, warning))

    def wake_at(self, moment: Instant) -> None:
        """Look again at a moment of the wall clock."""
        self.wakes.append(self.world.after(moment))

    def wake_when_armed(self, node: NodeName) -> None:
        """Look again when a node that was asked to arm its watchdog has had time enough for it."""
        until = self.room.arms_until(node)
        if until is not None:
            self.wake_at(until)

    def is_in(self, *states: GuestState) -> bool:
        return self.status.state in states

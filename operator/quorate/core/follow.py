"""What a running guest does about the rules: it leaves where it must not be, follows its peers, and returns.

It moves only to a node that is allowed for it and for all that must be with it, and only once that node holds an armed
watchdog; nobody else is moved to make room. A node on which it failed is not tried again for a rule's sake before that
node has come back anew, so that nothing goes to and fro.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quorate.core.draft import Draft, Room
from quorate.core.place import Candidate
from quorate.core.quick import replace
from quorate.core.rulebook import Terms
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, Instant, NodeName, NodeState

S = GuestState
FAILBACK_AFTER_MS: Final = 60_000
"""A better node must have been Online, and the guest Ready, for this long before it returns."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a running guest is to go, and why."""

    node: NodeName
    why: str


def follow(draft: Draft) -> bool:
    """Let the rules choose another node for a guest in Started. True if it has been said what it is about to do."""
    room, instance, key = draft.room, draft.instance, draft.guest.key
    room.saw(key, draft.status)
    if instance is None or (room.board.at_rest(key, instance.node) and draft.status.target is None):
        return False
    inquiry = _Inquiry(room, key) if room.board.terms(key) is not None else None
    found = inquiry.goal() if inquiry is not None else None
    target = found.node if found is not None else None
    if target != draft.status.target:
        draft.status = replace(draft.status, target=target)
    if inquiry is None:
        return False
    if inquiry.look_again is not None:
        draft.wake_at(inquiry.look_again)
    if found is None:
        broken = room.board.breach(key, instance.node)
        if broken:
            draft.say(f"runs on {instance.node}, against a rule, and no node is free for it: {broken}")
        return bool(broken)
    if found.node not in room.armed:
        draft.say(f"runs on {instance.node}, moves to {found.node} once its watchdog is armed: {found.why}")
        draft.wake_when_armed(found.node)
        return True
    draft.say(f"moves from {instance.node} to {found.node}: {found.why}")
    return True


def ready_to_move(draft: Draft) -> bool:
    """Is the node that `follow` chose armed?"""
    return draft.status.target is not None and draft.status.target in draft.room.armed


class _Inquiry:
    """One guest in Started, and the question where it should be."""

    def __init__(self, room: Room, key: GuestKey, *, polite: bool = True) -> None:
        self.room, self.board, self.key, self.polite = room, room.board, key, polite
        self.terms: Terms = room.board.terms(key) or Terms()
        self.look_again: Instant | None = None
        instance = self.status(key).instance
        self.here = instance.node if instance is not None else NodeName("")

    def status(self, key: GuestKey) -> GuestStatus:
        return self.board.now[key]

    def goal(self) -> Goal | None:
        """Another node than its own, or None: it stays."""
        peers = [peer for peer in self.terms.together if self.board.wanted(peer) and self.board.bound_for(peer)]
        broken = self.board.breach(self.key, self.here)
        if broken and self._others_go():
            return None
        if not all(map(self._settled, peers)):
            return self._better([self.key], broken) if broken else None
        block = [self.key, *peers]
        if broken:
            return self._better(block, broken) or (self._better([self.key], broken) if peers else None)
        zone = self._zone()
        if zone is not None and zone != self.board.zones.get(self.here):
            return self._better(block, f"it is to be in one zone with {self.terms.zone_together[0].sid}", zone=zone)
        if any(self.board.bound_for(peer) != self.here for peer in peers):
            return self._better(block, f"it is to be together with {', '.join(peer.sid for peer in peers)}")
        return self._return(block)

    def _settled(self, peer: GuestKey) -> bool:
        """Does it run, or is it on its way to a node that was chosen?"""
        status, pod = self.status(peer), self.board.guests[peer].pod
        if self._under_way(status):
            return True
        return status.state is S.STARTED and status.ready and pod is not None and not pod.deleting

    def _under_way(self, status: GuestStatus) -> bool:
        """Has it been sent to a node, and not failed since?"""
        if status.state in {S.MIGRATE, S.RELOCATE}:
            return status.target is not None
        return status.state is S.STARTING and not status.restarts and not status.failed_nodes

    def _others_go(self) -> bool:
        """Of two that are to be apart the one with fewer companions goes, then the first by name; if it can."""
        if not self.polite or self.terms.excludes(self.here):
            return False
        mine = (len(self.terms.together), self.key)
        for peer in self.board.offenders(self.key, self.here):
            terms, status = self.board.terms(peer) or Terms(), self.status(peer)
            if (len(terms.together), peer) < mine and status.state is S.STARTED and self.board.wanted(peer):
                return _Inquiry(self.room, peer, polite=False).goal() is not None
        return False

    def _better(self, block: list[GuestKey], why: str, zone: str | None = None) -> Goal | None:
        """The best node for all of them: where one is sent already, where most are, then by priority and load."""
        bound = [self.board.bound_for(one) for one in block]
        sent = {self.board.bound_for(one) for one in block if self._under_way(self.status(one))}
        chosen = {self.status(one).target for one in block}
        drawn: dict[NodeName | None, int] = {}
        for one, place in zip(block[1:], bound[1:], strict=True):
            instance = self.status(one).instance
            drawn[place] = max(drawn.get(place, 0), instance.drawn if instance is not None else 0)
        broken = bool(self.board.breach(self.key, self.here))
        allowed = [
            candidate
            for candidate in self.room.candidates()
            if self._is_asked(candidate, broken=broken) and self._takes(candidate, block, zone)
        ]
        scores = self._scores(allowed)

        def rank(candidate: Candidate) -> tuple[object, ...]:
            name = candidate.view.name
            own = name == self.status(self.key).target
            return (
                candidate.failed_to_arm,
                name not in sent,
                name not in chosen,
                -bound.count(name),
                -self.terms.priority(name),
                -drawn.get(name, 0),
                -scores.get(name, 0.0),
                candidate.guests - own,
                name,
            )

        best = min(allowed, key=rank, default=None)
        return Goal(best.view.name, why) if best is not None and best.view.name != self.here else None

    def _is_asked(self, candidate: Candidate, *, broken: bool) -> bool:
        """One that failed to arm its watchdog is the last choice of who is against a rule, and not over and over."""
        if not candidate.failed_to_arm:
            return True
        again = self.room.pauses(candidate.view.name) if broken else None
        if again is not None:
            self.look_again = min(self.look_again or again, again)
        return broken and again is None

    def _takes(self, candidate: Candidate, block: list[GuestKey], zone: str | None) -> bool:
        """May all of them be there, is there room, and is it in that zone, if it is to be in one?"""
        name = candidate.view.name
        return (
            (zone is None or self.board.zones.get(name) == zone)
            and all(self._allowed(one, candidate) for one in block)
            and self._fit(block, name)
        )

    def _allowed(self, one: GuestKey, candidate: Candidate) -> bool:
        """May this guest be there, for the rules and, where it would have to start, for all other reasons?"""
        name, status = candidate.view.name, self.status(one)
        if self._under_way(status) and self.board.bound_for(one) == name:
            return True
        if status.instance is not None and status.instance.node == name:
            return not self.board.breach(one, name)
        if self.board.forbids(one, name) is not None or failed_there(self.room, status, name):
            return False
        return self.room.rejection(self.board.guests[one], candidate) is None

    def _fit(self, block: list[GuestKey], node: NodeName) -> bool:
        """Has the node room for all of them that are not there yet?"""
        coming = [self.board.guests[one] for one in block if self.board.bound_for(one) != node]
        return not coming or self.room.ledger.full(coming, node) is None

    def _scores(self, candidates: list[Candidate]) -> Mapping[NodeName, float]:
        rating = self.room.ledger.rating(self.board.guests[self.key])
        return rating([one.view.name for one in candidates]) if rating is not None and candidates else {}

    def _zone(self) -> str | None:
        """The zone that those who are to share one gather in: where one is sent, else where most are.

        Only one that has nodes for all of them: where most are, the last may find every node taken by one it is apart from.
        """
        peers = [peer for peer in self.terms.zone_together if self.board.wanted(peer)]
        places = {peer: place for peer in peers if (place := self.board.bound_for(peer)) is not None}
        if not places or not all(map(self._settled, places)):
            return None
        zones = [self.board.zones.get(place, "") for place in (*places.values(), self.here)]
        sent = {self.board.zones.get(place) for peer, place in places.items() if self._under_way(self.status(peer))}
        fitting = [zone for zone in dict.fromkeys(zones) if zone in self.terms.common_zones]
        return min(fitting or dict.fromkeys(zones), key=lambda one: (one not in sent, -zones.count(one), one))

    def _return(self, block: list[GuestKey]) -> Goal | None:
        """Failback: to a node of higher priority, once it has been Online and the guests Ready for a while."""
        if self.terms.nodes is None or self.terms.priority(self.here) >= self.terms.top:
            return None
        if not all(self.board.guests[one].spec.failback for one in block):
            return None
        zone = self.board.zones.get(self.here) if self.terms.zone_together else None
        names = [node for node, priority in self.terms.nodes.items() if priority > self.terms.priority(self.here)]
        better = [
            candidate
            for candidate in self.room.candidates(names)
            if not candidate.failed_to_arm and self._takes(candidate, block, zone) and self._held(candidate, block)
        ]
        target, scores = self.status(self.key).target, self._scores(better)

        def rank(one: Candidate) -> tuple[object, ...]:
            name = one.view.name
            return -self.terms.priority(name), name != target, -scores.get(name, 0.0), one.guests, name

        best = min(better, key=rank, default=None)
        return Goal(best.view.name, f"rule {self.terms.node_rule} prefers it") if best is not None else None

    def _held(self, candidate: Candidate, block: list[GuestKey]) -> bool:
        since = [self.room.statuses[candidate.view.name].since, *(self.status(one).ready_since for one in block)]
        if candidate.state is not NodeState.ONLINE or None in since:
            return False
        until = Instant(max(moment for moment in since if moment is not None) + FAILBACK_AFTER_MS)
        if self.room.world.wall >= until:
            return True
        self.look_again = min(self.look_again or until, until)
        return False


def failed_there(room: Room, status: GuestStatus, node: NodeName) -> bool:
    """Did it fail on that node, and has the node not come back anew since?"""
    if node in status.failed_nodes:
        return True
    last = status.last_termination
    if last is None or not last.counted or last.node != node or node not in room.statuses:
        return False
    since = room.statuses[node].since
    return since is None or since <= last.at

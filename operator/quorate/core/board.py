"""Where every guest is and is going, and what the rules say of one guest on each node, given that.

It moves with the plan: each guest's round sees where the ones before it went, so that a batch keeps to the rules as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from quorate.core.quick import quick
from quorate.core.rulebook import NO_RULES, Rulebook, Terms, compile_rules
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, NodeName, Wanted
from quorate.core.world import GuestView, NodeView, World

S = GuestState
ZONE_LABEL: Final = "topology.kubernetes.io/zone"


@quick
@dataclass(frozen=True, slots=True)
class Wish:
    """What the rules say of one guest on each node.

    `forbidden`: why it may not start there. `company`: how many of its Together peers are there, or are going there, on
    the node itself and in its zone. `priority`: as its node affinity says.
    """

    forbidden: Mapping[NodeName, str] = field(default_factory=dict)
    company: Mapping[NodeName, tuple[int, int]] = field(default_factory=dict)
    priority: Mapping[NodeName, int] = field(default_factory=dict)


NO_WISH: Final = Wish()


def zone(node: NodeView) -> str:
    """Its failure domain: as the Node says, else as Kubernetes' node is labelled; "" for none."""
    return node.zone or (node.kube.labels.get(ZONE_LABEL, "") if node.kube is not None else "")


def zones(world: World) -> dict[NodeName, str]:
    """Every member and its zone."""
    return {node.name: zone(node) for node in world.nodes}


@dataclass(slots=True)
class Board:
    """The rulebook, and everybody's place. `now` holds the status of each guest as the plan has it so far."""

    zones: Mapping[NodeName, str] = field(default_factory=dict)
    book: Rulebook = NO_RULES
    guests: Mapping[GuestKey, GuestView] = field(default_factory=dict)
    now: dict[GuestKey, GuestStatus] = field(default_factory=dict)

    def terms(self, guest: GuestKey) -> Terms | None:
        """What the rules say of it; None for the many that no rule is about."""
        return self.book.terms.get(guest)

    def wanted(self, guest: GuestKey) -> bool:
        """Is it to run, and ours to move?"""
        view = self.guests[guest]
        return view.spec.wanted is Wanted.STARTED and not view.deleting and self.now[guest].state is not S.ERROR

    def bound_for(self, guest: GuestKey) -> NodeName | None:
        """Where it will be when nothing more happens; None when it will be nowhere."""
        status = self.now.get(guest)
        if status is None:
            return None
        if not self.wanted(guest):
            hands_off = status.state in {S.ERROR, S.IGNORED}
            return self._lives(status) if hands_off else None
        return status.target or self._lives(status)

    def places(self, guest: GuestKey, *, previews: bool = False) -> tuple[NodeName, ...]:
        """Where it may be running now or is about to: what keeps an Apart peer away. A preview (in Fence) keeps nobody."""
        status = self.now.get(guest)
        if status is None:
            return ()
        target = status.target if previews or status.state is not S.FENCE else None
        return tuple(node for node in (self._lives(status), target) if node is not None)

    def _lives(self, status: GuestStatus) -> NodeName | None:
        instance = status.instance
        return instance.node if instance is not None and not instance.ended else None

    def breach(self, guest: GuestKey, node: NodeName) -> str:
        """Which rule it breaks by running on that node while everybody ends up where they are bound for; "" for none."""
        terms = self.terms(guest)
        if terms is None:
            return ""
        if terms.excludes(node):
            return _only(terms)
        peer = next(self.offenders(guest, node), None)
        return f"rule {self._apart_rule(terms, peer)} keeps it apart from {peer.sid}" if peer is not None else ""

    def offenders(self, guest: GuestKey, node: NodeName) -> Iterator[GuestKey]:
        """The Apart peers that are bound for that node, or for its zone."""
        terms = self.book.terms[guest]
        for peer in terms.apart:
            if self.bound_for(peer) == node:
                yield peer
        for peer in terms.zone_apart:
            place = self.bound_for(peer)
            if place is not None and self.zones.get(place) == self.zones.get(node):
                yield peer

    def _apart_rule(self, terms: Terms, peer: GuestKey) -> str:
        return terms.apart.get(peer) or terms.zone_apart.get(peer, "")

    def forbids(self, guest: GuestKey, node: NodeName) -> str | None:
        """Why the rules do not let it start on that node, None if they do."""
        return self.wish(guest).forbidden.get(node)

    def wish(self, guest: GuestKey) -> Wish:
        """What the rules say of it on every node."""
        terms = self.terms(guest)
        if terms is None:
            return NO_WISH
        previews = self.now[guest].state is S.FENCE
        forbidden = {node: _only(terms) for node in self.zones if terms.excludes(node)}
        for peer, rule in terms.apart.items():
            for node in self.places(peer, previews=previews):
                forbidden.setdefault(node, f"rule {rule} keeps it apart from {peer.sid}")
        for peer, rule in terms.zone_apart.items():
            for place in self.places(peer, previews=previews):
                for node in self._in_zone_of(place):
                    forbidden.setdefault(node, f"rule {rule} keeps it out of the zone of {peer.sid}")
        return Wish(forbidden, self._company(terms), terms.nodes or {})

    def _in_zone_of(self, place: NodeName) -> list[NodeName]:
        here = self.zones.get(place)
        return [node for node, one in self.zones.items() if one == here]

    def _company(self, terms: Terms) -> dict[NodeName, tuple[int, int]]:
        if not terms.together and not terms.zone_together:
            return {}
        nodes = [self.bound_for(peer) for peer in terms.together if self.wanted(peer)]
        near = [self.zones.get(place) for peer in terms.zone_together if (place := self.bound_for(peer)) is not None]
        return {node: (nodes.count(node), near.count(one)) for node, one in self.zones.items()}

    def at_rest(self, guest: GuestKey, node: NodeName) -> bool:
        """A quick look, asked of every guest in every round: is it where the rules want it, with nothing to think about?"""
        terms = self.book.terms.get(guest)
        if terms is None:
            return True
        if terms.nodes is not None and terms.priority(node) < terms.top:
            return False
        if any(self.bound_for(peer) not in {None, node} for peer in terms.together):
            return False
        if not self._zone_at_rest(terms, node):
            return False
        return not any(self.bound_for(peer) == node for peer in terms.apart)

    def _zone_at_rest(self, terms: Terms, node: NodeName) -> bool:
        if not terms.zone_apart and not terms.zone_together:
            return True
        here = self.zones.get(node)
        away = [self.zones.get(place) for peer in terms.zone_together if (place := self.bound_for(peer)) is not None]
        near = [self.zones.get(place) for peer in terms.zone_apart if (place := self.bound_for(peer)) is not None]
        return here not in near and all(one == here for one in away)

    def broken(self) -> list[tuple[GuestKey, str]]:
        """The guests that run against a rule now, and which."""
        found = []
        for guest in self.book.terms:
            status = self.now.get(guest)
            if status is None or status.state is not S.STARTED or status.instance is None or status.target is not None:
                continue
            rule = self.breach(guest, status.instance.node) or self._alone(guest, status.instance.node)
            if rule:
                found.append((guest, rule))
        return found

    def _alone(self, guest: GuestKey, node: NodeName) -> str:
        terms = self.book.terms[guest]
        for peer in chain(terms.together, terms.zone_together):
            place = self.bound_for(peer)
            apart = place != node if peer in terms.together else self.zones.get(place or node) != self.zones.get(node)
            if place is not None and apart and self.wanted(peer):
                return f"it is not together with {peer.sid}"
        return ""


def board_of(world: World) -> Board:
    """The rules and everybody's place as the World has them; nothing at all in a Cluster without rules."""
    if not world.cluster.spec.rules:
        return Board()
    guests = {guest.key: guest for guest in world.guests}
    return Board(zones(world), rulebook(world), guests, {key: guest.status for key, guest in guests.items()})


def rulebook(world: World) -> Rulebook:
    """The rules in force for the guests that are not about to go."""
    labels = {guest.key: guest.labels for guest in world.guests if not guest.deleting}
    return compile_rules(world.cluster.spec.rules, labels, zones(world))


def _only(terms: Terms) -> str:
    return f"rule {terms.node_rule} allows only {', '.join(sorted(terms.nodes or {})) or 'nodes that are not there'}"

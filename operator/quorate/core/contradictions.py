"""Rules that contradict each other, or that no cluster of these nodes could follow: found, named, and ignored whole.

The checks of Proxmox VE HA 5.2 come first, on all rules as they are written (behaviour, section 12). What it misses comes
after that, on the rules that are left, until nothing is found: overlapping Together rules however long the chain, more
guests pairwise apart than there are nodes whatever rules say so, and guests apart whose strict rules leave them too few
nodes (a matching, where Proxmox counts the union; for rings and nets a search with a limit).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from quorate.core.conditions import some
from quorate.core.matching import cliques, joined, seatable, unplaced
from quorate.core.rules import Affinity, Meant, Topology
from quorate.core.types import GuestKey, NodeName

NAMED: Final = 5
"""So many guests are named in a sentence, the others are counted."""
Unit = tuple[GuestKey, ...]
"""Guests that are on one node whatever happens: a joined Together set, or one guest by itself."""
Zones = Mapping[NodeName, str]
"""Every node of the cluster and its zone; "" for those that have none."""


class Fault(StrEnum):
    """Why a rule is ignored."""

    SEVERAL_NODE_RULES = "SeveralNodeRules"
    TOO_FEW_GUESTS = "TooFewGuests"
    MORE_APART_THAN_PLACES = "MoreApartThanPlaces"
    TOGETHER_AND_APART = "TogetherAndApart"
    SEVERAL_PRIORITIES = "SeveralPriorities"
    TOGETHER_UNDER_SEVERAL = "TogetherUnderSeveral"
    TOO_FEW_NODES = "TooFewNodes"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A set of rules that is ignored, the guests it is about, and what is wrong and what to do in one sentence."""

    fault: Fault
    rules: tuple[str, ...]
    guests: tuple[GuestKey, ...]
    text: str


def contradictions(rules: Sequence[Meant], zones: Zones) -> tuple[Contradiction, ...]:
    """Every set of rules that cannot be followed. `rules`: those that are not disabled, with their guests."""
    found = list(dict.fromkeys(one for check in _AS_WRITTEN for one in check(rules, zones)))
    left, more = _without(rules, found), True
    while more:
        more = False
        for check in _ON_THE_REST:
            for one in check(left, zones):
                if {rule.name for rule in left}.issuperset(one.rules):
                    found.append(one)
                    left, more = _without(left, [one]), True
    return tuple(found)


def units(rules: Iterable[Meant]) -> dict[GuestKey, Unit]:
    """The joined Together sets (by node) of these rules, for each of their members."""
    sets = joined([one.guests for one in rules if one.is_(Affinity.TOGETHER, Topology.NODE)])
    return {guest: tuple(sorted(members)) for members in sets for guest in members}


def names(guests: Iterable[GuestKey]) -> str:
    """Some guests in words."""
    return some([guest.sid for guest in sorted(guests)], NAMED)


def strict_nodes(rule: Meant, zones: Zones) -> tuple[NodeName, ...]:
    """The members that a strict rule allows; () when the rule is not strict, or names no member (its guests wait)."""
    nodes = rule.rule.nodes
    if nodes is None or not nodes.strict:
        return ()
    return tuple(node for node in zones if any(one.name == node for one in nodes.nodes))


def _without(rules: Sequence[Meant], found: Iterable[Contradiction]) -> list[Meant]:
    gone = {name for one in found for name in one.rules}
    return [rule for rule in rules if rule.name not in gone]


def _contradiction(fault: Fault, rules: Iterable[Meant], guests: Iterable[GuestKey], text: str) -> Contradiction:
    named = tuple(sorted({rule.name for rule in rules}))
    word = "rule" if len(named) == 1 else "rules"
    return Contradiction(fault, named, tuple(sorted(set(guests))), f"{word} {', '.join(named)}: {text}")


# -- as they are written -----------------------------------------------------------------------------------------------


def _several_node_rules(rules: Sequence[Meant], _: Zones) -> Iterator[Contradiction]:
    """1. A guest in more than one node affinity: all of them, joined where they share guests."""
    of_guest: dict[GuestKey, list[Meant]] = defaultdict(list)
    for rule in rules:
        for guest in rule.guests if rule.rule.nodes is not None else ():
            of_guest[guest].append(rule)
    shared = {guest: found for guest, found in of_guest.items() if len(found) > 1}
    by_name = {rule.name: rule for rule in rules}
    for together in joined([tuple(rule.name for rule in found) for found in shared.values()]):
        guests = [guest for guest, found in shared.items() if found[0].name in together]
        text = f"{names(guests)}: in more than one node affinity; name each guest in one of them"
        yield _contradiction(Fault.SEVERAL_NODE_RULES, [by_name[name] for name in together], guests, text)


def _too_few_guests(rules: Sequence[Meant], _: Zones) -> Iterator[Contradiction]:
    """2. Together or apart needs two."""
    for rule in rules:
        if rule.rule.peers is not None and len(rule.guests) < 2:
            text = f"it is about {names(rule.guests) or 'no guest that exists'}, and Together or Apart needs two guests"
            yield _contradiction(Fault.TOO_FEW_GUESTS, [rule], rule.guests, text)


def _more_apart_than_places(rules: Sequence[Meant], zones: Zones) -> Iterator[Contradiction]:
    """3. More guests apart than there are nodes, or zones."""
    for rule in rules:
        if not rule.is_(Affinity.APART):
            continue
        by_zone = rule.is_(Affinity.APART, Topology.ZONE)
        places = len(set(zones.values())) if by_zone else len(zones)
        if len(rule.guests) > places:
            word = "zones" if by_zone else "nodes"
            text = f"{len(rule.guests)} guests apart ({names(rule.guests)}), and the cluster has {places} {word}"
            yield _contradiction(Fault.MORE_APART_THAN_PLACES, [rule], rule.guests, text)


def _together_and_apart(rules: Sequence[Meant], _: Zones) -> Iterator[Contradiction]:
    """4. Guests that are to be together, by whatever chain of rules, and apart: both sides."""
    for topology in Topology:
        # On one node means in one zone; apart by zone means apart by node.
        kinds = {Topology.NODE, topology}
        sides = [rule for rule in rules if rule.is_(Affinity.TOGETHER) and _topology(rule) in kinds]
        apart = [rule for rule in rules if rule.is_(Affinity.APART) and _topology(rule) in {Topology.ZONE, topology}]
        sets = joined([rule.guests for rule in sides])
        place = {guest: at for at, members in enumerate(sets) for guest in members}
        for at, members in enumerate(sets):
            broken = [rule for rule in apart if sum(place.get(guest) == at for guest in rule.guests) > 1]
            if broken:
                both = [guest for rule in broken for guest in rule.guests if place.get(guest) == at]
                involved = [rule for rule in sides if rule.guests and place[rule.guests[0]] == at]
                text = f"{names(set(both))} would have to be together and apart"
                yield _contradiction(Fault.TOGETHER_AND_APART, [*involved, *broken], {*members, *both}, text)


def _topology(rule: Meant) -> Topology | None:
    return rule.rule.peers.topology if rule.rule.peers is not None else None


def _several_priorities(rules: Sequence[Meant], _: Zones) -> Iterator[Contradiction]:
    """5. As in Proxmox: a node affinity with several priorities does not go with Together or Apart by node."""
    for peers in rules:
        if _topology(peers) is not Topology.NODE:
            continue
        touching = _touching(rules, peers.guests)
        if any(len({one.priority for one in rule.rule.nodes.nodes}) > 1 for rule in touching if rule.rule.nodes):
            text = (
                f"{names(peers.guests)}: a node affinity with several priorities cannot be combined with Together or "
                "Apart; give its nodes one priority"
            )
            yield _contradiction(Fault.SEVERAL_PRIORITIES, [peers, *touching], peers.guests, text)


def _together_under_several(rules: Sequence[Meant], _: Zones) -> Iterator[Contradiction]:
    """6. Guests on one node that more than one node affinity is about."""
    together = [rule for rule in rules if rule.is_(Affinity.TOGETHER, Topology.NODE)]
    for members in joined([rule.guests for rule in together]):
        touching = _touching(rules, members)
        if len(touching) > 1:
            inside = set(members)
            involved = [rule for rule in together if inside.intersection(rule.guests)]
            text = f"{names(members)} are to be together and under several node affinities; one must name them all"
            yield _contradiction(Fault.TOGETHER_UNDER_SEVERAL, [*involved, *touching], members, text)


def _restricted_to_too_few(rules: Sequence[Meant], zones: Zones) -> Iterator[Contradiction]:
    """7. Guests apart whose strict rules name fewer nodes than they are. One that is not strict restricts nobody."""
    for apart in rules:
        if not apart.is_(Affinity.APART):
            continue
        strict = [rule for rule in _touching(rules, apart.guests) if strict_nodes(rule, zones)]
        located = {guest for rule in strict for guest in rule.guests if guest in set(apart.guests)}
        nodes = {node for rule in strict for node in strict_nodes(rule, zones)}
        if len(nodes) < len(located):
            text = f"{names(located)} are to be apart and may run on {', '.join(sorted(nodes))} only"
            yield _contradiction(Fault.TOO_FEW_NODES, [apart, *strict], located, text)


def _touching(rules: Sequence[Meant], guests: Iterable[GuestKey]) -> list[Meant]:
    """The node affinities that are about any of these guests."""
    wanted = set(guests)
    return [rule for rule in rules if rule.rule.nodes is not None and not wanted.isdisjoint(rule.guests)]


# -- what is left ------------------------------------------------------------------------------------------------------


class _Picture:
    """The rules that are left: units, where each may run, and which units are apart by which rules."""

    def __init__(self, rules: Sequence[Meant], zones: Zones) -> None:
        self.rules, self.zones = rules, zones
        self._units = units(rules)
        self.allowed: dict[Unit, tuple[NodeName, ...]] = {}
        self.strict: dict[Unit, list[Meant]] = defaultdict(list)
        self.edges: dict[Topology, dict[Unit, dict[Unit, list[Meant]]]] = {one: defaultdict(dict) for one in Topology}
        for rule in rules:
            self._add(rule)

    def unit(self, guest: GuestKey) -> Unit:
        return self._units.get(guest, (guest,))

    def _add(self, rule: Meant) -> None:
        nodes = strict_nodes(rule, self.zones)
        for guest in rule.guests if nodes else ():
            self.allowed[self.unit(guest)] = nodes
            self.strict[self.unit(guest)].append(rule)
        if not rule.is_(Affinity.APART):
            return
        for one, other in combinations(dict.fromkeys(map(self.unit, rule.guests)), 2):
            for topology in Topology if rule.is_(Affinity.APART, Topology.ZONE) else (Topology.NODE,):
                for a, b in ((one, other), (other, one)):
                    self.edges[topology][a].setdefault(b, []).append(rule)

    def places(self, unit: Unit, topology: Topology, within: str | None = None) -> tuple[str, ...]:
        """The nodes (or zones) where it may be, inside one zone where that is asked."""
        nodes = self.allowed.get(unit) or tuple(self.zones)
        nodes = tuple(node for node in nodes if within is None or self.zones[node] == within)
        return nodes if topology is Topology.NODE else tuple(dict.fromkeys(self.zones[node] for node in nodes))

    def neighbours(self, topology: Topology) -> dict[Unit, AbstractSet[Unit]]:
        return {unit: near.keys() for unit, near in self.edges[topology].items()}

    def involved(self, crowd: Iterable[Unit], topology: Topology) -> list[Meant]:
        """The rules that make these units a contradiction: Apart among them, strict, and Together where that is needed."""
        inside = list(crowd)
        apart = [rule for a, b in combinations(inside, 2) for rule in self.edges[topology].get(a, {}).get(b, ())]
        found = [*apart, *(rule for unit in inside for rule in self.strict[unit])]
        for unit in inside:
            touched = [set(rule.guests).intersection(unit) for rule in found]
            if not set(unit).intersection(*(one for one in touched if one)):  # no single guest is in all of them
                found += [rule for rule in self.rules if self._joins(rule, unit)]
        return found

    def _joins(self, rule: Meant, unit: Unit) -> bool:
        return rule.is_(Affinity.TOGETHER, Topology.NODE) and not set(unit).isdisjoint(rule.guests)


def _crowded(rules: Sequence[Meant], zones: Zones) -> Iterator[Contradiction]:
    """Units pairwise apart that cannot all have a node (or zone) of their own: too many, or too few allowed."""
    picture = _Picture(rules, zones)
    for topology in Topology:
        for clique in cliques(picture.neighbours(topology)):
            crowd = unplaced({unit: picture.places(unit, topology) for unit in clique})
            if crowd:
                guests = [guest for unit in crowd for guest in unit]
                places = sorted({place for unit in crowd for place in picture.places(unit, topology)})
                word = "nodes" if topology is Topology.NODE else "zones"
                text = f"{names(guests)} are apart, each from each, and may run on these {word} only: {_list(places)}"
                fault = Fault.TOO_FEW_NODES if any(map(picture.strict.get, crowd)) else Fault.MORE_APART_THAN_PLACES
                yield _contradiction(fault, picture.involved(crowd, topology), guests, text)


def _no_seating(rules: Sequence[Meant], zones: Zones) -> Iterator[Contradiction]:
    """Units apart in a ring or a net that the places are too few for, although every clique of them has enough."""
    picture = _Picture(rules, zones)
    for topology in Topology:
        near = picture.neighbours(topology)
        for part in joined([(unit, *others) for unit, others in near.items()]):
            places = {unit: picture.places(unit, topology) for unit in part}
            if all(len(near[unit]) < len(places[unit]) for unit in part):
                continue  # whoever comes last still finds a free one
            if not seatable(places, near):
                guests = [guest for unit in part for guest in unit]
                text = f"{names(guests)} are apart from one another in more ways than the cluster has places for"
                yield _contradiction(Fault.TOO_FEW_NODES, picture.involved(part, topology), guests, text)


def _no_common_zone(rules: Sequence[Meant], zones: Zones) -> Iterator[Contradiction]:
    """Guests together by zone for whom no zone has room: strict rules lead apart, or too many in it are apart by node."""
    by_zone = _by_zone(rules)
    if not by_zone:
        return
    picture = _Picture(rules, zones)
    for members, fitting in _zone_sets(picture, by_zone):
        if fitting:
            continue
        guests = {guest for unit in members for guest in unit}
        involved = [rule for rule in by_zone if not guests.isdisjoint(rule.guests)]
        text = f"{names(guests)} are to be in one zone, and no zone has the nodes for that"
        yield _contradiction(Fault.TOO_FEW_NODES, [*involved, *picture.involved(members, Topology.NODE)], guests, text)


def common_zones(rules: Sequence[Meant], zones: Zones) -> dict[GuestKey, tuple[str, ...]]:
    """For each guest that is together with others by zone: the zones that have nodes for all of them."""
    by_zone = _by_zone(rules)
    found = _zone_sets(_Picture(rules, zones), by_zone) if by_zone else ()
    return {guest: fitting for members, fitting in found for unit in members for guest in unit}


def _by_zone(rules: Sequence[Meant]) -> list[Meant]:
    return [rule for rule in rules if rule.is_(Affinity.TOGETHER, Topology.ZONE)]


def _zone_sets(picture: "_Picture", by_zone: Sequence[Meant]) -> Iterator[tuple[Sequence[Unit], tuple[str, ...]]]:
    """The units that are to share a zone, and the zones that have nodes for all of them."""
    near = picture.neighbours(Topology.NODE)
    for members in joined([tuple(map(picture.unit, rule.guests)) for rule in by_zone]):
        inside: dict[Unit, AbstractSet[Unit]] = {unit: near.get(unit, set()) & set(members) for unit in members}
        groups = [*((unit,) for unit in members), *cliques(inside)]
        yield members, tuple(zone for zone in dict.fromkeys(picture.zones.values()) if _fit(picture, groups, zone))


def _fit(picture: _Picture, groups: Iterable[Sequence[Unit]], zone: str) -> bool:
    return not any(unplaced({unit: picture.places(unit, Topology.NODE, zone) for unit in group}) for group in groups)


def _list(places: Sequence[str]) -> str:
    return ", ".join(place or "(none)" for place in places)


_AS_WRITTEN = (
    _several_node_rules,
    _too_few_guests,
    _more_apart_than_places,
    _together_and_apart,
    _several_priorities,
    _together_under_several,
    _restricted_to_too_few,
)
_ON_THE_REST = (_crowded, _no_seating, _no_common_zone)

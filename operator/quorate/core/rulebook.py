"""The rules as answers for each guest: where it may run and how well, with whom, and away from whom.

What holds for one member of a Together set holds for all: its node affinity, and whom it is apart from (Proxmox VE HA,
behaviour, section 12, "Transforms"). Made anew for every plan, from memory while nothing that it depends on has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations
from typing import Final

from quorate.core.contradictions import Contradiction, common_zones, contradictions, names, strict_nodes, units
from quorate.core.matching import joined
from quorate.core.rules import LAST, Affinity, Meant, Rule, Topology, meant
from quorate.core.types import GuestKey, NodeName


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rules say of one guest.

    `nodes`: the priority of each member that its node affinity names, None without one; `strict`: only there. `together`
    and `zone_together`: its peers. `apart` and `zone_apart`: the guests it is kept apart from, and by which rule.
    `common_zones`: the zones that have nodes for all with whom it is to share one.
    """

    nodes: Mapping[NodeName, int] | None = None
    strict: bool = False
    node_rule: str = ""
    together: tuple[GuestKey, ...] = ()
    zone_together: tuple[GuestKey, ...] = ()
    common_zones: tuple[str, ...] = ()
    apart: Mapping[GuestKey, str] = field(default_factory=dict)
    zone_apart: Mapping[GuestKey, str] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """The largest priority of any node."""
        return max(self.nodes.values(), default=LAST) if self.nodes is not None else LAST

    def priority(self, node: NodeName) -> int:
        return self.nodes.get(node, LAST) if self.nodes is not None else LAST

    def excludes(self, node: NodeName) -> bool:
        """Is the node ruled out, whatever else is free?"""
        return self.strict and self.nodes is not None and node not in self.nodes


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules in force. `total` counts those that are not disabled; `troubles` are what a person should mend."""

    terms: Mapping[GuestKey, Terms] = field(default_factory=dict)
    ignored: tuple[Contradiction, ...] = ()
    troubles: tuple[str, ...] = ()
    total: int = 0


NO_RULES: Final = Rulebook()


def compile_rules(
    rules: tuple[Rule, ...], guests: Mapping[GuestKey, Mapping[str, str]], zones: Mapping[NodeName, str]
) -> Rulebook:
    """The rulebook of these rules, for guests with these labels and for the members with these zones. Total."""
    if not rules:
        return NO_RULES
    return _compile(meant(rules, guests), tuple(zones.items()))


@lru_cache(maxsize=16)
def _compile(rules: tuple[Meant, ...], members: tuple[tuple[NodeName, str], ...]) -> Rulebook:
    zones = dict(members)
    ignored = contradictions(rules, zones) if zones else ()
    gone = {name for one in ignored for name in one.rules}
    used = [rule for rule in rules if rule.name not in gone]
    return Rulebook(_terms(used, zones), ignored, tuple(_troubles(rules, zones)), len(rules))


def _terms(rules: list[Meant], zones: Mapping[NodeName, str]) -> dict[GuestKey, Terms]:
    unit_of = units(rules)
    zone_sets = joined([one.guests for one in rules if one.is_(Affinity.TOGETHER)]) if _any_zone(rules) else ()
    common = common_zones(rules, zones)
    zone_of = {guest: tuple(sorted(members)) for members in zone_sets for guest in members}
    node_rules: dict[GuestKey, Meant] = {}
    apart: dict[Topology, dict[GuestKey, dict[GuestKey, str]]] = {one: {} for one in Topology}
    for rule in rules:
        if rule.rule.nodes is not None:
            node_rules |= {one: rule for guest in rule.guests for one in unit_of.get(guest, (guest,))}
        elif rule.rule.peers is not None and rule.is_(Affinity.APART):
            found = apart[rule.rule.peers.topology]
            for one, other in permutations(rule.guests, 2):
                for guest in unit_of.get(one, (one,)):
                    peers = found.setdefault(guest, {})
                    for peer in unit_of.get(other, (other,)):
                        peers.setdefault(peer, rule.name)
    concerned = {*unit_of, *zone_of, *node_rules, *apart[Topology.NODE], *apart[Topology.ZONE]}
    terms = {}
    for guest in sorted(concerned):
        node_rule = node_rules.get(guest)
        terms[guest] = Terms(
            nodes=_priorities(node_rule, zones) if node_rule is not None else None,
            strict=node_rule is not None and node_rule.rule.nodes is not None and node_rule.rule.nodes.strict,
            node_rule=node_rule.name if node_rule is not None else "",
            together=tuple(one for one in unit_of.get(guest, ()) if one != guest),
            zone_together=tuple(one for one in zone_of.get(guest, ()) if one != guest),
            common_zones=common.get(guest, ()),
            apart=apart[Topology.NODE].get(guest, {}),
            zone_apart=apart[Topology.ZONE].get(guest, {}),
        )
    return terms


def _any_zone(rules: list[Meant]) -> bool:
    return any(rule.is_(Affinity.TOGETHER, Topology.ZONE) for rule in rules)


def _priorities(rule: Meant, zones: Mapping[NodeName, str]) -> dict[NodeName, int]:
    nodes = rule.rule.nodes.nodes if rule.rule.nodes is not None else ()
    return {one.name: one.priority for one in nodes if one.name in zones}


def _troubles(rules: tuple[Meant, ...], zones: Mapping[NodeName, str]) -> list[str]:
    """What does not keep a rule from being used, and is hardly meant."""
    found = []
    for rule in rules:
        if rule.missing:
            found.append(f"rule {rule.name} names guests that do not exist: {names(rule.missing)}")
        nodes = rule.rule.nodes
        unknown = sorted(one.name for one in nodes.nodes if one.name not in zones) if nodes is not None else []
        if unknown:
            found.append(f"rule {rule.name} names nodes that are not in the cluster: {', '.join(unknown)}")
        if nodes is not None and nodes.strict and not strict_nodes(rule, zones):
            found.append(
                f"rule {rule.name} is strict and names no node of the cluster: {names(rule.guests)} cannot start"
            )
        by_zone = rule.rule.peers is not None and rule.rule.peers.topology is Topology.ZONE
        bare = sorted(node for node, zone in zones.items() if not zone)
        if by_zone and bare:
            found.append(
                f"rule {rule.name} is by zone; these nodes have none and count as one: {', '.join(bare)}. Set spec.zone of "
                "their nodes.quorate.dev, or the label topology.kubernetes.io/zone"
            )
    return found

"""Rules: what a person says of where guests may run, in the Cluster's `spec.rules` (Proxmox: `ha/rules.cfg`).

A NodeAffinity names nodes for guests, a GuestAffinity keeps guests together or apart. Here are the rules as they are
written, and whom they are about; `contradictions.py` judges them, `rulebook.py` turns them into answers for each guest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quorate.core.selectors import Requirement, Selector
from quorate.core.types import GuestKey, NodeName

LAST: Final = -1
"""Priority of a node that a rule which is not strict does not name."""


class Affinity(StrEnum):
    TOGETHER = "Together"
    APART = "Apart"


class Topology(StrEnum):
    """What two guests share or do not share: a node, or the zone of their nodes."""

    NODE = "Node"
    ZONE = "Zone"


@dataclass(frozen=True, slots=True)
class Guests:
    """Whom a rule is about: the guests that are named, and those with these labels."""

    names: tuple[GuestKey, ...] = ()
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class NodePriority:
    """A node and how much it is preferred: the larger the better."""

    name: NodeName
    priority: int = 0


@dataclass(frozen=True, slots=True)
class NodeAffinity:
    """On these nodes: only there (strict), or there first and elsewhere when none of them can."""

    nodes: tuple[NodePriority, ...]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class GuestAffinity:
    affinity: Affinity
    topology: Topology = Topology.NODE


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: exactly one of the two affinities."""

    name: str
    guests: Guests
    nodes: NodeAffinity | None = None
    peers: GuestAffinity | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Meant:
    """A rule and the guests that it is about now, sorted. `missing`: those that it names and that do not exist."""

    rule: Rule
    guests: tuple[GuestKey, ...]
    missing: tuple[GuestKey, ...] = ()

    @property
    def name(self) -> str:
        return self.rule.name

    def is_(self, affinity: Affinity, topology: Topology | None = None) -> bool:
        peers = self.rule.peers
        return peers is not None and peers.affinity is affinity and topology in {None, peers.topology}


def meant(rules: Iterable[Rule], guests: Mapping[GuestKey, Mapping[str, str]]) -> tuple[Meant, ...]:
    """The rules that are not disabled, sorted by name, each with its guests. `guests`: the labels of each."""
    active = sorted((rule for rule in rules if not rule.disabled), key=lambda rule: rule.name)
    index = _Index(guests)
    found = []
    for rule in active:
        named = {key for key in rule.guests.names if key in guests}
        missing = tuple(sorted(set(rule.guests.names) - named))
        selected = index.select(rule.guests.selector) if rule.guests.selector is not None else ()
        found.append(Meant(rule, tuple(sorted(named.union(selected))), missing))
    return tuple(found)


class _Index:
    """Guests by label, so that a hundred selectors do not look at five thousand guests each."""

    def __init__(self, guests: Mapping[GuestKey, Mapping[str, str]]) -> None:
        self._guests = guests
        self._by_label: dict[tuple[str, str], list[GuestKey]] | None = None

    def select(self, selector: Selector) -> list[GuestKey]:
        """The guests that match. A selector without requirements matches none: a rule must say whom it is about."""
        if not selector.requirements:
            return []
        return [key for key in self._candidates(selector.requirements) if selector.matches(self._guests[key])]

    def _candidates(self, requirements: tuple[Requirement, ...]) -> Iterable[GuestKey]:
        exact = next((one for one in requirements if one.operator == "In"), None)
        if exact is None:
            return self._guests
        if self._by_label is None:
            self._by_label = {}
            for key, labels in self._guests.items():
                for label in labels.items():
                    self._by_label.setdefault(label, []).append(key)
        index = self._by_label
        return [key for value in dict.fromkeys(exact.values) for key in index.get((exact.key, value), ())]

"""The algorithms behind the rules' check: joining sets, finding cliques, and giving everybody a place of its own.

Deterministic: the same input in the same order gives the same answer.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar

T = TypeVar("T", bound=Hashable)
P = TypeVar("P", bound=Hashable)
STEPS: Final = 4000
"""Some questions take exponential time in the worst case: this many steps, then what was found out must do."""
SEATS: Final = 300
"""A search goes as deep as there are seats to find; beyond this many nobody is asked."""


class Union:
    """Joins sets that overlap (union-find): the members of one set have one root."""

    def __init__(self) -> None:
        self._parents: dict[Hashable, Hashable] = {}

    def join(self, items: Sequence[Hashable]) -> None:
        for item in items[1:]:
            one, other = self.root(items[0]), self.root(item)
            if one != other:
                self._parents[other] = one

    def root(self, item: Hashable) -> Hashable:
        parents = self._parents
        while (parent := parents.get(item, item)) != item:
            parents[item] = parents.get(parent, parent)
            item = parent
        return item


def joined(sets: Iterable[Sequence[T]]) -> tuple[tuple[T, ...], ...]:
    """The sets, with those that overlap joined into one, however long the chain."""
    union, seen = Union(), dict[T, None]()
    for items in sets:
        union.join(items)
        seen.update(dict.fromkeys(items))
    found: dict[Hashable, list[T]] = {}
    for item in seen:
        found.setdefault(union.root(item), []).append(item)
    return tuple(tuple(items) for items in found.values())


def unplaced(choices: Mapping[T, Sequence[P]]) -> tuple[T, ...]:
    """Those who cannot all have a place of their own; empty: everybody can.

    A maximum matching by augmenting paths. By Hall's theorem, where it leaves somebody out, all who were reached in
    looking for a place for them have together fewer places than they are: those are returned.
    """
    holder: dict[P, T] = {}

    def settle(one: T, tried: set[P]) -> bool:
        for place in choices[one]:
            if place in tried:
                continue
            tried.add(place)
            if place not in holder or settle(holder[place], tried):
                holder[place] = one
                return True
        return False

    for one in choices:
        tried: set[P] = set()
        if not settle(one, tried):
            crowd = {one, *(holder[place] for place in tried)}
            return tuple(each for each in choices if each in crowd)
    return ()


def cliques(edges: Mapping[T, AbstractSet[T]]) -> Iterable[tuple[T, ...]]:
    """Every maximal set of nodes that are all neighbours of each other (Bron and Kerbosch, with pivot)."""
    order = {node: at for at, node in enumerate(edges)}
    steps = 0

    def grow(clique: tuple[T, ...], free: set[T], done: set[T]) -> Iterable[tuple[T, ...]]:
        nonlocal steps
        steps += 1
        if steps > STEPS:
            return
        if not free and not done:
            yield clique
            return
        pivot = max(free | done, key=lambda node: (len(edges[node] & free), -order[node]))
        for node in sorted(free - edges[pivot], key=order.__getitem__):
            yield from grow((*clique, node), free & edges[node], done & edges[node])
            free.discard(node)
            done.add(node)

    for part in joined([(node, *sorted(near, key=order.__getitem__)) for node, near in edges.items()]):
        yield from grow((), set(part), set())


def seatable(choices: Mapping[T, Sequence[P]], edges: Mapping[T, AbstractSet[T]]) -> bool:
    """Can everybody have one of its places, so that no two neighbours share one? False only when that is certain.

    Whoever has the fewest places left goes first (DSATUR), and the search goes back where one has none.
    """
    seats: dict[T, P] = {}
    steps = 0

    def open_to(one: T) -> list[P]:
        taken = {seats[other] for other in edges.get(one, ()) if other in seats}
        return [place for place in choices[one] if place not in taken]

    def seat() -> bool:
        nonlocal steps
        steps += 1
        waiting = [one for one in choices if one not in seats]
        if not waiting or steps > STEPS:
            return True
        one = min(waiting, key=lambda each: len(open_to(each)))
        for place in open_to(one):
            seats[one] = place
            if seat():
                return True
            del seats[one]
        return False

    return len(choices) > SEATS or seat()

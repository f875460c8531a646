"""Who starts first: `priority` orders the guests of one round, `startAfter` says who waits for whom.

Order, not dependence: a guest waits while another is on its way to run, and no longer. It does not wait for one that is not
wanted, is in Error, or does not exist, and it is not touched when that one is restarted later. Guests that wait for each
other in a circle are not waited for by each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from quorate.core.conditions import Finding
from quorate.core.quick import quick
from quorate.core.types import GuestKey, GuestState, Wanted
from quorate.core.world import GuestView

CONDITION = "StartOrder"


@quick
@dataclass(frozen=True, slots=True)
class StartOrder:
    """All guests by their keys, and for each one that is part of a circle that circle."""

    guests: Mapping[GuestKey, GuestView] = field(default_factory=dict)
    circles: Mapping[GuestKey, tuple[GuestKey, ...]] = field(default_factory=dict)

    def awaited(self, guest: GuestView) -> list[GuestView]:
        """Those that must run before this one is started."""
        circle = self.circles.get(guest.key, ())
        found = (self.guests.get(key) for key in guest.spec.start_after if key not in circle)
        return [other for other in found if other is not None and _on_its_way(other)]

    def problem(self, guest: GuestView, cluster: str) -> Finding | None:
        """What is wrong with its `startAfter`, with the remedy."""
        missing = [key.sid for key in guest.spec.start_after if key not in self.guests]
        if missing:
            return Finding(
                CONDITION,
                False,
                "UnknownGuest",
                f"spec.startAfter names {', '.join(missing)}, and Cluster {cluster} has no such guest: it is not waited "
                "for. Make it, or take its name out",
            )
        circle = self.circles.get(guest.key)
        if circle is None:
            return None
        named = " -> ".join(key.sid for key in (*circle, circle[0]))
        return Finding(
            CONDITION,
            False,
            "Circle",
            f"spec.startAfter: {named} would wait for each other: none of them waits for another one of these. Take one "
            "of the names out",
        )


def start_order(guests: Sequence[GuestView]) -> StartOrder:
    """The order among these guests; empty, and for nothing, where nobody waits for anybody."""
    edges = {guest.key: guest.spec.start_after for guest in guests if guest.spec.start_after}
    if not edges:
        return StartOrder()
    return StartOrder({guest.key: guest for guest in guests}, _circles(tuple(edges.items())))


def _on_its_way(guest: GuestView) -> bool:
    """Is it to run, does it not yet, and is it not given up?"""
    status = guest.status
    if guest.deleting or guest.spec.wanted is not Wanted.STARTED or status.state is GuestState.ERROR:
        return False
    return not (status.state is GuestState.STARTED and status.ready)


@lru_cache(maxsize=16)
def _circles(waits: tuple[tuple[GuestKey, tuple[GuestKey, ...]], ...]) -> Mapping[GuestKey, tuple[GuestKey, ...]]:
    """Strongly connected components of more than one guest, or of one that names itself (Tarjan, without recursion).

    From memory while nobody waits for anybody else than before.
    """
    edges = dict(waits)
    index: dict[GuestKey, int] = {}
    low: dict[GuestKey, int] = {}
    stack: list[GuestKey] = []
    waiting: set[GuestKey] = set()
    found: dict[GuestKey, tuple[GuestKey, ...]] = {}
    for root, others_of_root in waits:
        if root in index:
            continue
        work = [(root, iter(others_of_root))]
        index[root] = low[root] = len(index)
        stack.append(root)
        waiting.add(root)
        while work:
            key, others = work[-1]
            other = next(others, None)
            if other is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[key])
                if low[key] == index[key]:
                    _close(key, edges, stack, waiting, found)
            elif other not in index:
                index[other] = low[other] = len(index)
                stack.append(other)
                waiting.add(other)
                work.append((other, iter(edges.get(other, ()))))
            elif other in waiting:
                low[key] = min(low[key], index[other])
    return found


def _close(
    key: GuestKey,
    edges: Mapping[GuestKey, Sequence[GuestKey]],
    stack: list[GuestKey],
    waiting: set[GuestKey],
    found: dict[GuestKey, tuple[GuestKey, ...]],
) -> None:
    """All that lies on the stack above `key` is one component."""
    start = stack.index(key)
    members = stack[start:]
    del stack[start:]
    waiting.difference_update(members)
    if len(members) > 1 or key in edges.get(key, ()):
        circle = tuple(members)
        found.update(dict.fromkeys(members, circle))

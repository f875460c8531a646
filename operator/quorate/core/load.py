"""How full nodes are, and how evenly a choice would leave them filled: the arithmetic of modes Static and Dynamic.

As by Proxmox VE (its static scheduler; behaviour, section 11): for each candidate the root mean square and the maximum of
all nodes' processor and memory loads, if the guest ran there, weighed 1 : 2 : 5 : 10 by TOPSIS.
"""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, TypeVar

from quorate.core.quick import quick
from quorate.core.types import Instant, NodeName

WEIGHTS: Final = (1.0, 2.0, 5.0, 10.0)
"""Of: processor root mean square, processor maximum, memory root mean square, memory maximum."""
MIB: Final = 1 << 20
Name = TypeVar("Name", bound=Hashable)


@quick
@dataclass(frozen=True, slots=True)
class Size:
    """Processor time in thousandths of a core, and memory in bytes."""

    cpu_m: int = 0
    memory: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.cpu_m + other.cpu_m, self.memory + other.memory)

    def __sub__(self, other: "Size") -> "Size":
        return Size(self.cpu_m - other.cpu_m, self.memory - other.memory)


NOTHING: Final = Size()


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """What was measured to be used, and when; never later than the manager saw it first."""

    size: Size
    at: Instant


def share(size: Size, whole: Size) -> tuple[float, float]:
    """The parts (processor, memory) of a node that this is: 1.0 is all of it. A node that has none counts as full."""
    return _part(size.cpu_m, whole.cpu_m), _part(size.memory, whole.memory)


def _part(size: int, whole: int) -> float:
    return size / whole if whole > 0 else 1.0 if size else 0.0


def scores(
    size: Size, used: Mapping[NodeName, Size], total: Mapping[NodeName, Size], among: Collection[NodeName]
) -> dict[NodeName, float]:
    """How good each of `among` is for one more guest: 0 (the worst) to 1. `used` is what all others take of `total`."""
    rows: dict[NodeName, tuple[float, ...]] = {}
    loads = {node: share(used.get(node, NOTHING), whole) for node, whole in total.items()}
    squares = [sum(load[kind] ** 2 for load in loads.values()) for kind in (0, 1)]
    tops = [sorted((load[kind] for load in loads.values()), reverse=True)[:2] for kind in (0, 1)]
    for node in among:
        if node not in total:
            continue
        more, row = share(size, total[node]), []
        for kind in (0, 1):
            before = loads[node][kind]
            after = before + more[kind]
            others = tops[kind][0] if before < tops[kind][0] else tops[kind][-1] if len(loads) > 1 else 0.0
            mean = sqrt((squares[kind] - before**2 + after**2) / len(loads))
            # One more, as Proxmox does: tiny differences between nearly empty nodes decide nothing. Rounded: what differs
            # only by the order of additions is equal.
            row += [round(1 + mean, 9), round(1 + max(after, others), 9)]
        rows[node] = tuple(row)
    return rank_rows(rows)


def rank_rows(rows: Mapping[Name, tuple[float, ...]]) -> dict[Name, float]:
    """TOPSIS of alternatives by these criteria, of which less is better: 0 (the worst) to 1.

    The distance to the worst over the distances to both, each column divided by its length and weighed.
    """
    columns = list(zip(*rows.values(), strict=True))
    scale = [
        weight / sum(WEIGHTS) / sqrt(sum(x * x for x in one)) for weight, one in zip(WEIGHTS, columns, strict=False)
    ]
    best = [min(one) for one in columns]
    worst = [max(one) for one in columns]
    found = {}
    for node, row in rows.items():
        to_best = sqrt(sum((factor * (x - y)) ** 2 for factor, x, y in zip(scale, row, best, strict=True)))
        to_worst = sqrt(sum((factor * (x - y)) ** 2 for factor, x, y in zip(scale, row, worst, strict=True)))
        found[node] = round(to_worst / (to_best + to_worst), 9) if to_best + to_worst else 0.0
    return found


def room_for(left: Size, asked: Size, *, overcommit_cpu: bool) -> str | None:
    """Why so much does not fit into what is left of a node; None if it does. Nobody needs room for nothing."""
    if asked.memory > max(left.memory, 0):
        free, wanted = max(left.memory, 0) // MIB, -(-asked.memory // MIB)
        return f"it has {free} MiB of memory left, {wanted} MiB are requested"
    if not overcommit_cpu and asked.cpu_m > max(left.cpu_m, 0):
        return f"it has {in_cores(left.cpu_m)} cores left, {in_cores(asked.cpu_m)} are requested"
    return None


def in_cores(millicores: int) -> str:
    return f"{max(millicores, 0) / 1000:g}"

"""What one plan() costs, on worlds of the toy cluster."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core.plan import plan
from quorate.core.types import GuestState
from quorate.core.world import World
from tests.toy import Toy

SIZES = ((3, 30), (32, 1000))
REPEATS = 15


@dataclass(frozen=True, slots=True)
class Planned:
    """Milliseconds of one plan(): `placing` when every guest is new, `steady` when all run."""

    nodes: int
    guests: int
    placing_ms: float
    steady_ms: float


def measure() -> list[Planned]:
    """Every size."""
    return [_planned(nodes, guests) for nodes, guests in SIZES]


def _planned(nodes: int, guests: int) -> Planned:
    toy = Toy(nodes)
    manager = toy.manager()
    toy.run_until(lambda: len(toy.nodes) == nodes and toy.cluster.status.votes.live == nodes, 30, "all have joined")
    keys = [toy.add_guest(f"guest-{number}") for number in range(guests)]
    placing_ms = _median_ms(manager.observe())
    toy.run_until(lambda: all(toy.guests[key].status.state is GuestState.STARTED for key in keys), 60, "all run")
    found = Planned(nodes, guests, placing_ms, _median_ms(manager.observe()))
    print(f"plan, {nodes} nodes, {guests} guests: new {found.placing_ms:.1f} ms, steady {found.steady_ms:.1f} ms")
    return found


def _median_ms(world: World) -> float:
    times = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        plan(world)
        times.append(1000 * (time.perf_counter() - began_s))
    return statistics.median(times)


def table(plans: Sequence[Planned]) -> list[str]:
    """As Markdown."""
    head = ["| nodes | guests | all new | steady |", "|---|---|---|---|"]
    rows = [f"| {one.nodes} | {one.guests} | {one.placing_ms:.1f} ms | {one.steady_ms:.1f} ms |" for one in plans]
    return head + rows

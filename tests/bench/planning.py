"""What one plan() costs, on worlds of the toy cluster: nothing else runs, so this is what a change of the core shows in.

The large ones, and the rounds that fence a node, are those of `plan_round.py`.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

from quorate.core.plan import plan
from quorate.core.types import GuestState, SchedulingMode
from quorate.core.world import World
from tests.bench import plan_round
from tests.bench.lines import Line
from tests.toy import Toy

SIZES = ((3, 30), (32, 1000))


@dataclass(frozen=True, slots=True)
class Large:
    """A size, and what a steady round and all that recover a node's guests may take, in ms."""

    nodes: int
    guests: int
    mode: SchedulingMode
    rules: int
    steady_ms: float | None
    fence_ms: float


LARGE = (
    Large(32, 5000, SchedulingMode.BASIC, 0, 50, 150),
    Large(32, 5000, SchedulingMode.STATIC, 10, 100, 400),
    Large(100, 20_000, SchedulingMode.BASIC, 0, None, 1000),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=15)


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Every size: when every guest is new and needs a node, and when all run and nothing is to be done."""
    for nodes, guests in SIZES:
        yield from _size(nodes, guests, given.repeats)
    for one in LARGE:
        yield from _large(one)


def _size(nodes: int, guests: int, repeats: int) -> Iterator[Line]:
    toy = Toy(nodes)
    manager = toy.manager()
    toy.run_until(lambda: len(toy.nodes) == nodes == toy.cluster.status.votes.live, 30, "all have joined")
    keys = [toy.add_guest(f"guest-{number}") for number in range(guests)]
    what = f"{nodes} nodes, {guests} guests"
    yield Line("planning", f"{what}, all new", "ms", _times_ms(manager.observe(), repeats))
    toy.run_until(lambda: all(toy.guests[key].status.state is GuestState.STARTED for key in keys), 60, "all run")
    yield Line("planning", f"{what}, all run", "ms", _times_ms(manager.observe(), repeats))


def _large(one: Large) -> Iterator[Line]:
    found = plan_round.measure(one.nodes, one.guests, one.mode, one.rules)
    ruled = f", {one.rules} % in rules" if one.rules else ""
    what = f"{one.nodes} nodes, {one.guests} guests, {one.mode}{ruled}"
    steady_ms, fence_ms = 1000 * found["steady_s"], 1000 * found["fence_s"]
    yield Line("planning", f"{what}, all run", "ms", (steady_ms,), one.steady_ms)
    besides = {name: found[name] for name in ("rounds", "recovered", "plan_bytes", "rss_mib")}
    yield Line(
        "planning", f"{what}, a node is fenced and its guests recovered", "ms", (fence_ms,), one.fence_ms, besides
    )


def _times_ms(world: World, repeats: int) -> tuple[float, ...]:
    times = []
    for _ in range(repeats):
        began_s = time.process_time()
        plan(world)
        times.append(1000 * (time.process_time() - began_s))
    return tuple(times)

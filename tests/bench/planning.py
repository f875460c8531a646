"""What one plan() costs, on worlds of the toy cluster: nothing else runs, so this is what a change of the core shows in."""

import argparse
import time
from collections.abc import Iterator

from quorate.core.plan import plan
from quorate.core.types import GuestState
from quorate.core.world import World
from tests.bench.lines import Line
from tests.toy import Toy

SIZES = ((3, 30), (32, 1000))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=15)


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Every size: when every guest is new and needs a node, and when all run and nothing is to be done."""
    for nodes, guests in SIZES:
        yield from _size(nodes, guests, given.repeats)


def _size(nodes: int, guests: int, repeats: int) -> Iterator[Line]:
    toy = Toy(nodes)
    manager = toy.manager()
    toy.run_until(lambda: len(toy.nodes) == nodes == toy.cluster.status.votes.live, 30, "all have joined")
    keys = [toy.add_guest(f"guest-{number}") for number in range(guests)]
    what = f"{nodes} nodes, {guests} guests"
    yield Line("planning", f"{what}, all new", "ms", _times_ms(manager.observe(), repeats))
    toy.run_until(lambda: all(toy.guests[key].status.state is GuestState.STARTED for key in keys), 60, "all run")
    yield Line("planning", f"{what}, all run", "ms", _times_ms(manager.observe(), repeats))


def _times_ms(world: World, repeats: int) -> tuple[float, ...]:
    times = []
    for _ in range(repeats):
        began_s = time.process_time()
        plan(world)
        times.append(1000 * (time.process_time() - began_s))
    return tuple(times)

"""What one plan() costs with many nodes and guests: in the steady state, and in the rounds that fence a node.

    python tests/bench/plan_round.py --nodes 32 --guests 5000

The last line is JSON: `steady_s` one plan() when all run and nothing is to be done; `fence_s` all plans together from the
proof that a node is dead until each of its guests has a new Pod asked for, `longest_s` the longest of these; `recovered`
how many guests that were; `plan_bytes` the largest plan as text; `rss_mib`. Seconds are of processor time.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from quorate.core.actions import CreatePod, Plan
from quorate.core.plan import plan
from quorate.core.types import GuestState, NodeName
from quorate.core.world import NodeView
from tests.toy import Toy
from tests.toy.manager import Manager

REPEATS = 9


class Crowd(Toy):
    """A toy cluster of any size, whose truth nobody checks: that costs more than all the rest."""

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes)
        for name in self.machines:
            self.nodes[name] = NodeView(name, self.uid(), "prod", resource_version=self.version())

    def assert_at_most_once(self) -> None:
        """The property tests do that."""


class Timed(Manager):
    """A manager that remembers how long each of its plans took, in seconds of processor time."""

    def __init__(self, toy: Toy, term: int) -> None:
        super().__init__(toy, term)
        self.took: list[tuple[float, Plan]] = []

    def decide(self) -> Plan:
        world = self.observe()
        began_s = time.process_time()
        made = plan(world)
        self.took.append((time.process_time() - began_s, made))
        return made


def measure(nodes: int, guests: int) -> dict[str, float]:
    """The numbers of one size."""
    toy = Crowd(nodes)
    manager = Timed(toy, 1)
    toy.managers.append(manager)
    toy.run_until(lambda: toy.cluster.status.votes.live == nodes, 30, "all to be heard")
    keys = [toy.add_guest(f"guest-{number}") for number in range(guests)]
    toy.run_until(lambda: all(toy.guests[key].status.state is GuestState.STARTED for key in keys), 120, "all to run")
    toy.run(12)
    steady_s = _steady(manager)
    lost = NodeName("n1")
    there = {key for key in keys if _node(toy, key) == lost}
    toy.power_off(lost)
    toy.run_until(lambda: toy.nodes[lost].status.incident is not None, 30, "the suspicion")
    manager.took.clear()
    toy.run_until(lambda: all(_node(toy, key) not in {lost, None} for key in there), 60, "recovery")
    rounds = _recovering(manager.took)
    return {
        "steady_s": round(steady_s, 4),
        "fence_s": round(sum(took for took, _ in rounds), 4),
        "longest_s": round(max(took for took, _ in rounds), 4),
        "recovered": len(there),
        "plan_bytes": max(len(repr(made)) for _, made in rounds),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _node(toy: Toy, key: object) -> NodeName | None:
    instance = toy.guests[key].status.instance  # type: ignore[index]
    return instance.node if instance is not None else None


def _steady(manager: Timed) -> float:
    world = manager.observe()
    made = plan(world)
    assert not made.statuses, "nothing is to be done"
    assert not made.actions, "nothing is to be done"
    times = []
    for _ in range(REPEATS):
        began_s = time.process_time()
        plan(world)
        times.append(time.process_time() - began_s)
    return statistics.median(times)


def _recovering(took: Sequence[tuple[float, Plan]]) -> list[tuple[float, Plan]]:
    """From the first plan that says that the node is proven dead to the last that makes Pods."""
    proven = next(i for i, (_, made) in enumerate(took) if any(n.reason == "NodeProvenDead" for n in made.notes))
    last = max(i for i, (_, made) in enumerate(took) if any(isinstance(a, CreatePod) for a in made.actions))
    return list(took[proven : last + 1])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What one plan() costs.")
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--guests", type=int, default=5000)
    given = parser.parse_args(argv)
    print(json.dumps(measure(given.nodes, given.guests)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

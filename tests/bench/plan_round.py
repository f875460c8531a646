"""What one plan() costs with many nodes and guests: in the steady state, and in the rounds that fence a node.

    python tests/bench/plan_round.py --nodes 32 --guests 5000 --mode Static --rules 10

The last line is JSON: `steady_s` one plan() when all run and nothing is to be done; `fence_s` all plans together from the
proof that a node is dead until each of its guests has a new Pod asked for, `longest_s` the longest of these, `rounds`
how many; `recovered` how many guests that were; `plan_bytes` the largest plan as text; `rss_mib`. Seconds are of processor
time.
"""

import argparse
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from quorate.core.actions import CreatePod, Plan
from quorate.core.load import Size, Usage
from quorate.core.plan import plan
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.types import GuestKey, GuestState, InstanceId, Instant, NodeName, SchedulingMode
from quorate.core.world import NodeView, Template
from tests.toy import Toy
from tests.toy.cluster import Machine
from tests.toy.manager import Manager
from tests.toy.parts import Pod

REPEATS = 9
MOST_RULES = 240
MIB = 1 << 20
SIZES_MIB = (64, 128, 256, 512)


class Crowd(Toy):
    """A toy cluster of any size, whose truth nobody checks: that costs more than all the rest."""

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes)
        self.kubelets = True
        for name in self.machines:
            self.nodes[name] = NodeView(name, self.uid(), "prod", resource_version=self.version())

    def assert_at_most_once(self) -> None:
        """The property tests do that."""

    def _kubelet(self, machine: Machine) -> None:
        """Once all run, nothing that a kubelet does is waited for."""
        if self.kubelets:
            super()._kubelet(machine)


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


def measure(nodes: int, guests: int, mode: SchedulingMode, rules: int) -> dict[str, float]:
    """The numbers of one size. `rules`: so many guests of a hundred are in some rule."""
    toy = Crowd(nodes)
    manager = Timed(toy, 1)
    toy.managers.append(manager)
    _fill(toy, guests)
    toy.set_rules(*_rules(toy, rules))
    toy.set_scheduling(mode=mode)
    _weigh(toy, mode)
    toy.run(12)
    gc.collect()
    gc.freeze()  # as the manager does when it has seen everything once
    steady_s = _steady(manager)
    lost = NodeName("n1")
    there = {key for key in toy.guests if _node(toy, key) == lost}
    toy.power_off(lost)
    toy.run_until(lambda: toy.nodes[lost].status.incident is not None, 30, "the suspicion")
    manager.took.clear()
    toy.run_until(lambda: all(_node(toy, key) not in {lost, None} for key in there), 60, "recovery")
    rounds = _recovering(manager.took)
    gc.unfreeze()
    return {
        "steady_s": round(steady_s, 4),
        "fence_s": round(sum(took for took, _ in rounds), 4),
        "longest_s": round(max(took for took, _ in rounds), 4),
        "rounds": len(rounds),
        "recovered": len(there),
        "plan_bytes": max(len(repr(made)) for _, made in rounds),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _fill(toy: Crowd, guests: int) -> None:
    """A guest on each node starts as it always does; the others are copies of these, which is quicker."""
    toy.run_until(lambda: toy.cluster.status.votes.live == len(toy.machines), 30, "all to be heard")
    first = [toy.add_guest(f"guest-{number:05}") for number in range(min(guests, len(toy.machines)))]
    toy.run_until(lambda: all(toy.guests[key].status.state is GuestState.STARTED for key in first), 60, "all to run")
    toy.run(12)
    toy.kubelets = False
    for number in range(len(first), guests):
        key, origin = GuestKey("default", f"guest-{number:05}"), first[number % len(first)]
        view, pod, uid = toy.guests[origin], toy.pods[origin], toy.uid()
        instance = replace(view.status.instance, id=InstanceId(f"{number:016x}"), uid=uid)
        status = replace(view.status, guest=key.sid, instance=instance)
        toy.guests[key] = replace(view, key=key, uid=toy.uid(), status=status, resource_version=toy.version())
        toy.pods[key] = Pod(replace(pod.view, uid=uid, owner=toy.guests[key].uid, instance=instance.id), 1, key)
    for number, key in enumerate(sorted(toy.guests)):
        size = Size(50, SIZES_MIB[number // len(first) % len(SIZES_MIB)] * MIB)
        toy.guests[key] = replace(
            toy.guests[key],
            labels={"number": str(number)},
            spec=replace(toy.guests[key].spec, template=Template("t1", size=size)),
        )


def _weigh(toy: Crowd, mode: SchedulingMode) -> None:
    """Nodes with half as much again as their guests request; in Dynamic everything is measured."""
    each = -(-len(toy.guests) // len(toy.machines))
    whole = Size(75 * each, max(SIZES_MIB) * MIB * each)
    now = Instant(round(toy.now_s * 1000))
    for name in toy.machines:
        toy.touch_kube(name, size=whole)
        if mode is SchedulingMode.DYNAMIC:
            toy.usage[name] = Usage(Size(25 * each, whole.memory // 3), now)
    if mode is SchedulingMode.DYNAMIC:
        toy.guest_usage = {key: Usage(Size(20, 100 * MIB), now) for key in toy.guests}


def _rules(toy: Crowd, percent: int) -> Iterator[Rule]:
    """In turn: some that are together on a node, some that are apart on several, and some that prefer where they are."""
    count = len(toy.guests) * percent // 100
    size = min(max(4, -(-count // MOST_RULES)), 128)
    by_node: dict[NodeName, list[GuestKey]] = {name: [] for name in toy.machines}
    for key in sorted(toy.guests):
        by_node[_node(toy, key)].append(key)
    nodes = list(by_node)
    for number in range(count // size):
        home = nodes[number % len(nodes)]
        if number % 3 == 1:
            here = [by_node[nodes[(number + i) % len(nodes)]].pop() for i in range(min(size, len(nodes) - 1))]
            yield Rule(f"apart-{number:03}", Guests(tuple(here)), peers=GuestAffinity(Affinity.APART))
            continue
        here = [by_node[home].pop() for _ in range(min(size, len(by_node[home])))]
        if number % 3 == 0:
            yield Rule(f"together-{number:03}", Guests(tuple(here)), peers=GuestAffinity(Affinity.TOGETHER))
        else:
            wished = tuple(NodePriority(nodes[(number + i) % len(nodes)], 4 - i) for i in range(min(4, len(nodes))))
            yield Rule(f"on-{number:03}", Guests(tuple(here)), nodes=NodeAffinity(wished))


def _node(toy: Toy, key: GuestKey) -> NodeName | None:
    instance = toy.guests[key].status.instance
    return instance.node if instance is not None else None


def _steady(manager: Timed) -> float:
    world = manager.observe()
    made = plan(world)
    assert not made.statuses, f"nothing is to be done, but {made.statuses[0]}"
    assert not made.actions, f"nothing is to be done, but {made.actions[0]}"
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
    parser.add_argument("--mode", type=SchedulingMode, choices=list(SchedulingMode), default=SchedulingMode.BASIC)
    parser.add_argument("--rules", type=int, default=0, metavar="PERCENT", help="how many of the guests are in rules")
    given = parser.parse_args(argv)
    print(json.dumps(measure(given.nodes, given.guests, given.mode, given.rules)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

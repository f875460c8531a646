"""A thousand protected Pods: what a manager writes while nothing changes, and how long the loss of a node takes.

In virtual time, with production's manager; the StatefulSets' controller is the simulator's stand-in.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from quorate.core.types import GuestState
from quorate.sim.engine import unhurried
from quorate.sim.store import status_of
from quorate.sim.world import Setting, Simulation, WorkloadSetting
from tests.bench.lines import Line, tell


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", type=int, default=40, help="StatefulSets, each with an HAResource")
    parser.add_argument("--replicas", type=int, default=25, help="Pods of each")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0, help="of steady state")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Counted at the API server's door, beside the renewals of the managers' own Leases."""
    names = [f"s{number}" for number in range(given.sets)]
    workloads = {name: WorkloadSetting(given.replicas) for name in names}
    nodes = tuple(f"n{number}" for number in range(1, given.nodes + 1))
    with unhurried():
        simulation = Simulation(Setting(nodes=nodes, guests={}, workloads=workloads))
        written: list[str] = []

        def called(_: str, method: str, path: str, __: Any) -> None:
            if method != "GET" and "/leases/" not in path:
                written.append(f"{method} {path}")

        settled_s = 60.0 + 2.0 * given.replicas
        simulation.run(settled_s)
        pods = sum(len(status_of(simulation.guest(name)).get("pods", ())) for name in names)
        tell(f"workloads: {pods} Pods are protected")
        for manager in simulation.managers.values():
            if manager.calls is not None:
                manager.calls.called = called
        simulation.run(settled_s + 60 * given.minutes)
        series = f"{pods} protected Pods of {given.sets} StatefulSets on {given.nodes} nodes"
        yield Line("workloads", f"{series}, {given.minutes:g} minutes of steady state", "writes", (len(written),), 0.0)
        lost = sum(1 for name in names for one in status_of(simulation.guest(name))["pods"] if one["node"] == "n1")
        written.clear()
        simulation.machines["n1"].power_off()
        began_s = simulation.engine.now_s
        simulation.run(began_s + 600.0, lambda: _whole(simulation, names))
        took_s = simulation.engine.now_s - began_s
        notes = {"writes": len(written), "pods": lost}
        yield Line("workloads", f"{series}, a node with {lost} of them loses power", "s", (took_s,), None, notes)
        simulation.end()


def _whole(simulation: Simulation, names: list[str]) -> bool:
    """Has every one been recovered, and does every Pod run?"""
    statuses = [status_of(simulation.guest(name)) for name in names]
    back = all(one.get("state") == GuestState.STARTED and one.get("ready") for one in statuses)
    return back and simulation.standins is not None and not simulation.standins.down()

"""What the agent costs a node: memory and processor time of keeper and loop, with a guest on the node."""

import argparse
from collections.abc import Iterator

from quorate.lab.options import Options
from tests.bench import labs, use
from tests.bench.lines import Line

MEMORY_GOAL_MIB = 40.0
CPU_GOAL_PERCENT = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to count processor time")
    parser.add_argument("--profile", default="Balanced")
    parser.add_argument("--control-plane", default="real", choices=("embedded", "real"))


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Once the guest has run for a while, and the port has been scraped."""
    with labs.whole(Options("bench", profile=given.profile, control_plane=given.control_plane)) as scene:
        key = labs.add_guest(scene, "web")
        node = labs.wait("the guest to run", lambda: labs.node_of(scene, key))
        pids = tuple(process.pid for process in labs.agent_processes(scene, node))
        labs.agent_metrics(scene, node)
        labs.pause(10.0, "the agent settles")
        before_s = use.cpu_s(*pids)
        labs.pause(given.seconds, "counting the agent's processor time")
        cpu_percent = 100 * (use.cpu_s(*pids) - before_s) / given.seconds
        for _ in range(3):
            labs.agent_metrics(scene, node)
        found = use.memory(*pids)
        each = {"keeper": use.memory(pids[0]).rss, "loop": use.memory(pids[1]).rss}
    where = f"{given.profile}, {given.control_plane} API server"
    notes = {"rss_mib": found.rss, "pss_mib": found.pss, "rss_each_mib": each}
    yield Line("agent", "keeper and loop, on a node without other Python programs", "MiB", (found.alone,), 40.0, notes)
    yield Line("agent", "keeper and loop, PSS in the lab", "MiB", (found.pss,), MEMORY_GOAL_MIB)
    yield Line("agent", "keeper and loop, RSS added up", "MiB", (found.rss,))
    notes = {"seconds": given.seconds, "where": where}
    yield Line("agent", f"processor time at {given.profile}", "% of a core", (cpu_percent,), CPU_GOAL_PERCENT, notes)

"""What virtual time costs: a scenario, and a minute of chaos. Processor time, on one core."""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

from quorate.core.timing import Profile
from quorate.sim.chaos import play, scenario
from quorate.sim.play import Player
from quorate.sim.scenario import Scenario
from quorate.sim.world import Setting
from tests.bench.lines import Line

TEN_MINUTES_S = 600.0
CROWDS = ((3, 3, None), (5, 20, 60_000 / 500))
"""Nodes, guests, and the most that a simulated minute may cost, in ms: 500 times real time."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=5, help="runs of each scenario")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of chaos of each size")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Ten quiet minutes by profile, and chaos by size."""
    for profile in (Profile.FAST, Profile.BALANCED, Profile.RELAXED):
        quiet = Scenario(Setting(profile=profile), lasts_s=TEN_MINUTES_S)
        times_s = tuple(_cost_s(partial(_simulated_s, quiet))[0] for _ in range(given.repeats))
        yield Line("simulator", f"3 nodes, 1 guest, 10 minutes, {profile}", "s", times_s, 0.2)
    for nodes, guests, goal_ms in CROWDS:
        play(scenario(0, nodes, guests))
        seeds = range(1, given.seeds + 1)
        costs = [_cost_s(partial(_chaos_s, scenario(seed, nodes, guests))) for seed in seeds]
        cost_s, simulated_s = sum(cost for cost, _ in costs), sum(simulated for _, simulated in costs)
        series = f"chaos, {nodes} nodes, {guests} guests, a minute"
        notes = {"times_real": round(simulated_s / cost_s), "seeds": given.seeds}
        yield Line("simulator", series, "ms", (60_000 * cost_s / simulated_s,), goal_ms, notes)


def _simulated_s(made: Scenario) -> float:
    return Player(made).play().simulated_s


def _chaos_s(made: Scenario) -> float:
    return play(made).simulated_s


def _cost_s(run: Callable[[], float]) -> tuple[float, float]:
    """Processor time of a run, and what it returns."""
    began_s = time.process_time()
    found = run()
    return time.process_time() - began_s, found

"""Nothing is lost here, and nothing may happen: guests on all nodes, while the API server stalls and the machine is busy.

An hour at Balanced is 1,800 renewals a node; at Fast, which renews every second, half an hour has as many. Each stall is
shorter than W - d - r: a node that renews just before one has that long until it must have renewed again.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Final

from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestKey
from quorate.lab.options import Options
from tests.bench import labs
from tests.bench.lines import Line, tell
from tests.bench.pressure import Stalls, most_of_what_is_free_mib, pressure, watchdog_saw
from tests.lab.scene import Scene
from tests.scrape import Scrape

MARGIN_S: Final = 0.1
LOOK_EVERY_S: Final = 10.0
DURATION: Final = "quorate_agent_renewal_duration_seconds_bucket"
LATE: Final = "quorate_agent_late_pets_total"
RENEWALS: Final = "quorate_agent_renewals_total"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--profile", default="Fast", choices=[str(profile) for profile in PROFILES])
    parser.add_argument("--control-plane", default="real", choices=("embedded", "real"))
    parser.add_argument("--seed", type=int, default=1, help="of the stalls")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="busy processes")
    parser.add_argument("--memory", type=int, default=8192, metavar="MIB", help="take at most so much memory")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """A lab under pressure for so long."""
    timing = PROFILES[Profile(given.profile)]
    longest_s = timing.watchdog_s - timing.timeout_s - timing.renew_s - MARGIN_S
    memory_mib = most_of_what_is_free_mib(given.memory)
    with labs.whole(Options("bench", profile=given.profile, control_plane=given.control_plane)) as scene:
        keys = [labs.add_guest(scene, f"guest-{number}") for number in range(1, 4)]
        homes = {key: labs.wait(f"{key.sid} to run", lambda key=key: labs.node_of(scene, key)) for key in keys}
        if len(set(homes.values())) != len(keys):
            raise SystemExit(f"there should be a guest on each node: {homes}")
        before = _Look(scene, keys)
        stalls = Stalls(scene, longest_s, 2 * (timing.renew_s + timing.timeout_s), given.seed)
        tell(
            f"soak: {given.minutes:g} minutes, {given.cores} busy processes, {memory_mib} MiB, stalls below {longest_s:g}s"
        )
        with ExitStack() as going:
            going.enter_context(pressure(given.cores, memory_mib))
            going.enter_context(stalls.going())
            _watch(scene, stalls, given.minutes * 60)
        labs.wait("the lab to be whole after it", lambda: all(map(scene.is_online, homes.values())))
        after = _Look(scene, keys)
    where = f"{given.profile}, {given.control_plane} API server, {given.minutes:g} minutes"
    about = {
        "stalls": len(stalls.seen_s),
        "longest_stall_s": max(stalls.seen_s, default=0.0),
        "seed": given.seed,
        "cores": given.cores,
        "memory_mib": memory_mib,
    }
    yield from _lines(where, before, after, {**about, "watchdog_s": timing.watchdog_s})


class _Look:
    """Everything that may not change, and what was counted, at one moment."""

    def __init__(self, scene: Scene, keys: list[GuestKey]) -> None:
        self.nodes = scene.names()
        self.boots = {name: int(scene.machine(name)["boot"]) for name in self.nodes}
        self.instances = {key: getattr(scene.guest(key).instance, "id", "") for key in keys}
        self.seen = {key: len(scene.ran_on(key)) for key in keys}
        self.scrapes: dict[str, Scrape] = {name: labs.agent_metrics(scene, name) for name in self.nodes}
        self.watchdog = {name: watchdog_saw(scene, name) for name in self.nodes}


def _watch(scene: Scene, stalls: Stalls, for_s: float) -> None:
    """Say how it goes; the reports of a node that was reset are of the most interest while they are fresh."""
    end_s = time.monotonic() + for_s
    kills = 0
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY_S, left_s))
        saw = {name: watchdog_saw(scene, name) for name in scene.names()}
        gaps = ", ".join(f"{one['longest_gap_s']:.1f}s" for one in saw.values())
        tell(f"{left_s:5.0f}s left, {len(stalls.seen_s)} stalls, longest gaps between pets: {gaps}")
        if sum(one["kills"] for one in saw.values()) > kills:
            kills = sum(one["kills"] for one in saw.values())
            tell(f"a node was reset:\n{scene.log('watchdog')[-1000:]}")
            for name in saw:
                tell(f"{name}: {(scene.files.node(name).log / 'agent.log').read_text()[-1500:]}")


def _lines(where: str, before: _Look, after: _Look, about: dict[str, object]) -> Iterator[Line]:
    def each(sample: str, **labels: str) -> tuple[float, ...]:
        return tuple(
            after.scrapes[name].total(sample, **labels) - before.scrapes[name].total(sample, **labels)
            for name in after.nodes
        )

    resets = tuple(float(after.boots[name] - before.boots[name]) for name in after.nodes)
    moved = tuple(
        float(after.seen[key] - before.seen[key] + (after.instances[key] != before.instances[key]))
        for key in after.instances
    )
    yield Line("soak", f"{where}: healthy nodes reset", "", resets, 0.0, about)
    yield Line("soak", f"{where}: guests moved or started anew", "", moved, 0.0)
    yield Line(
        "soak",
        f"{where}: renewals of each node",
        "",
        each(RENEWALS, outcome="renewed"),
        None,
        {"failed": each(RENEWALS, outcome="failed")},
    )
    yield Line("soak", f"{where}: late pets of each node", "", each(LATE))
    longest = tuple(_longest_s(before.scrapes[name], after.scrapes[name]) for name in after.nodes)
    yield Line("soak", f"{where}: confirmed renewals of each node took at most", "s", longest)
    gaps = tuple(float(after.watchdog[name]["longest_gap_s"]) for name in after.nodes)
    yield Line(
        "soak",
        f"{where}: longest time between two pets of each node",
        "s",
        gaps,
        None,
        {"watchdog_s": about["watchdog_s"]},
    )


def _longest_s(before: Scrape, after: Scrape) -> float:
    """The upper bound of the last bucket in which there is something new."""
    bounds = ("0", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "1.5", "2.0", "5.0", "10.0")
    counts = [after.total(DURATION, le=bound) - before.total(DURATION, le=bound) for bound in bounds]
    new = [float(bound) for bound, (below, count) in zip(bounds[1:], pairwise(counts), strict=True) if count > below]
    return max(new, default=0.0)

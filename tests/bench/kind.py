"""From the loss of a guest's node to the guest Ready elsewhere: on kind, with real kubelets, containers and fence agents.

power      the node's power is cut (docker kill)
device     its power is cut, and it has a fence device that a drill has proven
freeze     the node stands still with everything on it (docker pause), until the watchdog outside kills it
cut        the node runs on, and its network is gone, until its watchdog resets it
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from quorate.cli.demo.stage import Look
from quorate.core.timing import PROFILES, Profile
from quorate.lab.observer import Observer
from tests.bench import kind_cost
from tests.bench.lines import Line, tell
from tests.bench.power_loss import DEVICE_GOALS_S, GOALS_S
from tests.e2e.cluster import LIMIT_S, played
from tests.e2e.machine import LackingError
from tests.e2e.play import SAMPLES, devices_ready, give_device, leader, relocate, set_profile
from tests.e2e.stage import WEB, KindStage, observed
from tests.unwatched import Quiet

NAME: Final = "quorate-bench"
DEVICE: Final = "device"
COST: Final = "cost"
FAULTS: Final = {
    "power": ("power-off", "power of the guest's node cut"),
    DEVICE: ("power-off", "power of the guest's node cut, its fence device proven"),
    "freeze": ("freeze", "the guest's node frozen"),
    "cut": ("cut", "the guest's node cut from the network"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=10, help="losses of each kind for each profile")
    parser.add_argument("--profile", default="Balanced,Fast", help="the profiles, with commas")
    parser.add_argument(
        "--fault", default=",".join([COST, *FAULTS]), help="the kinds of loss, with commas, and what it costs: cost"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to count what it costs")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """On one cluster: what Quorate costs there, and every kind of loss with every profile."""
    try:
        yield from _measure(given)
    except LackingError as lacking:
        raise SystemExit(str(lacking)) from lacking


def _measure(given: argparse.Namespace) -> Iterator[Line]:
    faults = given.fault.split(",")
    with played(NAME) as cluster:
        cluster.kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
        with observed(cluster) as observer:
            stage = KindStage(cluster, observer, Quiet())
            stage.healed()
            if COST in faults:
                set_profile(cluster, Profile.BALANCED)
                yield from kind_cost.measure(stage, given.seconds)
            for fault in (one for one in FAULTS if one in faults and one != DEVICE):
                yield from _series(stage, observer, fault, given)
            if DEVICE in faults:  # the last one: with a device every loss goes another way
                _give_devices(stage)
                yield from _series(stage, observer, DEVICE, given)


@dataclass(frozen=True, slots=True)
class Loss:
    """`took_s`: until the guest ran elsewhere; `start_s` of it: from the order for the new Pod until that was Ready."""

    took_s: float
    start_s: float
    with_leader: bool


def _series(stage: KindStage, observer: Observer, fault: str, given: argparse.Namespace) -> Iterator[Line]:
    """One line a profile. Raises SystemExit when the observer sees the guest run twice."""
    for profile in map(Profile, given.profile.split(",")):
        set_profile(stage.cluster, profile)
        losses = []
        for number in range(1, given.runs + 1):
            loss = _lose(stage, fault)
            if observer.violations:
                raise SystemExit(f"a guest ran twice: {observer.violations}")
            led = ", the leader with it" * loss.with_leader
            tell(f"kind, {profile}, {fault}, run {number}: {loss.took_s:.1f}s, start {loss.start_s:.1f}s{led}")
            losses.append(loss)
        device, timing = fault == DEVICE, PROFILES[profile]
        starts = [loss.start_s for loss in losses]
        notes = {
            **(
                {"suspected_after_s": timing.suspect_after_s}
                if device
                else {"released_after_s": timing.release_after_s}
            ),
            "start_s": statistics.median(starts),
            "longest_start_s": max(starts),
            "with the leader": sum(loss.with_leader for loss in losses),
            "looks": observer.samples,
            "longest_gap_s": observer.longest_gap_s,
            "load": os.getloadavg()[0],
        }
        goal_s = (DEVICE_GOALS_S if device else GOALS_S).get(profile)
        took = tuple(loss.took_s for loss in losses)
        yield Line("kind", f"{profile}: {FAULTS[fault][1]}", "s", took, goal_s, notes)


def _lose(stage: KindStage, fault: str) -> Loss:
    """Lose the guest's node, wait for the recovery, and heal."""
    cluster = stage.cluster
    node = str(stage.look().guest(WEB).node)
    led = cluster.get("pod", leader(cluster), "-n", "quorate-system")["spec"]["nodeName"]
    began_s = time.monotonic()
    stage.switch(node, FAULTS[fault][0])
    recovery = stage.recovered(node).guest(WEB).recovery
    took_s = time.monotonic() - began_s
    if recovery is None or recovery.created is None or recovery.ready is None:
        raise SystemExit(f"the guest runs elsewhere, and its status does not say since when: {recovery}")
    if fault != DEVICE:  # that switches it on again by itself
        cluster.eventually("the lost node to be off", lambda: node not in cluster.nodes())
        cluster.all_on()
    stage.until("the fence devices to be at rest", _devices_rest, LIMIT_S)
    stage.healed()
    return Loss(took_s, (recovery.ready - recovery.created) / 1000, led == node)


def _devices_rest(look: Look) -> bool:
    """None is at work, and what one did is judged: who falls silent within a second of a shot may be the one it hit."""
    return all(node.power is None or node.power.sequence is None for node in look.nodes.values())


def _give_devices(stage: KindStage) -> None:
    """fence_docker for each worker, proven by a drill, one after the other."""
    cluster = stage.cluster
    for node in cluster.workers():
        other = next(one for one in cluster.workers() if one != node)
        if stage.look().guest(WEB).node == node:
            relocate(cluster, other)
        give_device(cluster, node)
        tell(f"kind: {cluster.quorate('drill', node, '--wait', '-y', limit_s=600).strip()}")
        stage.healed()
        cluster.eventually(f"the device of {node} to be proven", lambda node=node: devices_ready(cluster, node))

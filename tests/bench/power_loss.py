"""From cutting the power of a guest's node to the guest Ready elsewhere: in the lab, with real manager and agents."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.cli.demo.record import Record
from quorate.cli.demo.script import container, runs
from quorate.cli.demo.stage import Look, Stage
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestKey, NodeState
from quorate.kube.resources import HARESOURCES
from quorate.lab import client
from quorate.lab.files import lab_files
from quorate.lab.observer import Observer
from quorate.lab.options import Options
from quorate.view.report import Report

GOALS_S = {Profile.FAST: 20.0, Profile.BALANCED: 30.0}
GUEST = GuestKey("default", "web")
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Series:
    """The runs of one profile on one API server."""

    profile: Profile
    control_plane: str
    seconds: tuple[float, ...]

    @property
    def reached(self) -> bool:
        return max(self.seconds) <= GOALS_S[self.profile]


class Quiet:
    """Nobody watches."""

    def begin(self, number: int, title: str) -> None:
        pass

    def draw(self, report: Report) -> None:
        pass

    def end(self, record: Record) -> None:
        pass


def measure(control_planes: Sequence[str], count: int) -> list[Series]:
    """Every profile on every API server."""
    return [_series(profile, kind, count) for profile in GOALS_S for kind in control_planes]


def _series(profile: Profile, control_plane: str, count: int) -> Series:
    name = "bench"
    lab = client.up(Options(name, control_plane=control_plane, profile=str(profile)))
    try:
        with Observer(str(lab["id"])) as observer:
            stage = Stage(name, lab_files(name).kubeconfig, observer, Quiet())
            stage.until("the Cluster to be whole", _whole, LIMIT_S)
            spec = {"guest": container("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done")}
            stage.apply(HARESOURCES, GUEST.name, spec, namespace=GUEST.namespace)
            stage.until("the guest to run", _runs_somewhere, LIMIT_S)
            seconds = []
            for number in range(1, count + 1):
                seconds.append(_lose(stage))
                print(
                    f"power loss, {profile}, {control_plane} API server, run {number}: {seconds[-1]:.1f}s", flush=True
                )
            if observer.violations:
                raise SystemExit(f"a guest ran twice: {observer.violations}")
    finally:
        client.down(name)
    return Series(profile, control_plane, tuple(seconds))


def _lose(stage: Stage) -> float:
    """Cut the power, wait for the recovery, and heal; returns the seconds in between."""
    node = str(stage.look().guest(GUEST).node)
    began_s = time.monotonic()
    stage.switch(node, "power-off")

    def recovered(look: Look) -> bool:
        now = str(look.guest(GUEST).node)
        return now != node and runs(look, GUEST, now) and stage.seen_running(GUEST) == [now]

    stage.until("the guest to run elsewhere", recovered, LIMIT_S)
    seconds = time.monotonic() - began_s
    stage.switch(node, "power-on")
    stage.until("the Cluster to be whole again", _whole, LIMIT_S)
    return seconds


def _whole(look: Look) -> bool:
    states = [node.state for node in look.nodes.values()]
    return look.cluster.votes.live == 3 and states == [NodeState.ONLINE] * 3


def _runs_somewhere(look: Look) -> bool:
    return runs(look, GUEST, str(look.guest(GUEST).node))


def table(losses: Sequence[Series]) -> list[str]:
    """As Markdown."""
    head = ["| profile | API server | T | runs | slowest | goal | reached |", "|---|---|---|---|---|---|---|"]
    return head + [
        f"| {one.profile} | {one.control_plane} | {PROFILES[one.profile].release_after_s:.1f} s "
        f"| {', '.join(f'{seconds:.1f}' for seconds in one.seconds)} s | {max(one.seconds):.1f} s "
        f"| {GOALS_S[one.profile]:g} s | {'yes' if one.reached else 'NO'} |"
        for one in losses
    ]

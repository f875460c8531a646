"""From the loss of a guest's node to the guest Ready elsewhere: in the lab, with real manager, agents and processes.

node       the node's power is cut
leader     the same, and at the same moment the leading manager stops for good, as if it had run on that node
shutdown   the node is shut down cleanly
device     its power is cut, and it has a fence device that a drill has proven
"""

import argparse
import base64
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from quorate.cli.demo.script import container, runs
from quorate.cli.demo.stage import Look, Stage
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import DRILL_ANNOTATION, SYSTEM_NAMESPACE, GuestKey, NodeState
from quorate.kube.resources import HARESOURCES, LEASES, NODES, SECRETS
from quorate.lab import client, processes
from quorate.lab.commands import MANAGER_PORT, Addresses
from quorate.lab.files import lab_files
from quorate.lab.observer import Observer
from quorate.lab.options import Options
from tests.bench.labs import IDLE, wait
from tests.bench.lines import Line, tell
from tests.scrape import scrape
from tests.unwatched import Quiet

NAME: Final = "bench"
GOALS_S: Final = {Profile.FAST: 20.0, Profile.BALANCED: 30.0}
LEADER_MORE_S: Final = 5.0
SHUTDOWN_GOAL_S: Final = 10.0
DEVICE_GOALS_S: Final = {Profile.FAST: 15.0, Profile.BALANCED: 20.0}
DEVICE: Final = "device"
LOSSES: Final = {
    "node": "power of the guest's node cut",
    "leader": "the same, and the leading manager lost with it",
    "shutdown": "the guest's node shut down cleanly",
    DEVICE: "power of the guest's node cut, its fence device proven",
}
GUEST: Final = GuestKey("default", "web")
LIMIT_S: Final = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=10, help="losses of each kind for each profile and API server")
    parser.add_argument("--profile", default="Fast,Balanced", help="the profiles, with commas")
    parser.add_argument("--control-plane", default="embedded,real", help="the API servers, with commas")
    parser.add_argument("--loss", default=",".join(LOSSES), help="the kinds of loss, with commas")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Every kind of loss, with every profile, on every API server."""
    for profile in map(Profile, given.profile.split(",")):
        for kind in given.control_plane.split(","):
            losses = given.loss.split(",")
            if others := [one for one in losses if one != DEVICE]:
                yield from _series(profile, kind, others, given.runs)
            if DEVICE in losses:  # in a lab of its own: with a device every loss goes another way
                yield from _series(profile, kind, [DEVICE], given.runs)


def _series(profile: Profile, kind: str, losses: list[str], runs: int) -> Iterator[Line]:
    lab = client.up(Options(NAME, control_plane=kind, profile=str(profile)))
    try:
        with Observer(str(lab["id"])) as observer:
            stage = Stage(NAME, lab_files(NAME).kubeconfig, observer, Quiet())
            stage.until("the Cluster to be whole", _whole, LIMIT_S)
            if DEVICE in losses:
                _give_devices(stage)
            spec = {"guest": container(*IDLE)}
            stage.apply(HARESOURCES, GUEST.name, spec, namespace=GUEST.namespace)
            stage.until("the guest to run", _runs_somewhere, LIMIT_S)
            node_s: float | None = None
            for loss in losses:
                seconds = tuple(_timed(stage, profile, kind, loss, number) for number in range(1, runs + 1))
                notes: dict[str, object] = {"release_after_s": PROFILES[profile].release_after_s}
                if loss == "node":
                    node_s = statistics.median(seconds)
                elif loss == "leader" and node_s is not None:
                    notes["more_s"] = round(statistics.median(seconds) - node_s, 2)
                series = f"{profile}, {kind} API server: {LOSSES[loss]}"
                yield Line("power-loss", series, "s", seconds, _goal_s(profile, loss), notes)
            if observer.violations:
                raise SystemExit(f"a guest ran twice: {observer.violations}")
    finally:
        client.down(NAME)


def _give_devices(stage: Stage) -> None:
    """A fence device for each node, proven by a drill, one after the other."""
    files = lab_files(NAME)
    password = base64.b64encode(files.fence_password.read_bytes()).decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bmc"}, "data": {"password": password}}
    stage.api.create(SECRETS.path(namespace=SYSTEM_NAMESPACE), secret)
    for node in list(stage.look().nodes):
        parameters = {"socket": str(files.control), "plug": node}
        device = {"name": "bmc", "agent": "fence_lab", "parameters": parameters, "secretRef": {"name": "bmc"}}
        asked = {DRILL_ANNOTATION: f"1/{stage.look().nodes[node].nonce}/bench"}
        stage.api.merge(NODES.path(node), {"spec": {"fencing": {"devices": [device]}}})
        stage.api.merge(NODES.path(node), {"metadata": {"annotations": asked}})
        stage.until(f"the drill of {node} to pass", partial(_drilled, node=node), LIMIT_S)


def _drilled(look: Look, node: str) -> bool:
    power = look.nodes[node].power
    return power is not None and bool(power.proven) and _whole(look)


def _goal_s(profile: Profile, loss: str) -> float:
    if loss == DEVICE:
        return DEVICE_GOALS_S.get(profile, LIMIT_S)
    if loss == "shutdown":
        return SHUTDOWN_GOAL_S
    return GOALS_S.get(profile, LIMIT_S) + (LEADER_MORE_S if loss == "leader" else 0.0)


def _timed(stage: Stage, profile: Profile, kind: str, loss: str, number: int) -> float:
    seconds = _lose(stage, loss)
    tell(f"power-loss, {profile}, {kind} API server, {loss}, run {number}: {seconds:.1f}s")
    return seconds


def _lose(stage: Stage, loss: str) -> float:
    """Lose the guest's node, wait for the recovery, and heal; returns the seconds in between."""
    before = stage.look()
    node = before.guest(GUEST).node
    if node is None:
        raise SystemExit("the guest has no node")
    old_boot = before.nodes[node].nonce
    leader = _leader(stage) if loss == "leader" else None
    began_s = time.monotonic()
    if leader is not None:
        # Stopped and not killed: the lab would start it again, and a machine without power closes no connection either.
        processes.send(leader, signal.SIGSTOP)
    verb = "shutdown" if loss == "shutdown" else "power-off"
    going = threading.Thread(target=stage.switch, args=(node, verb))
    going.start()

    def recovered(look: Look) -> bool:
        now = str(look.guest(GUEST).node)
        return now != node and runs(look, GUEST, now) and stage.seen_running(GUEST) == [now]

    stage.until("the guest to run elsewhere", recovered, LIMIT_S)
    seconds = time.monotonic() - began_s
    going.join()
    if leader is not None:
        processes.send(leader, signal.SIGKILL)
    stage.switch(node, "power-on")
    healed = "the node to be a member again in its new boot"
    stage.until(healed, lambda look: _whole(look) and look.nodes[node].nonce != old_boot, LIMIT_S)
    wait("both managers to watch", _managers_watch)
    # A node that is lost within a second of the shot at another may be the one that it hit: that is judged first.
    stage.until("the fence devices to be trusted still", _judged, LIMIT_S)
    return seconds


def _judged(look: Look) -> bool:
    return all(node.power is None or node.power.sequence is None for node in look.nodes.values())


def _managers_watch() -> bool:
    """Each has seen everything, so that its timers run."""
    addresses = Addresses(int(client.status(NAME)["nodes"][0]["address"].split(".")[2]))
    try:
        found = [scrape(f"http://{addresses.manager(number)}:{MANAGER_PORT}/metrics") for number in (1, 2)]
    except OSError:
        return False
    return all(one.value("quorate_store_watching") == 1 for one in found)


def _leader(stage: Stage) -> processes.Process:
    """The process of the manager that leads the Cluster."""
    name = stage.api.get(LEASES.path(f"manager-{NAME}", SYSTEM_NAMESPACE))["spec"]["holderIdentity"]
    pid = next(one["pid"] for one in client.status(NAME)["processes"] if one["name"] == name)
    found = processes.inspect(pid)
    if found is None:
        raise SystemExit(f"{name} does not run")
    return found


def _whole(look: Look) -> bool:
    """All nodes vote and are Online, and no incident is open."""
    nodes = look.nodes.values()
    online = [node.state for node in nodes] == [NodeState.ONLINE] * 3
    return look.cluster.votes.live == 3 and online and not any(node.incident for node in nodes)


def _runs_somewhere(look: Look) -> bool:
    return runs(look, GUEST, str(look.guest(GUEST).node))

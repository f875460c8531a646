"""A manager with 32 nodes and 1,000 guests on a real API server: what a round costs, what it writes, how it starts.

Nodes and Pods are only told of (`crowd.py`); manager, API server and etcd are the real ones.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from quorate.core.timing import PROFILES, Profile
from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE
from quorate.kube.resources import CLUSTERS, HARESOURCES, KUBE_NODES, LEASES, NAMESPACES, NODES, PODS, REVISIONS
from quorate.lab.control_plane import ControlPlane, find_programs
from tests.bench import rounds, use
from tests.bench.labs import IDLE, pause, wait
from tests.bench.lines import Line, tell
from tests.control_plane.client import Api
from tests.control_plane.servers import install
from tests.lab.scene import container
from tests.scrape import Scrape, scrape

CLUSTER: Final = "bench"
SETTLED_S: Final = 5.0
LIMIT_S: Final = 1200.0
STARTS: Final = 3
CPU_GOAL_MS, START_GOAL_S, MEMORY_GOAL_MIB = 20.0, 5.0, 150.0
SEEN: Final = (CLUSTERS, NODES, HARESOURCES, PODS, KUBE_NODES, REVISIONS, LEASES)
Versions = dict[tuple[str, str, str], str]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--guests", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch the steady state")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Bring it up, let it settle, watch it, start the manager anew."""
    with tempfile.TemporaryDirectory(prefix="qb-") as directory, ExitStack() as ends:
        kubeconfig = ends.enter_context(_control_plane(Path(directory)))
        api = Api(kubeconfig)
        _furnish(api)
        log = ends.enter_context((Path(directory) / "crowd.log").open("ab"))
        ends.enter_context(_running("tests.bench.crowd", kubeconfig, log, "--nodes", str(given.nodes)))
        manager = Manager(kubeconfig, Path(directory) / "manager.log")
        ends.callback(manager.stop)
        manager.start()
        online = "quorate_nodes"
        wait("all nodes to be Online", lambda: manager.total(online, state="Online") == given.nodes, LIMIT_S)
        what = f"{given.nodes} nodes, {given.guests} guests"
        yield Line("scale", f"{what}: from new HAResources to all running", "s", (_fill(api, manager, given.guests),))
        _settle(api)
        yield from _steady(api, manager, given.seconds, what)
        cost = asyncio.run(rounds.cost(kubeconfig, CLUSTER))
        if cost.wanted:
            raise SystemExit(f"this was no steady state, a round wanted to do {cost.wanted}")
        notes = {"plan_alone_ms": cost.plan_ms, "rounds": len(cost.round_ms)}
        yield Line(
            "scale",
            f"{what}: processor time of a round with nothing to do, median",
            "ms",
            (statistics.median(cost.round_ms),),
            CPU_GOAL_MS,
            notes,
        )
        yield Line(
            "scale",
            f"{what}: start of a manager to its first plan",
            "s",
            tuple(manager.restart() for _ in range(STARTS)),
            START_GOAL_S,
        )


def _steady(api: Api, manager: "Manager", seconds: float, what: str) -> Iterator[Line]:
    """Everything is as wished, and agents renew."""
    versions, before, began_s = _versions(api), manager.scrape(), use.cpu_s(manager.pid)
    pause(seconds, "watching the steady state")
    cpu_s, after, changed = use.cpu_s(manager.pid) - began_s, manager.scrape(), _changed(versions, _versions(api))

    def counted(sample: str, **labels: str) -> float:
        return after.total(sample, **labels) - before.total(sample, **labels)

    per_round = {
        "rounds": counted("quorate_round_duration_seconds_count", cluster=CLUSTER),
        "round_wall_ms": 1000
        * counted("quorate_round_duration_seconds_sum", cluster=CLUSTER)
        / max(1, counted("quorate_round_duration_seconds_count", cluster=CLUSTER)),
        "manager_cpu_percent": 100 * cpu_s / seconds,
    }
    writes = sum(counted("quorate_api_requests_total", method=method) for method in ("POST", "PUT", "PATCH", "DELETE"))
    leases = [key for key in changed if key[:2] == (LEASES.plural, SYSTEM_NAMESPACE)]
    others = [key for key in changed if key[0] != LEASES.plural]
    notes = {
        "seconds": seconds,
        "changed": [str(key) for key in others[:10]],
        "writes_a_second": writes / seconds,
        "leader_leases": len(leases),
        **per_round,
    }
    wrote = counted("quorate_status_writes_total") + counted("quorate_actions_total")
    yield Line(
        "scale",
        f"{what}: writes in steady state, other than the leader's Leases",
        "",
        (max(wrote, float(len(others))),),
        0.0,
        notes,
    )
    yield Line(
        "scale",
        f"{what}: memory of the manager (RSS)",
        "MiB",
        (use.memory(manager.pid).rss,),
        MEMORY_GOAL_MIB,
        {"peak_mib": use.peak_mib(manager.pid)},
    )


class Manager:
    """One manager process that writes its log to a file and answers on a port."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._kubeconfig = kubeconfig
        self._log = log
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self._listen = f"127.0.0.1:{held.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "quorate.kube.manager", "--kubeconfig", str(self._kubeconfig)]
        command += ["--identity", "bench", "--listen", self._listen, "--log-format", "text"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        """It gives its Leases back."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def restart(self) -> float:
        """Seconds from starting the process to its first plan."""
        self.stop()
        began_s = time.monotonic()
        self.start()
        wait("its first plan", lambda: self.total("quorate_plan_duration_seconds_count", cluster=CLUSTER) > 0)
        seconds = time.monotonic() - began_s
        tell(f"a manager planned {seconds:.2f}s after its start")
        pause(SETTLED_S, "it settles")
        return seconds

    def scrape(self) -> Scrape:
        return scrape(f"http://{self._listen}/metrics")

    def total(self, sample: str, **labels: str) -> float:
        """0 while it does not answer."""
        if self._process is not None and self._process.poll() is not None:
            raise SystemExit(f"the manager ended:\n{self._log.read_text()[-2000:]}")
        try:
            return self.scrape().total(sample, **labels)
        except OSError:
            return 0.0


@contextmanager
def _control_plane(directory: Path) -> Iterator[Path]:
    control_plane = ControlPlane(directory / "control-plane", find_programs(os.environ), os.environ)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(control_plane.start())
    try:
        yield kubeconfig
    finally:
        control_plane.stop()


@contextmanager
def _running(module: str, kubeconfig: Path, log: Any, *more: str) -> Iterator[None]:
    command = [sys.executable, "-m", module, "--kubeconfig", str(kubeconfig), *more]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _furnish(api: Api) -> None:
    """Our kinds, namespaces, and a Cluster."""
    install(api)
    for name in (SYSTEM_NAMESPACE, AGENT_NAMESPACE):
        api.post(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).ok()
    spec = {"timing": {"profile": str(Profile.BALANCED)}, "fencing": {"acceptedWatchdogs": ["External"]}}
    assert Profile.BALANCED in PROFILES
    body = {"apiVersion": CLUSTERS.api_version, "kind": "Cluster", "metadata": {"name": CLUSTER}, "spec": spec}
    api.post(CLUSTERS.path(), body).ok()


def _fill(api: Api, manager: Manager, guests: int) -> float:
    """Make the guests; seconds until all of them run."""
    began_s = time.monotonic()

    def make(number: int) -> None:
        body = {
            "apiVersion": HARESOURCES.api_version,
            "kind": HARESOURCES.kind,
            "metadata": {"name": f"guest-{number:04}", "namespace": "default"},
            "spec": {"guest": container(*IDLE)},
        }
        api.post(HARESOURCES.path(namespace="default"), body).ok()

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(make, range(guests)))
    tell(f"{guests} HAResources were made in {time.monotonic() - began_s:.0f}s")
    said_s = began_s

    def all_run() -> bool:
        nonlocal said_s
        run = manager.total("quorate_guests_as_wished")
        if time.monotonic() - said_s > 10:
            said_s = time.monotonic()
            tell(f"{run:g} guests run after {said_s - began_s:.0f}s")
        time.sleep(0.5)
        return run == guests

    wait("all guests to run", all_run, LIMIT_S)
    return time.monotonic() - began_s


def _settle(api: Api) -> None:
    """Until nothing but Leases has changed for a while."""
    before = _versions(api)

    def quiet() -> bool:
        nonlocal before
        time.sleep(SETTLED_S)
        now = _versions(api)
        changed = [key for key in _changed(before, now) if key[0] != LEASES.plural]
        before = now
        return not changed

    wait("everything to settle", quiet)


def _versions(api: Api) -> Versions:
    """Of every object that the manager may write."""
    found: Versions = {}
    for resource in SEEN:
        for one in api.get(resource.path()).ok()["items"]:
            metadata = one["metadata"]
            found[resource.plural, metadata.get("namespace", ""), metadata["name"]] = metadata["resourceVersion"]
    return found


def _changed(before: Versions, after: Versions) -> list[tuple[str, str, str]]:
    """Made, changed or deleted."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))

"""A kind cluster with Quorate in it, and the watchdog stand-in beside it: up, used, dumped, down."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from tests.e2e import stand_in
from tests.e2e.machine import ROOT, KindError, LackingError, Machine, prepare, run

IMAGE: Final = "quorate/operator:dev"
CONFIG: Final = ROOT / "kind-config.yaml"
OVERLAY: Final = ROOT / "manifests/overlays/kind"
STAND_IN: Final = stand_in.__name__
GATEWAY: Final = "{{(index .IPAM.Config 0).Gateway}}"
"""This machine, as nodes and their Pods reach it."""
ROLLOUT_S: Final = 180
POLL_S: Final = 0.25
LIMIT_S: Final = 180.0
"""How long something is waited for. Kubernetes alone takes 70 s to replace a manager on a node that is lost."""
RETRY_S: Final = 20.0
UNANSWERED: Final = (
    "connection refused",
    "connection reset",
    "TLS handshake timeout",
    "unexpected EOF",
    "etcdserver: ",
    "the server is currently unable to handle the request",
)
"""What kubectl says when an API server that was away or stood still is not quite back."""
Json = dict[str, Any]
Found = TypeVar("Found")


def watchdog_directory(config: Path = CONFIG) -> Path:
    """Where kind-config.yaml expects the stand-in's socket on this machine."""
    nodes = yaml.safe_load(config.read_text())["nodes"]
    (found,) = {mount["hostPath"] for node in nodes for mount in node["extraMounts"]}
    return Path(found)


def free_port(host: str) -> str:
    """HOST:PORT with nobody listening there."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"{host}:{probe.getsockname()[1]}"


@contextmanager
def played(name: str, made: Callable[["KindCluster"], object] = lambda _: None) -> Iterator["KindCluster"]:
    """A cluster of one's own in which Quorate runs, for as long as this lasts; removed whatever happens.

    `made` is told of it before it is up. Raises LackingError, KindError.
    """
    machine = prepare()
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    cluster = KindCluster(machine, name, directory / "watchdog", directory / "kubeconfig")
    made(cluster)
    try:
        cluster.down()  # what a run that was killed has left
        cluster.up()
        yield cluster
    finally:
        cluster.down()
        shutil.rmtree(directory)


class KindCluster:
    """One cluster. `sockets`: the directory on this machine that is mounted into its nodes, with the stand-in's socket."""

    def __init__(self, machine: Machine, name: str, sockets: Path, kubeconfig: Path) -> None:
        self.machine = machine
        self.name = name
        self.sockets = sockets
        self.socket = sockets / "watchdog.sock"
        self.power = ""
        """Where a Pod of the cluster finds the nodes' power switch, once the stand-in has been started."""
        self.kubeconfig = kubeconfig
        self._environ = {"KUBECONFIG": str(kubeconfig), "KIND_CLUSTER_NAME": name}

    # -- up ---------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """From nothing to a manager and agents that run. Raises KindError, LackingError (an image that cannot be had)."""
        self.start_stand_in()
        build = (
            "docker",
            "build",
            "--network",
            "host",
            "-f",
            "operator/Dockerfile",
            "--target",
            "fencing",
            "-t",
            IMAGE,
            ".",
        )
        run(*build, limit_s=900)
        self._create()
        run(self.machine.kind, "load", "docker-image", IMAGE, "--name", self.name, limit_s=300)
        self.kubectl("apply", "-k", str(OVERLAY))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.rolled_out()

    def _create(self) -> None:
        if self.name in run(self.machine.kind, "get", "clusters").split():
            self.all_on()
            run(self.machine.kind, "export", "kubeconfig", "--name", self.name, environ=self._environ)
            return
        config = CONFIG.read_text().replace(str(watchdog_directory()), str(self.sockets))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(config)
            file.flush()
            if self.machine.rig is not None:
                run(self.machine.rig / "kind-up", file.name, limit_s=300, environ=self._environ)
                return
            create = ("create", "cluster", "--name", self.name, "--config", file.name, "--wait", "120s")
            try:
                run(self.machine.kind, *create, limit_s=600, environ=self._environ)
            except KindError as error:
                if "pull image" in str(error):
                    raise LackingError(f"kind's node image cannot be had: load it, or set RIG ({error})") from error
                raise

    def start_stand_in(self) -> None:
        """The watchdog, in a session of its own: it must outlive an impatient Control-C while nodes are armed."""
        self.sockets.mkdir(parents=True, exist_ok=True)
        self.stop_stand_in()
        self.power = free_port(run("docker", "network", "inspect", "bridge", "--format", GATEWAY).strip())
        power = ("--power", self.power, "--cluster", self.name)
        with (self.sockets / "stand-in.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", STAND_IN, "--socket", str(self.socket), *power],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.sockets / "stand-in.pid").write_text(f"{started.pid}\n")
        self.eventually(
            "the watchdog stand-in listens", lambda: self.socket.is_socket() or started.poll() is not None, 30
        )
        if started.poll() is not None:
            raise KindError(f"the watchdog stand-in ended: {(self.sockets / 'stand-in.log').read_text()}")

    def rolled_out(self) -> None:
        """Manager and agents run and are ready. Raises KindError."""
        wait = ("rollout", "status", f"--timeout={ROLLOUT_S}s")
        self.kubectl(*wait, "-n", "quorate-agents", "daemonset/quorate-agent", limit_s=ROLLOUT_S + 10)
        self.kubectl(*wait, "-n", "quorate-system", "deployment/quorate-manager", limit_s=ROLLOUT_S + 10)

    # -- down -------------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Nothing is left of it. Raises KindError that names what is, and how to remove it."""
        problems = []
        for _ in range(3):
            try:
                # A frozen node cannot be stopped in an orderly way; removing it by force works in any state.
                if containers := self._containers():
                    run("docker", "rm", "--force", "--volumes", *containers)
                run(self.machine.kind, "delete", "cluster", "--name", self.name, environ=self._environ)
                if not self._containers():
                    self.stop_stand_in()
                    return
            except KindError as error:
                problems.append(str(error))
            time.sleep(2)
        raise KindError(
            f"cluster {self.name} could not be removed, containers are left: {self._containers()}. "
            f"Remove them: kind delete cluster --name {self.name}. What happened: {problems}"
        )

    def stop_stand_in(self) -> None:
        """End the stand-in that this directory names, and only that."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int((self.sockets / "stand-in.pid").read_text())
            if STAND_IN.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(pid, 15)
        (self.sockets / "stand-in.pid").unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    def _containers(self) -> list[str]:
        listed = run("docker", "ps", "-aq", "--filter", f"label=io.x-k8s.kind.cluster={self.name}")
        return listed.split()

    # -- used -------------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, limit_s: float = 90.0) -> str:
        """What it printed; asked again where nobody answered. Raises KindError."""
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                return run(self.machine.kubectl, f"--kubeconfig={self.kubeconfig}", *arguments, limit_s=limit_s)
            except KindError as error:
                if time.monotonic() > deadline or not any(words in str(error) for words in UNANSWERED):
                    raise
            time.sleep(POLL_S)

    def apply(self, manifest: Json, *options: str) -> None:
        """Raises KindError."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(manifest, file)
            file.flush()
            self.kubectl("apply", "-f", file.name, *options)

    def get(self, *arguments: str) -> Json:
        """One object, or a List. Raises KindError."""
        found: Json = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def quorate(self, *arguments: str, codes: tuple[int, ...] = (0,), limit_s: float = 60) -> str:
        """Quorate's own command line, as a person runs it here. Raises KindError for any other exit code."""
        return run(
            *(sys.executable, "-m", "quorate.cli.main", *arguments),
            codes=codes,
            limit_s=limit_s,
            environ={**self._environ, "COLUMNS": "160"},
        )

    def nodes(self, state: str = "running") -> dict[str, str]:
        """The nodes that are on (or `exited`, `paused`), and the ids of their containers."""
        form = '{{.Label "io.x-k8s.kind.role"}} {{.Names}} {{.ID}}'
        named = ("--filter", f"label=io.x-k8s.kind.cluster={self.name}", "--filter", f"status={state}")
        rows = run("docker", "ps", "--no-trunc", "--format", form, *named).splitlines()
        return {name: container for _, name, container in (row.split() for row in rows)}

    def workers(self) -> list[str]:
        """Those that are on."""
        return sorted(node for node in self.nodes() if not node.endswith("-control-plane"))

    def all_on(self) -> None:
        """No node is off or frozen any more."""
        for verb, state in (("unpause", "paused"), ("start", "exited")):
            if found := self.nodes(state):
                run("docker", verb, *found)

    def power_off(self, node: str) -> None:
        """The machine loses power, and its watchdog with it.

        In this order: an agent that still lives opens a device that it has lost again, and its countdown would go on to
        kill the next boot.
        """
        run("docker", "kill", node)
        stand_in.unplug(self.socket, node)

    def power_on(self, *nodes: str) -> None:
        """Those that are on stay on."""
        run("docker", "start", *nodes)

    def unplug_network(self, node: str) -> None:
        """It runs on, and nobody hears of it, nor it of anybody. The next boot has its network again."""
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i"), ("FORWARD", "-o")):
            run("docker", "exec", node, "iptables", "-I", chain, way, "eth0", "-j", "DROP")

    def cut_api(self, node: str) -> None:
        """It reaches all but the API server. The next boot reaches that again."""
        address = self._address(f"{self.name}-control-plane")
        run("docker", "exec", node, "iptables", "-I", "OUTPUT", "-d", address, "-j", "DROP")

    def pause_control_plane(self, seconds: float) -> None:
        """It stands still for so long."""
        node = f"{self.name}-control-plane"
        run("docker", "pause", node)
        try:
            time.sleep(seconds)
        finally:
            run("docker", "unpause", node)

    def stop_process(self, node: str, word: str) -> None:
        """SIGSTOP to the process of the node with this word on its command line. Raises KindError."""
        run("docker", "exec", node, "pkill", "-STOP", "-f", word)

    def _address(self, node: str) -> str:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run("docker", "inspect", "--format", form, node).strip()

    def freeze(self, node: str) -> None:
        """The machine stands still, as a VM on a stuck hypervisor; only the watchdog outside of it goes on."""
        run("docker", "pause", node)

    def eventually(self, what: str, true: Callable[[], Found], limit_s: float = LIMIT_S) -> Found:
        """Wait until it is true, and return that. A command that fails meanwhile counts as not yet. Raises KindError."""
        deadline = time.monotonic() + limit_s
        last = ""
        while time.monotonic() < deadline:
            try:
                if found := true():
                    return found
                last = ""
            except KindError as error:
                last = f" (last: {error})"
            time.sleep(POLL_S)
        raise KindError(f"not within {limit_s:g}s: {what}{last}")

    # -- what is there when it went wrong ---------------------------------------------------------------------------

    def dump(self, directory: Path) -> None:
        """Logs and objects, whatever can still be had."""
        kubectl = [str(self.machine.kubectl), f"--kubeconfig={self.kubeconfig}", "--request-timeout=10s"]
        kinds = "clusters.quorate.dev,nodes.quorate.dev,haresources.quorate.dev,storages.quorate.dev,pods,leases,nodes"
        logs = [*kubectl, "logs", "--all-containers", "--prefix", "--tail=-1", "--max-log-requests=20"]
        commands = {
            "objects.yaml": [*kubectl, "get", kinds, "-A", "-o", "yaml"],
            "pods.txt": [*kubectl, "get", "pods", "-A", "-o", "wide"],
            "events.txt": [*kubectl, "get", "events", "-A", "--sort-by=.lastTimestamp"],
            "agents.log": [*logs, "-n", "quorate-agents", "-l", "app.kubernetes.io/component=agent"],
            "managers.log": [*logs, "-n", "quorate-system", "-l", "app.kubernetes.io/component=manager"],
            "containers.txt": ["docker", "ps", "-a"],
            "stand-in.log": ["cat", str(self.sockets / "stand-in.log")],
        }
        for node in self.nodes():
            commands[f"kubelet-{node}.log"] = ["docker", "exec", node, "journalctl", "-u", "kubelet", "--no-pager"]
        for name, command in commands.items():
            with (directory / name).open("wb") as file, suppress(subprocess.TimeoutExpired):
                subprocess.run(command, stdout=file, stderr=file, timeout=30, check=False)

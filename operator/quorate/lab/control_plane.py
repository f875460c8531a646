"""A real control plane for the lab: etcd, kube-apiserver and, where it is there, some of kube-controller-manager.

`python -m quorate.lab.control_plane --dir DIR --kubeconfig FILE` runs it on free loopback ports until SIGTERM. Everything
it knows lies in DIR, where it can be started again. A program that is killed is started again; one that ends by itself
ends all. Nothing in it knows nodes: the lab's virtual ones play kubelet, so
what waits for a scheduler, a kubelet's ServiceAccount or the node lifecycle is switched off.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quorate.lab.errors import LabError

_START_S: Final = 60.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05
_MEND_S: Final = 0.5
_NO_ADMISSION: Final = (
    "ServiceAccount",  # pods need no token of a ServiceAccount that nobody may have made yet
    "TaintNodesByCondition",  # would taint new nodes as not ready, and the controller that takes it off is not run
    "StorageObjectInUseProtection",  # its finalizers would need two more controllers
)
_CONTROLLERS: Final = ("garbage-collector-controller", "namespace-controller", "serviceaccount-controller")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are. Without the controller manager nothing collects garbage or empties namespaces."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None


def _cache(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(environ.get("QUORATE_CACHE") or Path(home) / "quorate")


def _release(directory: Path) -> tuple[int, ...]:
    numbers = directory.parent.name.removeprefix("k8s-").split(".")
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)


def find(name: str, environ: Mapping[str, str]) -> Path | None:
    """A program: from $KUBEBUILDER_ASSETS, else from PATH, else of the newest release in the cache."""
    places = [Path(environ["KUBEBUILDER_ASSETS"])] if environ.get("KUBEBUILDER_ASSETS") else []
    places += [Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part]
    places += sorted(_cache(environ).glob("k8s-*/bin"), key=_release, reverse=True)
    return next((place / name for place in places if os.access(place / name, os.X_OK)), None)


def find_programs(environ: Mapping[str, str]) -> Programs:
    """Raises LabError that says what is missing, where it was looked for, and how to get it."""
    etcd, apiserver = find("etcd", environ), find("kube-apiserver", environ)
    if etcd is None or apiserver is None:
        missing = " and ".join(name for name, path in (("etcd", etcd), ("kube-apiserver", apiserver)) if path is None)
        raise LabError(
            f"a real control plane needs {missing}: not found in KUBEBUILDER_ASSETS "
            f"({environ.get('KUBEBUILDER_ASSETS') or 'not set'}), on PATH, or in {_cache(environ)}/k8s-*/bin. "
            "Get them with setup-envtest (go run sigs.k8s.io/controller-runtime/tools/setup-envtest@latest use -p path "
            "1.34), set KUBEBUILDER_ASSETS to the directory it prints, and try again"
        )
    return Programs(etcd, apiserver, find("kube-controller-manager", environ))


def keys_in(directory: Path) -> Path:
    """Where a control plane in that directory has its keys and certificates."""
    return directory / "keys"


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one control plane: they stay the same over restarts, as the kubeconfig names one of them."""

    etcd: int
    peers: int
    api: int


class ControlPlane:
    """One control plane in one directory. `environ` is what its processes get: the caller puts its marks there."""

    def __init__(self, directory: Path, programs: Programs, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._programs = programs
        self._environ = dict(environ)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        self._keys = keys_in(directory)

    def start(self) -> str:
        """Run it until it is ready; returns a kubeconfig of an administrator. Raises LabError, then nothing runs."""
        self._keys.mkdir(parents=True, exist_ok=True)
        self._keys.chmod(0o700)
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> str:
        ports, token = self._ports(), self._token()
        self._make_keys()
        self._run("etcd", self._programs.etcd, *self._etcd_arguments(ports))
        self._run("kube-apiserver", self._programs.kube_apiserver, *self._apiserver_arguments(ports))
        kubeconfig = self._kubeconfig(ports, token)
        own = self._keys / "kubeconfig"
        own.write_text(kubeconfig)
        own.chmod(0o600)
        self._await_ready(f"https://127.0.0.1:{ports.api}", token)
        if self._programs.kube_controller_manager is not None:
            self._run(
                "kube-controller-manager",
                self._programs.kube_controller_manager,
                *self._controllers_arguments(own),
            )
        return kubeconfig

    def stop(self) -> None:
        """End it, the newest process first. What does not end on SIGTERM is killed."""
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def mend(self) -> list[str]:
        """Start again what was killed, on the same ports and data; returns what that was. What gave up by itself stays."""
        killed = [name for name, process in self._running.items() if (process.poll() or 0) < 0]
        for name in killed:
            self._spawn(name)
        return killed

    def failed(self, *, but_killed: bool = False) -> str:
        """What ended although it should run, with the last lines of its log; empty while all is well.

        `but_killed`: what was killed does not count, because `mend` is about to start it again.
        """
        for name, process in self._running.items():
            code = process.poll()
            if code is not None and not (but_killed and code < 0):
                log = self._log(name).read_text(errors="replace").splitlines()
                return "\n".join([f"{name} ended ({process.returncode}), its log: {self._log(name)}", *log[-10:]])
        return ""

    def _run(self, name: str, program: Path, *arguments: str) -> None:
        self._commands[name] = [str(program), *arguments]
        self._spawn(name)

    def _spawn(self, name: str) -> None:
        """In a session of its own, on a leash: nothing of it outlives this process."""
        with self._log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "quorate.lab.leash", str(os.getpid()), *self._commands[name]],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _ports(self) -> Ports:
        file = self._directory / "ports.json"
        if not file.exists():
            file.write_text(json.dumps(_free_ports(3)))
        return Ports(*json.loads(file.read_text()))

    def _token(self) -> str:
        file = self._keys / "tokens.csv"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"{secrets.token_hex(16)},admin,admin,system:masters\n")
        return file.read_text().partition(",")[0]

    def _make_keys(self) -> None:
        """kube-apiserver makes itself a key pair before it looks at its other flags: that saves us openssl."""
        key = self._keys / "apiserver.key"
        if not key.exists():
            command = [str(self._programs.kube_apiserver), "--cert-dir", str(self._keys), "--bind-address", "127.0.0.1"]
            made = subprocess.run(
                command, env=self._environ, capture_output=True, text=True, timeout=_START_S, check=False
            )
            if not key.exists():
                raise LabError(f"{self._programs.kube_apiserver} did not write {key}: {made.stderr[-500:]}")

    def _etcd_arguments(self, ports: Ports) -> list[str]:
        clients, peers = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.peers}"
        return [
            f"--data-dir={self._directory / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _apiserver_arguments(self, ports: Ports) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={ports.api}",
            f"--cert-dir={self._keys}",
            "--endpoint-reconciler-type=none",  # it refuses to publish a loopback address
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._keys / 'apiserver.key'}",
            f"--service-account-signing-key-file={self._keys / 'apiserver.key'}",
            f"--token-auth-file={self._keys / 'tokens.csv'}",
            "--allow-privileged=true",  # as every distribution does: the namespaces' PodSecurity decides
            f"--disable-admission-plugins={','.join(_NO_ADMISSION)}",
        ]

    def _controllers_arguments(self, kubeconfig: Path) -> list[str]:
        return [
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--controllers={','.join(_CONTROLLERS)}",
        ]

    def _kubeconfig(self, ports: Ports, token: str) -> str:
        cluster = {
            "server": f"https://127.0.0.1:{ports.api}",
            "certificate-authority": str(self._keys / "apiserver.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
        }
        return json.dumps(config, indent=2)

    def _await_ready(self, server: str, token: str) -> None:
        """Until it says so itself and has made the namespace `default`."""
        trust = ssl.create_default_context(cafile=str(self._keys / "apiserver.crt"))
        deadline = time.monotonic() + _START_S
        while not all(_answers(server + path, token, trust) for path in ("/readyz", "/api/v1/namespaces/default")):
            if failure := self.failed():
                raise LabError(failure)
            if time.monotonic() > deadline:
                raise LabError(
                    f"kube-apiserver was not ready within {_START_S:g}s, its log: {self._log('kube-apiserver')}"
                )
            time.sleep(_POLL_S)


def _answers(url: str, token: str, trust: ssl.SSLContext) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 only https
    try:
        with urllib.request.urlopen(request, timeout=5, context=trust) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:  # refused, reset, timed out, not found or not yet allowed
        return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.control_plane", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where it keeps everything; may exist")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="written when it is ready")
    given = parser.parse_args()
    # as an exception, so that whatever runs by then is ended
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        control_plane = ControlPlane(given.dir, find_programs(os.environ), os.environ)
        kubeconfig = control_plane.start()
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    given.kubeconfig.touch(mode=0o600)
    given.kubeconfig.write_text(kubeconfig)
    try:
        while not (failure := control_plane.failed(but_killed=True)):
            time.sleep(_MEND_S)
            for name in control_plane.mend():
                print(f"{name} was killed: it is started again", file=sys.stderr)
        print(failure, file=sys.stderr)
        return 1
    finally:
        control_plane.stop()


if __name__ == "__main__":
    sys.exit(main())

"""The API servers of the contract: each runs once a session, and knows Quorate's kinds."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quorate.api.crd import KINDS, crd
from quorate.lab.control_plane import ControlPlane
from tests import real
from tests.control_plane.client import Api

LIMIT_S = 60.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def eventually(found: Callable[[], Any], *, limit_s: float = LIMIT_S) -> Any:
    """The first true answer. Fails when there is none in time."""
    deadline = time.monotonic() + limit_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"it did not happen within {limit_s:g}s, last: {answer!r}"
        time.sleep(0.05)
    return answer


class Embedded:
    """The embedded server as a process of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> None:
        self.kubeconfig.unlink(missing_ok=True)
        command = [sys.executable, "-m", "quorate.lab.apiserver", "--port", str(port)]
        self._process = subprocess.Popen([*command, "--kubeconfig", str(self.kubeconfig), *self._arguments])
        process = self._process
        eventually(lambda: process.poll() is not None or (self.kubeconfig.exists() and self.kubeconfig.read_text()))
        assert process.poll() is None, "it ended"

    def stop(self, *, kill: bool = False) -> int:
        assert self._process is not None
        self._process.kill() if kill else self._process.terminate()
        return self._process.wait(LIMIT_S)


@contextmanager
def served(kind: str, directory: Path) -> Iterator[Path]:
    """A kubeconfig of a fresh server."""
    if kind == "embedded":
        embedded = Embedded(directory)
        embedded.start()
        try:
            yield embedded.kubeconfig
        finally:
            embedded.stop()
        return
    control_plane = ControlPlane(directory / "control-plane", real.programs(), os.environ)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(control_plane.start())
    try:
        install(Api(kubeconfig))
        yield kubeconfig
    finally:
        control_plane.stop()


def install(api: Api) -> None:
    """Our CRDs, until they can be used."""
    for kind in KINDS:
        definition = crd(kind)
        api.post(CRDS, definition).ok()
        path = f"/apis/quorate.dev/v1alpha1/{definition['spec']['names']['plural']}"
        eventually(lambda path=path: api.get(path).code == 200)

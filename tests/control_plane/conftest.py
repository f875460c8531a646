"""Everything here runs against the embedded server and against a real one."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import real
from tests.control_plane.client import Api
from tests.control_plane.servers import served

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a server that lives as long as the tests that use it."""
    with served(request.param, tmp_path_factory.mktemp(request.param)) as path:
        yield path


@pytest.fixture
def api(kubeconfig: Path) -> Api:
    return Api(kubeconfig)


@pytest.fixture
def controllers(api: Api) -> None:
    """For what the real server leaves to its controllers, which may be missing where it is not."""
    if api.token and real.programs().kube_controller_manager is None:
        real.cannot("kube-controller-manager is neither in $KUBEBUILDER_ASSETS nor on PATH nor in the cache")


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def namespace(api: Api, unique: str) -> str:
    """A namespace of one's own."""
    api.post("/api/v1/namespaces", {"metadata": {"name": unique}}).ok()
    return unique


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Kubectl:
    """kubectl("get", "qc") -> what it printed. It must succeed, unless `code` says otherwise."""
    program = real.kubectl()

    def run(*arguments: str, code: int = 0, manifest: object = None) -> "subprocess.CompletedProcess[str]":
        command = [
            program,
            f"--kubeconfig={kubeconfig}",
            f"--cache-dir={tmp_path}",
            "--request-timeout=30s",
            *arguments,
        ]
        text = manifest if isinstance(manifest, str) or manifest is None else json.dumps(manifest)
        ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == code, f"{arguments}: {ended.stdout}{ended.stderr}"
        return ended

    return run

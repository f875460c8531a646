"""Short directories (sockets have short paths), lab ids of one's own, and nothing left behind by any test."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from quorate.cli.main import main
from quorate.lab import processes
from tests import real
from tests.control_plane.servers import served
from tests.lab import clusters
from tests.lab.clusters import Cluster
from tests.lab.scene import Scene
from tests.unit.cli.conftest import Ended, Run

LONG = (
    "test_story.py",
    "test_storage.py",
    "test_kubevirt.py",
    "test_workload.py",
    "test_demo.py",
    "test_uninstall.py",
    "test_rights.py",
    "test_cli.py",
)
"""Files of few tests that take minutes: they come first, so that the last minutes are not one worker's alone."""

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
"""The lab finds its processes in /proc: it is for Linux only, and says so elsewhere."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="ql-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def lab_id() -> Iterator[str]:
    """Marks the processes of one test; what it leaves running is killed."""
    unique = f"test-{uuid.uuid4().hex[:8]}"
    yield unique
    processes.kill_all({processes.LAB: unique})


Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(lab_id: str) -> Iterator[Spawn]:
    """Starts a marked process: spawn("-c", "code", NODE="node1")."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, session: bool = True, **marks: str) -> "subprocess.Popen[bytes]":
        marked = {f"QUORATE_LAB_{name}": value for name, value in marks.items()}
        child = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, processes.LAB: lab_id, **marked},
            start_new_session=session,
        )
        children.append(child)
        return child

    yield start
    processes.kill_all({processes.LAB: lab_id})
    for child in children:
        child.wait()


KINDS = ["embedded", pytest.param("real", marks=pytest.mark.real)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of control plane, the real one where it can be had."""
    if request.param == "real":
        real.programs()
    found: str = request.param
    return found


@pytest.fixture(scope="session", params=KINDS)
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an API server that lives as long as the tests: the embedded one, then a real one."""
    with served(request.param, tmp_path_factory.mktemp(request.param)) as path:
        asyncio.run(clusters.until_answers(path))
        yield path


@pytest.fixture
async def cluster(kubeconfig: Path, lab_id: str, directory: Path) -> AsyncIterator[Cluster]:
    """A virtual node with its kubelet, Ready."""
    async with clusters.cluster(kubeconfig, lab_id, directory) as found:
        yield found


@pytest.fixture
def run(scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, as the lab's administrator."""
    monkeypatch.setenv("KUBECONFIG", str(scene.files.kubeconfig))

    def one(*arguments: str) -> Ended:
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return one

"""The command line against a stub: `run` is a command line, `stub` what answers it, `prod` a whole cluster in it."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from quorate.access.client import Api
from quorate.cli.main import main
from quorate.view.snapshot import Snapshot
from tests.unit.cli.stub import Stub, kubeconfig, serve
from tests.unit.cli.terminals import Terminal
from tests.unit.view import pictures


@dataclass
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with serve() as served:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", served.url, namespace="shop")))
        served.clock_s = pictures.NOW / 1000
        yield served


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def one(*arguments: str) -> Ended:
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line gives up on an API server at once, and on a manager that does not answer."""
    monkeypatch.setattr("quorate.access.client.Api", partial(Api, budget_s=0.05))
    monkeypatch.setattr("quorate.access.commands.ANSWER", "100ms")
    monkeypatch.setattr("quorate.access.expected.ANSWER", "100ms")


@pytest.fixture
def tmux() -> Iterator[Callable[..., Terminal]]:
    """A command in a terminal of its own: `tmux("quorate status -w", columns=80)`."""
    opened: list[Terminal] = []

    def start(command: str, **size: int) -> Terminal:
        opened.append(Terminal(command, **size))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def prod(stub: Stub) -> Stub:
    fill(stub, pictures.whole())
    return stub


def fill(stub: Stub, snapshot: Snapshot) -> None:
    """Everything in the picture, and a Kubernetes node and a Lease for each member."""
    for raw in (*snapshot.clusters, *snapshot.nodes, *snapshot.guests, *snapshot.storages):
        stub.put(raw)
    for node in snapshot.nodes:
        stub.put(pictures.kube_node(node["metadata"]["name"]))
    for namespace, leases in (("quorate-agents", snapshot.leases), ("quorate-system", snapshot.leaders)):
        for lease in leases or ():
            stub.put(pictures.as_object(lease, namespace))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody sits there and types this."""

    def types(text: str) -> None:
        stdin = io.StringIO(text)
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", stdin)

    return types

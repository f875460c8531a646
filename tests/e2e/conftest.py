"""One kind cluster for all tests here. It is removed whatever happens; when something failed, its logs are kept."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from quorate.lab.observer import Observer
from tests import real
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster, played
from tests.e2e.machine import KindError, LackingError
from tests.e2e.play import GUEST, SAMPLES, at_rest, runs_once

NAME: Final = "quorate-e2e"
CLUSTER: Final = pytest.StashKey[KindCluster]()
TIMES: Final = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[KindCluster]:
    """Quorate runs in it: managers and agents are ready, no Cluster has been made."""
    try:
        with played(NAME, lambda made: pytestconfig.stash.__setitem__(CLUSTER, made)) as found:
            yield found
    except LackingError as lacking:
        real.cannot(str(lacking))


@pytest.fixture(scope="session")
def observer(cluster: KindCluster) -> Iterator[Observer]:
    """Watches the guest's processes on all nodes from the beginning to the end."""
    eye = eyes.NodeEye(GUEST, eyes.command_of(SAMPLES / "kind.yaml", GUEST), cluster.nodes())
    with Observer(eye, interval_s=0.2) as found:
        yield found


@pytest.fixture
def guest(cluster: KindCluster, observer: Observer) -> str:
    """The sample of kind.yaml, Ready in a cluster that is whole; the node it runs on."""
    cluster.all_on()  # where the test before has failed
    cluster.kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
    at_rest(cluster)
    return runs_once(cluster, observer)


@pytest.fixture
def took(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run: what took how long."""
    return pytestconfig.stash.setdefault(TIMES, [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The uninstall comes last: nothing of Quorate is left after it."""
    items.sort(key=lambda item: item.path.name == "test_uninstall.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failure names the directory with everything that was there at that moment."""
    report: pytest.TestReport = yield
    cluster = item.config.stash.get(CLUSTER, None)
    if report.failed and report.when != "teardown" and cluster is not None:
        directory = Path(tempfile.mkdtemp(prefix="quorate-e2e-failed-"))
        try:
            cluster.dump(directory)
        except (KindError, OSError) as error:
            (directory / "dump-failed.txt").write_text(str(error))
        report.sections.append(("kind", f"logs and objects are in {directory}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(TIMES, []):
        terminalreporter.write_line(line)

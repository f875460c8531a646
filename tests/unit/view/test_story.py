"""The report through the story of the design, on statuses that the real plan wrote: nothing here is made up."""

import io

import pytest
from rich.console import Console

from quorate.view.build import build
from quorate.view.nodes import QUIET
from quorate.view.report import Health, Report
from quorate.view.table import StatusView
from tests.toy import Toy
from tests.unit.view.recorded import now_of, snapshot_of


def report_of(toy: Toy) -> Report:
    return build(snapshot_of(toy), now_of(toy))


def draw(report: Report) -> str:
    file = io.StringIO()
    Console(file=file, width=120, force_terminal=True, color_system=None).print(StatusView(report, verbose=True))
    return file.getvalue()


@pytest.fixture
def toy() -> Toy:
    made = Toy(3)
    made.manager()
    made.run_until(lambda: made.cluster.status.quorate, 10, "quorum")
    made.add_guest()
    made.run_until(lambda: report_of(made).health is Health.HEALTHY, 20, "all is well")
    return made


def test_a_node_that_is_well_is_quiet(toy):
    assert {view.status.message for view in toy.nodes.values()} == {QUIET}
    assert all(not node.why for node in report_of(toy).clusters[0].nodes)


def test_the_story(toy):
    assert "all as wished" in draw(report_of(toy))

    toy.power_off("n1")
    toy.run_until(lambda: report_of(toy).health is Health.CRITICAL, 15, "n1 is missed")
    (line,) = report_of(toy).clusters[0].attention
    assert line.object == "Node n1"
    assert line.until is not None
    assert "waiting for its Lease to expire" in draw(report_of(toy))

    toy.run_until(lambda: report_of(toy).clusters[0].guests[0].ready, 20, "recovery")
    report = report_of(toy)
    assert report.health is Health.DEGRADED
    assert report.clusters[0].nodes[0].taken
    assert "recovered from n1 in" in draw(report)

    toy.power_off("n2")
    toy.run_until(lambda: not toy.cluster.status.quorate, 20, "quorum is lost")
    toy.run(20)
    first = report_of(toy).clusters[0].attention[0]
    assert "quorate cluster expected 1 --reason TEXT" in first.remedy
    assert "1 of 3 votes" in first.finding

    toy.expect_votes(1)
    toy.run_until(lambda: report_of(toy).clusters[0].guests[0].ready, 20, "recovery under expected 1")
    assert [one.finding for one in report_of(toy).clusters[0].attention] == [
        "expectedVotes 1 is in force until a real majority lives again"
    ]

    toy.power_on("n1")
    toy.power_on("n2")
    toy.run_until(lambda: report_of(toy).health is Health.HEALTHY, 30, "the cluster is whole")

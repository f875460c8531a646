"""The benchmarks' own parts: a line says whether its goal was reached, and the page is what the lines say."""

import json
import os

import pytest

from quorate.core.types import SchedulingMode
from tests.bench import page, plan_round, use
from tests.bench.__main__ import BENCHMARKS
from tests.bench.lines import Line, about, decode, missed

FAST = Line("power-loss", "Fast", "s", (14.5, 15.25, 15.0), 20.0, {"more_s": 1.5, "seen": ["a"]})


def test_a_line_tells_its_numbers_its_goal_and_where_it_was_measured():
    found = json.loads(FAST.encode(about("python -m tests.bench power-loss")))
    assert [found[name] for name in ("min", "median", "max", "goal", "reached")] == [14.5, 15.0, 15.25, 20.0, True]
    assert found["command"] == "python -m tests.bench power-loss"
    assert decode(json.dumps(found)) == FAST


@pytest.mark.parametrize(("goal", "reached"), [(15.25, True), (15.2, False), (None, None)])
def test_one_value_above_the_goal_is_enough_to_miss_it(goal, reached):
    line = Line("power-loss", "Fast", "s", FAST.values, goal)
    assert line.reached is reached
    assert missed([line]) == ([line] if reached is False else [])


def test_the_page_is_written_from_the_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "LINES", tmp_path / "lines")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page")
    told = about("python -m tests.bench power-loss")
    soak = Line("soak", "guests moved", "", (0.0, 1.0), 0.0)
    page.record("soak", [soak.encode(told)])
    page.record("power-loss", [FAST.encode(told)])
    page.record("power-loss", [FAST.encode(told)])
    text = (tmp_path / "page").read_text()
    assert "| Fast | 3 | 14.5 s | 15 s | 15.2 s | 20 s | yes | more 1.5 s |" in text
    assert "| guests moved | 2 | 0 | 0.5 | 1 | 0 | **no** |  |" in text
    assert text.index("## A node is lost") < text.index("## Pressure")
    assert [json.loads(line)["benchmark"] for line in (tmp_path / "lines").read_text().splitlines()] == [
        "power-loss",
        "soak",
    ]


def test_the_committed_page_says_what_the_committed_lines_say(tmp_path, monkeypatch):
    committed = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "page")
    page.write()
    assert (tmp_path / "page").read_text() == committed


def test_every_benchmark_has_its_words_on_the_page():
    assert set(BENCHMARKS) == set(page.SECTIONS)


def test_memory_is_counted_as_the_kernel_does():
    """Two of the same process share everything: alone they would need no more than the anonymous part twice."""
    one, two = use.memory(os.getpid()), use.memory(os.getpid(), os.getpid())
    assert one.pss <= one.alone <= one.rss
    assert two.rss == pytest.approx(2 * one.rss, rel=0.05)
    assert one.alone < two.alone < two.rss
    assert use.peak_mib(os.getpid()) >= one.rss * 0.9
    assert use.cpu_s(os.getpid()) > 0


@pytest.mark.parametrize(("mode", "rules"), [(SchedulingMode.BASIC, 0), (SchedulingMode.DYNAMIC, 50)])
def test_the_rounds_that_fence_a_node_recover_all_its_guests(mode, rules):
    """Of any size and in every mode: what it measures must be there, and nothing else be going on."""
    found = plan_round.measure(3, 30, mode, rules)
    assert found["recovered"] == 10
    assert 0 < found["longest_s"] <= found["fence_s"]

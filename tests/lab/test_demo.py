"""The demo: the whole story on both API servers, and what it says when something is not as it should be."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cli.demo import play as demo
from quorate.cli.demo.script import STORY
from quorate.cli.demo.stage import Stage, StepError
from quorate.cli.demo.steps import Step
from quorate.cli.main import main
from quorate.lab import processes
from quorate.lab.files import known_labs, lab_files, read_state
from tests.lab.scene import own_cache
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def cache() -> Iterator[Path]:
    with own_cache() as path:
        yield path


def test_the_story(kind: str, tmp_path: Path, cache: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "quorate.cli.main", "lab", "demo", "--control-plane", kind, "--json", str(report)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    steps = json.loads(report.read_text())
    assert [step["step"] for step in steps] == [*(step.key for step in STORY), "at-most-once"]
    assert all(step["ok"] and step["detail"] for step in steps)
    assert all(set(step) == {"step", "started_s", "finished_s", "seconds", "ok", "detail"} for step in steps)
    assert [step["started_s"] for step in steps] == sorted(step["started_s"] for step in steps)
    assert "All 13 steps went as they should" in ended.stdout
    assert ended.stdout.count("120.0s") == 2, "Proxmox's times stand beside both recoveries"
    assert known_labs() == []
    assert list((cache / "labs").iterdir()) == []


def only(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    monkeypatch.setattr(demo, "STORY", steps)


def test_a_step_that_fails_ends_the_story_and_leaves_the_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(_: Stage) -> str:
        raise StepError("waited 1s for a miracle; now: nothing")

    only(monkeypatch, Step("wrong", "Wait for a miracle", wrong), STORY[0])
    report = tmp_path / "report.json"
    assert main(["lab", "demo", "--json", str(report)]) == 1
    said = capsys.readouterr()
    assert "Step 1 failed: Wait for a miracle. waited 1s for a miracle; now: nothing" in said.out
    assert [(step["step"], step["ok"]) for step in json.loads(report.read_text())] == [("wrong", False)]
    kept = re.search(r"are kept in (\S+)", said.err)
    assert kept is not None
    assert (Path(kept[1]) / "log" / "manager-1.log").exists()
    assert (Path(kept[1]) / "node3" / "agent.log").exists()
    assert known_labs() == []


def test_a_story_that_was_not_played_to_its_end_has_no_good_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, *STORY[:3])
    assert main(["lab", "demo"]) == 1
    assert "the observer saw ct:default/web run on ['node1']" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "demo", "--json", str(tmp_path / "missing" / "report.json")]) == 64
    said = capsys.readouterr().err
    assert "No such file or directory. Name a file that can be written" in said
    assert "setting up" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_interrupted_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    report = tmp_path / "out"
    with report.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "quorate.cli.main", "lab", "demo"], stdout=out)
        asyncio.run(eventually(lambda: b"ct:default/web runs on node1" in report.read_bytes(), "the third step"))
        lab = read_state("demo").id
        process.send_signal(number)
        assert process.wait(60) == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert processes.scan({processes.LAB: lab}) == []
    assert not lab_files("demo").root.exists()

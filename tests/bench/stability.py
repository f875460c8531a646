"""Complete runs of the faults, one after the other: how many in a row went without a failure.

Twenty of them take a night on two cores, so each one is kept: a run of this benchmark goes on where the last one ended.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree as ET

from tests.bench.lines import Line, tell

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "docs" / "stability.jsonl"


@dataclass(frozen=True, slots=True)
class _Run:
    """One complete run: of which commit, how many tests it had, which of them failed, and minutes."""

    when: str
    commit: str
    tests: int
    failed: tuple[str, ...]
    minutes: float


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=1, help="complete runs of make faults that are added")
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="FILE", help="every run so far")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Two series over the runs since one failed last."""
    for _ in range(given.runs):
        ran = _play()
        tell(f"{ran.tests} tests in {ran.minutes:g} min, failed: {', '.join(ran.failed) or 'none'}")
        with given.kept.open("a") as kept:
            kept.write(f"{json.dumps(asdict(ran))}\n")
    texts = given.kept.read_text().splitlines() if given.kept.exists() else []
    row: list[_Run] = []
    for ran in (_Run(**json.loads(text)) for text in texts):
        row = [ran] if ran.failed or (row and row[-1].failed) else [*row, ran]
    if not row:
        return
    notes = {"tests": row[-1].tests, "commits": sorted({ran.commit for ran in row})}
    yield Line(
        "stability", "complete runs of the faults in a row: failed", "", tuple(len(one.failed) for one in row), 0, notes
    )
    yield Line("stability", "the same: time of one", "min", tuple(one.minutes for one in row))


def _play() -> _Run:
    """`make faults`, with what failed read from its report."""
    began_s = time.monotonic()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = (sys.executable, "-m", "pytest", "tests/faults", "-m", "faults", "-n", "3", "--dist", "loadgroup")
        subprocess.run((*command, "-q", f"--junitxml={report}"), cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 pytest wrote it just now
    bad = [case for case in cases if any(case.find(word) is not None for word in ("failure", "error", "skipped"))]
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in bad)
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    return _Run(when, commit, len(cases), names, round((time.monotonic() - began_s) / 60, 1))

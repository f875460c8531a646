"""Play the story: bring a lab up, go through the steps, say how it went, and leave nothing behind."""

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from quorate.access.errors import CliError, UsageError
from quorate.cli.demo.record import Record
from quorate.cli.demo.screen import Screen, shown
from quorate.cli.demo.script import STORY, verdict
from quorate.cli.demo.stage import Stage, StepError
from quorate.cli.demo.steps import Step, played, tell
from quorate.cli.output import console, note
from quorate.lab import client
from quorate.lab.errors import LabError
from quorate.lab.files import LabFiles, lab_files
from quorate.lab.observer import Observer
from quorate.lab.options import Options

LAST: Step[Stage] = Step("at-most-once", "At most one instance ever ran", lambda _: "")
TERMINATED = 128 + signal.SIGTERM


def play(options: Options, report: Path | None) -> int:
    """The demo in a lab of its own; 0 if every step went as the story says. Raises CliError and LabError."""
    _check_writable(report)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception, so that the lab is taken down
    files = lab_files(options.name)
    note(f"setting up a lab of {options.nodes} nodes, {options.managers} managers, {options.control_plane} API server")
    lab = client.up(options, tell=note)
    try:
        with Observer(str(lab["id"])) as observer, shown(console(), [step.title for step in (*STORY, LAST)]) as screen:
            records = _steps(Stage(options.name, files.kubeconfig, observer, screen), screen, files)
        ok = all(record.ok for record in records)
        if not ok:
            note(f"the lab's logs and kubeconfig are kept in {_keep(files)}")
    finally:
        client.down(options.name)
    _tell(records, report)
    return 0 if ok else 1


def _steps(stage: Stage, screen: Screen, files: LabFiles) -> list[Record]:
    """Until the end or the first step that fails."""
    last: Step[Stage] = Step(LAST.key, LAST.title, lambda stage: verdict(stage, files))
    return played(stage, (*STORY, last), screen, (StepError, CliError, LabError))


def _tell(records: Sequence[Record], report: Path | None) -> None:
    tell(records)
    if report is not None:
        report.write_text(json.dumps([record.as_json() for record in records], indent=2) + "\n")


def _check_writable(report: Path | None) -> None:
    """Before two minutes are spent. Raises UsageError."""
    if report is None:
        return
    try:
        with report.open("a"):
            pass
    except OSError as error:
        raise UsageError(f"--json {report}: {error.strerror}. Name a file that can be written") from error


def _keep(files: LabFiles) -> Path:
    """A copy of what tells why, outside of the lab that is about to be removed."""
    kept = Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    shutil.copytree(files.log, kept / "log")
    for node in sorted(path.name for path in (files.root / "nodes").iterdir()):
        shutil.copytree(files.node(node).log, kept / node)
    return kept

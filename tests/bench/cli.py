"""The command line with 32 nodes and 5,000 guests on a real API server: how long somebody waits for an answer.

Wall-clock time of whole processes, from their start to their end, as a person counts it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.filled import NAMESPACE, beating, control_plane, fill, guest_name
from tests.bench.lines import Line

START_GOAL_S, STATUS_GOAL_S = 0.4, 1.0
ASKED: Final = (
    ("status", STATUS_GOAL_S),
    ("status -o json", None),
    ("status -A", None),
    ("list", None),
    (f"explain {NAMESPACE}/{guest_name(1)}", None),
    ("what-if --fail n01", None),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--guests", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5, help="of each command line")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Start it, fill an API server, ask."""
    yield Line("cli", "starts (quorate version)", "s", _timed("version", given.runs), START_GOAL_S)
    with tempfile.TemporaryDirectory(prefix="qb-") as directory, ExitStack() as ends:
        kubeconfig = ends.enter_context(control_plane(Path(directory)))
        fill(kubeconfig, given.nodes, given.guests)
        ends.enter_context(beating(kubeconfig, given.nodes))
        what = f"{given.nodes} nodes, {given.guests} guests"
        for words, goal_s in ASKED:
            yield Line("cli", f"{what}: quorate {words}", "s", _timed(words, given.runs, kubeconfig), goal_s)


def _timed(words: str, runs: int, kubeconfig: Path | None = None) -> tuple[float, ...]:
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig is not None else {})}
    program = Path(sys.executable).with_name("quorate")
    times_s = []
    for _ in range(runs):
        began_s = time.monotonic()
        subprocess.run([program, *words.split()], env=environment, stdout=subprocess.DEVNULL, check=True)
        times_s.append(time.monotonic() - began_s)
    return tuple(times_s)

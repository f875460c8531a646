"""What is asked of the kernel so that a pet comes in time, and what is said when it is refused."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from quorate.agent import realtime


def refuses(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_the_shield(tmp_path):
    score = tmp_path / "oom_score_adj"
    score.write_text("0")
    assert realtime.shield(score) == ""
    assert score.read_text() == "-1000"
    assert "may kill the agent when memory is short (No such file" in realtime.shield(tmp_path / "none" / "score")


def test_the_priority(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: asked.append((given[1], given[2].sched_priority)))
    assert realtime.raise_priority() == ""
    assert asked == [(os.SCHED_RR, 1)]


def test_the_best_ordinary_priority_where_a_real_time_one_is_refused(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", refuses)
    monkeypatch.setattr(os, "setpriority", lambda *given: asked.append(given))
    assert realtime.raise_priority() == (
        "no real-time priority (Operation not permitted): the best ordinary one is used (nice -20)"
    )
    assert asked == [(os.PRIO_PROCESS, 0, -20)]
    monkeypatch.setattr(os, "setpriority", refuses)
    assert "priority is not raised (Operation not permitted)" in realtime.raise_priority()


@pytest.mark.parametrize("result", [0, -1])
def test_memory(monkeypatch, result):
    asked = []
    libc = SimpleNamespace(mlockall=lambda flags: asked.append(flags) or result, munlockall=lambda: asked.append("not"))
    monkeypatch.setattr(realtime.ctypes, "CDLL", lambda *_, **__: libc)
    assert bool(realtime.lock_memory()) is (result != 0)
    assert asked == ([7] if result == 0 else [7, "not"])


def test_in_a_process_it_is_done_or_said():
    program = (
        "import os; from pathlib import Path; from quorate.agent import realtime\n"
        "said = ' '.join(realtime.prepare())\n"
        "locked = int(Path('/proc/self/status').read_text().split('VmLck:')[1].split()[0])\n"
        "assert (locked > 0) is ('memory is not locked' not in said), (locked, said)\n"
        "real = os.sched_getscheduler(0) == os.SCHED_RR\n"
        "assert real is ('priority' not in said), said\n"
        "score = Path('/proc/self/oom_score_adj').read_text().strip()\n"
        "assert (score == '-1000') is ('may kill the agent' not in said), (score, said)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

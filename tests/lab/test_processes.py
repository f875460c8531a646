"""Processes are found by their marks, killed to the last one, and frozen ones die without running again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quorate.lab import processes
from quorate.lab.processes import LAB, NODE
from tests.lab.conftest import Spawn
from tests.lab.waiting import eventually, still

SLEEP = ("-c", "import time; time.sleep(600)")
FAMILY = """
import subprocess, sys, time
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=session)
time.sleep(600)
"""
WITNESSED = 40
WITNESS = f"""
import os, subprocess, sys
children = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range({WITNESSED})]
with open(sys.argv[1], "w", buffering=1) as saw:
    pid, status = os.wait()
    print(pid, file=saw)
"""
WRITER = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
file = open(sys.argv[1], "ab", buffering=0)
while True:
    file.write(b"x")
"""


async def test_it_finds_what_is_marked_and_its_children_and_nothing_else(spawn: Spawn, lab_id: str) -> None:
    first = spawn("-c", FAMILY, NODE="node1")
    spawn(*SLEEP, NODE="node2")
    found = await eventually(lambda: len(processes.scan({LAB: lab_id, NODE: "node1"})) == 3)
    assert found
    assert first.pid in {process.pid for process in processes.scan({LAB: lab_id, NODE: "node1"})}
    assert len(processes.scan({LAB: lab_id})) == 4
    assert processes.scan({LAB: lab_id, NODE: "node3"}) == []


async def test_seen_asleep_and_awake_a_process_is_the_same_one(spawn: Spawn, lab_id: str) -> None:
    """A sleeper that is stopped between two looks has another state, and nothing else is compared."""
    sleeper = spawn(*SLEEP)
    [asleep] = processes.scan({LAB: lab_id})
    sleeper.send_signal(signal.SIGSTOP)
    await eventually(lambda: processes.scan({LAB: lab_id})[0].state == "T")
    assert processes.scan({LAB: lab_id}) == [asleep]
    other = spawn(*SLEEP)
    [second] = [process for process in processes.scan({LAB: lab_id}) if process.pid == other.pid]
    assert second != asleep


async def test_kill_all_leaves_nothing_of_a_node_and_all_of_the_others(spawn: Spawn, lab_id: str) -> None:
    spawn("-c", FAMILY, NODE="node1")
    other = spawn(*SLEEP, NODE="node2")
    await eventually(lambda: len(processes.scan({LAB: lab_id})) == 4)
    assert processes.kill_all({LAB: lab_id, NODE: "node1"}) == 3
    assert [process.pid for process in processes.scan({LAB: lab_id})] == [other.pid]


async def test_a_power_cut_leaves_nobody_to_tell_of_another_death(spawn: Spawn, lab_id: str, directory: Path) -> None:
    """What outlives a child by a moment, as a kubelet might its guests, would write it down."""
    spawn("-c", WITNESS, str(directory / "saw"))
    await eventually((directory / "saw").exists)
    assert processes.cut_power({LAB: lab_id}) == 1 + WITNESSED
    assert (directory / "saw").read_text() == ""


async def test_kill_all_spares_the_group_of_a_stranger(spawn: Spawn, lab_id: str) -> None:
    """A marked process in the caller's own group: the group is not ours, and this test lives on to say so."""
    child = spawn(*SLEEP, session=False)
    assert os.getpgid(child.pid) == os.getpgid(0)
    await eventually(lambda: processes.scan({LAB: lab_id}))
    assert processes.kill_all({LAB: lab_id}) == 1


async def test_what_forks_while_it_is_killed_is_killed_as_well(spawn: Spawn, lab_id: str) -> None:
    forks = (
        "import os, time\nfor _ in range(6):\n    time.sleep(0.01)\n    if os.fork() == 0: os.setsid()\ntime.sleep(600)"
    )
    spawn("-c", forks)
    await eventually(lambda: len(processes.scan({LAB: lab_id})) > 1)
    processes.kill_all({LAB: lab_id})
    assert processes.scan({LAB: lab_id}) == []


async def test_frozen_processes_do_not_run_until_they_are_thawed(spawn: Spawn, lab_id: str, directory: Path) -> None:
    written = directory / "written"
    spawn("-c", WRITER, str(written))
    await eventually(lambda: written.exists() and written.stat().st_size > 0)
    assert processes.freeze({LAB: lab_id}) == 1
    size = written.stat().st_size
    await still(lambda: written.stat().st_size == size, 0.1)
    assert processes.thaw({LAB: lab_id}) == 1
    await eventually(lambda: written.stat().st_size > size)


@pytest.mark.parametrize("attempt", range(5))
async def test_frozen_processes_are_killed_without_running_again(
    spawn: Spawn, lab_id: str, directory: Path, attempt: int
) -> None:
    """Also one in a group of its own, which the kernel wakes when its parent's death leaves it orphaned."""
    written = directory / "written"
    child = [sys.executable, "-c", WRITER, str(written)]
    spawn("-c", f"import subprocess, time; subprocess.Popen({child}, process_group=0); time.sleep(600)")
    await eventually(lambda: written.exists() and written.stat().st_size > 0)
    processes.freeze({LAB: lab_id})
    size = written.stat().st_size
    processes.kill_all({LAB: lab_id})
    assert written.stat().st_size == size


def test_a_pid_that_is_gone_or_a_zombie_does_not_run() -> None:
    child = subprocess.Popen(["true"])
    while (process := processes.inspect(child.pid)) is not None and process.state != "Z":
        time.sleep(0.001)
    assert processes.start_ticks(child.pid) is None
    child.wait()
    assert processes.start_ticks(child.pid) is None
    assert processes.start_ticks(os.getpid()) is not None


def test_a_process_on_a_leash_ends_with_the_one_that_asked_for_it(spawn: Spawn, lab_id: str) -> None:
    """Asked for by a process that is killed: no handler of its own could have ended its child."""
    leash = "[sys.executable, '-m', 'quorate.lab.leash', str(os.getpid()), 'sleep', '600']"
    parent = spawn("-c", f"import os, subprocess, sys, time; subprocess.Popen({leash}); time.sleep(600)")
    deadline = time.monotonic() + 30
    while not any(_command(process.pid) == b"sleep\x00600\x00" for process in processes.scan({LAB: lab_id})):
        assert time.monotonic() < deadline
    parent.kill()
    parent.wait()
    while processes.scan({LAB: lab_id}):
        assert time.monotonic() < deadline


def _command(pid: int) -> bytes | None:
    return processes.read_bytes(f"/proc/{pid}/cmdline")


async def test_a_parent_that_waits_for_a_child_stopped_before_its_exec_counts_as_frozen(
    spawn: Spawn, lab_id: str
) -> None:
    """The child of a vfork is stopped: its parent sleeps in the kernel, and no signal shows in its state."""
    vfork = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
if libc.vfork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
time.sleep(600)
"""
    spawn("-c", vfork)
    await eventually(lambda: sorted(process.state for process in processes.scan({LAB: lab_id})) == ["D", "T"])
    assert processes.freeze({LAB: lab_id}) == 2
    assert processes.kill_all({LAB: lab_id}) == 2

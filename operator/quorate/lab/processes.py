"""Processes of a lab, found by what they carry, not by what somebody remembers.

Everything a lab starts has markers in its environment, and children inherit them. So "everything of node1" can be found
in /proc at any time, also by a process that started none of it: after a crash, or from outside, as a watchdog or an
observer stands outside. A process that empties its environment hides: a lab's guests are no adversaries.
Standard library only: the machine's init and the watchdog are made of this.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from quorate.lab.errors import LabError

LAB: Final = "QUORATE_LAB"
NODE: Final = "QUORATE_LAB_NODE"
BOOT: Final = "QUORATE_LAB_BOOT"
GUEST: Final = "QUORATE_LAB_GUEST"
POD: Final = "QUORATE_LAB_POD"
INSTANCE: Final = "QUORATE_LAB_INSTANCE"
CONTAINER: Final = "QUORATE_LAB_CONTAINER"
ROLE: Final = "QUORATE_LAB_ROLE"
RESUMED: Final = "QUORATE_RESUMED"
"""Of a guest that goes on where it came from, by a live migration."""
SERVICE: Final = "QUORATE_LAB_SERVICE"
"""Of what runs outside of the nodes: manager-1, api-server, watchdog, front."""

GONE_STATES: Final = frozenset("ZXx")
"""A zombie runs no more: it waits for its parent to look."""
FROZEN_STATES: Final = frozenset("Tt") | GONE_STATES
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc showed it. `start_ticks` (field 22 of its stat) tells it from a later one of the same pid.

    Those two are its identity: seen again, asleep or awake, with a new parent or not, it equals what was seen before.
    """

    pid: int
    ppid: int = field(compare=False)
    pgid: int = field(compare=False)
    state: str = field(compare=False)
    start_ticks: int
    marks: Mapping[str, str] = field(default_factory=dict, compare=False)


def read_bytes(path: str) -> bytes | None:
    """A file of /proc, None when it or its process is gone or belongs to somebody else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def inspect(pid: int) -> Process | None:
    """The process without its marks, None when there is none of that pid."""
    raw = read_bytes(f"/proc/{pid}/stat")
    if not raw:
        return None
    # The name may contain spaces and parentheses: fields are counted from its last one.
    fields = raw[raw.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[2]), fields[0].decode(), int(fields[19]))


def marks_of(environ: bytes) -> dict[str, str]:
    """The markers among the variables of /proc/PID/environ."""
    found = {}
    for entry in environ.split(b"\0"):
        if entry.startswith(b"QUORATE_LAB"):
            name, _, value = entry.partition(b"=")
            found[name.decode()] = value.decode(errors="replace")
    return found


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 a Path per pid costs too much


def scan(wanted: Mapping[str, str]) -> list[Process]:
    """Every living process that carries all of these marks, but for the caller itself.

    A process in the middle of an exec shows an empty environment: it is taken for its parent's.
    """
    marked: dict[int, Process] = {}
    bare: list[Process] = []
    for pid in pids():
        environ = read_bytes(f"/proc/{pid}/environ")
        if environ is None or (environ and LAB.encode() not in environ):
            continue
        process = inspect(pid)
        if process is None or process.state in GONE_STATES:
            continue
        found = Process(pid, process.ppid, process.pgid, process.state, process.start_ticks, marks_of(environ))
        if environ:
            marked[pid] = found
        elif process.ppid in marked or process.ppid > 2:
            bare.append(found)
    for process in bare:
        if process.ppid in marked:
            marked[process.pid] = process
    own = os.getpid()
    return [
        process
        for process in marked.values()
        if process.pid != own and wanted.items() <= (process.marks or marked[process.ppid].marks).items()
    ]


def start_ticks(pid: int) -> int | None:
    """Start time of a running process in clock ticks since the kernel's boot, None when it does not run."""
    process = inspect(pid)
    return process.start_ticks if process is not None and process.state not in GONE_STATES else None


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process, never a later one of the same pid."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if start_ticks(process.pid) == process.start_ticks:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def kill_all(wanted: Mapping[str, str], *, timeout_s: float = 10.0) -> int:
    """Kill everything that carries these marks and see it gone. Returns how many there were. Raises LabError.

    Stopped processes die without running again. Whole groups first and the newest first: the death of a parent makes
    the kernel wake a stopped group that it leaves orphaned (POSIX), so children must be dying before their parents.
    """
    deadline = time.monotonic() + timeout_s
    killed: set[tuple[int, int]] = set()
    quiet = 0
    while quiet < 2:
        found = sorted(scan(wanted), key=lambda process: (process.start_ticks, process.pid), reverse=True)
        quiet = 0 if found else quiet + 1
        _kill(found)
        killed.update((process.pid, process.start_ticks) for process in found)
        if found and time.monotonic() > deadline:
            raise LabError(f"still running after SIGKILL and {timeout_s:g}s: {_names(found)}")
        time.sleep(0.002)
    return len(killed)


def cut_power(wanted: Mapping[str, str]) -> int:
    """Kill everything at one moment, as seen from inside: no part may live to tell of another's death.

    A kubelet that outlives its guests by a moment reports that they failed; a machine without power reports nothing.
    Returns how many there were. Raises LabError.
    """
    freeze(wanted)
    return kill_all(wanted)


def _kill(found: list[Process]) -> None:
    ours = {process.pid for process in found}
    groups = set()
    for process in found:
        # A group whose leader is not ours may hold others: then only its members that are.
        if process.pgid not in ours:
            send(process, signal.SIGKILL)
        elif process.pgid not in groups:
            groups.add(process.pgid)
            try:
                os.killpg(process.pgid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def freeze(wanted: Mapping[str, str], *, timeout_s: float = 10.0) -> int:
    """Stop everything that carries these marks, also what is forked meanwhile. Returns how many. Raises LabError.

    One that sleeps in the kernel (state D) with the signal pending counts as stopped: it cannot come back to its own
    code. A parent waits so for a child that was stopped between its vfork and its exec.
    """
    deadline = time.monotonic() + timeout_s
    told: set[tuple[int, int]] = set()
    while running := [process for process in scan(wanted) if not _is_stopped(process, told)]:
        for process in running:
            send(process, signal.SIGSTOP)
            told.add((process.pid, process.start_ticks))
        if time.monotonic() > deadline:
            raise LabError(f"still running after SIGSTOP and {timeout_s:g}s: {_names(running)}")
        time.sleep(0.002)
    return len(scan(wanted))


def _is_stopped(process: Process, told: set[tuple[int, int]]) -> bool:
    asleep = process.state == "D" and (process.pid, process.start_ticks) in told
    return asleep or process.state in FROZEN_STATES


def thaw(wanted: Mapping[str, str]) -> int:
    """Let everything that carries these marks run again. Returns how many."""
    found = scan(wanted)
    for process in found:
        send(process, signal.SIGCONT)
    return len(found)


def _names(processes: Iterable[Process]) -> str:
    return ", ".join(f"pid {process.pid} (state {process.state})" for process in processes)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. `parent`: the pid it was started by."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, as PID 1 does."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")

"""Who runs what, seen from outside: not from the API, not from a kubelet, but from the processes themselves.

Samples /proc for the processes of guests' main containers. A frozen process (state T) does not run, nor does a zombie.
Two instances of one guest running at the same time is the one thing that must never be seen.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from quorate.lab import processes
from quorate.lab.processes import FROZEN_STATES, Process

INTERVAL_S: Final = 0.05
_SETTLED_S: Final = 5.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Instance:
    """One start of a guest, as its processes are marked."""

    guest: str
    id: str
    node: str
    pod: str


@dataclass(frozen=True, slots=True)
class Interval:
    """From the first to the last sample that saw this instance run. Wall clock, seconds since the epoch."""

    instance: Instance
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two instances of one guest that ran at the same time."""

    at_s: float
    first: Instance
    second: Instance

    def __str__(self) -> str:
        one, two = self.first, self.second
        return f"{one.guest} ran twice: instance {one.id} on {one.node} and instance {two.id} on {two.node}"


class Eye:
    """Looks at /proc; remembers what it has read of processes that cannot have changed."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self._known: dict[int, tuple[int, Instance | None]] = {}

    def look(self) -> dict[Instance, list[Process]]:
        """The guests' processes that run now."""
        found: dict[Instance, list[Process]] = defaultdict(list)
        seen = {}
        for pid in processes.pids():
            process = processes.inspect(pid)
            if process is None:
                continue
            known = self._known.get(pid)
            if known is None or known[0] != process.start_ticks:
                known = self._read(process)
            if known is not None:
                seen[pid] = known
                if known[1] is not None and process.state not in FROZEN_STATES:
                    found[known[1]].append(process)
        self._known = seen
        return dict(found)

    def _read(self, process: Process) -> tuple[int, Instance | None] | None:
        """Whose it is; None while that may change: a young process may be about to become a guest by an exec."""
        environ = processes.read_bytes(f"/proc/{process.pid}/environ")
        if not environ:
            return None
        marks = processes.marks_of(environ)
        if processes.LAB not in marks:
            return (process.start_ticks, None) if _age_s(process) > _SETTLED_S else None
        if marks[processes.LAB] != self._lab or marks.get(processes.ROLE) != "main":
            return None
        instance = Instance(
            marks[processes.GUEST], marks[processes.INSTANCE], marks[processes.NODE], marks[processes.POD]
        )
        return process.start_ticks, instance


class Observer:
    """Samples until stopped. `violations` is empty as long as no guest ran twice."""

    def __init__(self, eye: Eye | str, interval_s: float = INTERVAL_S) -> None:
        """`eye`: what looks; for that of a lab its id is enough."""
        self._eye = Eye(eye) if isinstance(eye, str) else eye
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._lock = threading.Lock()
        self._open: dict[Instance, Interval] = {}
        self._closed: list[Interval] = []
        self._overlaps: dict[tuple[Instance, Instance], Overlap] = {}
        self.samples = 0
        self.longest_gap_s = 0.0
        """The longest time without a look: what is shorter may have gone unseen."""

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to sample, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def violations(self) -> list[Overlap]:
        """Each pair of instances that ran at the same time, once."""
        with self._lock:
            return list(self._overlaps.values())

    def running(self) -> dict[str, list[Instance]]:
        """What ran in the last sample, by guest."""
        with self._lock:
            found: dict[str, list[Instance]] = defaultdict(list)
            for instance in self._open:
                found[instance.guest].append(instance)
            return dict(found)

    def history(self) -> dict[str, list[Interval]]:
        """By guest, when each of its instances ran, in order; the last one may still go on."""
        with self._lock:
            found: dict[str, list[Interval]] = defaultdict(list)
            for interval in sorted([*self._closed, *self._open.values()], key=lambda one: one.first_s):
                found[interval.instance.guest].append(interval)
            return dict(found)

    def sample(self) -> None:
        """Look once and record it."""
        now_s = time.time()
        running = self._eye.look()
        overlaps = [
            Overlap(now_s, *pair) for instances in _by_guest(running).values() for pair in _together(instances, running)
        ]
        with self._lock:
            self.samples += 1
            for instance in running:
                begun = self._open.get(instance) or Interval(instance, now_s, now_s)
                self._open[instance] = replace(begun, last_s=now_s)
            for instance in self._open.keys() - running.keys():
                self._closed.append(self._open.pop(instance))
            for one in overlaps:
                self._overlaps.setdefault((one.first, one.second), one)

    def _run(self) -> None:
        before_s = time.monotonic()
        while not self._stop.is_set():
            self.sample()
            now_s = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now_s - before_s)
            before_s = now_s
            self._stop.wait(self._interval_s)


def _age_s(process: Process) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_ticks / _TICKS


def _by_guest(running: Mapping[Instance, list[Process]]) -> dict[str, list[Instance]]:
    found: dict[str, list[Instance]] = defaultdict(list)
    for instance in running:
        found[instance.guest].append(instance)
    return found


def _together(instances: list[Instance], running: Mapping[Instance, list[Process]]) -> list[tuple[Instance, Instance]]:
    """The pairs that certainly ran at one moment.

    A sample takes time: the first could have ended before the second began. But both were seen, and one that is found
    running once more was running when the other one was seen.
    """
    *earlier, last = instances
    return [(one, last) for one in earlier if any(_still_runs(process) for process in running[one])]


def _still_runs(process: Process) -> bool:
    now = processes.inspect(process.pid)
    return now is not None and now.start_ticks == process.start_ticks and now.state not in FROZEN_STATES

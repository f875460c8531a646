"""Pressure on a machine: every core busy, most of the free memory taken and touched, and an API server that stalls."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.lab import processes
from tests.lab.scene import Scene

MIB = 1024 * 1024
BUSY = "while True: pass"
TAKE = """
import mmap, sys, time
held = mmap.mmap(-1, int(sys.argv[1]))
while True:
    for page in range(0, len(held), mmap.PAGESIZE):
        held[page] = (held[page] + 1) % 256
    time.sleep(1)
"""


@contextmanager
def pressure(cores: int, memory_mib: int) -> Iterator[None]:
    """A busy process for each core, and one that holds this much memory and touches all of it again and again."""
    commands = [["-c", BUSY]] * cores + ([["-c", TAKE, str(memory_mib * MIB)]] if memory_mib else [])
    leash = [sys.executable, "-m", "quorate.lab.leash", str(os.getpid()), sys.executable]
    started = [subprocess.Popen([*leash, *command]) for command in commands]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def most_of_what_is_free_mib(bound_mib: int) -> int:
    """Four fifths of the available memory, but no more than the bound."""
    words = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return min(bound_mib, int(words["MemAvailable"].split()[0]) * 4 // 5 // 1024)


@dataclass
class Stalls:
    """Stops the API server of a lab now and then, for less than `longest_s`; `seen_s` are the stalls as they were."""

    scene: Scene
    longest_s: float
    rest_s: float
    seed: int
    seen_s: list[float] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going(self) -> Iterator[None]:
        """From a thread, until the end of the block."""
        thread = threading.Thread(target=self._run, name="stalls")
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _run(self) -> None:
        draw = random.Random(self.seed)  # noqa: S311 to be repeated, not to be secret
        while not self._end.wait(self.rest_s * draw.uniform(1, 3)):
            found = self._servers()
            began_s = time.monotonic()
            try:
                for process in found:
                    processes.send(process, signal.SIGSTOP)
                self._end.wait(draw.uniform(0.1, self.longest_s))
            finally:
                for process in found:
                    processes.send(process, signal.SIGCONT)
            self.seen_s.append(time.monotonic() - began_s)

    def _servers(self) -> list[processes.Process]:
        """The processes that answer, not the ones that started them."""
        wanted = {processes.LAB: self.scene.lab_id}
        found = [one for one in processes.scan(wanted) if _serves(one)]
        if not found:
            raise SystemExit("no API server was found to be stalled")
        return found


def _serves(process: processes.Process) -> bool:
    words = (processes.read_bytes(f"/proc/{process.pid}/cmdline") or b"").split(b"\0")
    return words[0].endswith(b"/kube-apiserver") or b"quorate.lab.apiserver" in words


def watchdog_saw(scene: Scene, node: str) -> dict[str, Any]:
    """What the stand-in outside of the nodes saw of one: pets, the longest gap between two, and kills."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30.0)
        connection.connect(str(scene.files.watchdog))
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps({"op": "stats", "node": node}).encode() + b"\n")
            stream.flush()
            found: dict[str, Any] = json.loads(stream.readline())
    return found

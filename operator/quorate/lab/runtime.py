"""The container runtime of a virtual node: starts a container's process, follows it, sees that all of it ends.

It lives in the machine's init, as containers live in containerd's shims: a kubelet may end and come back, and its
containers stay the children of somebody who learns how they end.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from quorate.lab import processes, records
from quorate.lab.records import Record

NOT_STARTED_EXIT: Final = 128
"""What containerd reports for a container whose command cannot be started."""
NEVER: Final = "1970-01-01T00:00:00Z"


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Runtime:
    """The containers of one boot. `changed` is told (pod uid, container) after each change of a record."""

    def __init__(self, run: Path, disk: Path, boot: int, marks: Mapping[str, str]) -> None:
        self._run = run
        self._disk = disk
        self._boot = boot
        self._marks = dict(marks)
        self._running: dict[int, Record] = {}
        self.changed: Callable[[str, str], None] = lambda _pod, _container: None

    def start(self, order: Mapping[str, Any]) -> None:
        """Start one container: {pod, container, id, attempt, last, log, argv, env, cwd}. The record comes first.

        One that runs is not started a second time, whoever asks.
        """
        if self._find(order["pod"], order["container"]) is not None:
            return
        record = Record(
            pod=order["pod"],
            container=order["container"],
            id=order["id"],
            boot=self._boot,
            attempt=order["attempt"],
            log=order["log"],
            last=order["last"],
        )
        self._save(record)
        try:
            pid = self._spawn(order, record)
        except (OSError, ValueError) as error:
            failed = replace(record, reason="StartError", message=f"failed to start {order['argv'][0]!r}: {error}")
            ended = replace(failed, exit_code=NOT_STARTED_EXIT, started_at=NEVER, finished_at=timestamp())
            self._save(replace(ended, state=records.EXITED))
            return
        began = replace(record, pid=pid, start_ticks=_start_ticks(pid), started_at=timestamp())
        self._running[pid] = replace(began, state=records.RUNNING)
        self._save(self._running[pid])

    def _spawn(self, order: Mapping[str, Any], record: Record) -> int:
        """Start its first process; returns the pid. Raises OSError, ValueError."""
        Path(record.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(record.log).open("ab") as log:
            child = subprocess.Popen(
                order["argv"],
                env={**order["env"], **self._marks, processes.CONTAINER: record.id},
                cwd=order["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: the death of its parent then never wakes it out of a freeze.
                start_new_session=True,
            )
        child.returncode = 0  # init reaps every child itself; Popen must not try
        return child.pid

    def signal(self, pod: str, container: str, number: int) -> None:
        """Signal every process in the container's group, if it runs."""
        pid = self._find(pod, container)
        if pid is not None:
            os.killpg(pid, number)

    def runs(self, pid: int) -> bool:
        """Is this the first process of a container?"""
        return pid in self._running

    def reaped(self, pid: int, status: int) -> None:
        """A container's first process has ended with this wait status.

        What it left behind ends with it, as a container's processes end with its first one.
        """
        record = self._running.pop(pid)
        processes.kill_all({processes.LAB: self._marks[processes.LAB], processes.CONTAINER: record.id})
        code = os.waitstatus_to_exitcode(status)
        exit_code = 128 - code if code < 0 else code
        self._save(
            replace(
                record,
                state=records.EXITED,
                exit_code=exit_code,
                reason="Completed" if exit_code == 0 else "Error",
                finished_at=timestamp(),
            )
        )

    def _find(self, pod: str, container: str) -> int | None:
        """The pid of a container that runs."""
        found = (pid for pid, one in self._running.items() if (one.pod, one.container) == (pod, container))
        return next(found, None)

    def _save(self, record: Record) -> None:
        records.save(self._run, self._disk, record)
        self.changed(record.pod, record.container)


def _start_ticks(child: int) -> int | None:
    """Of a child that may have ended already: until it is reaped its pid is its own."""
    process = processes.inspect(child)
    return process.start_ticks if process is not None else None

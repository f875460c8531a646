"""The first process of a virtual node: what PID 1, systemd and containerd are to a machine.

Its start time tells boots apart (safety: boot nonce). It starts the node's services (kubelet, agent) and starts them
again when they end; it is the parent of every container and adopts orphans; it ends only when the machine does.
Killing it and everything with its marks is what power loss is here. It imports little: every node pays for it.

    python -m quorate.lab.machine --run DIR --disk DIR --boot N SERVICES

SERVICES is a JSON list of {"name", "argv"}; "{machine_pid}" in an argument becomes the pid of this process, and the
service named kubelet gets `--runtime-socket FD`. Standard input is the power cord, held by whoever started this: the
word `poweroff` (or `reboot`) is the power button, and its end is power loss.
"""

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from quorate.lab import processes
from quorate.lab.runtime import Runtime

KUBELET: Final = "kubelet"
SHUTTING_DOWN: Final = "shutting-down"
GOING: Final = ("poweroff", "reboot")
"""Ways down, as the agent reads them from that file."""
"""A file in the run directory, there while the machine goes down cleanly, like systemd's."""
MESSAGE_BYTES: Final = 1 << 18
"""The longest order that a kubelet may give; the socket keeps messages whole."""
_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0
_SETTLED_S: Final = 10.0
"""A service that ran this long had started well: its failures are counted anew."""
_DRAIN_S: Final = 60.0
_STOP_S: Final = 30.0


class Service:
    """One service and when to start it again."""

    def __init__(self, name: str, argv: list[str]) -> None:
        self.name = name
        self.argv = argv
        self.pid: int | None = None
        self.started_s = 0.0
        self.delay_s = _FIRST_DELAY_S
        self.start_at_s: float | None = 0.0

    def ended(self, now_s: float) -> None:
        """Schedule the next start: each failure doubles the delay, a good run forgets it."""
        if now_s - self.started_s > _SETTLED_S:
            self.delay_s = _FIRST_DELAY_S
        self.pid, self.start_at_s = None, now_s + self.delay_s
        self.delay_s = min(2 * self.delay_s, _LONGEST_DELAY_S)

    def signal(self, number: int) -> None:
        if self.pid is not None:
            os.killpg(self.pid, number)


class Machine:
    """The loop of the first process. One thread, one selector."""

    def __init__(self, services: list[Service], runtime: Runtime, log: Path, shutting_down: Path) -> None:
        self._services = services
        self._runtime = runtime
        self._log = log
        self._shutting_down = shutting_down
        self._selector = selectors.DefaultSelector()
        self._kubelet: socket.socket | None = None
        self._shutdown: Shutdown | None = None
        runtime.changed = lambda pod, container: self._tell({"event": "changed", "pod": pod, "container": container})

    def run(self) -> None:
        """Until shut down, or until the power cord is pulled."""
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._watch(woken, lambda: self._reap(woken))
        self._watch(sys.stdin.buffer.fileno(), self._button)
        while True:
            self._start_due()
            if self._shutdown is not None and self._shutdown.finished():
                return
            for key, _ in self._selector.select(self._patience_s()):
                key.data()

    def tell_kubelet_to_drain(self) -> None:
        self._tell({"event": "shutdown"})

    def _watch(self, source: Any, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _patience_s(self) -> float | None:
        if self._shutdown is not None:
            return 0.1
        due = [service.start_at_s for service in self._services if service.start_at_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for service in self._services:
            if service.start_at_s is not None and service.start_at_s <= now_s and self._shutdown is None:
                self._start(service, now_s)

    def _start(self, service: Service, now_s: float) -> None:
        argv = [part.replace("{machine_pid}", str(os.getpid())) for part in service.argv]
        passed: tuple[int, ...] = ()
        theirs = None
        if service.name == KUBELET:
            theirs = self._connect_kubelet()
            passed = (theirs.fileno(),)
            argv += ["--runtime-socket", str(theirs.fileno())]
        service.started_s = now_s
        with (self._log / f"{service.name}.log").open("ab") as log:
            try:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=passed,
                    start_new_session=True,
                )
            except OSError as error:
                log.write(f"{argv[0]}: {error}\n".encode())
                service.ended(now_s)
                return
            finally:
                if theirs is not None:
                    theirs.close()
        child.returncode = 0  # reaped below, like every child
        service.pid, service.start_at_s = child.pid, None

    def _connect_kubelet(self) -> socket.socket:
        """A fresh connection for a kubelet that is about to start; the old one's is closed."""
        if self._kubelet is not None:
            self._selector.unregister(self._kubelet)
            self._kubelet.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._kubelet = ours
        self._watch(ours, self._serve_kubelet)
        return theirs

    def _serve_kubelet(self) -> None:
        if self._kubelet is None:
            return
        try:
            message = self._kubelet.recv(MESSAGE_BYTES)
        except OSError:
            message = b""
        if not message:  # it ended; the next one gets a connection of its own
            self._selector.unregister(self._kubelet)
            self._kubelet.close()
            self._kubelet = None
            return
        request = json.loads(message)
        match request["op"]:
            case "start":
                self._runtime.start(request)
            case "signal":
                self._runtime.signal(request["pod"], request["container"], request["number"])
            case "drained" if self._shutdown is not None:
                self._shutdown.drained()

    def _tell(self, event: dict[str, Any]) -> None:
        """Tell the kubelet. One that does not listen finds the records when it looks again."""
        if self._kubelet is not None:
            with contextlib.suppress(OSError):
                self._kubelet.send(json.dumps(event).encode())

    def _reap(self, woken: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while woken.recv(4096):
                pass
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            self._bury(ended.si_pid)

    def _bury(self, pid: int) -> None:
        """Reap one child. What is left of its group dies first, while the dead leader still holds the number."""
        service = next((one for one in self._services if one.pid == pid), None)
        if service is not None or self._runtime.runs(pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if service is not None:
            service.ended(time.monotonic())
        elif self._runtime.runs(pid):
            self._runtime.reaped(pid, status)

    def _button(self) -> None:
        pressed = os.read(sys.stdin.buffer.fileno(), 4096)
        if not pressed:
            raise SystemExit("the power is gone")
        how = next((word for word in GOING if word.encode() in pressed), None)
        if self._shutdown is None and how is not None:
            self._shutting_down.write_text(how)
            self._shutdown = Shutdown(self, self._services)


class Shutdown:
    """A clean way down, as with systemd and a kubelet that holds a shutdown inhibitor.

    The kubelet stops the guests, then ends itself; last of all the agent ends, which may then attest that none run here.
    """

    def __init__(self, machine: Machine, services: list[Service]) -> None:
        self._queue = sorted(services, key=lambda service: service.name != KUBELET)
        self._asked = False
        self._deadline_s = time.monotonic() + _DRAIN_S
        self._draining = True
        machine.tell_kubelet_to_drain()

    def drained(self) -> None:
        """The kubelet says that no container runs any more."""
        self._draining = False

    def finished(self) -> bool:
        """Take the next step; True when every service has ended."""
        now_s = time.monotonic()
        kubelet = next((service for service in self._queue if service.name == KUBELET), None)
        if self._draining and kubelet is not None and kubelet.pid is not None and now_s < self._deadline_s:
            return False
        while self._queue:
            service = self._queue[0]
            if service.pid is None:
                self._queue.pop(0)
                self._asked = False
                continue
            if not self._asked:
                service.signal(signal.SIGTERM)
                self._asked, self._deadline_s = True, now_s + _STOP_S
            elif now_s >= self._deadline_s:
                service.signal(signal.SIGKILL)
            return False
        return True


def main() -> None:
    """Run one boot of a virtual node."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.machine")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--disk", type=Path, required=True)
    parser.add_argument("--boot", type=int, required=True)
    parser.add_argument("services", type=json.loads)
    arguments = parser.parse_args()
    processes.adopt_orphans()
    marks = {name: os.environ[name] for name in (processes.LAB, processes.NODE, processes.BOOT)}
    runtime = Runtime(arguments.run, arguments.disk, arguments.boot, marks)
    services = [Service(one["name"], one["argv"]) for one in arguments.services]
    log = arguments.disk / "log"
    log.mkdir(parents=True, exist_ok=True)
    try:
        Machine(services, runtime, log, arguments.run / SHUTTING_DOWN).run()
    finally:
        processes.kill_all(marks)


if __name__ == "__main__":
    main()

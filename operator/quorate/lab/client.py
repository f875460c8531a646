"""Labs as a person uses them: bring one up, ask it, act on its nodes, take it down, also after its daemon has crashed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from quorate.lab import processes
from quorate.lab.control import FAILED, READY
from quorate.lab.errors import LabError, MisuseError
from quorate.lab.files import LabFiles, LabState, lab_files, read_state
from quorate.lab.options import Options

_POLL_S: Final = 0.05
_START_S: Final = 150.0
_VERB_S: Final = 150.0
"""A clean shutdown of a node may take that long."""
_ANSWER_S: Final = 10.0
_DOWN_S: Final = 60.0


def require_linux() -> None:
    """Raises LabError elsewhere."""
    if sys.platform != "linux":
        raise LabError(
            f"quorate lab needs Linux (it finds processes in /proc), this is {sys.platform}: use a virtual machine"
        )


def up(options: Options, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Start a lab and wait until it is ready; returns its status. `tell` hears what is worth a line. Raises LabError."""
    require_linux()
    files = lab_files(options.name)
    if files.state.exists():
        state = read_state(options.name)
        if _runs(state):
            raise LabError(f"lab {options.name} is running already; its kubeconfig: {files.kubeconfig}")
        tell(f"removing what was left of an earlier lab {options.name}")
        down(options.name)
    files.log.mkdir(parents=True, exist_ok=True)
    with (files.log / "daemon.log").open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "quorate.lab.daemon", json.dumps(asdict(options))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return _await_ready(options.name, files, daemon)


def _await_ready(name: str, files: LabFiles, daemon: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + _START_S
    problem = f"it was not ready within {_START_S:g}s"
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            said = (files.log / "daemon.log").read_text(errors="replace").strip()
            raise LabError(f"lab {name}: its daemon ended: {said}")
        found = _first_words(name, files)
        if found.get("phase") == READY:
            return found
        if found.get("phase") == FAILED:
            problem = found["problem"]
            break
        time.sleep(_POLL_S)
    down(name)
    raise LabError(f"lab {name} did not start: {problem}")


def _first_words(name: str, files: LabFiles) -> dict[str, Any]:
    """What the daemon says while it starts. Its socket is there a moment before anybody listens at it."""
    if not files.control.exists():
        return {}
    try:
        return status(name)
    except LabError:
        return {}


def status(name: str) -> dict[str, Any]:
    """What the lab's daemon says. Raises LabError."""
    return request(name, {"verb": "status"})


def act(name: str, node: str, action: str) -> dict[str, Any]:
    """Do something to a node; returns its state afterwards. Raises LabError."""
    return request(name, {"verb": "node", "node": node, "action": action})


def request(name: str, body: dict[str, Any], *, timeout_s: float = _VERB_S) -> dict[str, Any]:
    """Ask the daemon. Raises LabError with its words, MisuseError when there is no such lab."""
    read_state(name)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(lab_files(name).control))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(body).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline() or b'{"ok": false, "error": "it ended without an answer"}')
    except OSError as error:
        raise LabError(
            f"lab {name}: its daemon does not answer ({error}): `quorate lab down --name {name}` removes what is left"
        ) from error
    if not answer.pop("ok"):
        raise (MisuseError if answer.get("misuse") else LabError)(answer["error"])
    found: dict[str, Any] = answer
    return found


def down(name: str) -> int:
    """End a lab and remove its files; returns how many processes had to be killed afterwards. Raises LabError.

    Works whatever state it is in: what its daemon leaves behind, or left when it crashed, is found by its marks.
    """
    require_linux()
    state = read_state(name)
    if _runs(state):
        try:
            request(name, {"verb": "down"}, timeout_s=_ANSWER_S)
            _await_end(state)
        except LabError:
            _kill_daemon(state)
    killed = processes.kill_all({processes.LAB: state.id})
    lab_files(name).remove()
    return killed


def _runs(state: LabState) -> bool:
    return processes.start_ticks(state.daemon_pid) == state.daemon_start_ticks


def _await_end(state: LabState) -> None:
    deadline = time.monotonic() + _DOWN_S
    while _runs(state):
        if time.monotonic() > deadline:
            raise LabError(f"lab {state.name}: its daemon (pid {state.daemon_pid}) did not end within {_DOWN_S:g}s")
        time.sleep(_POLL_S)


def _kill_daemon(state: LabState) -> None:
    if _runs(state) and state.daemon_pid != os.getpid():
        process = processes.inspect(state.daemon_pid)
        if process is not None:
            processes.send(process, signal.SIGKILL)

"""`fence_lab`: a fence agent that switches the power of a lab's nodes, by the rules of ClusterLabs' FenceAgentAPI.

A lab puts it beside its files, its managers find it there, and Nodes name it in spec.fencing.devices with these parameters:
`socket`, the lab's control.sock; `plug`, the node; `password`, what is in the lab's file `fence-password`. A file
`fence-device` beside a node's disk breaks its device: `hangs`, `fails`, or `lies` (says that it is off, and does nothing).
"""

import hmac
import json
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Final

from quorate.lab.files import LabFiles

IS_ON: Final = 0
FAILED: Final = 1
IS_OFF: Final = 2
DONE: Final = 0
LONGEST_S: Final = 600.0
_ANSWER_S: Final = 60.0


class FenceError(Exception):
    """The device does not do it; the message says why."""


def install(files: LabFiles) -> None:
    """Put the agent into a lab, as a program that needs nothing of its environment, with a password of its own."""
    files.fence_agents.mkdir(parents=True, exist_ok=True)
    files.fence_password.touch(mode=0o600)
    files.fence_password.write_text(secrets.token_urlsafe(16))
    program = files.fence_agents / "fence_lab"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m quorate.lab.fence_agent\n")
    program.chmod(0o755)


def main() -> int:
    """Entry point: parameters on standard input. Returns the exit code."""
    told = dict(line.strip().split("=", 1) for line in sys.stdin if "=" in line)
    try:
        return _answer(told)
    except (FenceError, KeyError, OSError, ValueError) as error:
        what = f"parameter {error} is missing" if isinstance(error, KeyError) else error
        sys.stderr.write(f"ERROR: {what}\n")
        return FAILED


def _answer(told: dict[str, str]) -> int:
    control, plug, action = Path(told["socket"]), told["plug"], told["action"]
    files = LabFiles(control.parent)
    expected = files.fence_password.read_text().strip()
    if not hmac.compare_digest(expected.encode(), told.get("password", "").encode()):
        raise FenceError("Unable to connect/login to fencing device")
    broken = files.node(plug).fence_device
    mood = broken.read_text().strip() if broken.exists() else ""
    if mood == "hangs":
        time.sleep(LONGEST_S)
    if mood == "fails":
        raise FenceError("Connection timed out")
    if action in {"on", "off"}:
        if mood != "lies":
            _ask(control, {"verb": "node", "node": plug, "action": f"power-{action}"})
        return DONE
    if action not in {"status", "monitor"}:
        raise FenceError(f"action {action} is not known")
    on = mood != "lies" and _is_on(control, plug)
    sys.stdout.write(f"Status: {'ON' if on else 'OFF'}\n")
    return IS_ON if on else IS_OFF


def _is_on(control: Path, plug: str) -> bool:
    found = [one for one in _ask(control, {"verb": "status"})["nodes"] if one["name"] == plug]
    if not found:
        raise FenceError(f"no plug {plug}")
    return bool(found[0]["state"] != "off")


def _ask(control: Path, body: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        os.chdir(control.parent)  # the path of a socket may be longer than the kernel takes
        connection.connect(control.name)
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(body).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline() or b'{"ok": false, "error": "it ended without an answer"}')
    if not answer.pop("ok"):
        raise FenceError(answer["error"])
    found: dict[str, list[dict[str, str]]] = answer
    return found


if __name__ == "__main__":
    sys.exit(main())

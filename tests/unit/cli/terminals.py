"""Terminals with somebody at the keyboard: tmux, with a window of its own for each."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BIN: Final = Path(sys.executable).parent
WAIT_S: Final = 30.0
KEPT: Final = ("KUBECONFIG",)
ENDED: Final = "ended with"


class Terminal:
    """A command in a terminal of so many columns. After it the terminal stays, and says how it ended (`ENDED`)."""

    def __init__(self, command: str, columns: int = 120, rows: int = 40) -> None:
        self._socket = f"quorate-{uuid.uuid4().hex[:8]}"
        where = " ".join(f"{name}='{os.environ[name]}'" for name in KEPT if name in os.environ)
        line = f"export PATH='{BIN}':$PATH {where}; {command}; echo {ENDED} $?; sleep 600"
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), f"bash -c {_quoted(line)}"
        )

    def type(self, *keys: str) -> None:
        """Words, or keys as tmux names them: Tab, Enter, C-c."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int = 40) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def shown(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, *texts: str, gone: Sequence[str] = ()) -> str:
        """What is shown once all of these are, and none of those."""
        deadline = time.monotonic() + WAIT_S
        while True:
            shown = self.shown()
            if all(text in shown for text in texts) and not any(text in shown for text in gone):
                return shown
            assert time.monotonic() < deadline, f"not {texts}, or still {gone}, in\n{shown.rstrip()}"
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False)

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self._socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"

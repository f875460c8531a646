"""Which Storages this node reaches: asked beside the heartbeat, said with it, and never in its way.

The loop takes a text that is ready. A thread keeps it up to date; it has a helper look (`storage_look.py`) now and then.
A process that is begun holds up the one that begins it until its program is read from disk, and that may be long: so the
loop begins only one, before it renews for the first time. That is a shell, which does nothing but begin the helper, and end
it when it hangs.
"""

import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from quorate.agent.storage_look import encode as line_of
from quorate.api.reach import encode
from quorate.core.quick import replace
from quorate.core.storage import MAX_WHY, Probe, Reach
from quorate.core.types import Nonce, Uid

log = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 20.0
AGAIN_S: Final = 3.0
"""After a look that found something amiss that is not said yet, or orders that changed."""
FAILURES: Final = 2
"""Looks in a row that must fail before a Storage counts as not reached: one answer may get lost."""
USED_STEP: Final = 5
"""Percent. What changes less is not said anew."""
HANGS_S: Final = 15
"""The shell ends a helper after so many seconds."""
MOST_BYTES: Final = 131_072
"""Of one look: all that may be asked for, each with the longest reason in the widest characters."""
END: Final = b"=end=\n"
SCRIPT: Final = f"""\
while IFS= read -r line; do
  printf '%s\\n' "$line" | timeout -s KILL {HANGS_S} "$@" 2>/dev/null
  echo {END.decode().strip()}
done"""
"""Each line that it reads is the input of a helper. A line of its own ends what that has answered, if it has."""


class Looker(Protocol):
    """Looks at Storages."""

    def look(self, probes: tuple[Probe, ...]) -> list[Reach] | None:
        """What was found, of those that there is an answer of; None: it cannot look any more."""
        ...


class Helper:
    """The shell, and behind it a helper for each look."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "quorate.agent.storage_look")) -> None:
        shell = ["/bin/sh", "-c", SCRIPT, "sh", *command]
        self._shell = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._heard = b""
        self._owed = 0
        """Ends that are still to come: of looks that nobody waited for any more as well."""

    def look(self, probes: tuple[Probe, ...], within_s: float = 2 * HANGS_S) -> list[Reach] | None:
        """What it does not answer says nothing of a server: the helper was ended or has failed, on a busy node say."""
        if self._shell.stdin is None:
            return None
        try:
            self._shell.stdin.write(f"{line_of(probes)}\n".encode())
            self._owed += 1
            answer = self._answer(time.monotonic() + within_s)
        except (OSError, ValueError) as error:
            log.warning("Storages are not looked at any more, the helper's shell has gone: %s", error)
            return None
        if answer is None:
            return []
        found = {one.id: one for one in map(_reach, answer.splitlines()) if one is not None}
        return [found[one.id] for one in probes if one.id in found]

    def _answer(self, until_s: float) -> str | None:
        """What came before the last end that is owed; None when that does not come in time. Raises OSError."""
        heard = self._shell.stdout
        if heard is None:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(heard, selectors.EVENT_READ)
            while True:
                answer, found, rest = self._heard.partition(END)
                if found:
                    self._heard, self._owed = rest, self._owed - 1
                    if self._owed == 0:
                        return answer.decode("utf-8", "replace")
                    continue
                if not selector.select(max(0.0, until_s - time.monotonic())):
                    return None
                more = os.read(heard.fileno(), 4096)
                if not more or len(self._heard) > MOST_BYTES:
                    raise OSError("it says no more, or too much")
                self._heard += more

    def end(self) -> None:
        """It ends when nobody speaks to it any more, or listens."""
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()


def _reach(line: str) -> Reach | None:
    try:
        uid, reached, why, used, size = json.loads(line)
        return Reach(Uid(str(uid)), bool(reached), str(why)[:MAX_WHY], int(used), int(size))
    except (ValueError, TypeError):
        return None


class StorageWatch:
    """Keeps `text` true of what `wanted` names. None: this process has not looked yet, and what stands may stand."""

    def __init__(self, nonce: Nonce, wanted: Callable[[], tuple[Probe, ...]], looker: Looker | None = None) -> None:
        self.text: str | None = None
        self._nonce = nonce
        self._wanted = wanted
        self._looker = looker
        self._known: dict[Uid, Reach] = {}
        self._failed: dict[Uid, int] = {}
        self._missed: dict[Uid, int] = {}
        """Looks in a row without an answer: after a few nothing is known of it, for good or ill."""
        self._asked: tuple[Probe, ...] = ()
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin the shell, and then look beside everything else. Without one nothing is known here."""
        try:
            looker = self._looker or Helper()
        except OSError as error:
            log.warning("Storages are not looked at: %s", error)
            return
        threading.Thread(target=self._run, args=(looker,), name="storages", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self, looker: Looker) -> None:
        while not self._stop.is_set():
            due_s = self.round(looker)
            if due_s is None:
                self.text = ""
                break
            until_s = time.monotonic() + due_s
            while time.monotonic() < until_s and self._wanted() == self._asked and not self._stop.wait(1.0):
                pass
        if isinstance(looker, Helper):
            looker.end()

    def round(self, looker: Looker) -> float | None:
        """Look once. How long to wait after that; None: there is no looking any more."""
        probes = self._asked = self._wanted()
        if not probes:
            self._known.clear()
            self._failed.clear()
            self.text = "" if self.text else self.text
            return LOOK_EVERY_S
        found = looker.look(probes)
        if found is None:
            return None
        doubt = [self._heard(one) for one in found]
        asked, answered = {one.id for one in probes}, {one.id for one in found}
        self._missed = {uid: self._missed.get(uid, 0) + 1 for uid in asked - answered}
        forgotten = {uid for uid, times in self._missed.items() if times >= FAILURES}
        self._known = {uid: one for uid, one in self._known.items() if uid in asked - forgotten}
        if found or forgotten or self.text is not None:
            self.text = encode(self._nonce, tuple(self._known[uid] for uid in sorted(self._known)))
        return AGAIN_S if any(doubt) else LOOK_EVERY_S

    def _heard(self, one: Reach) -> bool:
        """Take what was found, if it is to be believed already. True: it is not."""
        before = self._known.get(one.id)
        self._failed[one.id] = 0 if one.reached else self._failed.get(one.id, 0) + 1
        if not one.reached and self._failed[one.id] < FAILURES and (before is None or before.reached):
            return True
        if before is None or abs(before.used - one.used) >= USED_STEP or replace(one, used=before.used) != before:
            self._known[one.id] = one
        return False

"""The helper that looks at Storages once: a line of JSON comes in, a line for each goes out, and it ends.

A process of its own, because a name that is not resolved hangs its caller, and nothing that a server does may touch the one
that renews and pets. It puts itself back to what an ordinary process is before it looks.
"""

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TextIO

from quorate.agent import nfs
from quorate.core.storage import MAX_PROBES, MAX_WHY, Probe, Reach
from quorate.core.types import Uid

TOGETHER_S: Final = 8.0
"""All are looked at at the same time; who has not answered by then has a name that is not resolved."""
OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_STACK: Final = 262_144


def encode(probes: tuple[Probe, ...]) -> str:
    """The line that comes in."""
    return json.dumps(
        [[one.id, one.storage, one.server, one.export, one.port, one.mount_port, one.versions] for one in probes]
    )


def decode(line: str) -> tuple[Probe, ...]:
    """The inverse. Raises ValueError, TypeError."""
    return tuple(
        Probe(Uid(uid), storage, server, export, port, mount_port, tuple(versions))
        for uid, storage, server, export, port, mount_port, versions in json.loads(line)[:MAX_PROBES]
    )


def look(probes: tuple[Probe, ...], together_s: float = TOGETHER_S) -> list[Reach]:
    """What is to be said of each, in their order."""
    answers: SimpleQueue[Reach] = SimpleQueue()
    threading.stack_size(_STACK)
    for probe in probes:
        threading.Thread(target=lambda one=probe: answers.put(nfs.look(one)), daemon=True).start()
    found: dict[Uid, Reach] = {}
    until_s = monotonic() + together_s
    while len(found) < len(probes):
        try:
            reach = answers.get(timeout=max(0.0, until_s - monotonic()))
        except Empty:
            break
        found[reach.id] = reach
    return [
        found.get(one.id) or Reach(one.id, False, f"{one.server}: its name is not resolved in time") for one in probes
    ]


def ordinary() -> None:
    """No priority, and the first to go when memory is short: what it inherits is the agent's."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 10)
    with suppress(OSError):
        OOM_SCORE.write_text("500")


def main(said: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> int:
    """Entry point. Returns the exit code."""
    ordinary()
    for reach in look(decode(said.readline())):
        # Cut here already: a server's words may be long, and who listens to too much listens no more.
        line = json.dumps([reach.id, reach.reached, reach.why[:MAX_WHY], reach.used, reach.size])
        answers.write(f"{line}\n")
    answers.flush()
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a thread that hangs in a name would be waited for

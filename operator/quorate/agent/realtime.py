"""So that a node under pressure is not reset while it could renew: the agent's memory stays, and its turn comes.

What is refused is said and no reason to stop: an agent without it still renews. Keeper and loop both do it, so nothing of a
dependency is imported here.
"""

import ctypes
import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)
PRIORITY: Final = 1
"""The lowest of the real-time ones: above everything that is not, below whatever the kernel needs itself."""
NICE: Final = -20
_LOCK: Final = 1 | 2 | 4
"""MCL_CURRENT, MCL_FUTURE and MCL_ONFAULT: a page stays once it was used. Those that never are would cost 9 MiB more."""
OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
NEVER_KILL: Final = "-1000"


def prepare() -> list[str]:
    """Do it all for this process and the threads and children it begins later. What was refused, as it was logged."""
    refused = [text for text in (lock_memory(), raise_priority(), shield()) if text]
    for text in refused:
        log.warning("%s", text)
    return refused


def lock_memory() -> str:
    """Keep every page in memory that was used. What is said when it is refused, "" otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_LOCK) == 0:
        return ""
    why = os.strerror(ctypes.get_errno())
    libc.munlockall()
    return f"memory is not locked ({why}): under memory pressure a pet may come late; it takes the capability IPC_LOCK"


def raise_priority() -> str:
    """A real-time priority, or the best ordinary one. What is said when that is refused."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except OSError as error:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        except OSError:
            return (
                f"priority is not raised ({error.strerror}): on a busy node a pet may come late; it takes the capability "
                "SYS_NICE"
            )
        return f"no real-time priority ({error.strerror}): the best ordinary one is used (nice {NICE})"
    return ""


def shield(score: Path = OOM_SCORE) -> str:
    """Not to be killed when memory runs out. What is said when it is refused."""
    try:
        score.write_text(NEVER_KILL)
    except OSError as error:
        return f"the kernel may kill the agent when memory is short ({error.strerror}): that takes SYS_RESOURCE"
    return ""

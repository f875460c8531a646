"""Reset the node at once: the kernel's own emergency restart, and the system call only if that returns.

It syncs and unmounts nothing, and stops no watchdog: a guest must not live a moment longer. reboot(2) may stop some
watchdogs and hang on storage that is lost, so it comes second.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from quorate.agent.boot import BOOT_ID

NEVER_VARIABLE: Final = "QUORATE_NEVER_RESET"
"""Set where tests run: no process that inherits it resets this machine or opens a watchdog device of it."""
_RESTART: Final = 0x01234567
"""LINUX_REBOOT_CMD_RESTART."""


def never() -> bool:
    """Is this process kept from resetting the machine that it runs on?"""
    return bool(os.environ.get(NEVER_VARIABLE))


def reboot() -> None:
    """reboot(2). Raises OSError; returns never otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.reboot(ctypes.c_int(_RESTART)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "reboot(2)")


def reset(proc: Path, restart: Callable[[], None] = reboot, *, shared_kernel: bool = False) -> list[str]:
    """Reset the machine whose /proc this is, unless others share its kernel.

    Returns only if that failed: what was tried, and what came of it.

    The trigger works for root whatever the sysctl kernel.sysrq says. reboot(2) hits the machine that we run on, so it is
    used only where that is the one.
    """
    if shared_kernel:
        return ["this node shares its kernel with others"]
    trigger, ours = proc / "sysrq-trigger", _is_ours(proc)
    if ours and never():
        return [f"{NEVER_VARIABLE} is set: this machine is not reset"]
    tried = []
    try:
        trigger.write_text("b")
        tried.append(f"{trigger}: written, and nothing happened")
    except OSError as error:
        tried.append(f"{trigger}: {error.strerror}")
    if ours:
        try:
            restart()
            tried.append("reboot(2): it returned")
        except OSError as error:
            tried.append(f"reboot(2): {error.strerror}")
    return tried


def _is_ours(proc: Path) -> bool:
    """Two mounts of it are two file systems: the machine is known by its boot."""
    try:
        return (proc / BOOT_ID.relative_to("/proc")).read_text() == BOOT_ID.read_text()
    except OSError:
        return False

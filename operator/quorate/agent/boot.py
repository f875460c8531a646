"""Which boot of which machine this is. Computed each time, never stored: same nonce, same boot.

The nonce has two parts: a hash of the kernel's boot_id, which every container can read, and a hash of the start time of
the machine's PID 1, which tells boots apart where nodes share a kernel (kind, the lab).
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from quorate.core.types import Nonce

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
SYSTEM_UUID_FILES: Final = (
    Path("/sys/class/dmi/id/product_uuid"),
    Path("/sys/firmware/devicetree/base/serial-number"),
)
"""Where the firmware tells a machine's own name. No name that lies on a disk: a copied one would pass for a new boot."""
FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""The inode of the machine's first PID namespace (PROC_PID_INIT_INO): anything else shares its kernel with others."""


@dataclass(frozen=True, slots=True)
class Boot:
    """This boot. `shared_kernel`: the machine's PID 1 is not the kernel's, so sysrq would hit others as well."""

    nonce: Nonce
    started_s: float
    system_uuid: str
    shared_kernel: bool

    def uptime_s(self) -> float:
        """How long this boot has lasted, in seconds."""
        return max(0.0, now_s() - self.started_s)


def now_s() -> float:
    """CLOCK_BOOTTIME: it goes on while the machine is suspended, as the manager's time does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def kernel_part(boot_id: str) -> str:
    """The first part of a nonce: what a container can compute by itself."""
    return sha256(boot_id.strip().encode()).hexdigest()[:12]


def kernel_of(nonce: str) -> str:
    return nonce.partition(".")[0]


def read(machine_pid: int = 1, system_uuid_files: Sequence[Path] = SYSTEM_UUID_FILES) -> Boot:
    """This boot, by the PID 1 of the machine. Raises OSError when /proc does not show it (hostPID is missing).

    The machine's own name is the first that is there.
    """
    boot_id = BOOT_ID.read_text()
    ticks = start_ticks(machine_pid)
    second = sha256(f"{boot_id.strip()}/{ticks}".encode()).hexdigest()[:8]
    shared = machine_pid != 1 or Path("/proc/self/ns/pid").stat().st_ino != FIRST_PID_NAMESPACE
    return Boot(
        nonce=Nonce(f"{kernel_part(boot_id)}.{second}"),
        started_s=ticks / os.sysconf("SC_CLK_TCK"),
        system_uuid=next(filter(None, map(_content, system_uuid_files)), ""),
        shared_kernel=shared,
    )


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since the kernel booted (field 22 of /proc/PID/stat)."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def _content(path: Path) -> str:
    """The machine's name for itself; empty when it has none, and then a new boot cannot be told from another machine."""
    try:
        return path.read_text().strip(" \n\0").lower()
    except OSError:
        return ""

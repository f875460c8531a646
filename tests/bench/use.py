"""What a process uses, as the kernel counts it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_MAPPING: Final = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process or several together, in MiB.

    `rss`: resident pages, each process's own count added up. `pss`: a page that n processes share counts 1/n in each; with
    other Python programs on the machine the interpreter's pages hardly count. `alone`: what would be theirs if nobody else
    ran the same files: anonymous pages, and of every mapped file the largest number of resident pages that one has.
    """

    rss: float
    pss: float
    alone: float


def memory(*pids: int) -> Memory:
    """Of all these processes together."""
    rss = pss = anonymous = 0
    files: dict[str, int] = {}
    for pid in pids:
        mine: dict[str, int] = {}
        name = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            mapping = _MAPPING.match(line)
            if mapping is not None:
                name = mapping[1]
                continue
            key, _, rest = line.partition(":")
            if key == "Rss":
                resident = _kib(rest)
                rss += resident
                mine[name] = mine.get(name, 0) + resident
            elif key == "Pss":
                pss += _kib(rest)
            elif key == "Anonymous":
                anonymous += _kib(rest)
                mine[name] = mine.get(name, 0) - _kib(rest)
        for file, resident in mine.items():
            files[file] = max(files.get(file, 0), resident)
    return Memory(_mib(rss), _mib(pss), _mib(anonymous + sum(files.values())))


def cpu_s(*pids: int) -> float:
    """Processor time that these processes have used so far, in seconds, of all their threads."""
    total = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text()
        user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
        total += int(user) + int(system)
    return total / _TICKS_PER_S


def peak_mib(pid: int) -> float:
    """The most memory that was ever resident, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None, status
    return _mib(int(found[1]))


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0])


def _mib(kib: int) -> float:
    return kib * 1024 / MIB

"""Is the host going down, and is it to come back? Asked of the files that say so.

systemd writes `MODE=reboot` (or poweroff, halt, kexec, soft-reboot) and the time into /run/systemd/shutdown/scheduled for a
shutdown with a time, and creates /run/nologin when it goes down; the lab writes one of these words.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from quorate.core.types import Going

_COMES_BACK: Final = ("reboot", "kexec")
_STAYS_OFF: Final = ("poweroff", "halt")


def going(flags: Sequence[Path], now_s: float | None = None) -> str:
    """What comes then (`Going`), "" while the host stays, also while a shutdown is planned for later.

    `now_s`: seconds since the epoch.
    """
    found = ""
    for flag in flags:
        try:
            text = flag.read_text(errors="replace").lower()
        except OSError:
            continue
        planned = re.search(r"usec=(\d+)", text)
        if planned is not None and int(planned[1]) / 1e6 > (time.time() if now_s is None else now_s):
            continue
        if any(word in text for word in _COMES_BACK):
            return Going.REBOOT
        if any(word in text for word in _STAYS_OFF):
            return Going.POWER_OFF
        found = Going.SHUTDOWN
    return found

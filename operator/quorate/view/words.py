"""Moments, ages and states as people read them."""

import re

from quorate.core.conditions import plural
from quorate.core.types import Instant, clock

__all__ = ["age", "clock", "deadline", "left", "line", "plural", "since", "state", "visible"]
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    "\u2028\u2029\ud800-\udfff]"  # other line ends, and halves of characters, which cannot be printed
)


def visible(text: str) -> str:
    r"""What others wrote (comments, a container's last words, Events), safe for a terminal.

    A control character that would move the cursor, colour or hide something is shown as what it is: \x1b.
    """
    return _UNSEEN.sub(_named, text)


def line(text: str) -> str:
    """The same in one line: nobody adds a line to a table by what they call something."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _named(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def age(seconds: float) -> str:
    """Seconds as kubectl shows an age: 0s, 59s, 3m, 2h, 4d. What a skewed clock puts into the future is 0s."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def since(moment: Instant | None, now: Instant) -> str:
    """The age of a moment, "-" when there is none."""
    return age((now - moment) / 1000) if moment is not None else "-"


def left(moment: Instant, now: Instant) -> str:
    """How long until then: "12s left", or "expired" when it has passed."""
    return f"{age((moment - now) / 1000)} left" if moment > now else "expired"


def deadline(moment: Instant, now: Instant) -> str:
    """A latest moment: "no later than 14:03:25 UTC (in 12s)"."""
    seconds = (moment - now) / 1000
    distance = f"in {age(seconds)}" if seconds >= 1 else "any moment" if seconds > -2 else f"{age(-seconds)} ago"
    return f"no later than {clock(moment)} UTC ({distance})"


def state(name: str) -> str:
    """A state as Proxmox writes it: RequestStop -> request_stop."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()

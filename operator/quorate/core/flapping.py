"""A node that is lost again and again comes back later each time (safety: the way back).

Whenever a lost node has booted again and none of its old guests is left, that is a return. The first one counts at once.
Those that follow within an hour are held back: our taint stays, and no guest starts there, for `holdBack` (a minute), twice
that, four times, up to a quarter of an hour. Each quiet hour takes one return off the count. A boot that comes up during
the wait and goes down again begins a longer one. A clean shutdown (`Drained`) is no sign of a bad node and counts nothing.

It is in the Node's status, so a failover forgets nothing. The wall clock is enough: waiting protects no data, and a person
may end it (`quorate fence release`).
"""

from typing import Final

from quorate.core.status import Incident, Returns
from quorate.core.types import EvidenceKind, Instant, Nonce

LONGEST_MS: Final = 900_000
QUIET_MS: Final = 3_600_000


def came_back(
    before: Returns | None, incident: Incident, nonce: Nonce, now: Instant, hold_back_s: float
) -> Returns | None:
    """What is to be remembered when that boot renews after the incident; the same object when it is known already."""
    if before is not None and before.nonce == nonce:
        return before
    if any(one.kind is EvidenceKind.DRAINED for one in incident.evidence):
        return before
    number = lately(before, now) + 1
    return Returns(number, nonce, now, Instant(now + delay_ms(number, hold_back_s)))


def lately(returns: Returns | None, now: Instant) -> int:
    """How many returns still count."""
    if returns is None:
        return 0
    return max(0, returns.number - max(0, now - returns.at) // QUIET_MS)


def delay_ms(number: int, hold_back_s: float) -> int:
    """How long the return of that number is held back."""
    first = round(hold_back_s * 1000)
    return min(LONGEST_MS, first << min(number - 2, 10)) if number > 1 else 0


def held_until(returns: Returns | None, nonce: Nonce, now: Instant) -> Instant | None:
    """Until when this boot is held back; None: it is not.

    An end that is farther away than any wait may be was written by a clock that is wrong: nobody waits for it.
    """
    if returns is None or returns.nonce != nonce or not now < returns.until <= now + LONGEST_MS:
        return None
    return returns.until

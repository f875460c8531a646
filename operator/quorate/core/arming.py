"""Asking a node to arm its watchdog: how long that may take, and when one that did not is asked again.

A guest that runs and has time (its node drains, or the node that it left is back) does not send for a node that has just
failed, over and over: the pause grows with each try. A guest that is down does, when no other node is left.
"""

from typing import Final

from quorate.core.conditions import plural
from quorate.core.quick import replace
from quorate.core.status import Arming, NodeStatus
from quorate.core.types import Instant, clock

ARMING_MS: Final = 10_000
ARMING_RENEWALS: Final = 3
"""The agent reads its orders, attests that it is about to arm, and arms: three renewals, and some time for a slow one."""

PAUSES_MS: Final = (30_000, 60_000, 120_000, 240_000, 480_000, 3_600_000)
"""After the first try that failed, the second, and so on; the last one for all that follow."""


def until(status: NodeStatus) -> Instant | None:
    """When a node that was asked to arm its watchdog has had time enough for it, None while it is not asked."""
    if not status.arming.wanted or status.arming.since is None or status.orders is None:
        return None
    asked = max(status.arming.since, status.since or status.arming.since)
    return Instant(asked + ARMING_MS + round(ARMING_RENEWALS * 1000 * status.orders.renew_every_s))


def again_at(arming: Arming) -> Instant | None:
    """When a node that failed may be asked again for somebody who has time; None: at once."""
    if arming.tried is None or not arming.tries:
        return None
    return Instant(arming.tried + PAUSES_MS[min(arming.tries, len(PAUSES_MS)) - 1])


def failed(arming: Arming, now: Instant) -> Arming:
    """It was asked and did not arm in time. What others ask of it during a pause is no further try."""
    if arming.tried is not None and arming.since is not None and arming.tried >= arming.since:
        return arming  # this request is counted
    again = again_at(arming)
    if again is not None and now < again:
        return replace(arming, failed=True)
    return replace(arming, failed=True, tries=arming.tries + 1, tried=now)


def succeeded(arming: Arming) -> Arming:
    """It has armed, or is another boot, which is another chance."""
    return replace(arming, failed=False, tries=0, tried=None) if arming.failed or arming.tries else arming


def in_words(arming: Arming) -> str:
    """What a node that failed is to be known by."""
    again = again_at(arming)
    then = f"; from {clock(again)} UTC on it is asked again" if again is not None else ""
    return f"it was asked {plural(max(1, arming.tries), 'time')} to arm its watchdog and did not{then}"

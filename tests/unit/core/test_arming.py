"""Asking a node to arm: a try that failed is counted once, the pause grows, and an armed watchdog ends it all."""

import pytest

from quorate.core.arming import PAUSES_MS, again_at, failed, in_words, succeeded
from quorate.core.status import Arming
from quorate.core.types import Instant
from tests.unit.core.worlds import WALL


def later(seconds: float) -> Instant:
    return Instant(WALL + round(seconds * 1000))


ASKED = Arming(4, wanted=True, since=WALL)


def test_each_request_is_counted_once():
    once = failed(ASKED, later(13))
    assert (once.failed, once.tries, once.tried) == (True, 1, later(13))
    assert failed(once, later(20)) == once


def test_what_is_asked_during_the_pause_is_no_further_try():
    """A guest that is down asks all the time; whoever has time must not wait the longer for it."""
    once = failed(ASKED, later(13))
    again = failed(Arming(5, wanted=True, since=later(14), failed=True, tries=once.tries, tried=once.tried), later(27))
    assert (again.tries, again.tried) == (1, later(13))
    after = failed(Arming(6, wanted=True, since=later(44), failed=True, tries=1, tried=later(13)), later(57))
    assert (after.tries, after.tried) == (2, later(57))


@pytest.mark.parametrize(("tries", "pause_s"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 3600), (60, 3600)])
def test_the_pause_grows_up_to_an_hour(tries, pause_s):
    assert again_at(Arming(4, wanted=False, failed=True, tries=tries, tried=WALL)) == later(pause_s)
    assert list(PAUSES_MS) == sorted(PAUSES_MS)


def test_one_that_never_failed_may_be_asked_at_once():
    assert again_at(Arming(4, wanted=False)) is None
    assert "1 time " in in_words(Arming(4, wanted=False, failed=True)), "counted by nobody yet"


def test_an_armed_watchdog_ends_it():
    assert succeeded(failed(ASKED, later(13))) == ASKED
    assert succeeded(ASKED) is ASKED

"""Waiting for the manager's answer: look again until it is there or the deadline has passed."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from quorate.access.errors import TransientError, UsageError
from quorate.core.timing import parse_duration

T = TypeVar("T")

ANSWER: Final = "10s"
"""The manager answers within a second; after this nobody seems to be there."""
LOOK_EVERY_S: Final = 0.25


class Deadline:
    """A moment after which nothing is waited for any more."""

    def __init__(self, timeout: str) -> None:
        """Raises UsageError for a text that is no duration."""
        try:
            self.timeout_s = parse_duration(timeout)
        except ValueError as error:
            raise UsageError(f"--timeout: {error}") from error
        self._at_s = time.monotonic() + self.timeout_s

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._at_s

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        time.sleep(max(0.0, min(seconds, self._at_s - time.monotonic())))


def wait_for(read: Callable[[], T], done: Callable[[T], bool], deadline: Deadline) -> T | None:
    """The first reading that is what was waited for, None when the deadline passed. An API server that is away for a
    moment is waited for as well.
    """
    while True:
        try:
            found = read()
            if done(found):
                return found
        except TransientError:
            if deadline.passed:
                raise
        if deadline.passed:
            return None
        deadline.pause(LOOK_EVERY_S)

"""Waiting for the manager's answer: look again until it is there or the deadline has passed."""

from collections.abc import Callable
from typing import Final, TypeVar

from quorate.cli.errors import TransientError
from quorate.cli.options import Deadline

T = TypeVar("T")

ANSWER: Final = "10s"
"""The manager answers within a second; after this nobody seems to be there."""
LOOK_EVERY_S: Final = 0.25


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

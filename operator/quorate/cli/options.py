"""Options that several verbs share."""

import time
from typing import Annotated

import typer

from quorate.cli.errors import UsageError
from quorate.core.timing import parse_duration

Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Wait no longer than this.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ClusterName = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="The Cluster; may be left out while there is only one.")
]


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

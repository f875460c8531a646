"""Waiting in an uninstall: one sentence that names what is awaited and until when; on time-out, what stands in the way."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from quorate.access.errors import CliError, TransientError
from quorate.access.waiting import Deadline
from quorate.cli.output import note
from quorate.core.types import Instant, clock

if TYPE_CHECKING:
    from quorate.access.client import Api

LOOK_EVERY_S: Final = 0.5
NAMED: Final = 5
"""So many objects are named in a sentence, the others are counted."""


class OverdueError(CliError):
    """Something did not go in time. `stands`: what it was, and what stands in its way."""

    def __init__(self, stands: str, timeout_s: float) -> None:
        super().__init__(
            f"not done after {timeout_s:g}s. {stands}. Nothing is lost: when that is mended run quorate uninstall again, "
            "and it goes on from here"
        )
        self.stands = stands


class Wait:
    """Waits of one run, all before the same deadline."""

    def __init__(self, api: "Api", deadline: Deadline) -> None:
        self.api = api
        self.deadline = deadline
        self._until = Instant(api.now() + round(deadline.timeout_s * 1000))

    def until(self, what: str, look: Callable[[], Sequence[str]]) -> None:
        """Look until nothing stands in the way any more. `look` says what does; it may also act. Raises OverdueError."""
        said, obstacles = "", list[str]()
        while True:
            try:
                obstacles = list(look())
                if not obstacles:
                    return
            except TransientError as error:
                obstacles = [str(error)]
            sentence = f"waiting until {clock(self._until)} UTC at the latest for {what}: {several(obstacles)}"
            if sentence != said:
                note(sentence)
                said = sentence
            if self.deadline.passed:
                raise OverdueError(
                    f"What was waited for: {what}. In the way: {several(obstacles)}", self.deadline.timeout_s
                )
            self.deadline.pause(LOOK_EVERY_S)


def several(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return "; ".join(words[:NAMED]) + more

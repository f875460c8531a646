"""The guest state table as data: which state may follow which.

    Queued -> Starting -> Started -> RequestStop -> Stopped
    Started -> Relocate -> Starting         a person moves it, its node drains, or something else ended it on purpose
    Started -> Migrate -> Started           the same of a virtual machine, while it runs; Relocate where that cannot be
    any with an instance -> Fence -> Recovery -> Starting     its node was lost
    Starting -> Error                       the restart and relocate limits are used up
    Started -> Freeze -> Starting           its node went down cleanly and is to come back
    any <-> Ignored                         a person takes it out of our hands

A move that the table does not have raises and changes nothing. docs/architecture.md shows the same table.
"""

from typing import Final

from quorate.core.draft import Draft, IllegalMoveError
from quorate.core.quick import replace
from quorate.core.types import GuestState

S = GuestState
MOVES: Final[dict[GuestState, frozenset[GuestState]]] = {
    S.QUEUED: frozenset({S.STARTING, S.REQUEST_STOP, S.STOPPED, S.FENCE, S.IGNORED, S.ERROR}),
    S.STARTING: frozenset({S.STARTED, S.REQUEST_STOP, S.STOPPED, S.RELOCATE, S.FREEZE, S.FENCE, S.IGNORED, S.ERROR}),
    S.STARTED: frozenset({S.STARTING, S.REQUEST_STOP, S.MIGRATE, S.RELOCATE, S.FREEZE, S.FENCE, S.IGNORED, S.ERROR}),
    S.REQUEST_STOP: frozenset({S.STOPPED, S.FENCE, S.IGNORED}),
    S.STOPPED: frozenset({S.STARTING, S.REQUEST_STOP, S.FENCE, S.IGNORED}),
    S.MIGRATE: frozenset({S.STARTED, S.STARTING, S.RELOCATE, S.REQUEST_STOP, S.FENCE, S.IGNORED}),
    S.RELOCATE: frozenset({S.STARTING, S.STARTED, S.REQUEST_STOP, S.FENCE, S.IGNORED}),
    S.FENCE: frozenset({S.RECOVERY, S.REQUEST_STOP, S.STARTING, S.STARTED, S.IGNORED}),
    S.RECOVERY: frozenset({S.STARTING, S.REQUEST_STOP, S.STOPPED, S.FREEZE, S.IGNORED, S.ERROR}),
    S.FREEZE: frozenset({S.STARTING, S.REQUEST_STOP, S.STOPPED, S.FENCE, S.IGNORED}),
    S.IGNORED: frozenset({S.QUEUED, S.STARTING, S.STARTED, S.REQUEST_STOP, S.FENCE}),
    S.ERROR: frozenset({S.QUEUED, S.REQUEST_STOP, S.STOPPED, S.IGNORED}),
}
"""state -> the states that may follow it."""
RESTED: Final = frozenset({S.STARTED, S.STOPPED, S.IGNORED, S.ERROR})
"""Here nothing goes on that was begun: the guest runs, or is as somebody wishes it."""


def move(draft: Draft, to: GuestState) -> None:
    """Go to another state if the table has that move."""
    state = draft.status.state
    if to not in MOVES[state]:
        raise IllegalMoveError(f"{draft.guest.key.sid}: {state} -> {to} is not in the table")
    interrupted = draft.status.interrupted and to not in RESTED
    draft.status = replace(draft.status, state=to, since=draft.world.wall, interrupted=interrupted)
    draft.note(f"Guest{to}", f"{state} -> {to}" + (f": {draft.status.message}" if draft.status.message else ""))

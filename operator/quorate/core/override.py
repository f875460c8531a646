"""`pvecm expected N`: what becomes of a person's word on how many votes there are.

Source of the rule: the safety document, section 10. It is stricter than votequorum: refused while a real majority lives,
and spent for good once one has lived again, so that a request forgotten in a file never acts weeks later.
"""

from dataclasses import dataclass
from enum import StrEnum

from quorate.core.quick import quick
from quorate.core.types import Answer


@dataclass(frozen=True, slots=True)
class ExpectedVotes:
    """`pvecm expected N`: a person says how many votes there are. A new `generation` is a new request."""

    votes: int
    reason: str
    generation: int


class OverrideState(StrEnum):
    ACTIVE = "Active"
    REFUSED = "Refused"
    SPENT = "Spent"


@quick
@dataclass(frozen=True, slots=True)
class Override:
    """What became of the newest request. Refused and spent ones never act again, however long they stay in the spec."""

    generation: int
    votes: int
    state: OverrideState

    @property
    def active(self) -> bool:
        return self.state is OverrideState.ACTIVE


def judge_override(wish: ExpectedVotes | None, before: Override | None, real: Answer) -> Override | None:
    """What becomes of a request, given whether a *real* majority (of the true total) lives.

    Refused while one lives; spent once one has lived again. Both are for good, so that a request forgotten in a file
    never acts weeks later: acting again takes a larger generation.
    """
    if wish is None or (before is not None and wish.generation < before.generation):
        return before if before is None or not before.active else _ended(before)
    if before is None or wish.generation > before.generation:
        if real is Answer.NOT_YET:
            return before
        state = OverrideState.REFUSED if real is Answer.YES else OverrideState.ACTIVE
        return Override(wish.generation, wish.votes, state)
    if before.active:
        if real is Answer.YES:
            return _ended(before)
        return Override(before.generation, wish.votes, before.state)
    return before


def _ended(override: Override) -> Override:
    return Override(override.generation, override.votes, OverrideState.SPENT)

"""Votes -> quorum: yes, no or not yet, and why.

A majority of all votes must be heard from before anything is fenced, recovered, started or moved. Quorum is a brake
against acting on a small view of the world; what keeps two nodes from running one guest is the node's Lease.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from quorate.core.types import Answer, NodeName


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's weight, and whether this manager hears from it."""

    node: NodeName
    votes: int
    alive: Answer


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


@dataclass(frozen=True, slots=True)
class Override:
    """What became of the newest request. Refused and spent ones never act again, however long they stay in the spec."""

    generation: int
    votes: int
    state: OverrideState


@dataclass(frozen=True, slots=True)
class Quorum:
    """`expected` is what counts now; `total` what all members together have."""

    votes: tuple[Vote, ...]
    total: int
    expected: int
    live: int
    pending: int
    needed: int
    answer: Answer

    @property
    def sentence(self) -> str:
        heard = f"{self.live} of {self.expected} votes, need {self.needed}"
        if self.answer is Answer.NOT_YET:
            return f"{heard}, {self.pending} not heard from yet"
        return heard

    def describe(self) -> str:
        """Draw the answer: one line a vote, the line of the majority between those that carry it and the rest."""
        order = {Answer.YES: 0, Answer.NOT_YET: 1, Answer.NO: 2}
        width = max((len(vote.node) for vote in self.votes), default=4)
        lines = []
        counted = 0
        drawn = False
        for vote in sorted(self.votes, key=lambda vote: (order[vote.alive], vote.node)):
            mark = {Answer.YES: "x" * vote.votes, Answer.NOT_YET: "?" * vote.votes, Answer.NO: "-" * vote.votes}
            lines.append(f"{vote.node:<{width}}  {mark[vote.alive] or '0'}")
            counted += vote.votes
            if not drawn and counted >= self.needed:
                lines.append(f"{'':<{width}}  ^ {self.needed} of {self.expected} are a majority")
                drawn = True
        lines.append(f"{self.answer.value}: {self.sentence}")
        return "\n".join(lines)


def count(votes: Sequence[Vote], override: Override | None = None) -> Quorum:
    """Count. An active override replaces the total, but the effective total is never below the live votes.

    Source of the rule: votequorum; live >= floor(expected / 2) + 1.
    """
    total = sum(vote.votes for vote in votes)
    live = sum(vote.votes for vote in votes if vote.alive is Answer.YES)
    pending = sum(vote.votes for vote in votes if vote.alive is Answer.NOT_YET)
    expected = total
    if override is not None and override.state is OverrideState.ACTIVE:
        expected = max(override.votes, live)
    needed = expected // 2 + 1
    if live >= needed:
        answer = Answer.YES
    elif live + pending >= needed:
        answer = Answer.NOT_YET
    else:
        answer = Answer.NO
    return Quorum(tuple(votes), total, expected, live, pending, needed, answer)


def judge_override(wish: ExpectedVotes | None, before: Override | None, real: Answer) -> Override | None:
    """What becomes of a request, given whether a *real* majority (of the true total) lives.

    Refused while one lives; spent once one has lived again. Both are for good, so that a request forgotten in a file
    never acts weeks later: acting again takes a larger generation.
    """
    if wish is None or (before is not None and wish.generation < before.generation):
        return before if before is None or before.state is not OverrideState.ACTIVE else _ended(before)
    if before is None or wish.generation > before.generation:
        if real is Answer.NOT_YET:
            return before
        state = OverrideState.REFUSED if real is Answer.YES else OverrideState.ACTIVE
        return Override(wish.generation, wish.votes, state)
    if before.state is OverrideState.ACTIVE:
        if real is Answer.YES:
            return _ended(before)
        return Override(before.generation, wish.votes, before.state)
    return before


def _ended(override: Override) -> Override:
    return Override(override.generation, override.votes, OverrideState.SPENT)

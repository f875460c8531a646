"""Votes -> quorum: yes, no or not yet, and why.

A majority of all votes must be heard from before anything is fenced, recovered, started or moved. Quorum is a brake
against acting on a small view of the world; what keeps two nodes from running one guest is the node's Lease.

The rules are corosync's (votequorum(5) of 3.1.7), whose answers to the replayed timelines are the test. There every
node counts for itself; here one manager counts for all, so what a node keeps in its process is a `Memory` that goes in
and comes out, and is kept in the status of the Cluster: a manager that restarts forgets nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quorate.core.changes import updated
from quorate.core.quick import quick, replace
from quorate.core.quorum_options import PLAIN, QuorumOptions
from quorate.core.types import Answer, NodeName

NOBODY: Final = NodeName("")
TWO: Final = 2


@quick
@dataclass(frozen=True, slots=True)
class Vote:
    """One voter's weight, and whether this manager hears from it.

    `boot`: which boot of it is heard, `silent_s`: for how long a silent one has been silent, both on the manager's own
    clock; `member`: a node, not the quorum device.
    """

    node: NodeName
    votes: int
    alive: Answer
    boot: str = ""
    silent_s: float = 0.0
    member: bool = True


@quick
@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A node that was heard, in one boot of it."""

    node: NodeName
    boot: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Memory:
    """What a count must know of the ones before it.

    `expected`: the total in force, which grows with the votes that are heard and shrinks only by a person's word or by
    last man standing; 0: all votes. `waiting`: not quorate since the last start of the whole Cluster (wait for all).
    `left`: a node of a quorate membership has left, and the total has not been counted anew (last man standing).
    `tie_breaker`: the lowest node of the last majority. `present` is heard now and `previous` was before the last
    change; `witnesses` is who was heard when it was quorate last.
    """

    expected: int = 0
    waiting: bool = True
    left: bool = False
    tie_breaker: NodeName = NOBODY
    present: tuple[NodeName, ...] = ()
    previous: tuple[NodeName, ...] = ()
    witnesses: tuple[Member, ...] = ()


class Rule(StrEnum):
    """What decided."""

    MAJORITY = "Majority"
    NO_MAJORITY = "NoMajority"
    TWO_NODE = "TwoNode"
    TIE_BREAKER = "TieBreaker"
    LAST_MAN_STANDING = "LastManStanding"
    WAITING_FOR_ALL = "WaitingForAll"
    OTHERS_STOOD = "OthersStood"


@quick
@dataclass(frozen=True, slots=True)
class Quorum:
    """`expected` is what counts now; `total` what all voters together have. `tie_breaker`: who decided a tie."""

    votes: tuple[Vote, ...]
    total: int
    expected: int
    live: int
    pending: int
    needed: int
    answer: Answer
    rule: Rule = Rule.MAJORITY
    tie_breaker: NodeName = NOBODY

    @property
    def sentence(self) -> str:
        """How many are heard, and what else decided."""
        heard = f"{self.live} of {self.expected} votes, need {self.needed}{self.because}"
        if self.answer is Answer.NOT_YET:
            return f"{heard}, {self.pending} not heard from yet"
        return heard

    @property
    def because(self) -> str:
        """What decided besides the number of votes, as the end of a sentence; empty: nothing did."""
        match self.rule:
            case Rule.WAITING_FOR_ALL:
                return f", and waits until all {self.expected} have been heard at once"
            case Rule.TIE_BREAKER:
                return f"; half of them and the tie breaker {self.tie_breaker}"
            case Rule.TWO_NODE:
                return "; one of two is enough"
            case Rule.LAST_MAN_STANDING:
                return f"; of {self.total} votes the rest stopped counting"
            case Rule.OTHERS_STOOD:
                return f"; of {self.total} votes others were the last to stand"
        return ""

    def describe(self) -> str:
        """Draw the answer: one line a vote, the line of the majority between those that carry it and the rest."""
        order = {Answer.YES: 0, Answer.NOT_YET: 1, Answer.NO: 2}
        width = max((len(vote.node) for vote in self.votes), default=4)
        lines = []
        counted = 0
        drawn = False
        for vote in sorted(self.votes, key=lambda vote: (order[vote.alive], not vote.member, vote.node)):
            mark = {Answer.YES: "x" * vote.votes, Answer.NOT_YET: "?" * vote.votes, Answer.NO: "-" * vote.votes}
            named = "" if vote.member else "  (device)"
            first = "  (breaks ties)" if vote.node == self.tie_breaker and self.rule is Rule.TIE_BREAKER else ""
            lines.append(f"{vote.node:<{width}}  {mark[vote.alive] or '0'}{named}{first}")
            counted += vote.votes
            if not drawn and counted >= self.needed:
                lines.append(f"{'':<{width}}  ^ {self.needed} of {self.expected} {self._are}")
                drawn = True
        lines.append(f"{self.answer.value}: {self.sentence}")
        return "\n".join(lines)

    @property
    def _are(self) -> str:
        return "are enough (two nodes)" if self.rule is Rule.TWO_NODE else "are a majority"


def majority(total: int) -> int:
    """How many of that many votes are a majority."""
    return total // 2 + 1


def count(votes: Sequence[Vote], memory: Memory | None = None, options: QuorumOptions = PLAIN) -> tuple[Quorum, Memory]:
    """Count: the answer, and what the next count must know.

    The total in force is never below the live votes. While it is not known of everybody whether they live, a majority of
    sure votes is a yes, nothing else is decided, and nothing is learnt.
    """
    total = sum(vote.votes for vote in votes)
    before = memory if memory is not None else Memory()
    if not before.expected:
        before = replace(before, expected=total)
    sure = [vote for vote in votes if vote.alive is Answer.YES]
    hoped = [vote for vote in votes if vote.alive is not Answer.NO]
    now = _moved(before, _names(sure), options)
    if len(hoped) == len(sure):
        return tally(votes, now, options)
    quorum, _ = tally(votes, now, options)
    if quorum.answer is Answer.YES and quorum.rule is not Rule.TIE_BREAKER:
        return quorum, before
    heard = [replace(vote, alive=Answer.YES) if vote.alive is Answer.NOT_YET else vote for vote in votes]
    best, _ = tally(heard, _moved(recalled(heard, before), _names(hoped), options), options)
    answer = Answer.NOT_YET if best.answer is Answer.YES else Answer.NO
    rule = Rule.NO_MAJORITY if quorum.rule is Rule.TIE_BREAKER else quorum.rule
    return replace(quorum, answer=answer, rule=rule, tie_breaker=NOBODY), before


def _moved(memory: Memory, members: tuple[NodeName, ...], options: QuorumOptions) -> Memory:
    return memory if members == memory.present else regroup(memory, members, options)


def regroup(memory: Memory, members: tuple[NodeName, ...], options: QuorumOptions = PLAIN) -> Memory:
    """Other nodes are heard than before: what that means for the tie breaker and for last man standing.

    Source of the rule: votequorum starts its window when somebody leaves a membership that stays a majority, or when
    the tie breaker is in the half that is left.
    """
    left = memory.left
    if options.last_man_standing_s is not None:
        gone = not set(memory.present) <= set(members)
        needed = majority(memory.expected)
        half = len(members) <= needed and options.auto_tie_breaker and memory.tie_breaker in members
        left = left or half or (gone and len(members) >= needed)
    return replace(memory, present=members, previous=memory.present, left=left)


def tally(votes: Sequence[Vote], memory: Memory, options: QuorumOptions = PLAIN) -> tuple[Quorum, Memory]:
    """Add up the votes that are heard, for a membership that `regroup` knows of. What is not sure counts as silent."""
    total = sum(vote.votes for vote in votes)
    heard = [vote for vote in votes if vote.alive is Answer.YES]
    live = sum(vote.votes for vote in heard)
    pending = sum(vote.votes for vote in votes if vote.alive is Answer.NOT_YET)
    old = memory.expected or total
    expected = max(old, live)
    quorate, rule = _decide(heard, total, updated(memory, expected=old), options)
    left = memory.left
    if quorate and left and _window_over(votes, options):
        # Counted in nodes, as every one has one vote at most: a node without a vote makes it stricter.
        expected, left = max(live, len(_names(heard))), False
    needed = _needed(expected, heard, options)
    names = _names(heard)
    by_votes = quorate and rule is not Rule.TIE_BREAKER
    after = updated(
        memory,
        expected=expected,
        waiting=not quorate,
        left=left,
        tie_breaker=min(names, default=NOBODY) if by_votes else memory.tie_breaker,
        witnesses=members_of(heard) if quorate else memory.witnesses,
    )
    breaker = NOBODY
    if rule is Rule.TIE_BREAKER:
        breaker = _listed(memory, options) if options.tie_breakers else memory.tie_breaker
    answer = Answer.YES if quorate else Answer.NO
    return Quorum(tuple(votes), total, expected, live, pending, needed, answer, rule, breaker), after


def recalled(votes: Iterable[Vote], memory: Memory) -> Memory:
    """Wait for all is over while a node is heard that has not restarted since it was part of a quorate Cluster.

    A votequorum node that has been quorate tells it to those that boot; it is the first time again when all of them have
    restarted, also where nobody counted meanwhile and the last that was written is "quorate".
    """
    heard = {Member(vote.node, vote.boot) for vote in votes if vote.member and vote.alive is Answer.YES}
    if not heard or not memory.witnesses:
        return memory
    return updated(memory, waiting=not heard & set(memory.witnesses))


def members_of(votes: Iterable[Vote]) -> tuple[Member, ...]:
    """The nodes among these voters, in their boots."""
    return tuple(sorted(Member(vote.node, vote.boot) for vote in votes if vote.member))


def _names(votes: Iterable[Vote]) -> tuple[NodeName, ...]:
    return tuple(sorted(vote.node for vote in votes if vote.member))


def _needed(expected: int, heard: Collection[Vote], options: QuorumOptions) -> int:
    return 1 if options.two_node and len(_names(heard)) <= TWO else majority(expected)


def _decide(heard: Sequence[Vote], total: int, memory: Memory, options: QuorumOptions) -> tuple[bool, Rule]:
    live = sum(vote.votes for vote in heard)
    expected = max(memory.expected, live)
    if options.wait_for_all and memory.waiting and live != expected:
        return False, Rule.WAITING_FOR_ALL
    needed = _needed(expected, heard, options)
    if live >= needed:
        if live >= majority(max(total, expected)):
            return True, Rule.MAJORITY
        if needed < majority(expected):
            return True, Rule.TWO_NODE
        if options.last_man_standing_s is None or expected >= total:
            return True, Rule.MAJORITY
        return (True, Rule.LAST_MAN_STANDING) if _stood(heard, memory, options) else (False, Rule.OTHERS_STOOD)
    if options.auto_tie_breaker and live and live == expected // 2 and _breaks_tie(heard, needed, memory, options):
        if options.last_man_standing_s is None or expected >= total or _stood(heard, memory, options):
            return True, Rule.TIE_BREAKER
        return False, Rule.OTHERS_STOOD
    return False, Rule.NO_MAJORITY


def _stood(heard: Iterable[Vote], memory: Memory, options: QuorumOptions) -> bool:
    """A total that last man standing has shrunk counts only for those who stood then, and have not restarted since.

    Others know nothing of it, in votequorum either: a node that comes back counts with all votes until it has met them.
    """
    witnesses = set(memory.witnesses)
    standing = [vote for vote in heard if Member(vote.node, vote.boot) in witnesses]
    carried = sum(vote.votes for vote in standing)
    half = options.auto_tie_breaker and carried and carried == memory.expected // 2
    return carried >= majority(memory.expected) or bool(half)


def _breaks_tie(heard: Iterable[Vote], needed: int, memory: Memory, options: QuorumOptions) -> bool:
    """Half of the votes are heard: is the tie breaker among them, and can those that left not be a majority?"""
    if len(memory.previous) - len(memory.present) >= needed:
        return False
    if options.tie_breakers:
        return bool(_listed(memory, options))
    return memory.tie_breaker in _names(heard)


def _listed(memory: Memory, options: QuorumOptions) -> NodeName:
    """The first of the list that is present; none once one is passed that has only just left: the other half has it."""
    for name in options.tie_breakers:
        if name in memory.present:
            return name
        if name in memory.previous:
            break
    return NOBODY


def _window_over(votes: Iterable[Vote], options: QuorumOptions) -> bool:
    """Has everybody that is not heard been silent for the whole window of last man standing?"""
    window_s = options.last_man_standing_s
    if window_s is None or any(vote.votes > 1 for vote in votes):
        return False
    return all(vote.silent_s >= window_s for vote in votes if vote.alive is not Answer.YES and vote.votes)

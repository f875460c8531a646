"""The way corosync's nodes talk of their votes, around our count.

There every node counts for itself, so each `Peer` here has its own memory and asks `core.quorum` for every answer; what is
played is who is in its ring, what it has been told, and when it counts: on a new ring, on a message, on a command. Of the
rules of counting nothing is here.

A new ring is played as the simulator of corosync does (corosync-vqsim, which the timelines come from): every node sends
what it was before, counts what is left of its old ring, and then hears the others. A node also hears its own message,
with flags that may be out of date by then; so a node that was quorate before does not wait for all again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from quorate.core.quorum import Member, Memory, Rule, Vote, majority, regroup, tally
from quorate.core.quorum_options import QuorumOptions
from quorate.core.types import Answer, NodeName

FOREVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Flags:
    """What a node says of itself besides its votes. `first`: it has met nobody since it booted."""

    quorate: bool = False
    waiting: bool = False
    first: bool = True
    device: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """A message: who, how many votes, of how many."""

    node: NodeName
    votes: int
    expected: int
    flags: Flags


@dataclass(slots=True)
class Known:
    """What a node knows of another (or of itself)."""

    votes: int
    expected: int
    flags: Flags
    member: bool = True


@dataclass(slots=True)
class Peer:
    """One node that counts. `device_votes`: of the quorum device; `configured`: nodes and votes of its own file."""

    name: NodeName
    boot: str
    votes: int
    expected: int
    options: QuorumOptions
    device_votes: int
    configured: Sequence[tuple[NodeName, int]]
    memory: Memory = field(default_factory=Memory)
    flags: Flags = field(default_factory=Flags)
    known: dict[NodeName, Known] = field(default_factory=dict)
    quorate: bool = False
    needed: int = 0
    live: int = 0
    window_over: bool = False

    def __post_init__(self) -> None:
        self.memory = Memory(expected=self.expected, present=(self.name,), previous=(self.name,))
        self.flags = Flags(waiting=bool(self.options.wait_for_all))
        self.known = {name: Known(votes, self.expected, Flags(), member=False) for name, votes in self.configured}
        self.known[self.name] = Known(self.votes, self.expected, self.flags)
        self.count()

    # -- counting

    def count(self) -> None:
        """Ask our count, and keep what it says. Of the total, the largest that anybody in the ring knows is needed."""
        votes = self._votes()
        members = sum(vote.votes for vote in votes if vote.member and vote.alive is Answer.YES)
        # The device belongs to the total as soon as it is configured, whether it votes or not.
        mine = max(self.memory.expected, members + self.device_votes)
        told = max((one.expected for one in self.known.values() if one.member), default=0)
        quorum, memory = tally(votes, replace(self.memory, expected=max(mine, told)), self.options)
        self.memory = replace(memory, expected=max(mine, quorum.live)) if told > mine else memory
        self.needed, self.live, self.quorate = quorum.needed, quorum.live, quorum.answer is Answer.YES
        self.known[self.name].expected = self.memory.expected
        if quorum.rule is Rule.WAITING_FOR_ALL:
            return  # a node that waits changes nothing of what it says of itself
        waiting = bool(self.options.wait_for_all) and not self.quorate
        self.flags = replace(self.flags, quorate=self.quorate, waiting=waiting)
        self.known[self.name].flags = self.flags

    def _votes(self) -> list[Vote]:
        silent_s = FOREVER_S if self.window_over else 0.0
        votes = [
            Vote(name, one.votes, Answer.YES if one.member else Answer.NO, silent_s=silent_s)
            for name, one in sorted(self.known.items())
        ]
        if self.flags.device:
            votes.append(Vote(NodeName("device"), self.device_votes, Answer.YES, member=False))
        return votes

    # -- rings and messages

    def enter(self, ring: Iterable[NodeName]) -> None:
        """A new ring: who is not in it is gone, who is new has still to be heard."""
        members = tuple(sorted(ring))
        if len(members) > 1:
            self.flags = replace(self.flags, first=False)
        for name in self.memory.present:
            if name not in members and name in self.known:
                self.known[name].member = False
        self.memory = regroup(self.memory, members, self.options)

    def says(self) -> Info:
        return Info(self.name, self.votes, self.memory.expected, self.flags)

    def hears(self, info: Info) -> None:
        before = self.known.get(info.node)
        new = before is None or not before.member
        adopt = not self.quorate and info.flags.quorate
        if adopt:
            # Who adopts the total of the nodes that stand, stands with them.
            standing = tuple(Member(name) for name in self.memory.present)
            self.memory = replace(self.memory, expected=info.expected, witnesses=standing)
        expected = info.expected if info.flags.quorate else self.memory.expected
        now = Known(info.votes, expected, info.flags)
        self.known[info.node] = now
        if info.node == self.name:
            self.flags = info.flags
            self.votes = info.votes
        changed = before is None or (before.votes, before.expected, before.flags) != (
            now.votes,
            now.expected,
            now.flags,
        )
        if new or changed or info.flags.first or info.node == self.name:
            self.count()
        after = self.known[info.node].flags
        if self.options.wait_for_all and after.quorate and not after.waiting:
            self._wait_no_more()

    def _wait_no_more(self) -> None:
        self.memory = replace(self.memory, waiting=False)
        self.flags = replace(self.flags, waiting=False)
        self.known[self.name].flags = self.flags

    # -- commands and time

    def told_expected(self, votes: int) -> None:
        """`corosync-quorumtool -e`, as every node of the ring hears it."""
        for one in self.known.values():
            if one.member:
                one.expected = votes
        self.memory = replace(self.memory, expected=votes)
        self.count()

    def accepts_expected(self, votes: int) -> bool:
        """Whether corosync takes such a command: not below the votes that live, and not so that quorum is lost.

        (Ours refuses more: everything while a real majority lives. `core/override.py` and its tests have that.)
        """
        return votes >= max(1, self.live) and not (self.quorate and majority(votes) > self.live)

    def told_votes(self, node: NodeName, votes: int) -> None:
        self.known[node].votes = votes
        if node == self.name:
            self.votes = votes
        self.count()

    def told_not_to_wait(self) -> None:
        self._wait_no_more()
        self.count()

    def window_passes(self) -> None:
        """The window of last man standing is over, if it was running."""
        if not self.memory.left:
            return
        if self.quorate:
            self.window_over = True
            self.count()
            self.window_over = False
            for one in self.known.values():
                if one.member:
                    one.expected = self.memory.expected
        self.memory = replace(self.memory, left=False)

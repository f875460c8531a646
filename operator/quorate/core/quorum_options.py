"""The options of quorum, which of them may act in a Cluster as it is, and why others may not.

Source of the rules: votequorum(5). What contradicts itself is refused by the CRD; what depends on the members' votes can
only be seen here, is left out as a whole, and is said in a condition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from quorate.core.quick import quick, replace
from quorate.core.types import NodeName

TWO: Final = 2


@dataclass(frozen=True, slots=True)
class QuorumDevice:
    """A vote from outside (QDevice). `votes` None: as many as the nodes have, less one."""

    name: str
    votes: int | None = None


@dataclass(frozen=True, slots=True)
class QuorumOptions:
    """Options of votequorum.

    `wait_for_all` None: as `two_node` has it. `tie_breakers`: the first of them that is heard; empty: the lowest name.
    `last_man_standing_s`: its window in seconds; None: off.
    """

    wait_for_all: bool | None = None
    auto_tie_breaker: bool = False
    tie_breakers: tuple[NodeName, ...] = ()
    last_man_standing_s: float | None = None
    two_node: bool = False
    device: QuorumDevice | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are set, as spec.quorum spells them."""
        window_s, device = self.last_man_standing_s, self.device
        found = {
            "waitForAll": bool(self.wait_for_all),
            "autoTieBreaker": self.auto_tie_breaker,
            f"lastManStanding after {window_s or 0:g}s": window_s is not None,
            "twoNode": self.two_node,
            f"device {device.name}" if device is not None else "": device is not None,
        }
        return tuple(name for name, wished in found.items() if wished) or ("none",)

    @property
    def remember(self) -> bool:
        """Whether a count must know of the ones before it."""
        return bool(self.wait_for_all) or self.auto_tie_breaker or self.last_man_standing_s is not None


PLAIN: Final = QuorumOptions()


@quick
@dataclass(frozen=True, slots=True)
class Judged:
    """The options that are in force, and one sentence with a remedy for each that is not."""

    options: QuorumOptions
    problems: tuple[str, ...] = ()


def contradictions(options: QuorumOptions) -> tuple[str, ...]:
    """Which options exclude each other, whatever the votes are. The CRD refuses them; the words are the same."""
    found = []
    if options.two_node and options.device is not None:
        found.append("twoNode and device exclude each other: with a device one node and the device are a majority")
    if options.two_node and options.auto_tie_breaker:
        found.append("twoNode and autoTieBreaker exclude each other: with twoNode either node may go on")
    if options.device is not None and options.auto_tie_breaker:
        found.append("device and autoTieBreaker exclude each other: the device breaks ties")
    if options.device is not None and options.last_man_standing_s is not None:
        found.append("device and lastManStanding exclude each other: the device would outvote the last nodes")
    return tuple(found)


def in_force(options: QuorumOptions, votes: Sequence[tuple[NodeName, int]]) -> Judged:
    """Which options may act, given every member and its votes, heard or not. Of contradictions none does."""
    against = contradictions(options)
    if against:
        return Judged(PLAIN, tuple(f"no option of spec.quorum is in force: {one}" for one in against))
    problems = []
    total = sum(weight for _, weight in votes)
    if options.two_node and options.wait_for_all is None:
        options = replace(options, wait_for_all=True)
    if options.device is not None:
        options, problem = _device(options, options.device, votes)
        problems.append(problem)
    if options.two_node and (len(votes) != TWO or total != TWO):
        options = replace(options, two_node=False)
        problems.append(
            f"spec.quorum.twoNode is not in force: it is for two nodes with a vote each, and there are {len(votes)} with "
            f"{total} votes. Remove it; with three votes or more a majority decides"
        )
    if options.last_man_standing_s is not None:
        heavy = [name for name, weight in votes if weight > 1]
        if heavy:
            options = replace(options, last_man_standing_s=None)
            problems.append(
                f"spec.quorum.lastManStanding is not in force: it is for nodes with one vote each, and "
                f"{', '.join(heavy)} has more. Set spec.votes of these Nodes to 1, or remove lastManStanding"
            )
    if options.auto_tie_breaker:
        options, problem = _tie_breaker(options, votes, total)
        problems.append(problem)
    return Judged(options, tuple(filter(None, problems)))


def _device(
    options: QuorumOptions, device: QuorumDevice, votes: Sequence[tuple[NodeName, int]]
) -> tuple[QuorumOptions, str]:
    """How many votes the device has. Unset: the nodes' less one, so that one node and the device are a majority."""
    if device.votes is not None:
        return options, ""
    if any(weight != 1 for _, weight in votes):
        named = ", ".join(f"{name} ({weight})" for name, weight in votes if weight != 1)
        problem = (
            "spec.quorum.device is not in force: without votes of its own it has one less than there are nodes with one "
            f"vote each, and these have not: {named}. Set spec.quorum.device.votes"
        )
        return replace(options, device=None), problem
    return replace(options, device=replace(device, votes=max(0, len(votes) - 1))), ""


def _tie_breaker(
    options: QuorumOptions, votes: Sequence[tuple[NodeName, int]], total: int
) -> tuple[QuorumOptions, str]:
    if total % 2 and not options.wait_for_all:
        problem = (
            f"spec.quorum.autoTieBreaker is not in force: with an odd number of votes ({total}) it needs "
            "spec.quorum.waitForAll, or a smaller half that boots alone would go on. Set waitForAll, or remove it"
        )
        return replace(options, auto_tie_breaker=False), problem
    members = {name for name, _ in votes}
    strangers = [name for name in options.tie_breakers if name not in members]
    if strangers:
        problem = (
            f"spec.quorum.autoTieBreakerNodes names {', '.join(strangers)}, which is no Node of this Cluster: it cannot "
            "break a tie. Correct the name, or remove it"
        )
        return options, problem
    return options, ""

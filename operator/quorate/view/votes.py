"""The votes of a Cluster, for people: a drawing of the count, and what `expectedVotes` could change."""

from collections.abc import Mapping
from typing import Any, Final

from quorate.core.quorum import Quorum, Rule, Vote
from quorate.core.status import VotesStatus
from quorate.core.types import Answer, NodeName
from quorate.view.report import ClusterReport


def drawing(cluster: ClusterReport) -> str:
    """The majority and who carries it. The count is the manager's; who is heard is as their Leases look now."""
    votes = [Vote(NodeName(node.name), node.votes, Answer.YES if node.heard else Answer.NO) for node in cluster.nodes]
    device = cluster.device
    if device is not None:
        heard = Answer.YES if device.heard else Answer.NO
        votes.append(Vote(NodeName(device.name), device.votes, heard, member=False))
    return _quorum(cluster.votes, Answer.YES if cluster.quorate else Answer.NO, tuple(votes)).describe()


def because(counted: VotesStatus) -> str:
    """What decided besides the numbers, as the end of a sentence."""
    return _quorum(counted, Answer.NO).because


def _quorum(counted: VotesStatus, answer: Answer, votes: tuple[Vote, ...] = ()) -> Quorum:
    """The count as the manager wrote it."""
    return Quorum(
        votes=votes,
        total=counted.total,
        expected=counted.expected,
        live=counted.live,
        pending=0,
        needed=counted.needed,
        answer=answer,
        rule=counted.rule,
        tie_breaker=counted.tie_breaker,
    )


FLAGS: Final = {
    "twoNode": "2Node",
    "waitForAll": "WaitForAll",
    "lastManStanding": "LastManStanding",
    "autoTieBreaker": "AutoTieBreaker",
    "device": "Qdevice",
}
"""The options of spec.quorum, as corosync-quorumtool calls them."""


def wished_options(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that a Cluster's spec.quorum sets, as corosync-quorumtool calls them."""
    return tuple(flag for option, flag in FLAGS.items() if spec.get(option) not in (None, False))


def enough(counted: VotesStatus) -> int:
    """The largest number of votes that `expectedVotes` could say to make it quorate now; 0: none would."""
    return counted.live if counted.rule is Rule.WAITING_FOR_ALL else largest_total(counted.live)


def largest_total(live: int) -> int:
    """The largest number of votes of which so many are still a majority; 0 when none is alive."""
    return max(0, 2 * live - 1)

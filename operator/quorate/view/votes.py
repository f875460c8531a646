"""The votes of a Cluster, for people: a drawing of the count, and what `expectedVotes` could change."""

from quorate.core.quorum import Quorum, Vote
from quorate.core.types import Answer, NodeName
from quorate.view.report import ClusterReport


def drawing(cluster: ClusterReport) -> str:
    """The majority and who carries it. The count is the manager's; who is heard is as their Leases look now."""
    votes = tuple(
        Vote(NodeName(node.name), node.votes, Answer.YES if node.heard else Answer.NO) for node in cluster.nodes
    )
    counted = cluster.votes
    answer = Answer.YES if cluster.quorate else Answer.NO
    return Quorum(votes, counted.total, counted.expected, counted.live, 0, counted.needed, answer).describe()


def largest_total(live: int) -> int:
    """The largest number of votes of which so many are still a majority; 0 when none is alive."""
    return max(0, 2 * live - 1)

"""Which options of quorum may act, and what is said of those that may not."""

import pytest

from quorate.core.quorum_options import PLAIN, QuorumDevice, QuorumOptions, contradictions, in_force
from quorate.core.types import NodeName


def members(*votes: int) -> list[tuple[NodeName, int]]:
    return [(NodeName(f"n{i}"), weight) for i, weight in enumerate(votes, 1)]


@pytest.mark.parametrize(
    ("options", "votes", "said"),
    [
        (QuorumOptions(two_node=True), (1, 1, 1), "twoNode is not in force: it is for two nodes"),
        (QuorumOptions(two_node=True), (2, 1), "there are 2 with 3 votes"),
        (QuorumOptions(last_man_standing_s=10.0), (1, 2), "n2 has more"),
        (QuorumOptions(auto_tie_breaker=True), (1, 1, 1), "with an odd number of votes (3) it needs"),
        (QuorumOptions(auto_tie_breaker=True, tie_breakers=(NodeName("x"),)), (1, 1), "names x, which is no Node"),
        (QuorumOptions(device=QuorumDevice("third")), (2, 1), "these have not: n1 (2)"),
    ],
)
def test_what_the_votes_do_not_allow_is_left_out_and_said(options, votes, said):
    judged = in_force(options, members(*votes))
    (problem,) = judged.problems
    assert said in problem
    assert problem.startswith("spec.quorum.")


def test_two_nodes_wait_for_all_unless_told_otherwise():
    assert in_force(QuorumOptions(two_node=True), members(1, 1)).options.wait_for_all
    unsaid = in_force(QuorumOptions(two_node=True, wait_for_all=False), members(1, 1)).options
    assert (unsaid.two_node, unsaid.wait_for_all) == (True, False)


def test_a_device_without_votes_has_one_less_than_there_are_nodes():
    judged = in_force(QuorumOptions(device=QuorumDevice("third")), members(1, 1, 1))
    assert judged.options.device == QuorumDevice("third", 2)
    assert judged.problems == ()


def test_of_options_that_exclude_each_other_none_acts():
    both = QuorumOptions(two_node=True, device=QuorumDevice("third", 1))
    judged = in_force(both, members(1, 1))
    assert judged.options == PLAIN
    (problem,) = judged.problems
    assert problem.startswith(
        "no option of spec.quorum is in force: twoNode and device exclude each other: with a device"
    )


def test_each_pair_that_excludes_each_other_is_found():
    everything = QuorumOptions(
        auto_tie_breaker=True, last_man_standing_s=1.0, two_node=True, device=QuorumDevice("third", 1)
    )
    assert len(contradictions(everything)) == 4
    assert contradictions(QuorumOptions(wait_for_all=True, auto_tie_breaker=True, last_man_standing_s=1.0)) == ()

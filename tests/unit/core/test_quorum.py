"""Votes -> quorum, against a dumb second implementation, and each option by its example."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.quorum import Memory, Rule, Vote, count, recalled
from quorate.core.quorum_options import QuorumOptions
from quorate.core.types import Answer, NodeName

ANSWERS = st.sampled_from(list(Answer))
VOTES = st.lists(st.tuples(st.integers(0, 3), ANSWERS), max_size=7).map(
    lambda found: [Vote(NodeName(f"n{i}"), votes, alive) for i, (votes, alive) in enumerate(found)]
)
LMS = QuorumOptions(wait_for_all=True, last_man_standing_s=10.0)
TIE = QuorumOptions(auto_tie_breaker=True)


@given(VOTES)
def test_the_answer_is_what_counting_on_fingers_gives(votes):
    fingers = [vote.alive for vote in votes for _ in range(vote.votes)]
    possible = [finger for finger in fingers if finger is not Answer.NO]
    sure = [finger for finger in fingers if finger is Answer.YES]
    found, _ = count(votes)
    if 2 * len(sure) > len(fingers):
        assert found.answer is Answer.YES
    elif 2 * len(possible) > len(fingers):
        assert found.answer is Answer.NOT_YET
    else:
        assert found.answer is Answer.NO


@given(VOTES)
def test_two_halves_are_never_both_quorate(votes):
    """What one side hears from, the other does not."""
    turned = {Answer.YES: Answer.NO, Answer.NO: Answer.YES, Answer.NOT_YET: Answer.NO}
    other = [Vote(vote.node, vote.votes, turned[vote.alive]) for vote in votes]
    assert not (count(votes)[0].answer is Answer.YES and count(other)[0].answer is Answer.YES)


def nodes(picture: str, boots: str = "", silent_s: float = 0.0) -> list[Vote]:
    """One vote for each character: `x` lives, `?` may live, `-` is silent. `boots` names the boot of each."""
    found = {"x": Answer.YES, "?": Answer.NOT_YET, "-": Answer.NO}
    return [
        Vote(NodeName(f"n{i}"), 1, found[mark], boot=boots[i - 1] if boots else "", silent_s=silent_s)
        for i, mark in enumerate(picture, 1)
    ]


def play(options: QuorumOptions, *pictures: str, memory: Memory | None = None, silent_s: float = 0.0):
    """Count picture after picture; the last answer."""
    quorum = None
    for picture in pictures:
        quorum, memory = count(nodes(picture, silent_s=silent_s), memory, options)
    return quorum, memory


def test_no_votes_at_all_are_no_quorum():
    assert count([])[0].answer is Answer.NO


def test_the_drawing_shows_who_carries_the_majority():
    assert count(nodes("x-x"))[0].describe() == (
        "n1  x\nn3  x\n    ^ 2 of 3 are a majority\nn2  -\nyes: 2 of 3 votes, need 2"
    )


def test_the_effective_total_is_never_below_the_live_votes():
    found, memory = count(nodes("xx-"), Memory(expected=1))
    assert (found.expected, found.needed) == (2, 2)
    assert memory.expected == 2


def test_a_total_that_has_grown_does_not_shrink_with_the_votes():
    """A person said 1 for one node; a second came, and has gone again."""
    quorum, _ = play(QuorumOptions(), "x--", "xx-", "x--", memory=Memory(expected=1))
    assert quorum.answer is Answer.NO


def test_wait_for_all_waits_until_all_are_heard_at_once():
    options = QuorumOptions(wait_for_all=True)
    quorum, memory = play(options, "xx-")
    assert (quorum.answer, quorum.rule) == (Answer.NO, Rule.WAITING_FOR_ALL)
    assert quorum.sentence == "2 of 3 votes, need 2, and waits until all 3 have been heard at once"
    quorum, memory = play(options, "xxx", "xx-", memory=memory)
    assert quorum.answer is Answer.YES


def test_wait_for_all_may_still_become_quorate_while_not_all_are_known():
    options = QuorumOptions(wait_for_all=True)
    assert count(nodes("xx?"), None, options)[0].answer is Answer.NOT_YET
    assert count(nodes("x?-"), None, options)[0].answer is Answer.NO


def test_it_is_over_for_who_has_not_restarted():
    options = QuorumOptions(wait_for_all=True)
    _, memory = count(nodes("xxx", "aaa"), None, options)
    _, memory = count(nodes("x--", "aaa"), memory, options)
    assert memory.waiting
    back = nodes("xx-", "aba")
    assert count(back, recalled(back, memory), options)[0].answer is Answer.YES
    restarted = nodes("xx-", "bba")
    assert count(restarted, recalled(restarted, memory), options)[0].answer is Answer.NO


def test_the_half_with_the_lowest_name_breaks_a_tie():
    assert play(TIE, "xxxx", "xx--")[0].answer is Answer.YES
    assert play(TIE, "xxxx", "--xx")[0].answer is Answer.NO
    assert play(TIE, "xxxx", "-xxx", "-x-x")[0].answer is Answer.YES, "the lowest of the last majority"


def test_the_first_of_the_list_breaks_a_tie_unless_it_has_only_just_left():
    listed = replace(TIE, tie_breakers=(NodeName("n3"), NodeName("n1")))
    assert play(listed, "xxxx", "xx--")[0].answer is Answer.NO
    assert play(listed, "xxxx", "--xx")[0].answer is Answer.YES
    assert play(listed, "xxxx", "xx-x", "xx--")[0].answer is Answer.YES


def test_no_tie_is_broken_by_who_never_saw_a_majority():
    assert play(TIE, "xx--")[0].answer is Answer.NO


def test_no_tie_is_broken_while_it_is_not_known_who_lives():
    _, memory = play(TIE, "xxxx")
    assert count(nodes("xx-?"), memory, TIE)[0].answer is Answer.NOT_YET
    assert count(nodes("xx--"), memory, TIE)[0].answer is Answer.YES


def test_the_drawing_names_the_tie_breaker():
    assert play(TIE, "xx", "x-")[0].describe().splitlines() == [
        "n1  x  (breaks ties)",
        "n2  -",
        "    ^ 2 of 2 are a majority",
        "yes: 1 of 2 votes, need 2; half of them and the tie breaker n1",
    ]


def test_the_last_men_standing_count_anew_after_the_window():
    quorum, memory = play(LMS, "xxxxx", "xxx--")
    assert (quorum.answer, quorum.expected) == (Answer.YES, 5)
    _, memory = play(LMS, "xxx--", memory=memory, silent_s=10.0)
    assert memory.expected == 3
    quorum, _ = play(LMS, "xx---", memory=memory)
    assert (quorum.answer, quorum.rule, quorum.total) == (Answer.YES, Rule.LAST_MAN_STANDING, 5)
    assert quorum.sentence == "2 of 3 votes, need 2; of 5 votes the rest stopped counting"


def test_a_second_loss_inside_the_window_loses_quorum():
    quorum, memory = play(LMS, "xxxxx", "xxx--", "xx---")
    assert quorum.answer is Answer.NO
    assert play(LMS, "xx---", memory=memory, silent_s=10.0)[0].answer is Answer.NO


def test_a_shrunken_total_does_not_count_for_those_who_were_left_behind():
    _, memory = play(LMS, "xxxxx", "xxx--")
    _, memory = play(LMS, "xxx--", memory=memory, silent_s=10.0)
    quorum, _ = play(LMS, "---xx", memory=replace(memory, waiting=False))
    assert (quorum.answer, quorum.rule) == (Answer.NO, Rule.OTHERS_STOOD)


def test_nodes_that_never_came_do_not_make_the_total_shrink():
    options = QuorumOptions(last_man_standing_s=10.0)
    _, memory = play(options, "xxx--", silent_s=60.0)
    assert memory.expected == 5


def test_one_of_two_nodes_is_enough_once_both_were_there():
    options = QuorumOptions(two_node=True, wait_for_all=True)
    assert play(options, "x-")[0].answer is Answer.NO
    quorum, _ = play(options, "xx", "x-")
    assert (quorum.answer, quorum.rule, quorum.needed) == (Answer.YES, Rule.TWO_NODE, 1)
    assert (
        quorum.describe()
        == "n1  x\n    ^ 1 of 2 are enough (two nodes)\nn2  -\nyes: 1 of 2 votes, need 1; one of two is enough"
    )


@pytest.mark.parametrize(
    ("device", "answer"), [(Answer.YES, Answer.YES), (Answer.NO, Answer.NO), (Answer.NOT_YET, Answer.NOT_YET)]
)
def test_a_device_votes_like_a_node_and_is_drawn_as_a_device(device, answer):
    votes = [*nodes("x-"), Vote(NodeName("third"), 1, device, member=False)]
    quorum, memory = count(votes)
    assert quorum.answer is answer
    assert memory.present == (NodeName("n1"),) or answer is Answer.NOT_YET
    assert "  (device)" in quorum.describe()


def test_nothing_is_learnt_while_it_is_not_known_who_lives():
    _, memory = play(LMS, "xxxxx")
    assert count(nodes("???xx"), memory, LMS)[1] == memory

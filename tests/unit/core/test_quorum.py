"""Votes -> quorum, against a dumb second implementation, and the life of an override."""

from hypothesis import given
from hypothesis import strategies as st

from quorate.core.quorum import ExpectedVotes, Override, OverrideState, Vote, count, judge_override
from quorate.core.types import Answer, NodeName

ANSWERS = st.sampled_from(list(Answer))
VOTES = st.lists(st.tuples(st.integers(0, 3), ANSWERS), max_size=7).map(
    lambda found: [Vote(NodeName(f"n{i}"), votes, alive) for i, (votes, alive) in enumerate(found)]
)


@given(VOTES)
def test_the_answer_is_what_counting_on_fingers_gives(votes):
    fingers = [vote.alive for vote in votes for _ in range(vote.votes)]
    possible = [finger for finger in fingers if finger is not Answer.NO]
    sure = [finger for finger in fingers if finger is Answer.YES]
    found = count(votes)
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
    assert not (count(votes).answer is Answer.YES and count(other).answer is Answer.YES)


def three(*alive: Answer) -> list[Vote]:
    return [Vote(NodeName(f"n{i}"), 1, one) for i, one in enumerate(alive, 1)]


def test_no_votes_at_all_are_no_quorum():
    assert count([]).answer is Answer.NO


def test_the_drawing_shows_who_carries_the_majority():
    assert count(three(Answer.YES, Answer.NO, Answer.YES)).describe() == (
        "n1  x\nn3  x\n    ^ 2 of 3 are a majority\nn2  -\nyes: 2 of 3 votes, need 2"
    )


def test_expected_one_lets_one_of_three_go_on():
    override = judge_override(ExpectedVotes(1, "two are lost", 1), None, Answer.NO)
    assert override == Override(1, 1, OverrideState.ACTIVE)
    assert count(three(Answer.NO, Answer.NO, Answer.YES), override).answer is Answer.YES


def test_the_effective_total_is_never_below_the_live_votes():
    found = count(three(Answer.YES, Answer.YES, Answer.NO), Override(1, 1, OverrideState.ACTIVE))
    assert (found.expected, found.needed) == (2, 2)


def test_it_is_refused_while_a_real_majority_lives_and_stays_refused():
    wish = ExpectedVotes(1, "just in case", 1)
    refused = judge_override(wish, None, Answer.YES)
    assert refused.state is OverrideState.REFUSED
    assert judge_override(wish, refused, Answer.NO) == refused
    assert count(three(Answer.NO, Answer.NO, Answer.YES), refused).answer is Answer.NO


def test_it_is_spent_once_a_real_majority_has_lived_again():
    wish = ExpectedVotes(1, "two are lost", 1)
    active = judge_override(wish, None, Answer.NO)
    spent = judge_override(wish, active, Answer.YES)
    assert spent.state is OverrideState.SPENT
    assert judge_override(wish, spent, Answer.NO) == spent


def test_a_larger_generation_is_a_new_request():
    spent = Override(1, 1, OverrideState.SPENT)
    assert judge_override(ExpectedVotes(1, "again", 2), spent, Answer.NO).state is OverrideState.ACTIVE


def test_an_older_generation_never_acts():
    spent = Override(5, 1, OverrideState.SPENT)
    assert judge_override(ExpectedVotes(1, "an old file", 4), spent, Answer.NO) == spent


def test_taking_it_out_of_the_spec_ends_it():
    active = Override(1, 1, OverrideState.ACTIVE)
    assert judge_override(None, active, Answer.NO).state is OverrideState.SPENT


def test_nothing_is_judged_while_it_is_not_known_who_lives():
    assert judge_override(ExpectedVotes(1, "", 1), None, Answer.NOT_YET) is None
    active = Override(1, 1, OverrideState.ACTIVE)
    assert judge_override(ExpectedVotes(1, "", 1), active, Answer.NOT_YET) == active


def test_going_back_to_an_older_generation_ends_the_newer_one():
    active = Override(5, 1, OverrideState.ACTIVE)
    ended = judge_override(ExpectedVotes(1, "an old file", 4), active, Answer.NO)
    assert ended == Override(5, 1, OverrideState.SPENT)


def test_what_was_refused_stays_refused_when_it_is_taken_out_of_the_spec():
    refused = Override(1, 1, OverrideState.REFUSED)
    assert judge_override(None, refused, Answer.NO) == refused

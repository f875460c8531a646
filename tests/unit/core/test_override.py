"""The life of a person's word on the number of votes."""

from quorate.core.override import ExpectedVotes, Override, OverrideState, judge_override
from quorate.core.types import Answer


def test_expected_one_is_in_force_where_no_majority_lives():
    override = judge_override(ExpectedVotes(1, "two are lost", 1), None, Answer.NO)
    assert override == Override(1, 1, OverrideState.ACTIVE)


def test_it_is_refused_while_a_real_majority_lives_and_stays_refused():
    wish = ExpectedVotes(1, "just in case", 1)
    refused = judge_override(wish, None, Answer.YES)
    assert refused.state is OverrideState.REFUSED
    assert judge_override(wish, refused, Answer.NO) == refused


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

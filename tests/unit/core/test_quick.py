"""Quick classes are dataclasses like any other: the same objects, and as frozen."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from quorate.core.quick import quick, replace


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    votes: int = 1
    tags: list[str] = field(default_factory=list)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    votes: int = 1
    tags: list[str] = field(default_factory=list)


@pytest.mark.parametrize("given", [{"name": "a"}, {"name": "a", "votes": 0}, {"name": "a", "tags": ["x"], "votes": 3}])
def test_what_is_made_has_the_same_fields(given):
    quick, plain = Quick(**given), Plain(**given)
    assert (quick.name, quick.votes, quick.tags) == (plain.name, plain.votes, plain.tags)
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert type(quick) is Quick
    assert quick == Quick(**given)


def test_a_default_that_is_made_is_made_for_each():
    assert Quick("a").tags is not Quick("b").tags


@pytest.mark.parametrize("given", [((), {}), (("a", 1, [], 0), {}), (("a",), {"name": "b"}), (("a",), {"size": 1})])
def test_what_a_dataclass_does_not_take_it_does_not_take(given):
    positional, named = given
    for cls in (Plain, Quick):
        with pytest.raises(TypeError):
            cls(*positional, **named)


def test_it_is_frozen_whatever_it_was_made_by():
    pickled = pickle.loads(pickle.dumps(Quick("a")))  # noqa: S301 - our own
    for one in (Quick("a"), replace(Quick("a"), votes=2), copy.copy(Quick("a")), pickled):
        assert type(one) is Quick
        with pytest.raises(FrozenInstanceError):
            one.votes = 3
        with pytest.raises(FrozenInstanceError):
            del one.votes


@pytest.mark.parametrize("cls", [Plain, Quick])
def test_another_value_leaves_the_first_object_as_it_was(cls):
    before = cls("a", 2, ["x"])
    after = replace(before, votes=3)
    assert (before.votes, after.votes) == (2, 3)
    assert after.tags is before.tags
    assert after == cls("a", 3, ["x"])


@pytest.mark.parametrize("cls", [Plain, Quick])
def test_there_is_no_other_value_of_a_field_that_is_not_there(cls):
    with pytest.raises((TypeError, AttributeError)):
        replace(cls("a"), size=3)

"""Structural schemas at work. That the words are those of the real server is in tests/control_plane."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.api.crd import KINDS, schema
from quorate.api.schema import OPEN, Schema, dig, settle

POINT = {
    "type": "object",
    "required": ["x"],
    "properties": {
        "x": {"type": "integer", "minimum": 0, "default": 1},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "more": {"type": "array", "items": {"type": "object", "properties": {"y": {"type": "integer", "default": 2}}}},
        "free": OPEN,
        "inner": {"type": "object", "default": {}, "properties": {"z": {"type": "string", "default": "z"}}},
    },
}
leaves = st.none() | st.integers() | st.text(max_size=2)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*POINT["properties"], "y", "z"]), inner, max_size=4)
    ),
    max_leaves=10,
)


def settled(value):
    unknown = []
    return settle(POINT, value, unknown), unknown


def test_defaults_are_filled_in_from_the_outside_inwards():
    assert settled({}) == ({"x": 1, "inner": {"z": "z"}}, [])
    assert settled({"more": [{}, {"y": 3}]})[0]["more"] == [{"y": 2}, {"y": 3}]


def test_null_is_as_good_as_nothing():
    assert settled({"x": None, "tags": {"a": None, "b": "c"}})[0] == {"x": 1, "tags": {"b": "c"}, "inner": {"z": "z"}}


def test_what_is_not_known_is_dropped_and_told():
    found, unknown = settled({"q": 1, "more": [{"y": 1}, {"q": {"r": 1}}], "free": {"q": [1]}, "tags": {"q": "1"}})
    assert unknown == ["q", "more[1].q"]
    assert (found["more"], found["free"], found["tags"]) == ([{"y": 1}, {"y": 2}], {"q": [1]}, {"q": "1"})


@given(values)
def test_what_is_settled_is_settled_once_and_for_all(value):
    once = settled(value)[0]
    assert settled(once) == (once, [])


@given(values)
def test_settling_changes_nothing_in_place(value):
    before = repr(value)
    settled(value)
    assert repr(value) == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_rule_of_ours_can_be_read(kind):
    assert Schema(schema(kind)).check({"metadata": {"name": "one"}}, None)


def test_a_rule_that_would_be_overlooked_is_refused():
    rule = {"x-kubernetes-validations": [{"rule": "self > 0"}]}
    with pytest.raises(ValueError, match=r"spec\.list: CEL rules inside lists and maps are not applied"):
        Schema({"properties": {"spec": {"properties": {"list": {"items": rule}}}}})


def test_a_keyword_without_words_of_its_own_is_told_all_the_same():
    ((field, reason, text),) = Schema({"properties": {"a": {"multipleOf": 2}}}).check({"a": 3}, None)
    assert (field, reason, text) == ("a", "Invalid", "Invalid value: 3: a in body should hold to multipleOf 2")


def test_dig_finds_nothing_where_there_is_nothing():
    assert [dig({"a": {"b": 1}}, path) for path in ("", "a.b", "a.c", "a.b.c", "x")] == [
        {"a": {"b": 1}},
        1,
        None,
        None,
        None,
    ]

"""Patches against the sentences of their RFCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.sim.errors import ApiError
from quorate.sim.patch import json_patch, merge_patch

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target, patch, result):
    assert merge_patch(target, patch) == result


@given(objects, objects)
def test_a_merge_patch_done_twice_is_done_once(target, patch):
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(objects)
def test_a_patch_changes_its_target_in_no_place(target):
    before = repr(target)
    json_patch(target, [{"op": "add", "path": "/new", "value": 1}])
    merge_patch(target, {"a": {"new": 1}, "b": None})
    assert repr(target) == before


def test_a_json_patch_is_done_wholly_or_not_at_all():
    target = {"a": 1}
    operations = [{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]
    with pytest.raises(ApiError):
        json_patch(target, operations)
    assert target == {"a": 1}

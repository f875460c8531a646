"""The attestation: what goes in comes out, and nothing that anybody may write raises."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.api.attestation import decode, encode
from quorate.core.types import MAX_TROUBLE, Uid
from tests.unit.core.worlds import said


def test_round_trip():
    full = replace(said("n1"), drained=True, shared_kernel=True, left=(Uid("d"),), idle=(Uid("a"),), gone=(Uid("b"),))
    assert decode(encode(full)) == full


def test_an_older_agent_that_leaves_names_no_pods():
    assert decode(encode(replace(said("n1"), drained=True))).left == ()


def test_what_is_wrong_with_a_watchdog_has_a_bound():
    assert decode(encode(replace(said("n1"), trouble="busy"))).trouble == "busy"
    assert len(decode(encode(replace(said("n1"), trouble="x" * 99_999))).trouble) == MAX_TROUBLE


def test_fields_of_a_newer_agent_are_ignored():
    assert decode(encode(said("n1"))[:-1] + ',"colour":"blue"}') == said("n1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('"armed":true', '"armed":1'),
        ('"seq":50', '"seq":-1'),
        ('"seq":50', '"seq":true'),
        ('"w":5', '"w":"5"'),
        ('"w":5', '"w":1e400'),
        ('"seq":50', '"seq":50,"left":"pod-1"'),
        ('"seq":50', '"seq":50,"left":[1]'),
    ],
)
def test_a_field_of_the_wrong_kind_makes_it_no_attestation(field, value):
    text = encode(said("n1"))
    assert field in text
    assert decode(text.replace(field, value)) is None


def test_a_missing_field_makes_it_no_attestation():
    assert decode('{"seq": 1}') is None


@given(st.none() | st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str))
def test_nothing_raises(text):
    assert decode(text) is None

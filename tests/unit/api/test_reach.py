"""What an agent says of Storages: read back as it was written, and nothing of it believed that makes no sense."""

import json

import pytest

from quorate.api.reach import MOST, decode, encode
from quorate.core.storage import MAX_PROBES, MAX_WHY, Reach
from quorate.core.types import Nonce, Uid

SAID = (Reach(Uid("a"), True, "", 41, 10**12), Reach(Uid("b"), False, "connection refused"))
GOOD = {"id": "a", "reached": True, "why": "", "used": 0, "size": 0}


def test_it_is_read_back_as_it_was_written():
    assert decode(encode(Nonce("n1"), SAID), "n1") == SAID


def test_who_has_nothing_to_say_says_nothing():
    assert encode(Nonce("n1"), ()) == ""


def test_what_another_boot_said_is_over():
    assert decode(encode(Nonce("n1"), SAID), "n1-later") == ()
    assert decode(encode(Nonce("n1"), SAID), "fenced/i/n1") == ()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no json",
        "[]",
        "3",
        "{}",
        '{"nonce":"n1"}',
        '{"nonce":"n1","storages":{}}',
        "[" * 20_000,
        "x" * (MOST + 1),
    ],
)
def test_garbage_says_nothing(text):
    assert decode(text, "n1") == ()


@pytest.mark.parametrize(
    "change",
    [
        {"id": 3},
        {"reached": "yes"},
        {"reached": 1},
        {"why": None},
        {"used": 101},
        {"used": -1},
        {"used": True},
        {"used": 1.5},
        {"size": -1},
        {"size": 2**63},
        {"size": "big"},
    ],
)
def test_one_that_makes_no_sense_is_not_believed(change):
    assert decode(json.dumps({"nonce": "n1", "storages": [GOOD | change]}), "n1") == ()


def test_it_is_bounded_and_one_printable_line():
    many = tuple(Reach(Uid(f"{number}" * 36), False, "\x1b[31mä\n" * 200) for number in range(40))
    text = encode(Nonce("n1"), many)
    assert len(text) < MOST
    found = decode(text, "n1")
    assert len(found) == MAX_PROBES
    assert all(len(one.why) <= MAX_WHY and one.why.isprintable() for one in found)

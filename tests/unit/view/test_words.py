import pytest

from quorate.core.types import Instant
from quorate.view import words

NOON = Instant(12 * 3_600_000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0.4, "0s"), (1.9, "1s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_age_reads_like_kubectls(seconds, text):
    assert words.age(seconds) == text


def test_a_moment_that_nobody_knows_has_no_age():
    assert words.since(None, NOON) == "-"
    assert words.since(Instant(NOON - 2_500), NOON) == "2s"


def test_time_left_until_it_has_expired():
    assert words.left(Instant(NOON + 12_300), NOON) == "12s left"
    assert words.left(NOON, NOON) == "expired"


@pytest.mark.parametrize(
    ("milliseconds", "distance"),
    [(12_000, "in 12s"), (400, "any moment"), (-1_000, "any moment"), (-8_000, "8s ago")],
)
def test_a_deadline_names_the_moment_and_how_far_it_is(milliseconds, distance):
    moment = Instant(NOON + milliseconds)
    assert words.deadline(moment, NOON).startswith("no later than 1")
    assert words.deadline(moment, NOON).endswith(f" UTC ({distance})")


@pytest.mark.parametrize(("name", "text"), [("RequestStop", "request_stop"), ("Online", "online"), ("", "")])
def test_states_are_written_as_proxmox_does(name, text):
    assert words.state(name) == text


def test_one_guest_and_two_guests():
    assert words.plural(1, "guest") == "1 guest"
    assert words.plural(2, "guest") == "2 guests"


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("plain, with umlauts: über", "plain, with umlauts: über"),
        ("\x1b[2J\x1b[31mgone", "\\x1b[2J\\x1b[31mgone"),
        ("\x9b31m", "\\x9b31m"),
        ("all is well\rnot", "all is well\\x0dnot"),
        ("\u202edrow", "\\u202edrow"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_others_wrote_moves_no_cursor(told, seen):
    assert words.visible(told) == seen
    assert "\n" not in words.line(told)

"""The picture of a recovery."""

from dataclasses import replace

from quorate.core.status import Timeline
from quorate.core.types import IncidentId, Instant, NodeName
from quorate.dashboard.timeline import WIDTH, draw, longest

T = Timeline(
    IncidentId("i"),
    NodeName("n1"),
    Instant(0),
    "LeaseExpired",
    Instant(6000),
    Instant(6100),
    Instant(6200),
    Instant(8000),
    8.0,
)


def test_parts_follow_each_other_and_fill_the_drawing():
    drawing = draw(T)
    assert [part.name for part in drawing.parts] == ["proof", "release", "place", "start"]
    assert drawing.parts[0].x == 0
    assert drawing.parts[-1].x + drawing.parts[-1].width == WIDTH
    assert drawing.ended
    assert [tick.text for tick in drawing.ticks] == ["0s", "2s", "4s", "6s", "8s"]


def test_one_that_goes_on_says_so():
    drawing = draw(replace(T, created=None, ready=None, duration_s=None))
    assert not drawing.ended
    assert drawing.parts[-1].name == "open"
    assert draw(Timeline(IncidentId("i"), NodeName("n1"), Instant(0))).sentence == "suspected, and nothing more yet"


def test_below_a_longer_one_it_is_shorter():
    slow = replace(T, ready=Instant(16_000))
    scale = longest([T, slow])
    assert scale == 16.0
    last = draw(T, scale).parts[-1]
    assert last.x + last.width == WIDTH / 2
    assert "start" in [part.name for part in draw(slow, scale).parts]


def test_moments_that_run_backwards_are_drawn_all_the_same():
    drawing = draw(replace(T, released=Instant(5000)))
    assert all(part.width > 0 for part in drawing.parts)

"""The picture of a recovery: one bar on a scale of seconds, its parts one after the other from the suspicion to ready."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from quorate.core.status import Timeline
from quorate.core.types import Instant

WIDTH: Final = 640
LEAST: Final = 3
"""A part narrower than this cannot be seen."""
OPEN: Final = 24
"""The part of a recovery that goes on: how long it will be is not known."""
TICKS: Final = 5
STEPS_S: Final = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Part:
    """From one moment of the recovery to the next. Places are in units of the drawing."""

    name: str
    what: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """`ended`: the last step is done; else the bar goes on."""

    parts: tuple[Part, ...]
    ticks: tuple[Tick, ...]
    seconds: float
    ended: bool
    sentence: str


NAMES: Final = (
    ("fenced", "proof", "suspected, until proven dead"),
    ("released", "release", "proven dead, until its Lease was taken"),
    ("removed", "clear", "until no Pod was stuck any more"),
    ("detached", "detach", "until its volumes were detached"),
    ("attached", "attach", "until its volumes were attached elsewhere"),
    ("created", "place", "until a new instance was made"),
    ("ready", "start", "until it was ready"),
)
"""Each moment of a Timeline, the part that ends with it, and that part in words."""


def draw(timeline: Timeline, longest_s: float | None = None) -> Drawing:
    """The drawing, on a scale that ends at `longest_s` if it is given: recoveries below each other compare."""
    moments, seconds = list(_moments(timeline)), took_s(timeline)
    scale = WIDTH / max(longest_s or seconds, seconds, 0.001)
    parts, before = [], timeline.suspected
    for name, what, at in moments:
        length = max(0.0, (at - before) / 1000)
        x = (before - timeline.suspected) / 1000 * scale
        parts.append(Part(name, what, round(x, 1), round(max(LEAST, length * scale), 1), length))
        before = max(before, at)
    if timeline.ready is None:
        x = min(WIDTH - OPEN, (before - timeline.suspected) / 1000 * scale)
        parts.append(Part("open", "and goes on", round(x, 1), OPEN, 0.0))
    said = (
        ", ".join(f"{part.what} {part.seconds:.1f}s" for part in parts if part.name != "open")
        or "suspected, and nothing more yet"
    )
    ticks = tuple(_ticks(max(longest_s or seconds, seconds)))
    return Drawing(tuple(parts), ticks, seconds, timeline.ready is not None, said)


def _moments(timeline: Timeline) -> Iterator[tuple[str, str, Instant]]:
    """What has happened, in the order of time."""
    found = [(name, what, at) for field, name, what in NAMES if (at := getattr(timeline, field)) is not None]
    yield from sorted(found, key=lambda one: one[2])


def _ticks(seconds: float) -> Iterator[Tick]:
    """At round numbers of seconds, a handful of them."""
    if seconds <= 0:
        return
    step = next((one for one in STEPS_S if seconds / one <= TICKS), STEPS_S[-1])
    count = int(seconds / step)
    for number in range(count + 1):
        at = number * step
        yield Tick(round(at / seconds * WIDTH, 1), f"{at:g}s")


def took_s(timeline: Timeline) -> float:
    """How many seconds it took so far."""
    last = max((at for _, _, at in _moments(timeline)), default=timeline.suspected)
    return max(0.0, (last - timeline.suspected) / 1000)


def longest(timelines: list[Timeline]) -> float:
    """How many seconds the longest of them took so far."""
    return max(map(took_s, timelines), default=0.0)

"""A story is a sequence of steps, played until the end or the first that fails, and told in one table."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.cli.demo.record import Record, timeline
from quorate.cli.demo.screen import Screen
from quorate.cli.demo.stage import Stage
from quorate.cli.output import console, say

Where = TypeVar("Where", bound=Stage)


@dataclass(frozen=True, slots=True)
class Step(Generic[Where]):
    """`play` does it, checks it, and returns what was seen; it raises StepError when that is not what the story says."""

    key: str
    title: str
    play: Callable[[Where], str]
    proxmox_s: float | None = None


def played(
    stage: Where, story: Sequence[Step[Where]], screen: Screen, errors: tuple[type[Exception], ...]
) -> list[Record]:
    """What became of each step, the last one that failed included. `errors`: by which a step says that it has."""
    began_s = time.monotonic()
    records: list[Record] = []
    for number, step in enumerate(story, 1):
        screen.begin(number, step.title)
        records.append(_one(stage, step, began_s, errors))
        screen.end(records[-1])
        if not records[-1].ok:
            break
    return records


def _one(stage: Where, step: Step[Where], began_s: float, errors: tuple[type[Exception], ...]) -> Record:
    started_s = time.monotonic() - began_s
    try:
        ok, detail = True, step.play(stage)
        if stage.observer.violations:
            ok, detail = False, "; ".join(map(str, stage.observer.violations))
    except errors as error:
        ok, detail = False, str(error)
    return Record(step.key, step.title, started_s, time.monotonic() - began_s, ok, detail, step.proxmox_s)


def tell(records: Sequence[Record]) -> bool:
    """Show every step, and say how it went. Did all go as they should?"""
    console().print(timeline(records))
    last = records[-1]
    if last.ok:
        say(f"All {len(records)} steps went as they should, in {last.finished_s:.0f}s.")
    else:
        say(f"Step {len(records)} failed: {last.title}. {last.detail}")
    return last.ok

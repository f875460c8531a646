"""What a benchmark says: one JSON line a series, for scripts to compare and for the page to show."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One series. `goal`: none of the values may be above it; None: it is only told. `notes`: more numbers and words."""

    benchmark: str
    series: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else max(self.values) <= self.goal

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def encode(self, about: Json) -> str:
        """As a JSON object, with what there is to know of the machine and the moment."""
        numbers = {"min": min(self.values), "median": self.median, "max": max(self.values), "reached": self.reached}
        found = {**asdict(self), **numbers, **about}
        return json.dumps({name: _short(value) for name, value in found.items()})


def decode(text: str) -> Line:
    """The line that `encode` made a JSON object of."""
    found = json.loads(text)
    names = ("benchmark", "series", "unit", "goal", "notes")
    return Line(**{name: found[name] for name in names}, values=tuple(found["values"]))


def about(command: str) -> Json:
    """Where and when it was measured, and what else the machine had to do (load average of the last minute)."""
    return {
        "command": command,
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }


def missed(lines: Iterable[Line]) -> list[Line]:
    """Those that did not reach their goal."""
    return [line for line in lines if line.reached is False]


def tell(text: str) -> None:
    """How it goes, for whoever waits; standard output is for the lines."""
    print(text, file=sys.stderr, flush=True)


def _short(value: object) -> object:
    """Four digits after the point are more than any of this is good for."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_short(one) for one in value]
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value

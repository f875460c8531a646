"""Reads what busy guests have written: proof of at-most-once from the guests' own hands.

Each instance writes its lines with a counter that grows by one. While only one instance runs at a time, the lines of one
are never interrupted by another's: A…A B…B. A line of A after the first of B means that both ran.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One instance's uninterrupted lines."""

    instance: str
    node: str
    lines: int


@dataclass(frozen=True, slots=True)
class Journal:
    """What was written: the runs in order, and every sign of two writers at once, with its line number."""

    runs: tuple[Run, ...]
    violations: tuple[str, ...]


def read_journal(path: Path) -> Journal:
    """The journal so far. Its last line may be incomplete, as a killed writer leaves it. Raises OSError."""
    runs: list[Run] = []
    violations: list[str] = []
    counters: dict[str, int] = {}
    whole, _, _ = path.read_text().rpartition("\n")
    for number, line in enumerate(whole.splitlines(), 1):
        words = line.split(" ")
        if len(words) != 3 or not words[1].isdigit():
            violations.append(f"line {number}: not written by one guest alone: {line!r}")
            continue
        instance, counter, node = words[0], int(words[1]), words[2]
        if counter != counters.get(instance, 0) + 1:
            violations.append(f"line {number}: {instance} wrote {counter} after {counters.get(instance, 0)}")
        counters[instance] = counter
        if runs and runs[-1].instance == instance:
            runs[-1] = Run(instance, node, runs[-1].lines + 1)
            continue
        if any(run.instance == instance for run in runs):
            violations.append(f"line {number}: {instance} on {node} went on after {runs[-1].instance} had begun")
        runs.append(Run(instance, node, 1))
    return Journal(tuple(runs), tuple(violations))

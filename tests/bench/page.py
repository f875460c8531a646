"""docs/benchmarks.md, written from docs/benchmarks.jsonl: the lines as they were printed, and the same for people."""

import json
from pathlib import Path
from typing import Any, Final

from tests.bench.lines import Line, decode

DOCS: Final = Path(__file__).parents[2] / "docs"
LINES: Final = DOCS / "benchmarks.jsonl"
PAGE: Final = DOCS / "benchmarks.md"
Json = dict[str, Any]

HEAD: Final = """\
# Benchmarks

Written by `make bench`. Every single number is in [benchmarks.jsonl](benchmarks.jsonl), one JSON object a series, as
`python -m tests.bench NAME` prints it. A goal is reached when no value is above it. Absolute times differ between
machines; a recovery is mostly waiting by design (T in [architecture](architecture.md)) and hardly depends on it.
"""

SECTIONS: Final[dict[str, tuple[str, str]]] = {
    "power-loss": (
        "A node is lost",
        """\
A lab of three nodes and two managers, with real agents and processes. Measured from the moment in which the node is lost
until its guest is Ready on another one by the API, and seen running there by an observer who looks at the processes only.
Nothing can be faster than T after a power cut, because a node might still be running that long: 14.7 s with profile Fast,
21.3 s with Balanced. A clean shutdown needs no waiting: the agent says that nothing runs any more. Proxmox VE takes about
120 s after a power cut, as long as its locks live.""",
    ),
    "kind": (
        "A node is lost on kind",
        """\
A kind cluster ([kind](kind.md)) of three workers on one machine, with all that production has but the watchdog device.
Measured from before the command that loses the guest's node until the guest is Ready on another one by the API, and seen
running there by an observer who looks at the processes of all nodes; had it been seen on two, nothing would be recorded.
The arithmetic: a watchdog's evidence counts T after the last heartbeat (Fast 14.7 s, Balanced 21.3 s), a proven device is
asked S after it (8.6 s, 13.2 s) and must say off twice, which takes fence_docker about a second. The last heartbeat is up
to r older than the loss (1 s, 2 s). To that comes the start: gate, container and readiness, and on a node that is not armed
yet its next heartbeat. It is what a busy machine makes longer: all nodes shared two cores with other work here.""",
    ),
    "scale": (
        "32 nodes and 1,000 guests",
        """\
A real API server with etcd, and one manager. The nodes are only told of: a driver renews their Leases and reports that the
guests' Pods run. Once nothing changes any more, the manager is watched: it should write nothing but its leader's Leases. A
round is building the World, planning, checking the plan and finding nothing to carry out; its processor time is measured
on the same objects in a process of its own. A start is timed from starting the process to its first plan.""",
    ),
    "agent": (
        "The agent",
        """\
Keeper and loop together, on a node of a lab with a guest, after their port was scraped. *Without other Python programs*
is what they cost a node that runs nothing else of that kind: their anonymous memory, and each file that they map counted
once, by the larger of the two. PSS, which divides a page by the number of processes that share it, is smaller here only
because the lab runs a dozen Python programs; RSS counts what both share twice.""",
    ),
    "soak": (
        "Pressure",
        """\
Three nodes with a guest each. Every core is kept busy, most of the free memory is taken and touched, and the API server is
stopped again and again, each time for less than W - d - r. No healthy node may be reset, no guest moved. Profile Fast
renews every second: half an hour of it is as many renewals (1,800 a node) as an hour of Balanced, with less time for each.
A late pet is a renewal confirmed too late to pet, or a pet more than r + d after the one before; at W without a pet the
watchdog resets the node. The same half hour beside builds and test runs on the same two cores reset two healthy nodes: both
agents had stood still for longer than d = 1.5 s between a renewal and its pet, and then a node must not go on.""",
    ),
    "workloads": (
        "A thousand protected Pods",
        """\
StatefulSets that others run, protected where they are, in virtual time. While nothing changes a manager should write
nothing for them. When a node is lost, its Pods are removed, eight StatefulSets at a time, and their own controller makes
each anew once the one before it is Ready.""",
    ),
    "simulator": (
        "The simulator",
        """\
Processor time of one core. A quiet ten minutes of three nodes, two managers and a guest; and a minute of chaos with every
kind of fault, from the boots to the last guest that runs again (`times real`: simulated time through processor time).""",
    ),
    "chaos": (
        "Chaos",
        """\
`quorate sim chaos`: each seed draws a cluster, its guests, how they are placed, and three minutes of faults of all kinds. A
violation is a rule of safety that was broken, at any moment; stuck is what was not as it is wished within 2 T + 120 s after
the last fault was taken back. Counted in seeds.""",
    ),
    "stability": (
        "The faults, again and again",
        """\
Complete runs of `make faults` (every row of [failures](failures.md) on both API servers, three labs at a time), counted
since one failed last; each run so far is in [stability.jsonl](stability.jsonl). One takes some twenty minutes on two
cores, so they are collected. The goal is twenty in a row. `make crash-points` in full killed the leading manager at
each of 418 calls of four stories on both API servers, before and after the call, in 39 minutes beside other builds and
tests: the standby finished every story, and nothing was left to tell it from one in which nobody was killed.""",
    ),
    "cli": (
        "The command line, with 32 nodes and 5,000 guests",
        """\
Wall-clock time of the whole program, its start included, against kube-apiserver and etcd on the same machine. Rows of a
table cost most: `status` shows those that need attention, `-A` and `list` all of them.""",
    ),
    "dashboard": (
        "The dashboard, with 32 nodes and 5,000 guests",
        """\
A real API server with etcd, the page's own process, and Chromium. Objects are only told of, each with the status that a
manager would write; heartbeats go on. A first paint is that of a browser which has the page's files already. Then one guest
changes each second: what an update costs is the processor time of the server's process beyond what it uses while nothing
changes, and the time to the page is from before the write until the fragment has arrived in an open stream. The second
series has fifty streams open.""",
    ),
    "planning": (
        "Planning alone",
        """\
One `plan()` on the toy cluster of the tests, when every guest is new and needs a node, and when all run; with many guests
(`python tests/bench/plan_round.py`) also all rounds together from the proof that a node is dead until each of its guests
has a new Pod asked for.""",
    ),
}


def record(name: str, texts: list[str]) -> None:
    """Put the lines of one benchmark in the place of its earlier ones, and write the page."""
    kept = [text for text in _texts() if json.loads(text)["benchmark"] != name]
    by_name = {one: [text for text in kept if json.loads(text)["benchmark"] == one] for one in SECTIONS}
    by_name[name] = texts
    LINES.write_text("".join(f"{text}\n" for texts_of_one in by_name.values() for text in texts_of_one))
    write()


def write() -> None:
    """The page from the lines."""
    found = [(decode(text), json.loads(text)) for text in _texts()]
    parts = [HEAD]
    for name, (title, words) in SECTIONS.items():
        mine = [(line, about) for line, about in found if line.benchmark == name]
        if mine:
            parts.append(f"\n## {title}\n\n{words}\n\n{_how(mine[0][1])}\n\n" + "\n".join(_table(mine)) + "\n")
    PAGE.write_text("".join(parts))


def _texts() -> list[str]:
    return LINES.read_text().splitlines() if LINES.exists() else []


def _how(about: Json) -> str:
    """The command, and where it ran."""
    where = f"On {about['when'][:10]}, {about['machine']}, load average {about['load']} at the first line."
    return f"    {about['command']}\n\n{where}"


def _table(found: list[tuple[Line, Json]]) -> list[str]:
    several = any(len(line.values) > 1 for line, _ in found)
    numbers = ["times", "min", "median", "max"] if several else ["measured"]
    rows = ["| " + " | ".join(["what", *numbers, "goal", "reached", "besides"]) + " |"]
    rows.append("|" + "---|" * (len(numbers) + 4))
    for line, _ in found:
        values = [line.values[0]] if not several else [min(line.values), line.median, max(line.values)]
        cells = [
            line.series,
            *([str(len(line.values))] if several else []),
            *(_number(one, line.unit) for one in values),
        ]
        goal = "" if line.goal is None else _number(line.goal, line.unit)
        cells += [goal, {None: "", True: "yes", False: "**no**"}[line.reached], _notes(line.notes)]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _number(value: float, unit: str) -> str:
    digits = f"{value:.0f}" if value == round(value) and value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def _notes(notes: Json) -> str:
    """Short ones in words: `more_s: 1.2` is "more 1.2 s"."""
    found = []
    for name, value in notes.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        words, _, unit = name.rpartition("_")
        if unit not in {"s", "ms", "mib", "percent"}:
            words, unit = name, ""
        unit = {"mib": "MiB", "percent": "%"}.get(unit, unit)
        found.append(f"{words.replace('_', ' ')} {_number(value, unit)}")
    return ", ".join(found)

"""Measure what the documentation claims: `make bench`, or one benchmark at a time.

python -m tests.bench NAME [options]            print a JSON line for each series; 1 if one misses its goal
python -m tests.bench NAME [options] --record   the same, and put them in docs/benchmarks.jsonl and docs/benchmarks.md
python -m tests.bench all --record              every benchmark with its defaults, three hours or so, with kind
python -m tests.bench page                      write docs/benchmarks.md from docs/benchmarks.jsonl again
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench import (
    agent,
    chaos,
    cli,
    dashboard,
    kind,
    page,
    planning,
    power_loss,
    scale,
    simulator,
    soak,
    stability,
    workloads,
)
from tests.bench.lines import Line, about, missed, tell


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of them: its options, and its lines as they come."""

    arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], Iterator[Line]]
    help: str


BENCHMARKS = {
    "power-loss": Benchmark(power_loss.arguments, power_loss.measure, "a node is lost: when does its guest run again?"),
    "kind": Benchmark(kind.arguments, kind.measure, "the same on kind, with real kubelets and fence agents"),
    "scale": Benchmark(scale.arguments, scale.measure, "a manager with 32 nodes and 1,000 guests"),
    "agent": Benchmark(agent.arguments, agent.measure, "memory and processor time of the agent"),
    "soak": Benchmark(soak.arguments, soak.measure, "stalls and pressure, and no node may be reset"),
    "chaos": Benchmark(chaos.arguments, chaos.measure, "two thousand seeds of chaos"),
    "stability": Benchmark(stability.arguments, stability.measure, "complete runs of the faults in a row"),
    "cli": Benchmark(cli.arguments, cli.measure, "the command line with 32 nodes and 5,000 guests"),
    "dashboard": Benchmark(dashboard.arguments, dashboard.measure, "the page with 32 nodes and 5,000 guests"),
    "planning": Benchmark(planning.arguments, planning.measure, "one plan()"),
    "workloads": Benchmark(workloads.arguments, workloads.measure, "a thousand protected Pods, and their writes"),
    "simulator": Benchmark(simulator.arguments, simulator.measure, "what virtual time costs"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 when a goal was missed."""
    words = list(sys.argv[1:] if argv is None else argv)
    given = _parser().parse_args(words)
    if given.name == "page":
        page.write()
        return 0
    names = list(BENCHMARKS) if given.name == "all" else [given.name]
    found = [line for name in names for line in _run(name, words if given.name != "all" else [name], given.record)]
    for line in missed(found):
        tell(f"MISSED: {line.benchmark}, {line.series}: {max(line.values):g} {line.unit}, the goal is {line.goal:g}")
    return 1 if missed(found) else 0


def _run(name: str, words: list[str], record: bool) -> list[Line]:
    """One benchmark, by its part of the command line."""
    options = _parser().parse_args(words)
    command = shlex.join(["python", "-m", "tests.bench", *(word for word in words if word != "--record")])
    lines, texts = [], []
    for line in BENCHMARKS[name].measure(options):
        texts.append(line.encode(about(command)))
        print(texts[-1], flush=True)
        lines.append(line)
    if record:
        page.record(name, texts)
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, benchmark in BENCHMARKS.items():
        one = names.add_parser(name, help=benchmark.help, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        benchmark.arguments(one)
        one.add_argument(
            "--record", action="store_true", help="put the lines in docs/benchmarks.jsonl and write the page"
        )
    every = names.add_parser("all", help="every one of them, with its defaults")
    every.add_argument(
        "--record", action="store_true", help="put the lines in docs/benchmarks.jsonl and write the page"
    )
    names.add_parser("page", help="write docs/benchmarks.md from docs/benchmarks.jsonl")
    return parser


if __name__ == "__main__":
    sys.exit(main())

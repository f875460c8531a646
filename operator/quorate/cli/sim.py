"""`quorate sim`: a whole cluster in virtual time. Scenarios, chaos from seeds, a manager killed at each of its calls."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError, UsageError
from quorate.cli.help import Verb, Verbs
from quorate.cli.output import note, say

if TYPE_CHECKING:
    from quorate.sim.chaos import Ruin

# A help page writes the program's own name, here `quorate sim`, in place of the word `quorate` in examples.
RUN_EXAMPLES: Final = """\
quorate run tests/scenarios/*/         play them and compare their logs
quorate run my-scenario --update       write its log anew"""
CHAOS_EXAMPLES: Final = """\
quorate chaos --seeds 0:100 --nodes 3 --guests 3
quorate chaos --seeds 7 --nodes 3:7 --guests 1:20 --json"""
CRASH_EXAMPLES: Final = """\
quorate crash tests/scenarios/story/                   once for each call of the leading manager
quorate crash tests/scenarios/story/ --no-renewals     not at those that only renew its Lease"""

app = typer.Typer(
    cls=Verbs,
    name="sim",
    help="Play a whole cluster in virtual time: production code, and everything that can go wrong.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Scenarios: folders with a scenario.yaml.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A scenario: a folder with a scenario.yaml.")]
MOST_NODES: Final = 32
MOST_GUESTS: Final = 1000


@app.command(cls=Verb, epilog=RUN_EXAMPLES)
def run(
    folders: Folders,
    *,
    update: Annotated[bool, typer.Option("--update", help="Write the expected logs anew.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of each run.")] = False,
) -> int:
    """Play scenarios and compare what happens with what is expected."""
    from quorate.sim.run import run as play
    from quorate.sim.scenario import ScenarioError

    failed = 0
    for folder in folders:
        began_s = time.perf_counter()
        try:
            verdict = play(folder, update=update)
        except ScenarioError as error:
            raise UsageError(str(error)) from error
        outcome, wall_s = verdict.outcome, time.perf_counter() - began_s
        if verbose:
            say("\n".join(outcome.lines))
        word = "failed" if verdict.problems else "ok"
        say(f"{word:6} {folder}  {outcome.simulated_s:g}s in {wall_s:.2f}s")
        for problem in verdict.problems:
            note(f"       {problem}")
        failed += bool(verdict.problems)
    if failed:
        raise CliError(f"{failed} of {len(folders)} scenarios failed")
    return 0


def _range(text: str, what: str, least: int, most: int) -> range:
    """`3` or `3:7`; of seeds the end is left out, as in Python."""
    first, colon, last = text.partition(":")
    if not first.isdigit() or (colon and not last.isdigit()):
        raise UsageError(f"--{what} {text}: write a number, or two with a colon between them")
    begin = int(first)
    end = begin + 1 if not colon else int(last) + (what != "seeds")
    if not least <= begin < end <= most + 1:
        raise UsageError(f"--{what} {text}: there must be some, from {least} to {most}")
    return range(begin, end)


@app.command(cls=Verb, epilog=CHAOS_EXAMPLES)
def chaos(
    *,
    seeds: Annotated[str, typer.Option("--seeds", metavar="A[:B]", help="Seeds from A to before B.")] = "0:20",
    nodes: Annotated[
        str, typer.Option("--nodes", metavar="N[:M]", help="How many nodes; up to M, as each seed has it.")
    ] = "3",
    guests: Annotated[
        str, typer.Option("--guests", metavar="N[:M]", help="How many guests; up to M, as each seed has it.")
    ] = "3",
    write: Annotated[
        Path, typer.Option("--write", metavar="FOLDER", help="Where a failing seed is written, made small.")
    ] = Path("chaos-found"),
    json_: Annotated[bool, typer.Option("--json", help="Nothing but the last line, in JSON.")] = False,
) -> int:
    """Let everything go wrong, by seeds, and see that no guest runs twice and none is left down.

    A failing seed is made small and written as a scenario.
    """
    from quorate.sim.chaos import play, scenario, sizes

    numbers = _range(seeds, "seeds", 0, 1 << 40)
    some_nodes, some_guests = _range(nodes, "nodes", 1, MOST_NODES), _range(guests, "guests", 1, MOST_GUESTS)
    began_s, total = time.process_time(), Counter[str]()
    faults: Counter[str] = Counter()
    simulated_s = 0.0
    for seed in numbers:
        ruin = play(scenario(seed, *sizes(seed, some_nodes, some_guests)))
        faults += ruin.faults
        simulated_s += ruin.simulated_s
        total["steps"] += ruin.steps
        total["violations"] += sum(not one.stuck for one in ruin.violations)
        total["stuck"] += sum(one.stuck for one in ruin.violations)
        if not ruin.good:
            _found(ruin, write / f"seed-{seed}", quiet=json_)
    summary: dict[str, Any] = {
        "seeds": len(numbers),
        "steps": total["steps"],
        "simulated_s": round(simulated_s, 1),
        "wall_s": round(time.process_time() - began_s, 2),
        "faults": dict(sorted(faults.items())),
        "violations": total["violations"],
        "stuck": total["stuck"],
    }
    say(json.dumps(summary))
    return 1 if total["violations"] or total["stuck"] else 0


def _found(ruin: "Ruin", folder: Path, *, quiet: bool) -> None:
    from quorate.sim.shrink import shrink, write

    if not quiet:
        for one in ruin.violations:
            note(f"seed {ruin.seed}, {one.at_s:.3f}s: {one.text}")
    small = shrink(ruin)
    write(small, folder)
    if not quiet:
        left, whole = len(small.scenario.timeline), len(ruin.scenario.timeline)
        note(f"seed {ruin.seed}: {left} of {whole} faults are enough, see {folder}")


@app.command(cls=Verb, epilog=CRASH_EXAMPLES)
def crash(
    folder: Folder,
    *,
    every: Annotated[int, typer.Option("--every", metavar="N", help="Only each N-th call.", min=1)] = 1,
    renewals: Annotated[
        bool, typer.Option(help="Also at the renewals of the leader's Leases, which most of its calls are.")
    ] = True,
) -> int:
    """Replay a scenario for each call of the leading manager, which is killed just before or just after it."""
    from quorate.sim.crash import MOMENTS, crashes, prepare
    from quorate.sim.scenario import ScenarioError, read

    try:
        scenario = read(folder)
    except ScenarioError as error:
        raise UsageError(str(error)) from error
    began_s = time.perf_counter()
    plan = prepare(scenario, every, renewals=renewals)
    replays = len(plan.numbers) * len(MOMENTS)
    takes_s = replays * (time.perf_counter() - began_s)
    shorter = "" if every > 1 or not renewals else "; --no-renewals or --every 10 is quicker"
    note(f"{replays} replays of {plan.simulated_s:.0f} s, about {takes_s:.0f} s in all{shorter}")
    played = failed = 0
    for one in crashes(plan):
        played += 1
        if not one.outcome.good:
            failed += 1
            note(f"killed {one.moment} call {one.number}, {one.call}:")
            for violation in one.outcome.violations:
                note(f"       {violation.at_s:.3f}s: {violation.text}")
    say(json.dumps({"replays": played, "failed": failed}))
    if failed:
        raise CliError(f"{failed} of {played} replays failed")
    return 0

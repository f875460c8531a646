"""`quorate sim run`: plays scenarios, compares their logs, and says what is wrong."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from quorate.sim.play import Outcome, Player
from quorate.sim.scenario import LOG, Scenario, read


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problems` is empty when the run went as it should and its log is the expected one."""

    scenario: Scenario
    outcome: Outcome
    problems: tuple[str, ...]


def run(folder: Path, *, update: bool = False) -> Verdict:
    """Play the scenario of a folder; `update` writes its log anew. Raises ScenarioError."""
    scenario = read(folder)
    outcome = Player(scenario).play()
    problems = [f"{one.at_s:.3f}s: {one.text}" for one in outcome.violations]
    text = "".join(f"{line}\n" for line in outcome.lines)
    path = folder / LOG
    if update:
        path.write_text(text)
    elif not path.exists():
        problems.append(f"{path} is missing: write it with --update")
    elif path.read_text() != text:
        found = difflib.unified_diff(
            path.read_text().splitlines(), text.splitlines(), LOG, "this run", lineterm="", n=1
        )
        problems.append("the log differs (--update if it should):\n" + "\n".join(list(found)[:30]))
    return Verdict(scenario, outcome, tuple(problems))

"""Playing a scenario: what happens when, what was expected, and what is said about it at the end."""

from collections.abc import Callable
from dataclasses import dataclass

from quorate.sim.bugs import listening
from quorate.sim.engine import unhurried
from quorate.sim.mending import recover
from quorate.sim.scenario import Expect, Moment, Scenario
from quorate.sim.truth import Violation
from quorate.sim.words import Deed
from quorate.sim.world import Simulation

AFTERWARDS_S = 5.0
"""A scenario without `lasts` goes on so long after the last thing in it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went. `lines` is its log."""

    lines: tuple[str, ...]
    violations: tuple[Violation, ...]
    simulated_s: float
    steps: int

    @property
    def good(self) -> bool:
        return not self.violations


class Player:
    """One run of one scenario. Its simulation can be watched or meddled with before it is played."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.simulation = Simulation(scenario.setting)
        self._open: list[Expect] = []

    def play(self) -> Outcome:
        """From the start to the end."""
        with listening(self.simulation.broken), unhurried():
            return self._play()

    def _play(self) -> Outcome:
        simulation, ends_s = self.simulation, self.scenario.lasts_s or 0.0
        for moment in self.scenario.timeline:
            self._until(moment.at_s)
            self._happen(moment)
            within_s = max((one.within_s for one in moment.what if isinstance(one, Expect)), default=0.0)
            ends_s = max(ends_s, moment.at_s + max(within_s, AFTERWARDS_S if not self.scenario.lasts_s else 0.0))
        self._until(ends_s)
        if self.scenario.mend:
            recover(simulation)
        for violation in simulation.truth.violations:
            simulation.journal.lines.append(f"{violation.at_s:7.1f} !!       {violation.text}")
        truth, engine = simulation.truth, simulation.engine
        outcome = Outcome(tuple(simulation.journal.lines), tuple(truth.violations), engine.now_s, engine.steps)
        simulation.end()
        return outcome

    def _happen(self, moment: Moment) -> None:
        for one in moment.what:
            if isinstance(one, Deed):
                self.simulation.journal.say("--", one.text)
                one.happen(self.simulation)
            elif one.within_s:
                self._until(moment.at_s + one.within_s, lambda one=one: self._holds(one))  # type: ignore[misc]
                self._judge(one)
            else:
                self._judge(one)

    def _until(self, until_s: float, stop: Callable[[], bool] | None = None) -> None:
        if until_s > self.simulation.engine.now_s:
            self.simulation.run(until_s, stop)

    def _holds(self, expect: Expect) -> bool:
        return bool(expect.hope.word.do(self.simulation, *expect.hope.values))

    def _judge(self, expect: Expect) -> None:
        simulation = self.simulation
        if self._holds(expect):
            simulation.journal.say("--", f"{expect.text}: yes")
        else:
            simulation.truth.broken(simulation.engine.now_s, f"{expect.text}: no")

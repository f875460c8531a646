"""`quorate sim crash`: a scenario once for each call of the leading manager, which is killed just before or after it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from quorate.sim.manager import Manager
from quorate.sim.play import Outcome, Player
from quorate.sim.scenario import Moment, Scenario

RESTARTS_S: Final = 2.0
MOMENTS: Final = ("before", "after")


@dataclass(frozen=True, slots=True)
class Crash:
    """One replay: killed before or after its call of that number (`call` names it)."""

    number: int
    moment: str
    call: str
    outcome: Outcome


class _Killer:
    """Counts the calls of whoever leads, over all managers and restarts, and kills at one of them."""

    def __init__(self, player: Player, number: int, moment: str) -> None:
        self.player = player
        self.number, self.moment = number, moment
        self.counted = 0
        self.call = ""
        self._pending: set[tuple[str, int]] = set()
        for manager in player.simulation.managers.values():
            manager.born = self._watch
            self._watch(manager)

    def _watch(self, manager: Manager) -> None:
        calls = manager.calls
        if calls is None:
            return

        def before(number: int, method: str, path: str) -> None:
            if not manager.leads:
                return
            self.counted += 1
            if self.counted == self.number:
                self.call = f"{method} {path}"
                if self.moment == "before":
                    self._kill(manager)
                else:
                    self._pending.add((manager.name, number))

        def after(number: int, _method: str, _path: str) -> None:
            if (manager.name, number) in self._pending:
                self._pending.clear()
                self._kill(manager)

        calls.before, calls.after = before, after

    def _kill(self, manager: Manager) -> None:
        manager.kill()
        self.player.simulation.journal.say(manager.name, f"is killed {self.moment} {self.call}")
        self.player.simulation.engine.after(RESTARTS_S, manager.start)


def count(scenario: Scenario) -> int:
    """How many calls the leading manager makes in it."""
    player = Player(scenario)
    killer = _Killer(player, 0, "")
    player.play()
    return killer.counted


def crashes(scenario: Scenario, every: int = 1) -> Iterator[Crash]:
    """Every replay, or every so many-th. At the end everything is mended and must run; what was awaited is not asked."""
    timeline = tuple(Moment(one.at_s, one.deeds, one.line) for one in scenario.timeline)
    judged = replace(scenario, timeline=timeline, mend=True)
    for number in range(1, count(judged) + 1, every):
        for moment in MOMENTS:
            player = Player(judged)
            killer = _Killer(player, number, moment)
            outcome = player.play()
            yield Crash(number, moment, killer.call, outcome)

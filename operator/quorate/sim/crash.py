"""`quorate sim crash`: a scenario once for each call of the leading manager, which is killed just before or after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from quorate.core.quick import replace
from quorate.core.types import SYSTEM_NAMESPACE
from quorate.kube.resources import LEASES
from quorate.sim.manager import Manager
from quorate.sim.play import Outcome, Player
from quorate.sim.scenario import Moment, Scenario

RESTARTS_S: Final = 2.0
MOMENTS: Final = ("before", "after")
_LEADERS: Final = f"{LEASES.path(namespace=SYSTEM_NAMESPACE)}/"


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
        self.renewals: set[int] = set()
        """Those of its calls that only renewed its own Lease."""
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
            if method == "PUT" and path.startswith(_LEADERS):
                self.renewals.add(self.counted)
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


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario as it is judged here, and at which calls of the leading manager it is killed: two replays for each."""

    scenario: Scenario
    numbers: tuple[int, ...]
    simulated_s: float
    """Of one replay."""


def prepare(scenario: Scenario, every: int = 1, *, renewals: bool = True) -> Plan:
    """Play it once and count. At the end everything is mended and must run; what was awaited is not asked.

    `every`: only so many-th calls. `renewals`: also those that only renew the leader's Lease: most calls do,
    and from one to the next nothing but the time is another.
    """
    timeline = tuple(Moment(one.at_s, one.deeds, one.line) for one in scenario.timeline)
    judged = replace(scenario, timeline=timeline, mend=True)
    player = Player(judged)
    killer = _Killer(player, 0, "")
    outcome = player.play()
    numbers = [one for one in range(1, killer.counted + 1) if renewals or one not in killer.renewals]
    return Plan(judged, tuple(numbers[::every]), outcome.simulated_s)


def crashes(plan: Plan) -> Iterator[Crash]:
    """Every replay."""
    for number in plan.numbers:
        for moment in MOMENTS:
            player = Player(plan.scenario)
            killer = _Killer(player, number, moment)
            outcome = player.play()
            yield Crash(number, moment, killer.call, outcome)

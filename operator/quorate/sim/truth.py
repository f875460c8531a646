"""What really runs where, whatever any object says; and what was found to be wrong with it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.core.types import GuestKey, Uid

if TYPE_CHECKING:
    from quorate.sim.machine import Machine


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of safety that was broken, or a guest that was left down (`stuck`)."""

    at_s: float
    text: str
    stuck: bool = False


class Truth:
    """The judge. It is asked whenever more may run than before: at a start, and when a frozen machine runs on."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._runs: dict[GuestKey, dict[Uid, Machine]] = {}

    def started(self, key: GuestKey, uid: Uid, machine: "Machine", now_s: float) -> None:
        self._runs.setdefault(key, {})[uid] = machine
        self.judge(key, now_s)

    def ended(self, key: GuestKey, uid: Uid) -> None:
        self._runs.get(key, {}).pop(uid, None)

    def thawed(self, machine: "Machine", now_s: float) -> None:
        for key, runs in self._runs.items():
            if machine in runs.values():
                self.judge(key, now_s)

    def judge(self, key: GuestKey, now_s: float) -> None:
        """1. At most one instance of a guest runs at any moment. What is frozen does not run."""
        where = self.where(key)
        if len(where) > 1:
            self.broken(now_s, f"{key.sid} runs twice, on {' and '.join(where)}")

    def where(self, key: GuestKey) -> list[str]:
        """The machines on which it runs now."""
        return [machine.name for machine in self._runs.get(key, {}).values() if not machine.frozen]

    def on(self, machine: "Machine") -> list[GuestKey]:
        """The guests that run on a machine now, sorted."""
        return sorted(key for key, runs in self._runs.items() if machine in runs.values())

    def broken(self, now_s: float, text: str) -> None:
        self.violations.append(Violation(now_s, text))

    def stuck(self, now_s: float, text: str) -> None:
        self.violations.append(Violation(now_s, text, stuck=True))

"""The words of a scenario: sentences like `power off n1` or `freeze n2 for 20s`, and what each of them does.

A sentence follows the pattern of one `Word`; what is in capitals in a pattern stands for a name or a value. A fault that
can be taken back may end by itself (`... for 20s`).
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.core.timing import PROFILES, parse_duration
from quorate.core.types import DisarmMode, EvidenceKind, GuestState, NodeState, SchedulingMode, ShutdownPolicy, Wanted

if TYPE_CHECKING:
    from quorate.sim.world import Simulation


class WordError(Exception):
    """A sentence that nobody understands; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Names:
    """What sentences may speak of. The manager that leads is called `leader`."""

    nodes: Collection[str]
    managers: Collection[str]
    guests: Collection[str]
    devices: Collection[str] = ()
    workloads: Collection[str] = ()
    pods: Collection[str] = ()
    """Of workloads."""
    storages: Collection[str] = ()
    machines: Collection[str] = ()
    """Virtual machines."""


@dataclass(frozen=True, slots=True)
class Word:
    """One pattern. `undo` takes it back; `fault` is the kind that chaos counts, empty for what is none."""

    pattern: str
    do: Callable[..., Any]
    undo: Callable[..., Any] | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """A sentence that was understood. `lasts_s`: it is taken back after so long; None: never."""

    text: str
    word: Word
    values: tuple[Any, ...]
    lasts_s: float | None = None

    def happen(self, simulation: "Simulation") -> Any:
        """Do it now."""
        found = self.word.do(simulation, *self.values)
        if self.lasts_s is not None and self.word.undo is not None:
            simulation.engine.after(self.lasts_s, self._ends, simulation)
        return found

    def _ends(self, simulation: "Simulation") -> None:
        if self.word.undo is not None:
            simulation.journal.say("--", f"over: {self.text}")
            self.word.undo(simulation, *self.values)


WORDS: Final[list[Word]] = []
QUORUM_OPTIONS: Final = ("waitForAll", "autoTieBreaker", "lastManStanding", "twoNode")


def quorum_with(option: str) -> dict[str, Any]:
    """What `spec.quorum` says to have one of them."""
    return {option: {"window": "10s"} if option == "lastManStanding" else True}


def word(pattern: str, undo: Callable[..., Any] | None = None, fault: str = "") -> Callable[[Any], Any]:
    """Register a function as the meaning of a pattern."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        WORDS.append(Word(pattern, function, undo, fault))
        return function

    return register


def duration(text: str) -> float:
    """Raises WordError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WordError(f"{text!r} is no time: write 500ms, 12.5s, 3m or 1h") from error


def understand(text: str, names: Names, words: Collection[Word] | None = None) -> Deed:
    """A sentence as a deed. Raises WordError."""
    known = WORDS if words is None else words
    parts = text.split()
    lasts_s = None
    if len(parts) > 2 and parts[-2] == "for":
        lasts_s, parts = duration(parts[-1]), parts[:-2]
    closest: tuple[int, WordError] | None = None
    for one in known:
        pattern = one.pattern.split()
        fixed = [at for at, part in enumerate(pattern) if not part.isupper()]
        if len(pattern) != len(parts) or any(pattern[at] != parts[at] for at in fixed):
            continue
        values = []
        try:
            for part, given in zip(pattern, parts, strict=True):
                if part.isupper():
                    values.append(_value(part, given, names))
        except WordError as error:
            if closest is None or len(values) > closest[0]:
                closest = (len(values), error)
            continue
        if lasts_s is not None and one.undo is None:
            raise WordError(f"{text!r}: {one.pattern!r} does not end by itself: leave out `for`")
        return Deed(text, one, tuple(values), lasts_s)
    if closest is not None:
        raise WordError(f"{text!r}: {closest[1]}") from closest[1]
    raise WordError(f"{text!r} is unknown. Allowed: {'; '.join(sorted(one.pattern for one in known))}")


def _value(kind: str, given: str, names: Names) -> Any:
    managers = [*names.managers, "leader"]
    choices: dict[str, Collection[str]] = {
        "NODE": names.nodes,
        "MANAGER": managers,
        "GUEST": [*names.guests, *names.workloads, *names.machines],
        "MACHINE": names.machines,
        "WORKLOAD": names.workloads,
        "POD": names.pods,
        "DEVICE": names.devices,
        "STORAGE": names.storages,
        "CLIENT": [*names.nodes, *managers],
        "WANTED": list(Wanted),
        "DISARMMODE": list(DisarmMode),
        "PROFILE": list(PROFILES),
        "POLICY": list(ShutdownPolicy),
        "MODE": list(SchedulingMode),
        "OPTION": QUORUM_OPTIONS,
        "GUESTSTATE": list(GuestState),
        "NODESTATE": list(NodeState),
        "PROOF": list(EvidenceKind),
    }
    if kind in choices:
        if given not in choices[kind]:
            raise WordError(f"{given} is no {kind}: {', '.join(sorted(choices[kind]))}")
        return given
    if kind == "TIME":
        return duration(given)
    if kind == "SHARE":
        if re.fullmatch(r"\d{1,3}%", given) is None or int(given[:-1]) > 100:
            raise WordError(f"{given} is no share: write 0% to 100%")
        return int(given[:-1]) / 100
    if kind == "WORD":
        return given
    if kind == "NUMBER":
        if not given.isdigit():
            raise WordError(f"{given} is no number")
        return int(given)
    raise AssertionError(f"pattern with {kind}")

"""Which calls a rule means, how many of them, and what is to become of those.

    Rule("slow", client="node.*", method="PUT", path="/leases/", does="delay", seconds=0.4)
    Rule("crash", client="manager-1", watch=False, after=4, times=1, does="kill-after")

`client`, `method` and `path` are regular expressions: the first two name the whole of it, `path` (without the query) some
part. A rule leaves the first `after` calls that it means alone, is applied to the next `times` (0: to all), and
then counts on. Of several that are due the one that was added first is applied; all of them count.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from quorate.lab.errors import MisuseError, unknown

DELAY: Final = "delay"
DELAY_ANSWER: Final = "delay-answer"
ANSWER: Final = "answer"
HANG: Final = "hang"
RESET: Final = "reset"
LATE: Final = "late"
KILL_BEFORE: Final = "kill-before"
KILL_AFTER: Final = "kill-after"
STALL: Final = "stall"
END: Final = "end"
EXPIRE: Final = "expire"
CALLS: Final = {
    DELAY: "forwarded `seconds` later",
    DELAY_ANSWER: "forwarded at once, answered `seconds` later",
    ANSWER: "answered with `code` and `headers`, never forwarded",
    HANG: "neither forwarded nor answered",
    RESET: "not forwarded, its connection is reset",
    LATE: "never answered, but forwarded `seconds` later, whether or not its client still waits",
    KILL_BEFORE: "not forwarded: its client is killed",
    KILL_AFTER: "forwarded and answered by the API server; its client is killed and never hears of it",
}
WATCHES: Final = {
    STALL: "the watch stays open and says nothing more",
    END: "the watch ends",
    EXPIRE: "the watch ends with an ERROR event, 410 Gone",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to become of which calls. `watch`: None means watches and others, True or False only those or others."""

    name: str
    does: str
    client: str = ".*"
    method: str = ".*"
    path: str = ""
    watch: bool | None = None
    after: int = 0
    times: int = 0
    seconds: float = 0.0
    code: int = 503
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises MisuseError."""
        if self.does not in CALLS | WATCHES:
            raise unknown("deed of a rule", self.does, CALLS | WATCHES)
        if self.does in WATCHES and self.watch is False:
            raise MisuseError(f"rule {self.name}: {self.does} is done to watches only: leave out watch")
        for name in ("client", "method", "path"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                raise MisuseError(f"rule {self.name}: {name} {getattr(self, name)!r} is no pattern: {error}") from error
        for name in ("after", "times", "seconds"):
            if getattr(self, name) < 0:
                raise MisuseError(f"rule {self.name}: {name} is {getattr(self, name)}, it cannot be below 0")

    def means(self, call: "Call") -> bool:
        """Is it about this call, however many there were?"""
        watch = True if self.does in WATCHES else self.watch
        return (
            watch in {None, call.watch}
            and re.fullmatch(self.client, call.client) is not None
            and re.fullmatch(self.method, call.method) is not None
            and re.search(self.path, call.path) is not None
        )


def rule_of(given: dict[str, Any]) -> Rule:
    """A rule as it comes over the socket. Raises MisuseError."""
    known = [one.name for one in fields(Rule)]
    for name in given:
        if name not in known:
            raise unknown("field of a rule", name, known)
    try:
        return Rule(**given)
    except TypeError as error:
        raise MisuseError(f"rule {given.get('name', '')!r}: {error}") from error


@dataclass(slots=True)
class Call:
    """A request. `code` is what the API server answered, None until it did; `rule` what was applied to it."""

    number: int
    client: str
    method: str
    path: str
    query: str
    watch: bool
    code: int | None = None
    rule: str = ""


@dataclass(slots=True)
class _Count:
    seen: int = 0
    applied: int = 0


class Book:
    """The rules in force, how often each was met and applied, and every call so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._rules: dict[str, tuple[Rule, _Count]] = {}

    def note(self, client: str, method: str, path: str, query: str, *, watch: bool) -> Call:
        """A call has come."""
        call = Call(len(self.calls) + 1, client, method, path, query, watch)
        self.calls.append(call)
        return call

    def add(self, rule: Rule) -> None:
        """In force from now on; it takes the place of one of the same name, and counts from 0."""
        self._rules[rule.name] = (rule, _Count())

    def clear(self, name: str) -> None:
        """Raises MisuseError."""
        if name not in self._rules:
            raise unknown("rule", name, self._rules)
        del self._rules[name]

    def clear_all(self) -> None:
        self._rules.clear()

    def take(self, call: Call, names: Iterable[str] | None = None) -> Rule | None:
        """Count this call with every rule that means it (or only with those named), and say which is to be applied."""
        due: Rule | None = None
        for rule, count in self._rules.values():
            if (names is not None and rule.name not in names) or not rule.means(call):
                continue
            count.seen += 1
            open_ = not rule.times or count.applied < rule.times
            if due is None and count.seen > rule.after and open_:
                count.applied += 1
                call.rule, due = rule.name, rule
        return due

    def counts(self) -> dict[str, dict[str, int]]:
        """By rule: how many calls it has meant, and to how many it was applied."""
        return {name: {"seen": count.seen, "applied": count.applied} for name, (_, count) in self._rules.items()}

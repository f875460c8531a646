"""What is said of the rules in the Cluster's status: how many are in use, which are ignored and why, and who breaks one."""

from dataclasses import dataclass
from typing import Final

from quorate.core.board import Board
from quorate.core.conditions import Finding
from quorate.core.quick import quick
from quorate.core.status import IgnoredRule

LISTED: Final = 64
"""So many ignored rules are listed, the others are counted: a status has a limit."""
SAID: Final = 5
"""So many findings are said in the condition."""


@quick
@dataclass(frozen=True, slots=True)
class RulesInWords:
    """`finding` is None where there are no rules to honour."""

    text: str = ""
    ignored: tuple[IgnoredRule, ...] = ()
    finding: Finding | None = None


def rules_in_words(board: Board) -> RulesInWords:
    """The rules of one plan, after every guest's round."""
    book = board.book
    if not book.total:
        return RulesInWords()
    ignored: dict[str, IgnoredRule] = {}
    for one in book.ignored:
        for name in one.rules:
            ignored.setdefault(name, IgnoredRule(name, str(one.fault), one.text))
    text = f"{book.total - len(ignored)} in use" + (f", {len(ignored)} ignored" if ignored else "")
    broken = [f"{guest.sid}: {rule}" for guest, rule in board.broken()]
    said = [f"ignored: {one.text}" for one in book.ignored] + list(book.troubles) + broken
    if not said:
        finding = Finding("RulesHonoured", True, "Honoured", f"{text}; every guest runs where they want it")
    else:
        reason = "Ignored" if ignored else "CannotBeMet" if book.troubles else "Broken"
        more = f"; and {len(said) - SAID} more" if len(said) > SAID else ""
        finding = Finding("RulesHonoured", False, reason, f"{text}; {'; '.join(said[:SAID])}{more}")
    return RulesInWords(text, tuple(ignored[name] for name in sorted(ignored))[:LISTED], finding)

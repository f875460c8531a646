"""What a person did wrong, or what the machine could not do, in one sentence each."""

from collections.abc import Iterable


class LabError(Exception):
    """Something about a lab failed; the message names what, what was found, and what to do."""


class MisuseError(LabError):
    """What was asked for cannot be: a name that does not exist, a value out of range."""


def unknown(what: str, found: str, known: Iterable[str]) -> MisuseError:
    """There is no lab, node or verb of that name; the message names those that there are."""
    there = ", ".join(sorted(known)) or "none"
    return MisuseError(f"there is no {what} named {found!r}; there is: {there}")

"""A dataclass with other values in some of its fields; the very same one where nothing is another.

Most of what a round decides is as it was. Comparing a few fields costs less than making an object of twenty, and what is
the same object need not be compared again further on.
"""

from typing import TypeVar

from quorate.core.quick import replace

T = TypeVar("T")


def updated(before: T, **fields: object) -> T:
    """`before` with these values; `before` itself if it has them already."""
    for name, value in fields.items():
        known = getattr(before, name)
        if known is not value and known != value:
            return _replaced(before, fields)
    return before


def _replaced(before: T, fields: dict[str, object]) -> T:
    made: T = replace(before, **fields)  # type: ignore[type-var]
    return made

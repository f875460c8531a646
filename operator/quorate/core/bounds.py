"""How long the words of a status may be: what is beyond the bound of its field is cut off, before anything compares it.

The API server refuses a status as a whole when one text in it is too long, and with it everything that depends on that
status being written. Some of those words are others': what a node's agent, a fence device or a container said last. The
bounds are the ones of the CRDs; names and ids have none here, because a part of one is another name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from operator import is_
from typing import Final, TypeAlias, TypeVar, get_args, get_type_hints

from quorate.core.sequence import Distrust, Drilled, Power, Sequence
from quorate.core.status import (
    Attempt,
    CommandResult,
    Condition,
    Evidence,
    GuestStatus,
    Incident,
    Instance,
    Migration,
    MigrationFailure,
    NodeStatus,
    StorageStatus,
    Termination,
    Timeline,
)
from quorate.core.storage import Unreached, Volume

T = TypeVar("T")
LONGEST: Final[Mapping[type, Mapping[str, int]]] = {
    Condition: {"reason": 1024, "message": 32_768},
    Evidence: {"detail": 1024},
    Attempt: {"why": 1024},
    Incident: {"reason": 1024},
    Sequence: {"failures": 1024},
    Distrust: {"why": 1024},
    Drilled: {"result": 1024},
    Power: {"blocked": 1024},
    NodeStatus: {"message": 4096},
    Instance: {"failure": 4096, "ended": 4096},
    Migration: {"failed": 4096},
    MigrationFailure: {"why": 4096},
    CommandResult: {"result": 4096},
    Termination: {"message": 4096},
    Timeline: {"evidence": 4096},
    GuestStatus: {"message": 8192},
    StorageStatus: {"message": 4096},
    Unreached: {"why": 256},
    Volume: {"problem": 1024},
}
"""In characters; of a list of texts each."""
MOST: Final[Mapping[type, Mapping[str, int]]] = {
    NodeStatus: {"asks": 1024},
    StorageStatus: {"unreached": 32},
}
"""Pods that a node is asked about at once: the others when one of these is answered. Nodes that miss a Storage."""


_Fields: TypeAlias = tuple[tuple[str, int | None, int | None], ...]
_FIELDS: dict[type, _Fields] = {}
"""Of each class the fields in which a text with a bound may be, with their bounds: found out once."""


def bounded(value: T) -> T:
    """The same dataclass, with no text longer than its field may be; the very same object where none is."""
    known = _FIELDS.get(value.__class__)
    changed = {}
    for name, longest, most in known if known is not None else _fields(value.__class__):
        found = getattr(value, name)
        if found:
            kept = _kept(found, longest, most)
            if kept is not found:
                changed[name] = kept
    return replace(value, **changed) if changed else value  # type: ignore[type-var]


def _fields(cls: type) -> _Fields:
    found = []
    if is_dataclass(cls):
        longest, most, hints = LONGEST.get(cls, {}), MOST.get(cls, {}), get_type_hints(cls)
        for field in fields(cls):
            bounds = longest.get(field.name), most.get(field.name)
            if bounds != (None, None) or any(_fields(part) for part in _parts(hints[field.name])):
                found.append((field.name, *bounds))
    _FIELDS[cls] = tuple(found)
    return _FIELDS[cls]


def _parts(hint: object) -> Iterator[type]:
    """The classes that a type hint is made of."""
    if isinstance(hint, type):
        yield hint
    for one in get_args(hint):
        yield from _parts(one)


def _kept(value: object, longest: int | None, most: int | None = None) -> object:
    if isinstance(value, str):
        return value if longest is None or len(value) <= longest else f"{value[: longest - 1]}…"
    if isinstance(value, tuple):
        kept = tuple([_kept(one, longest) for one in value[:most]])
        same = len(kept) == len(value) and all(map(is_, kept, value))
        return value if same else kept
    return bounded(value)

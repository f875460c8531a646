"""The core's dataclasses as JSON objects, and back: snake_case <-> camelCase, by their type hints alone.

On the wire an `Instant` is RFC 3339 in UTC, a float of seconds (a field that ends in `_s`) a duration like "14.7s" under
its name without `_s`, an enum its value. None, "" and empty lists are left out where a default stands for them; reading
puts the defaults back, so that writing and reading again gives the same object.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic.alias_generators import to_camel

from quorate.core.timing import parse_duration
from quorate.core.types import Instant

T = TypeVar("T")
Json = Any


@lru_cache(maxsize=4096)
def format_instant(moment: Instant) -> str:
    """Milliseconds since the epoch -> "2026-11-22T16:43:00.123Z"; whole seconds without a fraction."""
    text = datetime.fromtimestamp(moment // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment % 1000:03d}Z" if moment % 1000 else f"{text}Z"


@lru_cache(maxsize=4096)
def parse_instant(text: str) -> Instant:
    """The inverse, of any RFC 3339 time. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return Instant(round(moment.timestamp() * 1000))


def to_wire(value: object) -> dict[str, Json]:
    """A dataclass as a JSON object."""
    out = {}
    for name, alias, encode, _, needed in _plan(value.__class__):
        encoded = getattr(value, name)
        if encode is not None:
            encoded = encode(encoded)
        if encoded or encoded == 0 or (needed and encoded is not None):  # 0 and False say something
            out[alias] = encoded
    return out


def from_wire(cls: type[T], data: Mapping[str, Json] | None) -> T:
    """A JSON object as that dataclass; unknown fields are ignored. Raises ValueError naming field and value."""
    found = {}
    for name, alias, _, decode, _ in _plan(cls):
        value = data.get(alias) if data is not None else None
        if value is not None:
            try:
                found[name] = value if decode is None else decode(value)
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f"{alias}: {value!r}: {error}") from error
    try:
        return cls(**found)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


_Encode = Callable[[Any], Json] | None
_Decode = Callable[[Json], Any] | None
"""None: it is the same on the wire."""
_Codec = tuple[str, str, _Encode, _Decode, bool]
"""Name, wire name, encode, decode, and whether it has no default."""


_PLANS: dict[type, tuple[_Codec, ...]] = {}


def _plan(cls: type[Any]) -> tuple[_Codec, ...]:
    known = _PLANS.get(cls)
    if known is not None:
        return known
    hints = get_type_hints(cls)
    plan = []
    for field in fields(cls):
        duration = field.name.endswith("_s")
        alias = to_camel(field.name.removesuffix("_s") if duration else field.name)
        encode, decode = _codec(hints[field.name], duration=duration)
        needed = field.default is MISSING and field.default_factory is MISSING
        plan.append((field.name, alias, encode, decode, needed))
    _PLANS[cls] = tuple(plan)
    return _PLANS[cls]


def _codec(hint: Any, *, duration: bool = False) -> tuple[_Encode, _Decode]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [arg for arg in get_args(hint) if arg is not type(None)]
        encode, decode = _codec(inner, duration=duration)
        return _optional(encode), decode
    if origin is tuple:
        encode, decode = _codec(get_args(hint)[0])
        return (
            (lambda value: [encode(item) for item in value]) if encode is not None else list,
            (lambda data: tuple([decode(item) for item in data])) if decode is not None else tuple,
        )
    if hint is Instant:
        return format_instant, parse_instant
    if duration:
        # Never an exponent: a duration of weeks must be read again.
        return (lambda value: f"{value:.12g}s"), parse_duration
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if is_dataclass(hint) and isinstance(hint, type):
        return to_wire, (lambda data, cls=hint: from_wire(cls, data))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (lambda value: value.value), hint
    return None, None


def _optional(encode: _Encode) -> _Encode:
    return None if encode is None else lambda value: None if value is None else encode(value)


def required(cls: type) -> tuple[str, ...]:
    """The wire names of the fields that have no default."""
    return tuple(alias for _, alias, _, _, needed in _plan(cls) if needed)

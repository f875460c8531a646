"""What a report is made of: objects as the API server returned them, gathered at one moment by whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from quorate.api.wire import from_wire, parse_instant
from quorate.core.types import Instant

Raw = Mapping[str, Any]
Status = TypeVar("Status")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`leases` are those of the nodes, `leaders` those of the managers; None: they could not be read."""

    clusters: tuple[Raw, ...] = ()
    nodes: tuple[Raw, ...] = ()
    guests: tuple[Raw, ...] = ()
    storages: tuple[Raw, ...] = ()
    leases: tuple[Raw, ...] | None = None
    leaders: tuple[Raw, ...] | None = None


def name_of(raw: Raw) -> str:
    return str(raw["metadata"]["name"])


def spec_of(raw: Raw) -> Raw:
    return raw.get("spec") or {}


def read_status(raw: Raw, cls: type[Status]) -> tuple[Status, str]:
    """The status, and what is wrong with it: one that this version cannot read is shown as if it were empty."""
    try:
        return from_wire(cls, raw.get("status")), ""
    except ValueError as error:
        return cls(), f"its status cannot be read ({error}): this quorate and the manager differ in version"


def named(objects: tuple[Raw, ...] | None, name: str) -> Raw | None:
    """The object of that name, None when it is not there."""
    return next((raw for raw in objects or () if name_of(raw) == name), None)


def renewed(lease: Raw | None) -> Instant | None:
    """When a Lease was last renewed, by its holder's clock."""
    text = spec_of(lease).get("renewTime") if lease is not None else None
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None

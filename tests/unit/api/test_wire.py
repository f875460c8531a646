"""Statuses on the wire: what is written is read back the same, and the CRDs know every field."""

import dataclasses
import types
import typing
from enum import Enum

import pytest

from quorate.api.cluster import ClusterStatusModel
from quorate.api.haresource import HAResourceStatusModel
from quorate.api.node import NodeStatusModel
from quorate.api.storage import StorageStatusModel
from quorate.api.wire import format_instant, from_wire, parse_instant, to_wire
from quorate.core.status import ClusterStatus, Condition, GuestStatus, NodeStatus, Orders, StorageStatus
from quorate.core.types import Instant

PAIRS = [
    (ClusterStatus, ClusterStatusModel),
    (NodeStatus, NodeStatusModel),
    (GuestStatus, HAResourceStatusModel),
    (StorageStatus, StorageStatusModel),
]


def filled(hint, name=""):
    """A value for a type, with every field of every dataclass set."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return filled(next(arg for arg in typing.get_args(hint) if arg is not type(None)), name)
    if origin is tuple:
        return (filled(typing.get_args(hint)[0]),)
    if hint is Instant:
        return Instant(1_700_000_000_123)
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{field.name: filled(hints[field.name], field.name) for field in dataclasses.fields(hint)})
    if issubclass(hint, Enum):
        return next(iter(hint))
    return {bool: True, int: 3, float: 1.5, str: "True" if name == "status" else "x"}[hint]


@pytest.mark.parametrize(("status", "model"), PAIRS)
def test_every_field_of_a_status_is_declared_in_its_crd(status, model):
    model.model_validate(to_wire(filled(status)))  # the models refuse unknown fields


@pytest.mark.parametrize(("status", "model"), PAIRS)
def test_every_declared_field_is_one_that_the_manager_writes(status, model):
    declared = {field.alias for field in model.model_fields.values()}
    assert declared == set(to_wire(filled(status)))


@pytest.mark.parametrize(("status", "model"), PAIRS)
def test_writing_and_reading_again_gives_the_same(status, model):
    full = filled(status)
    assert from_wire(status, to_wire(full)) == full
    assert from_wire(status, to_wire(status())) == status()
    assert from_wire(status, None) == status()


def test_times_are_rfc_3339_to_the_millisecond():
    assert format_instant(Instant(1_700_000_000_123)) == "2023-11-14T22:13:20.123Z"
    assert format_instant(Instant(1_700_000_000_000)) == "2023-11-14T22:13:20Z"
    assert parse_instant("2023-11-14T23:13:20.123+01:00") == 1_700_000_000_123


def test_what_cannot_be_read_names_the_field_and_the_value():
    with pytest.raises(ValueError, match="state: 'Flying': 'Flying' is not a valid GuestState"):
        from_wire(GuestStatus, {"state": "Flying"})
    with pytest.raises(ValueError, match=r"instance: .*missing"):
        from_wire(GuestStatus, {"instance": {"id": "i"}})


def test_fields_of_a_newer_version_are_ignored():
    assert from_wire(GuestStatus, {"state": "Started", "colour": "blue"}).state == "Started"


def test_what_must_be_there_is_written_even_when_it_is_empty():
    condition = Condition("Ready", "True", "Started", "", Instant(0), 1)
    assert from_wire(Condition, to_wire(condition)) == condition


@pytest.mark.parametrize("seconds", [0.0, 0.1, 14.7, 86400.0, 1e6, 1234567.5])
def test_durations_are_read_back_however_long(seconds):
    orders = Orders(seconds, 1.5, 5)
    assert from_wire(Orders, to_wire(orders)) == orders

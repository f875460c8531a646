"""No text makes the API server refuse a status: the bounds of the core are the CRDs', and plans keep them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from quorate.api.crd import KINDS, crd
from quorate.api.wire import from_wire, to_wire
from quorate.core.bounds import LONGEST, MOST, bounded
from quorate.core.plan import plan
from quorate.core.status import CommandResult, GuestStatus, NodeStatus, StorageStatus
from quorate.core.types import MAX_NODES, GuestState
from quorate.core.world import NodeView
from tests.unit.core.worlds import guest, incident, node, world

Json = Any
STATUSES = {"HAResource": GuestStatus, "Node": NodeStatus, "Storage": StorageStatus}
WORDS_FROM = 1024
"""A CRD's bound from which on a text is made of words, and not a name."""
NO_WORDS = {"spec"}
"""Long, and no words: a digest of fence devices (core/devices.py) that is compared as a whole."""


def schema_of(kind: str) -> Json:
    (found,) = [made for made in map(crd, KINDS) if made["spec"]["names"]["kind"] == kind]
    return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]


def filled(schema: Json, name: str = "") -> Json:
    """An object with everything in it, its words twice as long as they may be."""
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {key: filled(one, key) for key, one in schema["properties"].items()}
        case "array":
            return [filled(schema["items"], name)]
        case "string" if "enum" in schema:
            return schema["enum"][0]
        case "string" if schema.get("format") == "date-time":
            return "2026-01-01T00:00:00Z"
        case "string" if is_words(schema, name):
            return "ä" * (2 * schema["maxLength"])
        case "string":
            return "1s"
        case "boolean":
            return True
    return schema.get("minimum", 0)


def is_words(schema: Json, name: str) -> bool:
    return schema.get("maxLength", 0) >= WORDS_FROM and "pattern" not in schema and name not in NO_WORDS


def words(schema: Json, value: Json, path: str = "") -> Iterator[tuple[str, int, str]]:
    """(where, its bound, what is there) of all words."""
    name = path.rpartition(".")[2]
    if schema.get("type") == "array":
        for one in value or ():
            yield from words(schema["items"], one, path)
    elif "properties" in schema:
        for key, one in schema["properties"].items():
            if value and key in value:
                yield from words(one, value[key], f"{path}.{key}")
    elif schema.get("type") == "string" and is_words(schema, name):
        yield path, schema["maxLength"], value


@pytest.mark.parametrize("kind", STATUSES)
def test_every_text_is_as_long_as_its_field_may_be_and_no_shorter(kind: str) -> None:
    schema = schema_of(kind)
    status = from_wire(STATUSES[kind], filled(schema))
    found = list(words(schema, to_wire(bounded(status))))
    assert len(found) >= 3
    for where, longest, text in found:
        assert len(text) == longest, where
        assert text.endswith("ä…"), where


def test_what_is_short_is_the_very_same() -> None:
    status = NodeStatus(message="short", incident=incident())
    assert bounded(status) is status


def test_the_lists_are_bounded_as_well() -> None:
    (most,) = MOST[NodeStatus].values()
    assert schema_of("Node")["properties"]["asks"]["maxItems"] == most
    status = NodeStatus(asks=tuple(f"uid-{number}" for number in range(most + 9)))
    assert bounded(status).asks == status.asks[:most]


def test_a_plan_writes_what_can_be_stored_and_is_content_with_it() -> None:
    """Nobody reads the same text twice and writes it for ever."""
    one = guest(command="7 " + "x" * 100_000)
    first = plan(world(guests=(one,)))
    (write,) = [write for write in first.statuses if write.ref.name == one.key.name]
    assert isinstance(write.status, GuestStatus)
    assert write.status.last_command is not None
    assert len(write.status.last_command.result) == LONGEST[CommandResult]["result"]
    again = plan(world(guests=(replace(one, status=write.status),)))
    assert [write for write in again.statuses if write.ref.name == one.key.name] == []


def test_the_reasons_of_many_nodes_do_not_keep_a_guest_from_saying_any() -> None:
    """A Cluster as large as it may be, of nodes with names as long as they may be, and none of them will do."""
    nodes = tuple(cordoned(f"{'n' * 250}{number:03}") for number in range(MAX_NODES))
    status = {"state": GuestState.QUEUED, "node": None, "instance": None, "ready": False}
    one = guest(status=status, pod=None)
    (write,) = [write for write in plan(world(nodes=nodes, guests=(one,))).statuses if write.ref.name == one.key.name]
    assert isinstance(write.status, GuestStatus)
    assert len(write.status.message) == LONGEST[GuestStatus]["message"]
    for where, longest, text in words(schema_of("HAResource"), to_wire(write.status)):
        assert len(text) <= longest, where
    again = plan(world(nodes=nodes, guests=(replace(one, status=write.status),)))
    assert [write for write in again.statuses if write.ref.name == one.key.name] == []


def cordoned(name: str) -> NodeView:
    found = node(name)
    assert found.kube is not None
    return replace(found, kube=replace(found.kube, unschedulable=True))

"""`kubectl wait`, Flux and Argo CD read our objects as they are meant: a table, and everything that scenarios write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from quorate.api.crd import KINDS, UNSEEN, crd
from quorate.core.types import GROUP
from quorate.sim.play import Player
from quorate.sim.scenario import read
from tests.unit.gitops.health import CONFIG, KEY, Raw, argo, kstatus

SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
SAME: Final = {"Current": {"Healthy", "Suspended"}, "InProgress": {"Progressing"}, "Failed": {"Degraded"}}
OURS: Final = {kind.__name__ for kind in KINDS}


def made(kind: str = "HAResource", *, ready: str = "True", spec: Raw | None = None, **more: Any) -> Raw:
    """An object of generation 2 that was looked at; `more` replaces fields of its status."""
    told = {"Ready": ready, "Reconciling": "False", "Stalled": "False"} | more.pop("told", {})
    conditions = [
        {"type": name, "status": value, "reason": "R", "message": f"{name} says"} for name, value in told.items()
    ]
    status = {"observedGeneration": 2, "message": "all is well", "conditions": conditions} | more
    return {"kind": kind, "metadata": {"generation": 2}, "spec": spec or {}, "status": status}


FRESH: Final = made() | {"status": dict(UNSEEN)}
TABLE: Final = {
    "nobody has looked at it": (FRESH, "InProgress", "Progressing"),
    "its newest spec was not looked at": (made(observedGeneration=1), "InProgress", "Progressing"),
    "as it should be": (made(), "Current", "Healthy"),
    "on its way": (made(ready="False", told={"Reconciling": "True"}), "InProgress", "Progressing"),
    "somebody must act": (made(ready="False", told={"Stalled": "True"}), "Failed", "Degraded"),
    "not ready, and nothing else said": (made(ready="False"), "InProgress", "Progressing"),
    "taken out of HA": (made(spec={"state": "Ignored"}), "Current", "Suspended"),
    "stopped as it should be": (made(spec={"state": "Stopped"}), "Current", "Healthy"),
    "a node in maintenance, and empty": (made("Node", spec={"maintenance": {"enabled": True}}), "Current", "Suspended"),
    "a node whose maintenance is over": (made("Node", spec={"maintenance": {"enabled": False}}), "Current", "Healthy"),
    "a Cluster that is disarmed": (made("Cluster", fencing="Disarmed"), "Current", "Suspended"),
    "a Cluster that is armed": (made("Cluster", fencing="Armed 3/3"), "Current", "Healthy"),
    "a Storage": (made("Storage"), "Current", "Healthy"),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table(name: str) -> None:
    obj, expected, health = TABLE[name]
    assert kstatus(obj) == expected
    assert argo(obj)[0] == health


def test_the_message_is_of_what_was_found() -> None:
    assert argo(made())[1] == "all is well"
    assert argo(made(ready="False"))[1] == "Ready says"
    assert argo(made(ready="False", told={"Stalled": "True"}))[1] == "Stalled says"
    assert argo(FRESH)[1] == "nobody has looked at the newest spec yet"


def test_one_that_is_deleted_is_terminating() -> None:
    obj = made()
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert kstatus(obj) == "Terminating"


def test_argo_has_a_script_for_each_kind() -> None:
    assert set(CONFIG["data"]) == {KEY + kind for kind in OURS}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_a_status_is_not_taken_for_a_finished_one(kind) -> None:
    (version,) = crd(kind)["spec"]["versions"]
    assert version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"] == UNSEEN


def written(scenario: str) -> Iterator[Raw]:
    """Every version of our objects that a scenario brings about, but the ones that are being deleted."""
    player, found = Player(read(SCENARIOS / scenario)), []
    player.simulation.server.store.listeners.append(
        lambda event: found.append(event.new) if event.resource.group == GROUP and event.new is not None else None
    )
    player.play()
    yield from (one for one in found if not one["metadata"].get("deletionTimestamp") and one.get("status"))


@pytest.mark.parametrize(
    ("scenario", "what", "seen"),
    [
        ("story", "HAResource", {"InProgress", "Current"}),
        ("crashing-guest", "HAResource", {"InProgress", "Failed"}),
        ("bad-template", "HAResource", {"Failed"}),
        ("maintenance", "Node", {"InProgress", "Current"}),
        ("maintenance-with-nowhere-to-go", "Node", {"Failed"}),
        ("old-copy-put-back", "Cluster", {"Failed", "Current"}),
        ("workload-recovered", "HAResource", {"InProgress", "Current"}),
        ("storage-lost-under-a-guest", "Storage", {"Current"}),
    ],
)
def test_both_read_what_a_scenario_writes_as_it_is_meant(scenario: str, what: str, seen: set[str]) -> None:
    states = set()
    for obj in written(scenario):
        conditions = {one["type"]: one["status"] for one in obj["status"].get("conditions") or ()}
        state, (health, _) = kstatus(obj), argo(obj)
        assert health in SAME[state], obj
        if obj["kind"] == what:
            states.add(state)
        if obj["status"].get("observedGeneration") == obj["metadata"]["generation"]:
            assert [conditions[name] for name in ("Ready", "Reconciling", "Stalled")].count("True") == 1, obj
            assert (state == "Current") == (conditions["Ready"] == "True"), obj
    assert seen <= states

"""docs/metrics.md and the code name the same metrics, of the same types, with the same labels."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from quorate.agent.metrics import exposition
from quorate.core.sequence import Health, Said
from quorate.core.world import World
from quorate.kube.leader import Elector
from quorate.kube.metrics import Metrics, Seat
from quorate.kube.store import Store
from tests.toy import Toy
from tests.unit.agent import test_loop
from tests.unit.kube import test_leader

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(quorate_\w+)` \| (\w+)(?:, leader)? \|([^|]*)\|", re.MULTILINE)
UNBOUNDED = {"guest", "pod", "uid", "sid", "namespace", "name", "incident", "nonce", "instance"}
loop, clock, api = test_loop.loop, test_loop.clock, test_loop.api


def documented(*, agent: bool) -> dict[str, tuple[str, frozenset[str]]]:
    rows = ROW.findall(DOCUMENT.read_text())
    return {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in rows
        if name.startswith("quorate_agent_") == agent
    }


def declared(families: list[Metric]) -> dict[str, tuple[str, frozenset[str]]]:
    """By the series that are there: each family has one."""
    found = {}
    for family in families:
        assert family.samples, f"{family.name} has no series to look at"
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = frozenset(label for sample in family.samples for label in sample.labels)
        found[name] = (family.type, labels - {"le"})
    return found


def fenced(world: World) -> World:
    """Each node has a fence device that answered when it was asked."""
    health = (Health("bmc", "a", Said.ON, "", 0.0),)
    return replace(world, nodes=tuple(replace(node, health=health) for node in world.nodes))


@pytest.fixture
async def elector() -> Elector:
    made = test_leader.elector(test_leader.Cluster(), "a")
    await made._round()
    return made


def test_the_managers(elector: Elector) -> None:
    toy = Toy(3)
    manager = toy.manager()
    toy.run(5)
    metrics = Metrics(Store(lambda: None), lambda: [Seat("prod", elector, lambda: fenced(manager.observe()))])
    tally = metrics.tally("prod")
    world = manager.observe()
    tally.wrote("Node", None, world.nodes[0].status)
    with tally.deed(world):
        metrics.request("GET", 200, 0.1)
    assert declared(list(metrics.registry.collect())) == documented(agent=False)


def test_the_agents(loop) -> None:
    loop.cycle()
    text = exposition(loop)().decode()
    assert declared(list(text_string_to_metric_families(text))) == documented(agent=True)


def test_no_label_is_unbounded() -> None:
    found = {**documented(agent=False), **documented(agent=True)}
    assert len(found) > 30
    assert not {label for _, labels in found.values() for label in labels} & UNBOUNDED

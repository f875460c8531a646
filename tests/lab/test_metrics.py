"""A node loses power, and whoever scrapes the lab's processes sees it: in the manager that leads, and in the agents."""

from collections.abc import AsyncIterator

import pytest

from quorate.lab.commands import AGENT_PORT, MANAGER_PORT, Addresses
from quorate.lab.options import Options
from tests.lab.scene import Scene, own_cache, played
from tests.scrape import Scrape, scrape

pytestmark = pytest.mark.lab


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    """Three nodes, two managers, and a guest on node1."""
    with own_cache(), played(Options("metrics", profile="Fast", control_plane=kind)) as scene:
        await scene.until_whole()
        scene.share_storage()
        await scene.start_guest()
        yield scene


def agent(scene: Scene, node: str) -> Scrape:
    return scrape(f"http://{scene.machine(node)['address']}:{AGENT_PORT}/metrics")


def managers(scene: Scene) -> dict[str, Scrape]:
    """Both of them, by name."""
    addresses = Addresses(int(scene.machine("node1")["address"].split(".")[2]))
    numbers = (1, 2)
    return {
        f"manager-{number}": scrape(f"http://{addresses.manager(number)}:{MANAGER_PORT}/metrics") for number in numbers
    }


async def test_a_power_loss_is_seen_from_outside(scene: Scene) -> None:
    def total(sample: str, **labels: str) -> float:
        return sum(one.total(sample, cluster=scene.name, **labels) for one in managers(scene).values())

    def counts() -> list[float]:
        names = ("incidents_total", "fenced_total", "recoveries_total", "recovery_duration_seconds_count")
        return [total(f"quorate_{name}") for name in names]

    def gauges() -> list[float]:
        return [total(f"quorate_{name}") for name in ("cluster_quorate", "incidents_open", "guests_as_wished")]

    leads = {name: one.value("quorate_leader", cluster=scene.name) for name, one in managers(scene).items()}
    assert leads == {name: float(name == scene.leader()) for name in leads}
    await scene.until("the metrics of a whole cluster", lambda: (gauges(), counts()) == ([1, 0, 1], [0, 0, 0, 0]))
    assert total("quorate_nodes", state="Online") == 3
    assert agent(scene, "node1").value("quorate_agent_armed") == 1
    await scene.until("its guest", lambda: agent(scene, "node1").value("quorate_agent_guests") == 1)
    assert agent(scene, "node1").value("quorate_agent_watchdog_timeout_seconds") == 5
    before = agent(scene, "node2").total("quorate_agent_renewals_total", outcome="renewed")

    scene.switch("node1", "power-off")
    await scene.until("the heartbeats to stop", lambda: total("quorate_node_heartbeat_age_seconds", node="node1") > 4)
    await scene.until_runs("node2")
    await scene.until("the metrics of the recovery", lambda: (gauges(), counts()) == ([1, 1, 1], [1, 1, 1, 1]))
    assert total("quorate_fenced_total", evidence="LeaseExpired") == 1
    assert total("quorate_recovery_duration_seconds_sum") == scene.guest().recovery.duration_s
    assert total("quorate_actions_total", action="TakeLease", result="done") == 1
    assert total("quorate_invariant_breaches_total") == 0
    assert agent(scene, "node2").value("quorate_agent_armed") == 1
    await scene.until("its guest", lambda: agent(scene, "node2").value("quorate_agent_guests") == 1)
    after = agent(scene, "node2")
    assert after.total("quorate_agent_renewals_total", outcome="renewed") > before
    assert after.total("quorate_agent_renewal_duration_seconds_count") > before
    for one in managers(scene).values():
        assert one.value("quorate_store_synced") == 1
        assert one.total("quorate_api_requests_total", method="GET", code="200") > 0

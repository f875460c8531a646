"""The power switch of a worker, proven by a drill, ends what nothing else can end in time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster
from tests.e2e.play import (
    GUEST,
    SAMPLES,
    Took,
    at_rest,
    conditions,
    devices_ready,
    give_device,
    lose,
    ready_on,
    relocate,
    runs_once,
    status,
    take_device,
)

pytestmark = pytest.mark.kind
AGENTS: Final = ("-n", "quorate-agents", "daemonset/quorate-agent")


@pytest.fixture(scope="module")
def proven(cluster: KindCluster) -> Iterator[str]:
    """A worker whose fence_docker has switched it off and on: its Lease stopped, and another boot of it renewed."""
    cluster.kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
    at_rest(cluster)
    node = next(one for one in cluster.workers() if one != ready_on(cluster))
    give_device(cluster, node)
    try:
        cluster.eventually(
            "the device answers",
            lambda: conditions(cluster, node).get("DevicesReady", {}).get("reason") == "NotProven",
        )
        assert "off, silent, on, back after" in cluster.quorate("drill", node, "--wait", "-y", limit_s=300)
        cluster.eventually("it is said to be proven", lambda: devices_ready(cluster, node))
        yield node
    finally:
        take_device(cluster, node)


@pytest.fixture
def on_it(cluster: KindCluster, proven: str, guest: str) -> str:
    """That worker, with the guest on it."""
    relocate(cluster, proven)
    return proven


@contextmanager
def without_agent(cluster: KindCluster, node: str) -> Iterator[None]:
    """Its DaemonSet passes the node by; the other agents stay as they are, then and afterwards."""
    elsewhere = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [elsewhere]}}}
    strategy = cluster.get(*AGENTS)["spec"]["updateStrategy"]
    patch_agents(cluster, {"type": "OnDelete", "rollingUpdate": None}, affinity)
    try:
        yield
    finally:
        patch_agents(cluster, strategy, None)


def patch_agents(cluster: KindCluster, strategy: dict[str, Any], affinity: dict[str, Any] | None) -> None:
    spec = {"updateStrategy": strategy, "template": {"spec": {"affinity": affinity}}}
    cluster.kubectl("patch", *AGENTS, "--type=merge", "-p", json.dumps({"spec": spec}))


def was_proven(cluster: KindCluster, node: str) -> bool:
    """The guest was recovered from that node, because its device said that it is off."""
    recovery = status(cluster).get("recovery") or {}
    return recovery.get("node") == node and recovery.get("evidence", "").startswith(f"PowerOff of {node} in incident")


def test_a_worker_that_is_cut_off_is_switched_off(
    cluster: KindCluster, on_it: str, observer: Observer, took: Took
) -> None:
    """It runs on, and its guest with it. The proven device ends it, sooner than its watchdog's T would count."""
    seconds = lose(cluster, on_it, cluster.unplug_network, observer)
    took.append(f"network cut, switched off by fence_docker, guest Ready elsewhere: {seconds:.1f} s")
    cluster.eventually("it is said what proved it", lambda: was_proven(cluster, on_it))
    at_rest(cluster)  # its power came on again
    runs_once(cluster, observer)


def test_a_worker_whose_agent_is_gone_is_switched_off(
    cluster: KindCluster, on_it: str, observer: Observer, took: Took
) -> None:
    """The agent is taken away under its guest, and lets go of the watchdog in the end: only the device is left."""
    with without_agent(cluster, on_it):

        def is_silent() -> bool:
            return not cluster.get("pods", "-n", "quorate-agents", "--field-selector", f"spec.nodeName={on_it}")[
                "items"
            ]

        cluster.eventually("its agent has ended", is_silent)
        assert on_it in cluster.nodes(), "its watchdog was closed, and has not reset it"
        assert eyes.only(cluster, GUEST)[0] == on_it
        seconds = lose(cluster, on_it, lambda _: None, observer)
        took.append(f"agent gone, switched off by fence_docker, guest Ready elsewhere: {seconds:.1f} s")
        cluster.eventually("it is said what proved it", lambda: was_proven(cluster, on_it))
    at_rest(cluster)
    runs_once(cluster, observer)

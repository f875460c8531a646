"""First contact with real kubelets: a worker is lost in three ways, and its guest runs on another, once."""

from itertools import pairwise
from typing import Any, Final

import pytest

from quorate.core.types import WRONG_BOOT_EXIT
from quorate.lab.observer import Observer
from tests.e2e.cluster import KindCluster
from tests.e2e.play import (
    GUEST,
    NODES,
    SAMPLES,
    WORKERS,
    Took,
    bring_back,
    conditions,
    devices_ready,
    give_device,
    leader,
    leads_on_a_worker,
    lose,
    ready_on,
    runs_once,
    started_anew,
    status,
    whole,
)

pytestmark = pytest.mark.kind

COLUMNS: Final = {
    "qc": "NAME QUORATE VOTES NODES GUESTS FENCING STATUS AGE",
    "qn": "NAME STATE VOTES SINCE WATCHDOG GUESTS AGE",
    "har": "NAME GUEST WANT STATE READY NODE TARGET SINCE AGE",
}


def test_the_quickstart_applies_and_says_why_its_guest_waits(cluster: KindCluster) -> None:
    """It accepts no watchdog stand-in, so nothing may start: a guest without proof of death would be run twice."""
    quickstart = str(SAMPLES / "quickstart.yaml")
    cluster.kubectl("apply", "-f", quickstart)
    try:
        cluster.eventually("the guest is Queued", lambda: status(cluster).get("state") == "Queued" and whole(cluster))
        for kind, columns in COLUMNS.items():
            assert cluster.kubectl("get", kind).splitlines()[0].split() == columns.split()
        assert cluster.kubectl("get", "qc,qn,har,qs").count("quorate.dev/") == 1 + WORKERS + 1
        assert "watchdog is of kind External" in cluster.kubectl("describe", "har", GUEST)
        assert "KindNotAccepted" in cluster.kubectl("describe", "qn")
        assert "not accepted" in cluster.quorate("status", codes=(1,))
    finally:
        cluster.kubectl("delete", "-f", quickstart, "--timeout=60s")
    cluster.eventually("its nodes have left", lambda: not cluster.get(NODES)["items"])


def test_a_worker_loses_power(cluster: KindCluster, guest: str, observer: Observer, took: Took) -> None:
    took.append(f"power off, guest Ready elsewhere: {lose(cluster, guest, cluster.power_off, observer):.1f} s")
    bring_back(cluster, guest, observer)


def test_the_leaders_node_loses_power(cluster: KindCluster, guest: str, observer: Observer, took: Took) -> None:
    """The standby takes over and recovers the guest; its own timer has run all along."""
    node, before = leads_on_a_worker(cluster), leader(cluster)
    if node != guest:
        cluster.quorate("relocate", GUEST, node)
        cluster.eventually(f"the guest is Ready on {node}", lambda: ready_on(cluster) == node)
    took.append(
        f"power off with the leader, guest Ready elsewhere: {lose(cluster, node, cluster.power_off, observer):.1f} s"
    )
    assert leader(cluster) not in {"", before}
    bring_back(cluster, node, observer)


def test_a_frozen_worker_is_killed_from_outside(
    cluster: KindCluster, guest: str, observer: Observer, took: Took
) -> None:
    """Its guest would go on after a thaw: by the time another one starts, nothing is left to thaw."""
    took.append(f"frozen, guest Ready elsewhere: {lose(cluster, guest, cluster.freeze, observer):.1f} s")
    assert guest not in cluster.nodes()
    bring_back(cluster, guest, observer)


def test_a_drill_proves_the_power_switch_of_a_worker(cluster: KindCluster, guest: str) -> None:
    """fence_docker switches it off and on; its Lease stops, and another boot of it renews."""
    node = next(one for one in cluster.nodes() if one != guest and "control-plane" not in one)
    give_device(cluster, node)

    def asked() -> bool:
        return conditions(cluster, node).get("DevicesReady", {}).get("reason") == "NotProven"

    cluster.eventually("the device answers", asked)
    told = cluster.quorate("drill", node, "--wait", "-y")
    assert "off, silent, on, back after" in told
    cluster.eventually("the cluster is whole", lambda: whole(cluster))
    cluster.rolled_out()
    cluster.eventually("it is said to be proven", lambda: devices_ready(cluster, node))
    cluster.quorate("relocate", GUEST, node)
    cluster.eventually(f"the guest is Ready on {node}", lambda: ready_on(cluster) == node)


def test_a_worker_is_switched_off_when_nothing_else_can_tell(
    cluster: KindCluster, guest: str, observer: Observer, took: Took
) -> None:
    """Its network is cut, so that it runs on. The proven device ends it, sooner than its watchdog's T would count."""
    assert devices_ready(cluster, guest), "the drill before this test proved it"
    seconds = lose(cluster, guest, cluster.unplug_network, observer)
    took.append(f"network cut, switched off by fence_docker, guest Ready elsewhere: {seconds:.1f} s")
    assert "PowerOff: docker said off twice, as proven by a drill" in cluster.quorate("history", guest)
    cluster.eventually("it is switched on again, and the cluster is whole", lambda: whole(cluster))
    cluster.rolled_out()
    assert runs_once(cluster, observer) == status(cluster)["node"]


def test_a_worker_reboots_at_once(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """Its kubelet is back before anybody is suspected: what was bound to the old boot does not run in the new one."""
    before = status(cluster)["instance"]
    cluster.power_off(guest)
    cluster.power_on(guest)

    cluster.eventually("the guest was started anew and the cluster is whole", lambda: started_anew(cluster, before))
    now = status(cluster)["instance"]
    assert (now["node"], now["nonce"]) != (before["node"], before["nonce"])
    assert runs_once(cluster, observer) == now["node"]
    assert before["uid"] not in {interval.instance.pod for interval in observer.history()[GUEST][-1:]}


@pytest.mark.parametrize(("boot", "code"), [("this", 0), ("another", WRONG_BOOT_EXIT)])
def test_the_start_gate_asks_the_agent_which_boot_it_is(cluster: KindCluster, guest: str, boot: str, code: int) -> None:
    """Nodes share a kernel here, so a Pod cannot tell by itself."""
    pod = cluster.get("pod", GUEST)
    gate, name = pod["spec"]["initContainers"][0], f"gate-{boot}"
    (nonce,) = [one for one in gate["env"] if one["name"] == "QUORATE_NONCE"]
    if boot == "another":
        nonce["value"] = nonce["value"].partition(".")[0] + ".00000000"
    gate["volumeMounts"] = []
    spec = {"nodeName": guest, "restartPolicy": "Never", "containers": [gate]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def ended() -> dict[str, Any] | None:
        found = cluster.get("pod", name)["status"].get("containerStatuses") or [{}]
        state: dict[str, Any] = found[0].get("state") or {}
        return state.get("terminated")

    cluster.eventually("the gate has answered", ended)
    assert (ended() or {})["exitCode"] == code
    cluster.kubectl("delete", "pod", name)


def test_from_outside_the_guest_was_seen_once_at_any_time(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """What the processes on all nodes showed from the first start to here."""
    assert observer.violations == []
    seen = observer.history()[GUEST]
    assert seen[-1].instance.node == guest
    assert all(earlier.last_s < later.first_s for earlier, later in pairwise(seen))

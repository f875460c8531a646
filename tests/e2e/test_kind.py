"""First contact with real kubelets: a worker is lost in three ways, and its guest runs on another, once."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import pytest

from quorate.core.types import WRONG_BOOT_EXIT
from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster
from tests.e2e.machine import ROOT

pytestmark = pytest.mark.kind

SAMPLES: Final = ROOT / "manifests/samples"
GUEST: Final = "web"
NODES: Final = "nodes.quorate.dev"
WORKERS: Final = 3
COLUMNS: Final = {
    "qc": "NAME QUORATE VOTES NODES GUESTS FENCING STATUS AGE",
    "qn": "NAME STATE VOTES SINCE WATCHDOG GUESTS AGE",
    "har": "NAME GUEST WANT STATE READY NODE TARGET SINCE AGE",
}
Took = list[str]


def status(cluster: KindCluster) -> dict[str, Any]:
    """The guest's."""
    found: dict[str, Any] = cluster.get("haresource", GUEST).get("status") or {}
    return found


def ready_on(cluster: KindCluster) -> str | None:
    """The node where the guest is Started and its Pod is Ready, None while it is not."""
    told = status(cluster)
    if told.get("state") != "Started" or not told.get("ready"):
        return None
    pod = cluster.get("pod", GUEST)
    conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    node: str = told["node"]
    return node if conditions["Ready"] == "True" and pod["spec"]["nodeName"] == node else None


def whole(cluster: KindCluster) -> bool:
    """Every member is Online, for Quorate and for Kubernetes."""
    members = cluster.get(NODES)["items"]
    kubernetes = cluster.get("nodes")["items"]
    ready = [one for node in kubernetes for one in node["status"]["conditions"] if one["type"] == "Ready"]
    return (
        len(members) == WORKERS
        and all(node.get("status", {}).get("state") == "Online" for node in members)
        and all(one["status"] == "True" for one in ready)
    )


def leader(cluster: KindCluster) -> str:
    """The Pod that leads the Cluster."""
    lease = cluster.get("lease", "manager-prod", "-n", "quorate-system")
    return str(lease["spec"].get("holderIdentity", ""))


def node_of(cluster: KindCluster, manager: str) -> str:
    return str(cluster.get("pod", manager, "-n", "quorate-system")["spec"]["nodeName"])


def leads_on_a_worker(cluster: KindCluster) -> str:
    """The node of the leader; one on the control plane, which may not be killed here, is made to step down."""
    before = leader(cluster)
    if node_of(cluster, before).endswith("-control-plane"):
        cluster.kubectl("delete", "pod", before, "-n", "quorate-system")
        cluster.eventually("another replica leads", lambda: leader(cluster) not in {"", before})
        cluster.rolled_out()
    return node_of(cluster, leader(cluster))


@pytest.fixture(scope="module")
def observer(cluster: KindCluster) -> Iterator[Observer]:
    """Watches the guest's processes on all nodes from the beginning to the end."""
    eye = eyes.NodeEye(GUEST, eyes.command_of(SAMPLES / "kind.yaml", GUEST), cluster.nodes())
    with Observer(eye, interval_s=0.2) as found:
        yield found


def runs_once(cluster: KindCluster, observer: Observer) -> str:
    """Where the guest runs, once, by the word of the runtimes and by its processes; and no two were ever seen."""
    node, container = eyes.only(cluster, GUEST)

    def seen() -> list[tuple[str, str]]:
        return [(instance.node, instance.id) for instance in observer.running().get(GUEST, [])]

    cluster.eventually(
        f"the observer sees container {container} of {node} alone", lambda: seen() == [(node, container)]
    )
    assert observer.violations == []
    return node


@pytest.fixture
def guest(cluster: KindCluster, observer: Observer) -> str:
    """The sample of kind.yaml, Ready in a cluster that is whole; the node it runs on."""
    cluster.kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
    cluster.eventually("the guest is Ready and the cluster is whole", lambda: ready_on(cluster) and whole(cluster))
    cluster.rolled_out()
    return runs_once(cluster, observer)


def lose(cluster: KindCluster, node: str, fault: Callable[[str], object], observer: Observer) -> float:
    """Do that to the guest's node, and wait until the guest is Ready on another. Returns the seconds it took."""
    began_s = time.monotonic()
    fault(node)
    cluster.eventually(f"the guest of {node} is Ready elsewhere", lambda: ready_on(cluster) not in {None, node})
    took_s = time.monotonic() - began_s
    assert runs_once(cluster, observer) == status(cluster)["node"]
    assert "fence" in cluster.quorate("status", codes=(1,))
    return took_s


def bring_back(cluster: KindCluster, node: str, observer: Observer) -> None:
    """Power on: the cluster is whole again, and the guest stays where it is, as the instance that it is."""
    stays = status(cluster)["instance"]
    cluster.power_on(node)
    cluster.eventually(f"the cluster is whole again after the start of {node}", lambda: whole(cluster))
    cluster.rolled_out()
    assert status(cluster)["instance"] == stays
    assert runs_once(cluster, observer) == stays["node"]
    assert "all as wished" in cluster.quorate("status")


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


def conditions(cluster: KindCluster, node: str) -> dict[str, dict[str, str]]:
    found = cluster.get(NODES, node).get("status", {}).get("conditions", [])
    return {one["type"]: one for one in found}


def give_device(cluster: KindCluster, node: str) -> None:
    """docker, through the agent that ClusterLabs has for it."""
    host, _, port = cluster.power.rpartition(":")
    parameters = {"ip": host, "ipport": port, "plug": node, "ssl_insecure": "1", "api_version": "1.24"}
    device = {"name": "docker", "agent": "fence_docker", "parameters": parameters}
    patch = json.dumps({"spec": {"fencing": {"devices": [device]}}})
    cluster.kubectl("patch", NODES, node, "--type=merge", "-p", patch)


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
    assert conditions(cluster, node)["DevicesReady"]["status"] == "True"
    cluster.quorate("relocate", GUEST, node)
    cluster.eventually(f"the guest is Ready on {node}", lambda: ready_on(cluster) == node)


def test_a_worker_is_switched_off_when_nothing_else_can_tell(
    cluster: KindCluster, guest: str, observer: Observer, took: Took
) -> None:
    """Its network is cut, so that it runs on. The proven device ends it, sooner than its watchdog's T would count."""
    assert conditions(cluster, guest)["DevicesReady"]["status"] == "True", "the drill before this test proved it"
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

    def anew() -> bool:
        return ready_on(cluster) is not None and status(cluster)["instance"]["id"] != before["id"]

    cluster.eventually("the guest was started anew and the cluster is whole", lambda: anew() and whole(cluster))
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

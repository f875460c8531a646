"""One guest on kind: how it is, how its node is lost, and that it never ran twice."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster
from tests.e2e.machine import ROOT

SAMPLES: Final = ROOT / "manifests/samples"
GUEST: Final = "web"
NODES: Final = "nodes.quorate.dev"
WORKERS: Final = 3
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


def started_anew(cluster: KindCluster, before: dict[str, Any]) -> bool:
    """All is whole, and the guest is Ready as another instance than it was."""
    return whole(cluster) and ready_on(cluster) is not None and status(cluster)["instance"]["id"] != before["id"]


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


def conditions(cluster: KindCluster, node: str) -> dict[str, dict[str, str]]:
    found = cluster.get(NODES, node).get("status", {}).get("conditions", [])
    return {one["type"]: one for one in found}


def devices_ready(cluster: KindCluster, node: str) -> bool:
    return conditions(cluster, node).get("DevicesReady", {}).get("status") == "True"


def give_device(cluster: KindCluster, node: str) -> None:
    """docker, through the agent that ClusterLabs has for it."""
    host, _, port = cluster.power.rpartition(":")
    parameters = {"ip": host, "ipport": port, "plug": node, "ssl_insecure": "1", "api_version": "1.24"}
    device = {"name": "docker", "agent": "fence_docker", "parameters": parameters}
    patch = json.dumps({"spec": {"fencing": {"devices": [device]}}})
    cluster.kubectl("patch", NODES, node, "--type=merge", "-p", patch)

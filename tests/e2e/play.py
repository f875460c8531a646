"""One guest on kind: how it is, how its node is lost, and that it never ran twice."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from quorate.core.timing import PROFILES, Profile
from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster
from tests.e2e.machine import ROOT, KindError

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
    pod = cluster.get("pod", GUEST)  # perhaps a newer one already, of which nothing is known yet
    node: str | None = told.get("node")
    return node if _is(pod, "Ready") and pod["spec"].get("nodeName") == node else None


def _is(one: dict[str, Any], condition: str) -> bool:
    """Does an object say so in its conditions?"""
    found = one.get("status", {}).get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in found)


def whole(cluster: KindCluster) -> bool:
    """Every member is Online without an incident, for Kubernetes every node is Ready."""
    members = [one.get("status") or {} for one in cluster.get(NODES)["items"]]
    kubernetes = cluster.get("nodes")["items"]
    return (
        len(members) == WORKERS
        and all(one.get("state") == "Online" and not one.get("incident") for one in members)
        and len(kubernetes) == WORKERS + 1
        and all(_is(node, "Ready") for node in kubernetes)
    )


def at_rest(cluster: KindCluster) -> None:
    """Wait until all is whole, managers and agents are ready, and the guest is as wished."""
    cluster.eventually("the cluster is whole", lambda: whole(cluster))
    cluster.rolled_out()
    # Ready managers do not lead yet, and the leader writes one status after the other.
    cluster.eventually("all is as wished", lambda: "all as wished" in cluster.quorate("status"))


def leader(cluster: KindCluster) -> str:
    """The Pod that leads the Cluster, "" while none does."""
    lease = cluster.get("lease", "manager-prod", "-n", "quorate-system")
    return str(lease["spec"].get("holderIdentity") or "")


def leads_on_a_worker(cluster: KindCluster) -> tuple[str, str]:
    """The leader and its node. The control plane may not be killed here: a leader that is there is made to step down."""

    def found() -> tuple[str, str] | None:
        name = leader(cluster)
        if not name:
            return None
        pod = cluster.get("pod", name, "-n", "quorate-system")
        node = str(pod["spec"]["nodeName"])
        if node in cluster.workers():
            return name, node
        if "deletionTimestamp" not in pod["metadata"]:
            cluster.kubectl("delete", "pod", name, "-n", "quorate-system", "--wait=false")
        return None

    cluster.eventually("a manager leads on a worker", found)
    cluster.rolled_out()  # one that was replaced is the standby now
    return cluster.eventually("a manager leads on a worker still", found)


def relocate(cluster: KindCluster, node: str) -> None:
    """The guest is there when this returns."""
    if ready_on(cluster) != node:
        cluster.quorate("relocate", GUEST, node)
    cluster.eventually(f"the guest is Ready on {node}", lambda: ready_on(cluster) == node)


def runs_once(cluster: KindCluster, observer: Observer) -> str:
    """Where the guest runs, once, by its status, by the word of the runtimes and by its processes.

    These are told one after the other, and are waited for. That two are seen at one time is never forgiven.
    """

    def agreed() -> str | None:
        node, container = eyes.only(cluster, GUEST)
        seen = [(instance.node, instance.id) for instance in observer.running().get(GUEST, [])]
        return node if seen == [(node, container)] and ready_on(cluster) == node else None

    node = cluster.eventually("status, runtimes and observer know one and the same container of the guest", agreed)
    assert observer.violations == []
    return str(node)


def started_anew(cluster: KindCluster, before: dict[str, Any]) -> bool:
    """All is whole, and the guest is Ready as another instance than it was."""
    instance = status(cluster).get("instance") or before
    return instance["id"] != before["id"] and ready_on(cluster) is not None and whole(cluster)


def set_profile(cluster: KindCluster, profile: Profile) -> None:
    """Every armed agent works by its times when this returns."""
    patch = json.dumps({"spec": {"timing": {"profile": str(profile)}}})
    cluster.kubectl("patch", "qc", "prod", "--type=merge", "-p", patch)
    wished = f"{PROFILES[profile].watchdog_s:g}s"

    def taken() -> bool:
        dogs = [(one.get("status") or {}).get("watchdog") or {} for one in cluster.get(NODES)["items"]]
        return all(not dog.get("armed") or dog.get("timeout") == wished for dog in dogs)

    cluster.eventually(f"every armed agent works by the times of {profile}", taken)


def beats(cluster: KindCluster) -> set[str]:
    """The versions of all Leases of agents and managers."""
    found = (one for namespace in ("quorate-agents", "quorate-system") for one in leases(cluster, namespace))
    return {f"{one['metadata']['name']}/{one['metadata']['resourceVersion']}" for one in found}


def leases(cluster: KindCluster, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("leases", "-n", namespace)["items"]
    return found


def all_beat(cluster: KindCluster) -> None:
    """Wait until everybody has renewed: what a status says from now on is no old news."""
    before = cluster.eventually("the API server answers", lambda: beats(cluster))
    cluster.eventually("every Lease is renewed", lambda: not before & beats(cluster))


def lose(cluster: KindCluster, node: str, fault: Callable[[str], object], observer: Observer) -> float:
    """Do that to the guest's node, and wait until the guest is Ready on another. Returns the seconds it took."""
    began_s = time.monotonic()
    fault(node)
    cluster.eventually(f"the guest of {node} is Ready elsewhere", lambda: ready_on(cluster) not in {None, node})
    took_s = time.monotonic() - began_s
    assert runs_once(cluster, observer) != node
    return took_s


def bring_back(cluster: KindCluster, node: str, observer: Observer) -> None:
    """Power on: the cluster is whole again, and the guest stays where it is, as the instance that it is."""
    stays = status(cluster)["instance"]
    cluster.eventually("the status shows what is fenced", lambda: "fence" in cluster.quorate("status", codes=(1, 2)))
    cluster.power_on(node)
    at_rest(cluster)
    assert status(cluster)["instance"] == stays
    assert runs_once(cluster, observer) == stays["node"]


def refused(deed: Callable[[], object]) -> str:
    """The API server's words."""
    with pytest.raises(KindError) as caught:
        deed()
    return str(caught.value)


def conditions(cluster: KindCluster, node: str) -> dict[str, dict[str, str]]:
    found = cluster.get(NODES, node).get("status", {}).get("conditions") or []
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


def take_device(cluster: KindCluster, node: str) -> None:
    """It has none any more, and nothing is said of any."""
    cluster.kubectl("patch", NODES, node, "--type=merge", "-p", '{"spec": {"fencing": null}}')
    cluster.eventually("its devices are forgotten", lambda: "DevicesReady" not in conditions(cluster, node))

"""A StatefulSet with a volume on a worker that loses power: protected by Quorate, and one left to Kubernetes alone."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT
from tests.e2e import eyes
from tests.e2e.cluster import KindCluster
from tests.e2e.machine import KindError
from tests.e2e.play import Took, whole

pytestmark = pytest.mark.kind
Json = dict[str, Any]
NAMESPACE: Final = "default"
PLAIN: Final = "plain"
"""Nobody protects what is here."""
POD: Final = "db-0"
BACK_WITHIN_S: Final = 40.0
"""With profile Balanced."""
NOTICED_WITHIN_S: Final = 150.0
"""Kubernetes calls a node lost after 50 s, and evicts its Pods as soon as their tolerations end (here 10 s later)."""
STAYS_S: Final = 60.0


def volume(name: str) -> Json:
    """A directory that every worker has: it can be used wherever the Pod goes."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {"namespace": NAMESPACE, "name": f"data-{POD}"},
        "hostPath": {"path": f"/var/lib/{name}", "type": "DirectoryOrCreate"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def stateful_set(namespace: str, worker: str, **spec: Any) -> Json:
    """One Pod that counts the seconds on its volume, first on that worker."""
    prefer = {"key": "kubernetes.io/hostname", "operator": "In", "values": [worker]}
    affinity = {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": {"matchExpressions": [prefer]}}
        ]
    }
    lost = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        for key in ("not-ready", "unreachable")
    ]
    counts = "trap exit TERM; while :; do date >> /data/seconds; sleep 1 & wait $!; done"
    container = {
        "name": POD,  # tests/e2e/eyes.py finds a container by the name of its Pod
        "image": "busybox:1.35",
        "command": ["sh", "-c", counts],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 2,
        "affinity": {"nodeAffinity": affinity},
        "tolerations": lost,
        "containers": [container],
        **spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod},
        },
    }


def with_volume(worker: str) -> Json:
    made = stateful_set(NAMESPACE, worker)
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
    made["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    return made


def place(cluster: KindCluster, namespace: str) -> tuple[str, str]:
    """Uid and node of the Pod while it is Ready and not being deleted; else empty."""
    try:
        pod = cluster.get("pod", POD, "-n", namespace)
    except KindError:
        return "", ""
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or [])
    if not ready or pod["metadata"].get("deletionTimestamp"):
        return "", ""
    return pod["metadata"]["uid"], pod["spec"]["nodeName"]


def condition(cluster: KindCluster, kind: str) -> str:
    found = cluster.get("haresource", "db", "-n", NAMESPACE).get("status", {}).get("conditions", [])
    return next((str(one["status"]) for one in found if one["type"] == kind), "")


def our_taints(cluster: KindCluster, node: str) -> set[tuple[str, str]]:
    taints = cluster.get("node", node)["spec"].get("taints") or []
    return {(one["key"], one["effect"]) for one in taints if one["key"] in {FENCE_TAINT, OUT_OF_SERVICE_TAINT}}


def workers(cluster: KindCluster) -> list[str]:
    return sorted(node for node in cluster.nodes() if "control-plane" not in node)


@pytest.fixture
def balanced(cluster: KindCluster, guest: str) -> Iterator[str]:
    """The Cluster has profile Balanced meanwhile; a worker on which the sample's guest is not."""
    profile = '{{"spec":{{"timing":{{"profile":"{}"}}}}}}'
    cluster.kubectl("patch", "qc", "prod", "--type=merge", "-p", profile.format("Balanced"))

    def told() -> bool:
        timing = cluster.get("qc", "prod")["status"].get("timing") or {}
        return bool(timing.get("profile") == "Balanced")

    cluster.eventually("the profile is Balanced", told)
    yield next(one for one in workers(cluster) if one != guest)
    cluster.kubectl("patch", "qc", "prod", "--type=merge", "-p", profile.format("Fast"))


@pytest.fixture
def db(cluster: KindCluster, balanced: str) -> Iterator[str]:
    """A StatefulSet with a volume, protected; its node."""
    cluster.apply(volume("e2e-db"))
    cluster.apply(with_volume(balanced))
    cluster.eventually("it runs", lambda: place(cluster, NAMESPACE)[1])
    cluster.quorate("add", "sts/db", "-n", NAMESPACE)
    cluster.eventually("it is protected", lambda: condition(cluster, "Protected") == "True")
    yield place(cluster, NAMESPACE)[1]
    cluster.quorate("remove", "sts/db", "-n", NAMESPACE, "-y")
    for one in ("statefulset/db", f"pvc/data-{POD}", "pv/e2e-db"):
        with suppress(KindError):
            cluster.kubectl("delete", one, "-n", NAMESPACE, "--timeout=60s")


@pytest.fixture
def plain(cluster: KindCluster, guest: str) -> Iterator[str]:
    """The same without volume and HAResource, on a worker without any guest; its node."""
    worker = next(one for one in workers(cluster) if one != guest)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLAIN}})
    empty = {"volumes": [{"name": "data", "emptyDir": {}}]}
    cluster.apply(stateful_set(PLAIN, worker, **empty))
    cluster.eventually("it runs", lambda: place(cluster, PLAIN)[1])
    yield place(cluster, PLAIN)[1]
    cluster.kubectl("delete", "namespace", PLAIN, "--timeout=90s")


def test_a_protected_pod_with_a_volume_is_back_elsewhere(cluster: KindCluster, db: str, took: Took) -> None:
    before = place(cluster, NAMESPACE)
    began_s = time.monotonic()
    cluster.power_off(db)

    def back() -> bool:
        uid, node = place(cluster, NAMESPACE)
        return bool(uid) and uid != before[0] and node != db

    cluster.eventually(f"{POD} is Ready elsewhere", back, limit_s=2 * BACK_WITHIN_S)
    seconds = time.monotonic() - began_s
    took.append(f"power off, StatefulSet's Pod with a volume Ready elsewhere (Balanced): {seconds:.1f} s")
    assert eyes.only(cluster, POD)[0] == place(cluster, NAMESPACE)[1]
    cluster.eventually("it is said to be whole", lambda: condition(cluster, "Ready") == "True")
    told = cluster.get("haresource", "db", "-n", NAMESPACE)["status"]["recovery"]
    assert all(told.get(step) for step in ("suspected", "fenced", "released", "removed", "ready"))
    assert our_taints(cluster, db) == {
        (FENCE_TAINT, "NoSchedule"),
        (FENCE_TAINT, "NoExecute"),
        (OUT_OF_SERVICE_TAINT, "NoExecute"),
    }
    moved = place(cluster, NAMESPACE)
    cluster.power_on(db)
    cluster.eventually("the cluster is whole", lambda: whole(cluster))
    cluster.eventually("the taints are gone", lambda: our_taints(cluster, db) == set())
    cluster.rolled_out()
    assert place(cluster, NAMESPACE) == moved
    assert eyes.only(cluster, POD)[0] == moved[1]
    assert seconds < BACK_WITHIN_S


def test_one_that_nobody_protects_stays_terminating(cluster: KindCluster, plain: str, took: Took) -> None:
    """Kubernetes alone, in the same run: it is evicted, and nothing ever confirms its end while its node is off."""
    before = place(cluster, PLAIN)[0]
    began_s = time.monotonic()
    cluster.power_off(plain)

    def terminating() -> bool:
        return bool(cluster.get("pod", POD, "-n", PLAIN)["metadata"].get("deletionTimestamp"))

    try:
        cluster.eventually("it is being deleted", terminating, limit_s=NOTICED_WITHIN_S)
        until_s = time.monotonic() + STAYS_S
        while time.monotonic() < until_s:
            assert terminating()
            time.sleep(1.0)
        assert cluster.get("pod", POD, "-n", PLAIN)["metadata"]["uid"] == before
        took.append(f"power off, without Quorate: still Terminating after {time.monotonic() - began_s:.0f} s")
    finally:
        cluster.power_on(plain)
    cluster.eventually("the cluster is whole", lambda: whole(cluster))
    cluster.rolled_out()

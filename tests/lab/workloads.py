"""A StatefulSet of two Pods with a volume each, in a lab: made, protected, and what is seen of it."""

from typing import Any

from quorate.core.status import GuestStatus
from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT, GuestKey, GuestState
from quorate.kube.resources import HARESOURCES, PODS, STATEFUL_SETS, VOLUME_ATTACHMENTS
from quorate.lab.journal import read_journal
from tests.lab.scene import Scene

Json = dict[str, Any]
DB = GuestKey("default", "db")
WRITE = ["python3", "-m", "quorate.lab.guest", "--file", "data/journal"]


def stateful_set(replicas: int = 2) -> Json:
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = {
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "lab", "command": WRITE, "volumeMounts": mounts}],
    }
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": spec},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": size}],
    }


def pod(scene: Scene, name: str) -> Json:
    return scene.raw(PODS, name, "default")


def place(scene: Scene, name: str) -> tuple[str, str]:
    """Uid and node of a Pod that is Ready; empty while it is not."""
    found = pod(scene, name)
    conditions = (found.get("status") or {}).get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    ending = "deletionTimestamp" in (found.get("metadata") or {})
    return (found["metadata"]["uid"], found["spec"]["nodeName"]) if ready and not ending else ("", "")


def said(scene: Scene, kind: str) -> Json:
    """A condition of the HAResource."""
    conditions = (scene.raw(HARESOURCES, "db", "default").get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


def taints(scene: Scene, node: str) -> set[tuple[str, str]]:
    found = scene.kube_node(node)["spec"].get("taints") or []
    return {(one["key"], one["effect"]) for one in found if one["key"] in {FENCE_TAINT, OUT_OF_SERVICE_TAINT}}


def attached(scene: Scene) -> dict[str, str]:
    items = scene.api.get(VOLUME_ATTACHMENTS.path()).ok()["items"]
    return {one["spec"]["source"]["persistentVolumeName"]: one["spec"]["nodeName"] for one in items}


def journals_are_whole(scene: Scene) -> bool:
    """No two instances of a Pod ever wrote beside each other."""
    return all(
        read_journal(scene.files.claims / "default" / f"data-db-{number}" / "journal").violations == ()
        for number in range(2)
    )


async def begin(scene: Scene) -> None:
    scene.create(STATEFUL_SETS, "db", stateful_set(), "default")
    await scene.until("both Pods to run", lambda: place(scene, "db-0")[1] and place(scene, "db-1")[1])
    guest = {"guest": {"workload": {"kind": "StatefulSet", "name": "db"}}}
    scene.create(HARESOURCES, "db", guest, "default")
    await scene.until("it to be protected", lambda: said(scene, "Protected").get("status") == "True")


def is_back(status: GuestStatus) -> bool:
    return status.state is GuestState.STARTED and status.recovery is not None and status.recovery.attached is not None

"""A StatefulSet that runs already, protected where it is: its node loses power, comes back, and nothing else is steered.

On both API servers; its controller, the scheduler and the attach-detach controller are the lab's stand-ins.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from quorate.core.status import GuestStatus
from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT, GuestKey, GuestState
from quorate.kube.resources import HARESOURCES, PODS, STATEFUL_SETS, VOLUME_ATTACHMENTS
from quorate.lab.journal import read_journal
from quorate.lab.options import Options
from tests.lab.scene import Scene, own_cache, played

pytestmark = pytest.mark.lab
Json = dict[str, Any]
DB = GuestKey("default", "db")
WRITE = ["python3", "-m", "quorate.lab.guest", "--file", "data/journal"]


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    with own_cache(), played(Options("workload", profile="Fast", control_plane=kind, managers=2)) as found:
        await found.until_whole()
        yield found


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


async def test_a_pod_whose_node_loses_power_is_back_elsewhere(scene: Scene) -> None:
    await begin(scene)
    lost, stays = place(scene, "db-0"), place(scene, "db-1")
    status = scene.guest(DB)
    assert status.message == "2 of 2 Pods Ready on " + ", ".join(sorted((lost[1], stays[1])))
    assert [one.name for one in status.pods] == ["db-0", "db-1"]
    scene.switch(lost[1], "power-off")
    await scene.until("db-0 to run again", lambda: place(scene, "db-0")[0] not in {"", lost[0]})
    await scene.until("the workload to be whole, and its volume attached", lambda: is_back(scene.guest(DB)))
    assert place(scene, "db-0")[1] != lost[1]
    assert place(scene, "db-1") == stays
    told = scene.guest(DB).recovery
    assert told is not None
    steps = [told.suspected, told.fenced, told.released, told.removed, told.detached, told.attached, told.ready]
    assert None not in steps
    assert told.volumes == ("data-db-0",)
    assert attached(scene)["pv-default-data-db-0"] == place(scene, "db-0")[1]
    assert taints(scene, lost[1]) == {
        (FENCE_TAINT, "NoSchedule"),
        (FENCE_TAINT, "NoExecute"),
        (OUT_OF_SERVICE_TAINT, "NoExecute"),
    }
    scene.switch(lost[1], "power-on")
    await scene.until_whole()
    await scene.until("the taints to go", lambda: taints(scene, lost[1]) == set())
    moved = place(scene, "db-0")
    refused = await scene.command(f"relocate {lost[1]}", DB)
    assert not refused.accepted
    assert "its own controller makes and places its Pods" in refused.result
    scene.api.delete(HARESOURCES.path("db", "default")).ok()
    await scene.until("the HAResource to go", lambda: not scene.raw(HARESOURCES, "db", "default"))
    assert (place(scene, "db-0"), place(scene, "db-1")) == (moved, stays)
    assert journals_are_whole(scene)


async def test_one_that_its_kubelet_starts_again_in_another_boot_is_adopted(scene: Scene) -> None:
    await begin(scene)
    before = place(scene, "db-0")
    nonce = {one.name: one.nonce for one in scene.guest(DB).pods}["db-0"]
    scene.switch(before[1], "power-off")
    scene.switch(before[1], "power-on")

    def adopted() -> bool:
        records = {one.name: one for one in scene.guest(DB).pods}
        return "db-0" in records and records["db-0"].nonce not in {"", nonce} and records["db-0"].ready

    await scene.until("db-0 to be adopted", adopted)
    await scene.until_whole()
    assert pod(scene, "db-0")["metadata"]["uid"] == before[0]
    assert taints(scene, before[1]) == set()
    assert place(scene, "db-0") == before

"""A StatefulSet that runs already, protected where it is: its node loses power, comes back, and nothing else is steered.

On both API servers; its controller, the scheduler and the attach-detach controller are the lab's stand-ins.
"""

from collections.abc import AsyncIterator

import pytest

from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT
from quorate.kube.resources import HARESOURCES
from quorate.lab.options import Options
from tests.lab.scene import Scene, own_cache, played
from tests.lab.workloads import DB, attached, begin, is_back, journals_are_whole, place, pod, taints

pytestmark = pytest.mark.lab


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    with own_cache(), played(Options("workload", profile="Fast", control_plane=kind, managers=2)) as found:
        await found.until_whole()
        yield found


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

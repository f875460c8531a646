"""The stand-ins for KubeVirt by themselves, on both API servers: what Quorate drives must do as KubeVirt does.

No manager runs: people start, stop, migrate, and lose nodes.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from quorate.kube.resources import PODS
from quorate.lab.options import Options
from tests.lab import machines
from tests.lab.machines import WIN, ask, instance, launchers, machine, phase, runs_on
from tests.lab.scene import Scene, own_cache, played

pytestmark = pytest.mark.lab
Json = dict[str, Any]


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    with own_cache(), played(Options("kubevirt", profile="Fast", control_plane=kind, managers=0)) as found:
        machines.install(found)
        yield found
        assert found.observer.violations == []
        assert machines.journal_is_whole(found)


async def running(scene: Scene) -> str:
    """Its node, once KubeVirt and the observer agree on it."""
    await scene.until(
        "the machine to run", lambda: phase(scene) == "Running" and runs_on(scene) == [machines.machine_node(scene)]
    )
    return machines.machine_node(scene)


def migrate(scene: Scene, name: str = "win-1") -> None:
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": name},
        "spec": {"vmiName": WIN.name},
    }
    scene.api.post(machines.path("virtualmachineinstancemigrations"), body).ok()


def moves(scene: Scene, wanted: str, name: str = "win-1") -> Callable[[], bool]:
    """Is that migration in that phase?"""
    return lambda: (
        (machines.found(scene, "virtualmachineinstancemigrations", name).get("status") or {}).get("phase") == wanted
    )


async def test_it_starts_stops_and_starts_again_by_its_run_strategy(scene: Scene) -> None:
    machines.make(scene)
    await running(scene)
    first, (pod,) = instance(scene), launchers(scene)
    labels = pod["metadata"]["labels"]
    assert labels["kubevirt.io/created-by"] == first["metadata"]["uid"]
    assert labels["vm.kubevirt.io/name"] == "win"
    assert pod["metadata"]["annotations"]["kubevirt.io/domain"] == "win"
    assert first["status"]["activePods"] == {pod["metadata"]["uid"]: pod["spec"]["nodeName"]}
    assert {one["type"]: one["status"] for one in first["status"]["conditions"]}["LiveMigratable"] == "True"
    await scene.until("it to be said", lambda: machine(scene)["status"].get("printableStatus") == "Running")
    ask(scene, runStrategy="Halted")
    await scene.until("it to stop", lambda: not instance(scene) and not launchers(scene) and not runs_on(scene))
    assert machine(scene)["status"]["printableStatus"] == "Stopped"
    ask(scene, runStrategy="Once")
    await running(scene)
    scene.api.delete(machines.path("virtualmachines", "win")).ok()
    await scene.until("all of it to go", lambda: not machine(scene) and not instance(scene) and not launchers(scene))
    assert runs_on(scene) == []


async def test_one_with_a_scheduler_of_its_own_waits_until_that_binds_it(scene: Scene) -> None:
    machines.make(scene, strategy="Halted")
    ask(scene, runStrategy="Once", template={"spec": {"schedulerName": "quorate"}})
    await scene.until("a launcher", lambda: launchers(scene))
    await scene.until("it to be scheduled", lambda: phase(scene) == "Scheduling")
    (pod,) = launchers(scene)
    assert "nodeName" not in pod["spec"]
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    target = {"apiVersion": "v1", "kind": "Node", "name": "node2"}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "uid": uid}, "target": target}
    scene.api.post(f"{PODS.path(name, WIN.namespace)}/binding", body).ok()
    assert await running(scene) == "node2"


async def test_a_live_migration_is_never_two(scene: Scene) -> None:
    machines.make(scene)
    source = await running(scene)
    migrate(scene)
    await scene.until("it to move", moves(scene, "Succeeded"))
    target = await running(scene)
    assert target != source
    state = instance(scene)["status"]["migrationState"]
    assert (state["sourceNode"], state["targetNode"], state["completed"]) == (source, target, True)
    await scene.until(
        "the source to end", lambda: len([p for p in launchers(scene) if p["status"]["phase"] == "Running"]) == 1
    )
    migrate(scene, "win-2")
    await scene.until("it to move again", moves(scene, "Succeeded", "win-2"))
    await running(scene)


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_a_migration_that_comes_to_nothing_leaves_it_where_it_is(scene: Scene, how: str) -> None:
    machines.make(scene)
    source = await running(scene)
    machines.misbehave(scene, migration=how)
    migrate(scene)
    if how == "hangs":
        await scene.until("it to go on", moves(scene, "Running"))
        scene.api.delete(machines.path("virtualmachineinstancemigrations", "win-1")).ok()
        await scene.until("it to be given up", lambda: instance(scene)["status"]["migrationState"].get("failed"))
        assert instance(scene)["status"]["migrationState"]["abortStatus"] == "Succeeded"
    else:
        await scene.until("it to fail", moves(scene, "Failed"))
    assert await running(scene) == source
    machines.misbehave(scene, migration="0.5")
    migrate(scene, "win-2")
    await scene.until("another one to succeed", moves(scene, "Succeeded", "win-2"))
    assert await running(scene) != source


async def test_one_whose_target_dies_stays_and_one_whose_source_dies_is_gone(scene: Scene) -> None:
    machines.make(scene)
    source = await running(scene)
    machines.misbehave(scene, migration="60")
    migrate(scene)
    await scene.until("it to go on", moves(scene, "Running"))
    scene.switch(instance(scene)["status"]["migrationState"]["targetNode"], "power-off")
    await scene.until("it to fail", moves(scene, "Failed"))
    assert await running(scene) == source
    scene.switch(source, "power-off")
    await scene.until("nothing of it to run", lambda: runs_on(scene) == [])
    scene.switch(source, "power-on")
    await scene.until(
        "its end to be seen", lambda: phase(scene) in {"Failed", ""} or machines.machine_node(scene) != source
    )


async def test_a_disk_that_one_node_has_forbids_it(scene: Scene) -> None:
    machines.make(scene, modes="ReadWriteOnce")
    source = await running(scene)
    said = {one["type"]: one for one in instance(scene)["status"]["conditions"]}["LiveMigratable"]
    assert (said["status"], said["reason"]) == ("False", "DisksNotLiveMigratable")
    migrate(scene)
    await scene.until("it to be refused", moves(scene, "Failed"))
    assert await running(scene) == source


async def test_a_guest_that_dies_is_started_again_only_under_always(scene: Scene) -> None:
    machines.make(scene, strategy="Once", **{"lab.quorate.dev/start": "fails"})
    await scene.until("it to fail", lambda: phase(scene) == "Failed")
    uid = instance(scene)["metadata"]["uid"]
    machines.misbehave(scene, start=None)
    ask(scene, runStrategy="Always")
    await running(scene)
    assert instance(scene)["metadata"]["uid"] != uid

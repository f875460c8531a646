"""Virtual machines under HA, on both API servers: started, stopped, recovered, migrated, given back, and never twice.

KubeVirt is played by the lab's stand-ins (`test_kubevirt.py`); on the real server its kinds are its own.
"""

from collections.abc import AsyncIterator

import pytest

from quorate.core.types import GuestKey, GuestState
from quorate.kube.resources import HARESOURCES, NODES
from quorate.lab.options import Options
from tests import real
from tests.lab import machines
from tests.lab.machines import WIN, instance, kept, launchers, machine, protect, runs_on, until_runs
from tests.lab.scene import Scene, own_cache, played

pytestmark = pytest.mark.lab


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    with own_cache(), played(Options("machines", profile="Fast", control_plane=kind, managers=2)) as found:
        machines.install(found)
        await found.until_whole()
        yield found
        assert found.observer.violations == []
        assert machines.journal_is_whole(found)


async def test_it_is_started_stopped_and_given_back_as_it_was(scene: Scene) -> None:
    machines.make(scene, strategy="RerunOnFailure")
    await scene.until("KubeVirt to run it", lambda: machines.phase(scene) == "Running")
    uid, where = instance(scene)["metadata"]["uid"], runs_on(scene)
    protect(scene)
    assert [await until_runs(scene)] == where, "what runs stays where it is"
    assert instance(scene)["metadata"]["uid"] == uid, "and goes on"
    await scene.until("its run strategy to be taken over", lambda: kept(scene) == ("Once", "RerunOnFailure"))
    scene.api.merge(HARESOURCES.path(WIN.name, WIN.namespace), {"spec": {"state": "Stopped"}}).ok()
    await scene.until("it to stop", lambda: scene.guest(WIN).state is GuestState.STOPPED and runs_on(scene) == [])
    assert kept(scene) == ("Halted", "RerunOnFailure")
    assert not instance(scene)
    scene.api.merge(HARESOURCES.path(WIN.name, WIN.namespace), {"spec": {"state": "Started"}}).ok()
    node, uid = await until_runs(scene), instance(scene)["metadata"]["uid"]
    scene.api.delete(HARESOURCES.path(WIN.name, WIN.namespace)).ok()
    await scene.until("it to leave HA", lambda: not scene.raw(HARESOURCES, WIN.name, WIN.namespace))
    assert kept(scene) == ("RerunOnFailure", None)
    assert "schedulerName" not in machine(scene)["spec"]["template"]["spec"]
    assert (runs_on(scene), instance(scene)["metadata"]["uid"]) == ([node], uid), "the machine stays and runs on"


async def test_its_node_loses_power_and_it_is_recovered(scene: Scene) -> None:
    machines.make(scene, strategy="Halted")
    protect(scene)
    lost = await until_runs(scene)
    before = scene.guest(WIN).instance
    await scene.lose(lost)
    await scene.until("it to run elsewhere", lambda: scene.guest(WIN).node != lost)
    now = await until_runs(scene)
    assert now != lost
    after = scene.guest(WIN).instance
    assert before is not None
    assert after is not None
    assert before.id != after.id
    recovery = scene.guest(WIN).recovery
    assert recovery is not None
    assert (recovery.node, recovery.evidence.split()[0]) == (lost, "LeaseExpired")
    scene.switch(lost, "power-on")
    await scene.until_whole()
    assert runs_on(scene) == [now]
    assert [one["spec"]["nodeName"] for one in launchers(scene)] == [now]


async def test_one_that_boots_at_once_is_not_started_by_its_kubelet(scene: Scene) -> None:
    machines.make(scene)
    protect(scene)
    lost = await until_runs(scene)
    before = scene.guest(WIN)
    scene.switch(lost, "power-off")
    scene.switch(lost, "power-on")
    await scene.until(
        "another instance", lambda: scene.guest(WIN).instance not in {None, before.instance} and scene.guest(WIN).ready
    )
    await until_runs(scene)


async def test_it_is_relocated_by_hand(scene: Scene) -> None:
    machines.make(scene)
    protect(scene)
    source = await until_runs(scene)
    target = next(name for name in scene.names() if name != source)
    answer = await scene.command(f"relocate {target}", WIN)
    assert answer.accepted, answer.result
    assert await until_runs(scene, target) == target


async def test_a_guest_that_dies_is_tried_again_within_its_limits(scene: Scene) -> None:
    machines.make(scene, strategy="Halted", **{"lab.quorate.dev/start": "fails"})
    protect(scene, maxRestart=1, maxRelocate=1)
    await scene.until("it to end in Error", lambda: scene.guest(WIN).state is GuestState.ERROR)
    ran = scene.ran_on(WIN)
    assert len(set(ran)) <= 2
    machines.misbehave(scene, start=None)
    await scene.command("reset", WIN)
    await until_runs(scene)


async def test_two_that_want_it_and_one_that_is_gone_say_so(scene: Scene) -> None:
    protect(scene)
    await scene.until("it to be missed", lambda: "there is no VirtualMachine default/win" in scene.guest(WIN).message)
    machines.make(scene)
    await until_runs(scene)
    protect(scene, "other")
    other = GuestKey(WIN.namespace, "other")
    await scene.until(
        "the other to say so", lambda: "is under HA by vm:default/win already" in scene.guest(other).message
    )
    assert runs_on(scene) != []
    scene.api.delete(HARESOURCES.path("other", WIN.namespace)).ok()
    await scene.until("the other to go", lambda: not scene.raw(HARESOURCES, "other", WIN.namespace))
    await until_runs(scene)
    await scene.until("its run strategy to be taken over", lambda: kept(scene) == ("Once", "Always"))
    scene.api.delete(machines.path("virtualmachines", WIN.name)).ok()
    await scene.until("the machine to go", lambda: not machine(scene) and runs_on(scene) == [])
    await scene.until("it to be missed", lambda: "there is no VirtualMachine default/win" in scene.guest(WIN).message)
    scene.api.delete(HARESOURCES.path(WIN.name, WIN.namespace)).ok()
    await scene.until("it to leave HA", lambda: not scene.raw(HARESOURCES, WIN.name, WIN.namespace))


async def migrating(scene: Scene, how: str = "60") -> tuple[str, str]:
    """It is on its way: from where, and to where."""
    machines.make(scene, strategy="Halted")
    protect(scene)
    source = await until_runs(scene)
    target = next(name for name in scene.names() if name != source)
    machines.misbehave(scene, migration=how)
    answer = await scene.command(f"migrate {target}", WIN)
    assert answer.accepted, answer.result
    assert answer.result.startswith(f"migrating from {source} to {target}")
    await scene.until("memory to be sent", lambda: machines.moves(scene).get("startTimestamp"))
    return source, target


async def test_it_migrates_live_and_is_never_two(scene: Scene) -> None:
    source, target = await migrating(scene, "2")
    uid = instance(scene)["metadata"]["uid"]
    assert runs_on(scene) == [source], "while its memory is sent it runs at its source"
    assert scene.guest(WIN).state is GuestState.MIGRATE
    assert await until_runs(scene, target) == target
    assert instance(scene)["metadata"]["uid"] == uid, "to KubeVirt it is the same instance"
    assert scene.ran_on(WIN) == [source, target]
    await scene.until("its migration to be over", lambda: scene.guest(WIN).migration is None)
    await scene.lose(target)
    await scene.until("it to run elsewhere", lambda: scene.guest(WIN).node != target)
    await until_runs(scene)


async def test_a_migration_whose_target_dies_leaves_it_where_it_is(scene: Scene) -> None:
    source, target = await migrating(scene)
    before = scene.guest(WIN).instance
    scene.switch(target, "power-off")
    await scene.until("the migration to be given up", lambda: scene.guest(WIN).migration is None)
    assert await until_runs(scene, source) == source
    assert scene.guest(WIN).instance == before
    told = scene.guest(WIN).last_command
    assert told is not None
    assert not told.accepted
    assert f"it stays on {source}" in told.result


async def test_one_whose_source_dies_is_recovered_once_its_target_is_out_of_it(scene: Scene) -> None:
    source, _target = await migrating(scene)
    await scene.lose(source)
    await scene.until("it to run elsewhere", lambda: scene.guest(WIN).node != source and scene.guest(WIN).ready)
    await until_runs(scene)


async def test_one_that_hangs_is_given_up_in_time(scene: Scene) -> None:
    machines.make(scene, strategy="Halted")
    protect(scene, startTimeout="10s")
    source = await until_runs(scene)
    target = next(name for name in scene.names() if name != source)
    machines.misbehave(scene, migration="hangs")
    await scene.command(f"migrate {target}", WIN)
    await scene.until("it to be given up", lambda: not getattr(scene.guest(WIN).last_command, "accepted", True))
    told = scene.guest(WIN).last_command
    assert told is not None
    assert "it took longer than startTimeout 10s" in told.result
    assert await until_runs(scene, source) == source
    assert machines.moves(scene)["abortStatus"] == "Succeeded"


async def test_a_guest_that_dies_on_its_way_is_started_again(scene: Scene) -> None:
    source, _target = await migrating(scene, "dies")
    await scene.until("it to be started again", lambda: scene.guest(WIN).migration is None and scene.guest(WIN).ready)
    await until_runs(scene)
    assert scene.ran_on(WIN)[0] == source


async def test_a_disk_that_one_node_has_is_no_way_to_migrate(scene: Scene) -> None:
    machines.make(scene, strategy="Halted", modes="ReadWriteOnce")
    protect(scene)
    source = await until_runs(scene)
    target = next(name for name in scene.names() if name != source)
    answer = await scene.command(f"migrate {target}", WIN)
    assert answer.accepted
    assert "it cannot be migrated live" in answer.result
    assert "PVC win-disk is not shared" in answer.result
    assert await until_runs(scene, target) == target


async def test_maintenance_moves_it_live_and_back(scene: Scene) -> None:
    machines.make(scene, strategy="Halted")
    protect(scene)
    source = await until_runs(scene)
    uid = instance(scene)["metadata"]["uid"]
    scene.api.merge(NODES.path(source), {"spec": {"maintenance": {"enabled": True}}}).ok()
    await scene.until("it to leave", lambda: scene.guest(WIN).node != source)
    await until_runs(scene)
    assert instance(scene)["metadata"]["uid"] == uid
    scene.api.merge(NODES.path(source), {"spec": {"maintenance": {"enabled": False}}}).ok()
    assert await until_runs(scene, source) == source
    assert instance(scene)["metadata"]["uid"] == uid


@pytest.mark.real
async def test_kubevirt_may_come_later() -> None:
    real.programs()
    options = Options("later", profile="Fast", control_plane="real", managers=1)
    with own_cache(), played(options) as scene:
        await scene.until_whole()
        protect(scene)
        await scene.until("it to be missed", lambda: "KubeVirt" in scene.guest(WIN).message)
        machines.install(scene)
        machines.make(scene, strategy="Halted")
        await until_runs(scene)
        assert scene.observer.violations == []

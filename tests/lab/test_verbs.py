"""What people ask for by the command line, in a lab on both API servers, judged by the observer and the guest's journal."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestKey, NodeState
from quorate.kube.resources import HARESOURCES, STORAGES
from quorate.lab.options import Options
from tests import real
from tests.lab.conftest import KINDS, Run
from tests.lab.scene import STORAGE, WEB, Scene, judged, own_cache, running, writer

pytestmark = pytest.mark.lab
HUGE, OTHER = GuestKey("default", "huge"), GuestKey("default", "other")


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture(scope="module", params=KINDS)
def lab(request: pytest.FixtureRequest, cache: None) -> Iterator[object]:
    if request.param == "real":
        real.programs()
    with running(Options("verbs", control_plane=request.param, profile="Fast")) as lab:
        yield lab


@pytest.fixture
async def scene(lab: object) -> AsyncIterator[Scene]:
    with judged(lab) as scene:  # type: ignore[arg-type]
        await scene.until_whole()
        if not scene.raw(STORAGES, STORAGE):
            scene.share_storage()
        yield scene
        await scene.heal()


@pytest.fixture
async def web(scene: Scene) -> GuestStatus:
    return await scene.start_guest()


async def test_maintenance(scene: Scene, web: GuestStatus, run: Run) -> None:
    ended = await asyncio.to_thread(run, "maintenance", "on", "node1", "--reason", "kernel update", "--wait")
    assert ended.out.startswith("node1: no guest is left, it can be worked on"), ended
    there = scene.guest()
    assert there.node != "node1"
    assert (there.restarts, there.failed_nodes, there.maintenance_node) == (0, (), "node1")
    assert scene.node("node1").state is NodeState.MAINTENANCE
    listed = run("nodes").out
    assert "in maintenance (kernel update): no guest is left" in listed
    assert "lrm node1 (maintenance mode," in run("status", "-o", "pve").out
    assert run("relocate", "web", "node1").err.endswith("node node1: it is in maintenance\n")
    ended = await asyncio.to_thread(run, "maintenance", "off", "node1", "--wait")
    assert ended.out == "node1 is online, and every guest that had left it is back\n", ended
    assert scene.runs("node1")
    await scene.until("the judges to see it there", lambda: scene.ran_on() == ["node1", there.node, "node1"])


@pytest.mark.parametrize(("policy", "waits"), [("Conditional", True), ("Failover", False)])
async def test_a_host_that_reboots(scene: Scene, web: GuestStatus, run: Run, policy: str, waits: bool) -> None:
    """Conditional: its guest waits for it. Failover: it starts elsewhere at once."""
    scene.change_cluster(shutdownPolicy=policy)
    switch = asyncio.create_task(asyncio.to_thread(scene.switch, "node1", "reboot"))
    try:
        if waits:
            await scene.until("the judges to see it there again", lambda: scene.ran_on() == ["node1", "node1"])
            await scene.until_runs("node1")
            told = await asyncio.to_thread(run, "history", "web")
            assert "-> Freeze: node1 goes down cleanly" in told.out, told
        else:
            await scene.until_runs("node2")
    finally:
        await switch
        scene.change_cluster(shutdownPolicy="Conditional")


async def test_what_is_foretold_and_who_has_no_room(scene: Scene, web: GuestStatus, run: Run) -> None:
    scene.change_cluster(scheduling={"mode": "Static"})
    await scene.until("placement by requests", lambda: _condition(scene, "SchedulingInForce") == "Static")
    ended = run("what-if", "--fail", "node1")
    assert ended.code == 0, ended
    assert "if node1 is lost: 1 guest recovers elsewhere" in ended.out
    assert run("what-if", "--fail", "node1,node2").code == 1
    assert "it is here; 1 guest" in run("explain", "web").out
    huge = {"name": "main", "image": "lab", "command": ["sleep", "600"], "resources": {"requests": {"memory": "900Ti"}}}
    scene.create(HARESOURCES, "huge", {"guest": {"container": {"spec": {"containers": [huge]}}}}, namespace="default")
    await scene.until("the guest without room to say so", lambda: "of memory left" in scene.guest(HUGE).message)
    assert scene.guest(HUGE).message.startswith("no node can run it: node1, node2, node3: it has ")
    assert "no node could run it" in run("explain", "huge").out
    await scene.until("a survey", lambda: scene.cluster().capacity)
    assert "If one more node fails: " in run("status").out
    assert run("remove", "huge", "-y").code == 0


async def test_disarm_and_arm(scene: Scene, web: GuestStatus, run: Run) -> None:
    """Cut off for longer than T, a disarmed node resets nothing and its guest goes on; what is lost waits for a proof."""
    boot = scene.machine("node1")["boot"]
    ended = await asyncio.to_thread(run, "disarm", "freeze", "--for", "30m", "--reason", "new switch", "-y", "--wait")
    assert "disarmed until " in ended.out, ended
    assert [scene.attested(node).armed for node in scene.names()] == [False, False, False]
    assert "new switch" in run("status").out
    scene.switch("node1", "network-off")
    await scene.until("its silence to be seen", lambda: scene.incident("node1"))
    await asyncio.sleep(PROFILES[Profile.FAST].release_after_s + 1)
    assert scene.seen_on() == ["node1"]
    refused = await asyncio.to_thread(run, "relocate", "web", "node2")
    assert "HA is disarmed until" in refused.err, refused
    scene.switch("node1", "network-on")
    await scene.until("its return", lambda: scene.incident("node1") is None and scene.runs("node1"))
    assert scene.machine("node1")["boot"] == boot

    scene.switch("node1", "power-off")
    await scene.until("its loss to be seen", lambda: scene.incident("node1"))
    ended = await asyncio.to_thread(run, "arm", "--wait")
    assert ended.out.endswith(": HA is armed\n"), ended
    await scene.until("it to be in Fence", lambda: "quorate fence confirm node1" in scene.node("node1").message)
    scene.switch("node1", "power-on")
    await scene.until_another_runs(web)


async def test_one_of_two_moves_when_the_nodes_are_uneven(scene: Scene, web: GuestStatus) -> None:
    """Both are kept on node1 by a rule; without it one of them goes, and comes to rest."""
    there = {"nodes": [{"name": "node1"}], "strict": True}
    both = {"names": ["default/web", "default/other"]}
    scene.change_cluster(
        scheduling={"mode": "Static"}, rules=[{"name": "there", "guests": both, "nodeAffinity": there}]
    )
    big = writer("other")
    big["guest"]["container"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": "2Gi"}}
    scene.create(HARESOURCES, OTHER.name, big, OTHER.namespace)
    scene.judged.append(OTHER)
    await scene.until_runs("node1", OTHER)
    auto = {"threshold": 1, "margin": 1, "hold": "2s"}
    scene.change_cluster(scheduling={"mode": "Static", "autoRebalance": auto}, rules=[])
    small = writer("web")["guest"]
    small["container"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": "2Gi"}}
    scene.api.merge(HARESOURCES.path("web", "default"), {"spec": {"guest": small}}).ok()
    await scene.until("one to have moved", lambda: {scene.guest().node, scene.guest(OTHER).node} == {"node1", "node2"})
    await scene.until("both to run", lambda: all(scene.runs(scene.guest(key).node or "", key) for key in (WEB, OTHER)))
    assert scene.cluster().rebalance.last.endswith(" from node1 to node2")
    scene.change_cluster(scheduling={"mode": "Basic", "autoRebalance": None})


def _condition(scene: Scene, kind: str) -> str:
    """Why that condition of the Cluster is as it is."""
    return next((one.reason for one in scene.cluster().conditions if one.type == kind), "")

"""The API server is away, slow, failing, or says strange things: see the table `API server` in docs/failures.md.

Everybody of the lab reaches it through the front; the test and the judges go straight to it.
"""

import asyncio
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from quorate.core.status import GuestStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import AGENT_NAMESPACE, EvidenceKind
from quorate.kube.resources import CLUSTERS, HARESOURCES, LEASES, NODES, PODS, Resource
from quorate.kube.store import WATCHED
from quorate.lab import processes
from quorate.lab.front.rules import Call, Rule
from quorate.lab.options import Options
from tests.control_plane.client import Api
from tests.faults.quiet import Quiet, resets_of, use
from tests.lab.scene import WEB, Scene, played, running
from tests.lab.waiting import eventually

Json = dict[str, Any]
MANAGERS = "manager-.*"
NODE1_LEASE = "/quorate-agents/leases/node1$"
SHORT_S = 5.0
LONG_S = 60.0


@pytest.fixture(scope="module")
def lab(kind: str) -> Iterator[Json]:
    """Balanced, unless a test wants something else: a busy machine resets no healthy node."""
    with running(Options("shared", profile="Balanced", control_plane=kind, front=True)) as lab:
        yield lab


@pytest.fixture
async def scene(scene: Scene) -> AsyncIterator[Scene]:
    await use(scene, Profile.BALANCED)
    yield scene
    scene.front.clear()
    scene.front.outage("none")


@contextmanager
def stopped(scene: Scene) -> Iterator[None]:
    """The API server, all of its processes, hangs: who connects is let in by the kernel and hears nothing."""
    marks = {processes.LAB: scene.lab_id, processes.SERVICE: "api-server"}
    for process in processes.scan(marks):
        processes.send(process, signal.SIGSTOP)
    try:
        yield
    finally:
        processes.thaw(marks)


@contextmanager
def refusing(scene: Scene) -> Iterator[None]:
    """Nobody listens where the API server was."""
    scene.front.outage("refuse")
    try:
        yield
    finally:
        scene.front.outage("none")


Away = Callable[[Scene], Any]
WAYS = [pytest.param(stopped, id="hanging"), pytest.param(refusing, id="refusing")]


async def comes_back(scene: Scene, before: GuestStatus) -> None:
    """The guest runs again, in a new instance, and never ran twice; its tries are not counted."""

    def again() -> bool:
        now = scene.guest()
        return now.instance != before.instance and now.node is not None and scene.runs(now.node)

    await scene.until("the guest to come back", again)
    now = scene.guest()
    assert now.node is not None
    await scene.until_runs(now.node)
    assert (now.restarts, now.failed_nodes) == (0, ())
    assert scene.ran_on() == ["node1", now.node]


class TestAway:
    @pytest.mark.parametrize("away", WAYS)
    async def test_five_seconds_do_nothing_to_balanced(self, scene: Scene, web: GuestStatus, away: Away) -> None:
        quiet = Quiet(scene)
        with away(scene):
            await asyncio.sleep(SHORT_S)
        await quiet.assert_kept()

    @pytest.mark.parametrize("away", WAYS)
    async def test_five_seconds_reset_armed_nodes_of_fast_and_no_others(
        self, scene: Scene, web: GuestStatus, away: Away
    ) -> None:
        await use(scene, Profile.FAST)
        boots = {name: scene.machine(name)["boot"] for name in scene.names()}
        resets = resets_of(scene, "node1")
        with away(scene):
            await asyncio.sleep(SHORT_S)
            await eventually(lambda: resets_of(scene, "node1") == resets + 1, "node1's watchdog to kill it")
        await comes_back(scene, web)
        await scene.until_whole()
        after = {name: scene.machine(name)["boot"] for name in scene.names()}
        assert after == {**boots, "node1": boots["node1"] + 1}
        kinds = {one.kind for one in last_evidence(scene, "node1")}
        assert kinds <= {EvidenceKind.NEW_BOOT}

    async def test_a_minute_later_a_node_that_boots_again_is_a_new_boot(self, scene: Scene, web: GuestStatus) -> None:
        await use(scene, Profile.FAST)
        boots = {name: scene.machine(name)["boot"] for name in scene.names()}
        with stopped(scene):
            await asyncio.sleep(LONG_S)
            assert scene.machine("node1")["boot"] == boots["node1"] + 1
            assert scene.seen_on() == [], "without an API server nothing is decided"
        await comes_back(scene, web)
        await scene.until_whole()
        after = {name: scene.machine(name)["boot"] for name in scene.names()}
        assert after == {**boots, "node1": boots["node1"] + 1}

    async def test_a_minute_later_a_node_that_stays_away_is_fenced_by_its_lease(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        await use(scene, Profile.FAST)
        boots = {name: scene.machine(name)["boot"] for name in scene.names()}
        with refusing(scene):
            await asyncio.sleep(SHORT_S)
            scene.switch("node1", "power-off")
            await asyncio.sleep(LONG_S - SHORT_S)
            assert scene.seen_on() == [], "without an API server nothing is decided"
            before = len(scene.front.calls())
        await comes_back(scene, web)
        assert len(renewed_before_anything_is_done(scene, before)) >= 2, "a majority comes first"
        assert {one.kind for one in last_evidence(scene, "node1")} == {EvidenceKind.LEASE_EXPIRED}
        assert [scene.machine(name)["boot"] for name in ("node2", "node3")] == [boots["node2"], boots["node3"]]

    async def test_restarted_it_is_an_outage_of_that_length(self, scene: Scene, web: GuestStatus, kind: str) -> None:
        """The real one loses its connections and its caches; the embedded one is its state, so it only drops everybody."""
        await use(scene, Profile.RELAXED)
        quiet = Quiet(scene)
        calls = len(scene.front.calls())
        if kind == "real":
            (old,) = programs(scene, b"kube-apiserver")
            processes.send(old, signal.SIGKILL)
            await eventually(lambda: [one.pid for one in programs(scene, b"kube-apiserver")] not in ([], [old.pid]))
            await eventually(lambda: _answers(scene), "the API server to answer again")
        else:
            with refusing(scene):
                await asyncio.sleep(1)

        def watched_again() -> bool:
            return {call.client for call in scene.front.calls(calls) if call.watch and call.code == 200} >= everybody

        everybody = {"manager-1", "manager-2", "node1", "node2", "node3"}
        await scene.until("everybody to watch again", watched_again)
        await quiet.assert_kept()


def renewed_before_anything_is_done(scene: Scene, after: int) -> set[str]:
    """Which nodes have renewed since that call, until a manager did anything to a Pod, a node or its Lease."""
    renewed = set()
    for call in scene.front.calls(after):
        deed = re.search(r"/pods(/|$)|^/api/v1/nodes/|/quorate-agents/leases/", call.path) and call.method != "GET"
        if deed and re.fullmatch(MANAGERS, call.client):
            return renewed
        if call.method == "PUT" and call.code == 200 and "/quorate-agents/leases/" in call.path:
            renewed.add(call.client)
    return renewed


def last_evidence(scene: Scene, node: str) -> tuple[Any, ...]:
    """Of the incident that is open, if one is."""
    incident = scene.incident(node)
    return incident.evidence if incident is not None else ()


def programs(scene: Scene, name: bytes) -> list[processes.Process]:
    """The processes of the real control plane whose program has that name."""
    found = processes.scan({processes.LAB: scene.lab_id, processes.SERVICE: "api-server"})
    return [one for one in found if _program(one).endswith(b"/" + name)]


def _program(process: processes.Process) -> bytes:
    return (processes.read_bytes(f"/proc/{process.pid}/cmdline") or b"").split(b"\0")[0]


def _answers(scene: Scene) -> bool:
    try:
        return bool(scene.api.get(CLUSTERS.path(scene.name)).code == 200)
    except Exception:  # noqa: BLE001 refused, reset, or hanging: it does not
        return False


class TestWatches:
    async def test_410_everything_is_listed_anew(self, scene: Scene, web: GuestStatus) -> None:
        quiet = Quiet(scene)
        before = len(scene.front.calls())
        scene.front.add(Rule("gone", "expire", times=30))
        await scene.until("thirty watches to be told so", lambda: scene.front.counts("gone")[1] == 30)

        def listed_again() -> bool:
            lists = {one.client for one in scene.front.calls(before) if one.method == "GET" and not one.watch}
            return lists >= {"manager-1", "manager-2", "node1", "node2", "node3"}

        await scene.until("everybody to list again", listed_again)
        await quiet.assert_kept()

    async def test_410_a_pod_deleted_meanwhile_is_noticed_by_the_list(self, scene: Scene, web: GuestStatus) -> None:
        scene.front.add(Rule("gone", "expire", client=MANAGERS, path="/pods$"))
        await scene.until("both to be told so", lambda: scene.front.counts("gone")[1] >= 4)
        path = PODS.path(WEB.name, WEB.namespace)
        scene.api.merge(path, {"metadata": {"finalizers": None}}).ok()
        scene.api.delete(path, {"gracePeriodSeconds": 0}).ok()
        await scene.until("it to stop", lambda: scene.seen_on() == [])
        assert scene.guest().instance == web.instance, "they do not know yet"
        scene.front.clear()

        def noticed() -> bool:
            last = scene.guest().last_termination
            return last is not None and last.reason == "PodVanished"

        await eventually(noticed, "it to be missed in a list", limit_s=150)
        await comes_back(scene, web)

    async def test_silent_without_an_end_they_are_made_anew(self, scene: Scene, web: GuestStatus) -> None:
        quiet = Quiet(scene)
        before = len(scene.front.calls())
        scene.front.add(Rule("stall", "stall", client=MANAGERS))
        running = scene.front.counts("stall")[1]
        scene.front.clear()  # for the new ones; those that ran stay silent

        def made_anew() -> bool:
            made = [one for one in scene.front.calls(before) if one.watch and re.fullmatch(MANAGERS, one.client)]
            return len(made) >= running

        assert running >= 2 * len(WATCHED)
        await scene.until("the managers to make their watches anew", made_anew)
        await quiet.assert_kept()

    async def test_silent_for_longer_than_s_there_is_no_quorum_and_nothing_is_done(
        self, scene: Scene, web: GuestStatus
    ) -> None:
        """The new ones as well: whoever hears of nobody suspects nobody."""
        quiet = Quiet(scene)
        scene.front.add(Rule("stall", "stall", client=MANAGERS))
        await scene.until("it to say so", lambda: not scene.cluster().quorate)
        scene.front.clear()
        await scene.until_whole()
        await quiet.assert_kept()


class TestSlow:
    async def test_below_a_third_of_d_nothing_happens(self, scene: Scene, web: GuestStatus) -> None:
        quiet = Quiet(scene)
        slow_s = PROFILES[Profile.BALANCED].timeout_s / 4
        scene.front.add(Rule("slow", "delay", seconds=slow_s, watch=False))
        await quiet.assert_kept()

    @pytest.mark.parametrize("does", ["delay", "delay-answer"])
    async def test_from_d_on_armed_nodes_are_reset_and_the_guest_comes_back(
        self, scene: Scene, web: GuestStatus, does: str
    ) -> None:
        """Whether what came too late was carried out or not: with delay-answer the Lease goes on all the time."""
        slow_s = PROFILES[Profile.BALANCED].timeout_s + 0.2
        boots = {name: scene.machine(name)["boot"] for name in scene.names()}
        resets = resets_of(scene, "node1")
        scene.front.add(Rule("slow", does, client="node.*", seconds=slow_s, watch=False))
        await scene.until("node1's watchdog to kill it", lambda: resets_of(scene, "node1") == resets + 1)
        assert scene.ran_on() == ["node1"]
        scene.front.clear()
        await comes_back(scene, web)
        await scene.until_whole()
        assert scene.machine("node1")["boot"] == boots["node1"] + 1
        assert scene.machine("node3")["boot"] == boots["node3"], "it was not armed"


FAILURES = [
    pytest.param(Rule("fail", "answer", code=429, headers={"Retry-After": "1"}, times=4), id="429"),
    pytest.param(Rule("fail", "answer", code=500, times=4), id="500"),
    pytest.param(Rule("fail", "answer", code=503, times=4), id="503"),
    pytest.param(Rule("fail", "reset", times=4), id="reset"),
    pytest.param(Rule("fail", "hang", times=2), id="time-out"),
]


class TestFailing:
    @pytest.mark.parametrize("rule", FAILURES)
    async def test_what_a_manager_does_is_asked_again(self, scene: Scene, web: GuestStatus, rule: Rule) -> None:
        """Writes of a relocation fail, but for the leader Lease."""
        scene.front.add(
            replace(rule, client=scene.leader(), method="PUT|POST|PATCH|DELETE", path=r"^(?!.*/quorate-system/)")
        )
        await scene.command("relocate node2")
        await scene.until_runs("node2")
        assert scene.front.counts("fail")[1] == rule.times
        now = scene.guest()
        assert (now.restarts, now.failed_nodes) == (0, ())
        assert scene.ran_on() == ["node1", "node2"]

    @pytest.mark.parametrize("rule", FAILURES)
    async def test_a_renewal_is_tried_again_in_time(self, scene: Scene, web: GuestStatus, rule: Rule) -> None:
        quiet = Quiet(scene)
        times = 1 if rule.does == "hang" else rule.times
        scene.front.add(replace(rule, client="node.*", method="PUT", path=NODE1_LEASE, times=times))
        await scene.until("the renewals to fail", lambda: scene.front.counts("fail")[1] == times)
        await quiet.assert_kept()


def renewals(scene: Scene, after: int) -> list[Call]:
    """What node1's agent said of its Lease since that call."""
    return [one for one in scene.front.calls(after) if one.client == "node1" and re.search(NODE1_LEASE, one.path)]


class TestLate:
    """A renewal is stuck on its way and commits late: its agent hears nothing of it."""

    timeout_s = PROFILES[Profile.BALANCED].timeout_s

    async def test_before_the_next_one_which_looks_and_renews(self, scene: Scene, web: GuestStatus) -> None:
        quiet = Quiet(scene)
        before = len(scene.front.calls())
        scene.front.add(Rule("late", "late", "node1", "PUT", NODE1_LEASE, times=1, seconds=self.timeout_s / 2))
        await scene.until("it to be carried out", lambda: [one.code for one in held(scene, before)] == [200])
        await quiet.assert_kept()
        after = renewals(scene, held(scene, before)[0].number)[:3]
        assert [(one.method, one.code) for one in after] == [("PUT", 409), ("GET", 200), ("PUT", 200)]

    async def test_after_the_next_one_it_conflicts(self, scene: Scene, web: GuestStatus) -> None:
        quiet = Quiet(scene)
        before = len(scene.front.calls())
        scene.front.add(Rule("late", "late", "node1", "PUT", NODE1_LEASE, times=1, seconds=self.timeout_s * 2))
        await scene.until("it to be refused", lambda: [one.code for one in held(scene, before)] == [409])
        await quiet.assert_kept()
        assert [one.code for one in renewals(scene, before) if not one.rule and one.code != 200] == []

    async def test_after_the_lease_was_taken_it_conflicts(self, scene: Scene, web: GuestStatus) -> None:
        await use(scene, Profile.FAST)
        before = len(scene.front.calls())
        late_s = PROFILES[Profile.FAST].release_after_s + 8
        scene.front.add(Rule("late", "late", "node1", "PUT", NODE1_LEASE, times=1, seconds=late_s))
        await scene.until("a renewal to be stuck", lambda: held(scene, before))
        scene.switch("node1", "network-off")
        await scene.until_runs("node2")
        there, lease = scene.guest(), scene.raw(LEASES, "node1", AGENT_NAMESPACE)
        assert lease["spec"]["holderIdentity"].startswith("fenced/")
        assert [one.code for one in held(scene, before)] == [None], "it is on its way still"
        await scene.until("it to be refused", lambda: [one.code for one in held(scene, before)] == [409])
        assert scene.raw(LEASES, "node1", AGENT_NAMESPACE) == lease
        scene.switch("node1", "network-on")
        await scene.until_whole()
        assert scene.guest().instance == there.instance
        assert scene.ran_on() == ["node1", "node2"]


def held(scene: Scene, after: int) -> list[Call]:
    return [one for one in scene.front.calls(after) if one.rule == "late"]


class Storm:
    """Somebody writes these objects' metadata as fast as the API server takes it."""

    def __init__(self, scene: Scene, *targets: tuple[Resource, str, str]) -> None:
        self.written = dict.fromkeys((name for _, name, _ in targets), 0)
        self._kubeconfig = scene.files.kubeconfig
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._blow, args=target) for target in targets]

    def _blow(self, resource: Resource, name: str, namespace: str) -> None:
        api = Api(self._kubeconfig)
        while not self._end.is_set():
            annotations = {"test.quorate.dev/storm": str(self.written[name])}
            found = api.merge(resource.path(name, namespace), {"metadata": {"annotations": annotations}})
            self.written[name] += found.code == 200

    def __enter__(self) -> "Storm":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


class TestStorm:
    async def test_a_recovery_goes_on_while_somebody_writes_its_objects(self, scene: Scene, web: GuestStatus) -> None:
        await use(scene, Profile.FAST)
        targets = ((HARESOURCES, WEB.name, WEB.namespace), (NODES, "node1", ""), (LEASES, "node1", AGENT_NAMESPACE))
        with Storm(scene, *targets) as storm:
            scene.switch("node1", "power-off")
            await scene.until_runs("node2")
        assert all(storm.written.values())
        now = scene.guest()
        assert (now.restarts, now.failed_nodes) == (0, ())
        assert scene.ran_on() == ["node1", "node2"]
        assert {one.kind for one in last_evidence(scene, "node1")} == {EvidenceKind.LEASE_EXPIRED}


class TestAddresses:
    @pytest.fixture
    async def scene(self, kind: str) -> AsyncIterator[Scene]:
        """A lab whose agents know three addresses of the API server."""
        options = Options("own", profile="Balanced", control_plane=kind, front=True, api_servers=3)
        with played(options) as scene:
            await scene.until_whole()
            scene.share_storage()
            yield scene

    @pytest.mark.parametrize("dead", ["hang", "reset"])
    async def test_one_of_three_dead_costs_each_agent_one_renewal_at_most(
        self, scene: Scene, web: GuestStatus, dead: str
    ) -> None:
        quiet = Quiet(scene)
        before = len(scene.front.calls())
        used = {one.client for one in scene.front.calls() if "-api" in one.client}
        assert used == {"node1-api1", "node2-api1", "node3-api1"}, "they stay with one that answers"
        scene.front.add(Rule("dead", dead, client="node.*-api1"))
        await scene.until("two questions of each agent to be lost", lambda: scene.front.counts("dead")[0] >= 6)
        await quiet.assert_kept()
        calls = [one for one in scene.front.calls(before) if one.method == "PUT" and "/leases/" in one.path]
        for name in quiet.names:
            own = [one for one in calls if one.client.startswith(f"{name}-api")]
            lost = [at for at, one in enumerate(own) if one.rule == "dead"]
            assert len(lost) == 1
            assert {one.client for one in own[lost[0] + 1 :]} == {f"{name}-api2"}

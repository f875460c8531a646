"""The leading manager is killed between any two of its API calls: see the table `Managers` in docs/failures.md.

A story is played again and again in one lab. In the k-th time the front kills the leader before its k-th call of the story
(or, in another test, after it: carried out, but the leader never hears of it), until a story ends in which there was no
k-th call. Each time the standby finishes, and everything is as if nobody had been killed.

Not counted are calls on which nothing of a story hangs: watches, the leader Leases, events, the lists that a replica makes
once a minute, and the housekeeper's look at claims. What is counted is not made in the same order each time, so that a call
may be the k-th one in no playing: those on which most depends are played by name as well (`Story.deeds`). A power loss
takes its time T, so `make faults` plays every third k, beginning with another one each day; `make crash-points` plays all.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pytest

from quorate.core.status import GuestStatus
from quorate.core.types import (
    COMMAND_ANNOTATION,
    FENCE_TAINT,
    GUEST_LABEL,
    INSTANCE_ANNOTATION,
    INSTANCE_FINALIZER,
    GuestKey,
    GuestState,
)
from quorate.kube.resources import CLUSTERS, HARESOURCES, LEASES, NODES, PODS
from quorate.lab.front.rules import KILL_AFTER, KILL_BEFORE, Call, Rule
from quorate.lab.options import Options
from tests.faults.looks import finalizers
from tests.lab.scene import WEB, Scene, running, writer

Json = dict[str, Any]
CUSTOM: Final = {"renewEvery": "500ms", "timeout": "1s", "watchdog": "3500ms"}
"""As short as W >= r + 2d + 1 allows at the time-out that a busy machine of two cores still keeps."""
COUNTED: Final = (
    r"^(?!/apis/coordination\.k8s\.io/v1/namespaces/quorate-system/"
    r"|/api/v1/[a-z]+$|/apis/[a-z0-9.]+/v1[a-z0-9]*/[a-z]+$|.*/endpointslices$"
    r"|.*/persistentvolumeclaims/|/apis/events\.k8s\.io/)"
)
EVERY: Final = int(os.environ.get("QUORATE_CRASH_POINTS_EVERY", "3"))
"""Every so many calls are played."""


@pytest.fixture(scope="module")
def lab(kind: str) -> Iterator[Json]:
    """Machines and managers come back at once: the stories wait for them."""
    options = Options("crash", profile="Fast", control_plane=kind, front=True, firmware_s=0.1, restarts_slow_down=False)
    with running(options) as lab:
        yield lab


@pytest.fixture
async def scene(lab: Json, scene: Scene) -> AsyncIterator[Scene]:
    scene.api.merge(CLUSTERS.path(scene.name), {"spec": {"timing": {"profile": "Custom", "custom": CUSTOM}}}).ok()

    def told() -> bool:
        said = [scene.attested(name) for name in scene.names()]
        return all(one is not None and one.timeout_s == 1 for one in said)

    await scene.until("every agent to keep the short times", told)
    yield scene
    scene.front.clear()


@dataclass
class Story(ABC):
    """What happens to the guest, and what is true when it is over. `back` undoes it for the next time."""

    scene: Scene
    away: str = ""
    key: GuestKey = WEB
    deeds: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Method and path of the calls that are met whatever is the k-th."""

    async def prepare(self) -> None:
        await self.scene.start_guest(self.key)

    @property
    def guest(self) -> GuestStatus:
        return self.scene.guest(self.key)

    def patch(self, change: Json) -> None:
        self.scene.api.merge(HARESOURCES.path(self.key.name, self.key.namespace), change).ok()

    @abstractmethod
    def begin(self) -> None:
        """Make it happen."""

    @abstractmethod
    def over(self) -> bool:
        """Has it come to its end?"""

    async def seen(self) -> None:
        """The judges see that it is over, before anything else happens."""
        node = self.guest.node
        assert node is not None
        await self.scene.until_runs(node, self.key)

    async def back(self) -> None:  # noqa: B027 - most stories need nothing
        """It stays as it is."""

    def moved(self) -> bool:
        """It runs, and not where it was."""
        node = self.guest.node
        return node is not None and node != self.away and self.scene.runs(node, self.key)

    def note_node(self) -> None:
        node = self.guest.node
        assert node is not None
        self.away = node


class PowerLoss(Story):
    """The guest's node loses power."""

    deeds = (("PUT", "/leases/node"), ("DELETE", "/pods/web"), ("POST", "/pods$"))

    def begin(self) -> None:
        self.note_node()
        self.scene.switch(self.away, "power-off")

    def over(self) -> bool:
        return self.moved()

    async def back(self) -> None:
        incident = self.scene.incident(self.away)
        assert incident is not None, "it is still off"
        self.scene.switch(self.away, "power-on")
        await self.scene.until("it to be a member again", lambda: self.scene.is_online(self.away))


class Relocation(Story):
    """Somebody wants the guest elsewhere."""

    deeds = (("DELETE", "/pods/web"), ("POST", "/pods$"))

    def begin(self) -> None:
        self.note_node()
        there = next(name for name in self.scene.names() if name != self.away)
        self.patch({"metadata": {"annotations": {COMMAND_ANNOTATION: f"move-{time.time_ns()} relocate {there}"}}})

    def over(self) -> bool:
        return self.moved()


class Start(Story):
    """A guest is put under HA, each time another one."""

    async def prepare(self) -> None:
        """There is none yet."""

    def begin(self) -> None:
        self.key = GuestKey("default", f"web-{time.time_ns()}")
        self.scene.create(HARESOURCES, self.key.name, writer(self.key.name), self.key.namespace)
        self.scene.judged.append(self.key)

    def over(self) -> bool:
        return self.moved()

    async def back(self) -> None:
        await self.scene.clear_away(self.key)


class Stop(Story):
    """Somebody wants the guest stopped."""

    deeds = (("DELETE", "/pods/web"),)

    def begin(self) -> None:
        self.want("Stopped")

    def over(self) -> bool:
        return self.guest.state is GuestState.STOPPED and self.scene.pod(self.key) == {}

    async def seen(self) -> None:
        await self.scene.until("the observer to see nothing run", lambda: self.scene.seen_on(self.key) == [])

    async def back(self) -> None:
        self.want("Started")
        await self.scene.until("it to run again", self.moved)
        await super().seen()

    def want(self, state: str) -> None:
        self.patch({"spec": {"state": state}})


async def kill_at_every_call(story: Story, does: str, first: int = 1, step: int = 1) -> dict[int, Call]:
    """Play the story for k = first, first + step, ... until there is no k-th call; returns which calls were met.

    And before that for each of its deeds.
    """
    await story.prepare()
    for method, path in story.deeds:
        assert await kill_at(story, does, 1, method, path) is not None, f"{method} {path} was never made"
    met: dict[int, Call] = {}
    k = first
    while (call := await kill_at(story, does, k)) is not None:
        met[k] = call
        k += step
    return met


async def kill_at(story: Story, does: str, k: int, method: str = ".*", path: str = COUNTED) -> Call | None:
    """Play the story once. Returns the call at which the leader was killed; None when there was no k-th one."""
    scene = story.scene
    await _two_managers(scene)
    leader = scene.leader()
    listed, before = scene.log(leader).count(LISTED), len(scene.front.calls())
    rule = Rule("crash", does, client=leader, method=method, path=path, watch=False, after=k - 1, times=1)
    scene.front.add(rule)
    story.begin()
    at, met = f"{does} call {k}" if path == COUNTED else f"{does} {method} {path}", None
    try:
        await scene.until("the story to end", story.over)
        await story.seen()
        met = next((one for one in scene.front.calls(before) if one.rule == "crash"), None)
        scene.front.clear("crash")
        at += f", {met.method} {met.path} of {leader}" if met is not None else ", which was never made"
        await story.back()
        await scene.until("everything to be as if nobody had been killed", lambda: blemishes(story) == [])
    except AssertionError as error:
        raise AssertionError(f"{at}: {error}\n{blemishes(story)}") from error
    if met is not None:
        await scene.until("the killed one to have listed everything", lambda: scene.log(leader).count(LISTED) > listed)
    return met


LISTED: Final = "everything was listed once"


async def _two_managers(scene: Scene) -> None:
    """One leads and has said so, and both are there."""

    def there() -> bool:
        return scene.leader() == scene.cluster().manager and all(
            scene.find(f"manager-{n}", SERVICE=f"manager-{n}") for n in (1, 2)
        )

    await scene.until("a leader and a standby", there)


def blemishes(story: Story) -> list[str]:
    """What is not as it should be after a story: half-written statuses, leftovers, tries that were counted."""
    scene, status = story.scene, story.guest
    checks: dict[str, bool] = {
        "the guest has counted a try": (status.restarts, status.failed_nodes) == (0, ()),
        "an incident is open": not any(map(scene.incident, scene.names())),
        "a taint of ours is left": not any(_tainted(scene, name) for name in scene.names()),
        "not every node is Online": all(map(scene.is_online, scene.names())),
        "the term is not the leader's": scene.cluster().term == _transitions(scene),
        "a node without the guest is held": [name for name in scene.names() if finalizers(scene.raw(NODES, name))]
        == ([status.node] if status.node else []),
        "its Pods are not as its status says": _pods(scene) == _wanted_pods(status),
    }
    return [what for what, good in checks.items() if not good]


def _tainted(scene: Scene, node: str) -> bool:
    return any(one["key"] == FENCE_TAINT for one in scene.kube_node(node)["spec"].get("taints") or [])


def _transitions(scene: Scene) -> int:
    return int(scene.raw(LEASES, f"manager-{scene.name}", "quorate-system")["spec"]["leaseTransitions"])


def _pods(scene: Scene) -> list[tuple[str, str, list[str]]]:
    """Instance, node and finalizers of every guest Pod that is not on its way out."""
    found = scene.api.get(f"{PODS.path()}?labelSelector={GUEST_LABEL}").ok()["items"]
    return [
        (one["metadata"]["annotations"][INSTANCE_ANNOTATION], one["spec"]["nodeName"], finalizers(one)) for one in found
    ]


def _wanted_pods(status: GuestStatus) -> list[tuple[str, str, list[str]]]:
    instance = status.instance
    return [] if instance is None else [(instance.id, instance.node, [INSTANCE_FINALIZER])]


MOMENTS = [pytest.param(KILL_BEFORE, id="before"), pytest.param(KILL_AFTER, id="after")]


def _today(does: str) -> int:
    """With which k to begin: another one each day, and before and after begin with different ones."""
    return (int(time.time() // 86400) + (does == KILL_AFTER)) % EVERY + 1


@pytest.mark.parametrize("does", MOMENTS)
class TestCrashPoints:
    async def test_power_loss(self, scene: Scene, does: str) -> None:
        report(scene, "power loss", does, await kill_at_every_call(PowerLoss(scene), does, _today(does), EVERY))

    async def test_relocation(self, scene: Scene, does: str) -> None:
        report(scene, "relocation", does, await kill_at_every_call(Relocation(scene), does, _today(does), EVERY))

    async def test_start(self, scene: Scene, does: str) -> None:
        report(scene, "start", does, await kill_at_every_call(Start(scene), does, _today(does), EVERY))

    async def test_stop(self, scene: Scene, does: str) -> None:
        report(scene, "stop", does, await kill_at_every_call(Stop(scene), does, _today(does), EVERY))


def report(scene: Scene, story: str, does: str, met: dict[int, Call]) -> None:
    """Said when the test fails or with -rP. A story of hardly any calls would prove nothing."""
    print(
        f"{story}, {does}: killed at {len(met)} calls, boots {[scene.machine(name)['boot'] for name in scene.names()]}"
    )
    for k, call in met.items():
        print(f"  {k:3} {call.method} {call.path}")
    assert len(met) > 8 // EVERY

"""The tick: wait until something changed or a time has come, build the World, plan, act, say one sentence.

One task for each Cluster, and one for what belongs to none. No planning before the whole store has synced, and none by a
replica that does not lead.
"""

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Final

from quorate.core import capacity
from quorate.core.actions import Plan, ProvideVolume, RemoveVolume
from quorate.core.capacity_status import CapacityStatus
from quorate.core.housekeeping import Household, tidy
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.quick import replace
from quorate.core.status import NodeStatus
from quorate.core.types import HEARD, NodeName, Stage
from quorate.core.world import NodeView, World
from quorate.kube.act import Actor
from quorate.kube.calls import ApiError, Calls, NotFound
from quorate.kube.host import THIS_HOST, Host
from quorate.kube.leader import Elector
from quorate.kube.resources import CLAIMS, OURS
from quorate.kube.store import Store
from quorate.kube.volumes import Look

log = logging.getLogger(__name__)
COALESCE_S: Final = 0.01
"""Changes come in bursts (a write, its watch event, a kubelet's answer): one round for all of them."""
LONGEST_SLEEP_S: Final = 10.0
SHORTEST_SLEEP_S: Final = 0.01
JUST_AFTER_S: Final = 0.001
AGAIN_S: Final = 0.5
SURVEY_EVERY_S: Final = 60.0
UNBOUND_AGAIN_S: Final = 1.0


class Ticker(ABC):
    """One loop. `progress_s` is when its last round ended, for /healthz."""

    cluster = ""
    every_s = 0.0
    """No round begins sooner after the one before, however much changes."""

    def __init__(self, elector: Elector, actor: Actor, store: Store) -> None:
        self.elector = elector
        self.host = elector.host
        self.actor = actor
        self.store = store
        self.wake = asyncio.Event()
        self.progress_s = store.clock()
        self.rounds = 0
        self._sentence = ""
        self._silences: tuple[tuple[NodeName, float], ...] = ()

    async def run(self) -> None:
        """Round after round until cancelled. A bug in one round is logged and the next one comes."""
        pause_s = 0.0
        while True:
            await self._sleep(pause_s)
            pause_s, self._silences = LONGEST_SLEEP_S, ()
            if self.elector.valid() and not self.has_looked():
                pause_s = AGAIN_S
            elif self.elector.valid():
                try:
                    pause_s = await self.round()
                except Exception:  # the loop is what everything depends on: it never ends by itself
                    log.exception("a round failed: the next one begins in %ss", AGAIN_S)
                    pause_s = AGAIN_S
            self.progress_s = self.store.clock()
            self.rounds += 1

    def has_looked(self) -> bool:
        """Has everything been listed since this replica was elected? A watch may lag, or be of another history."""
        return self.store.has_listed(self.elector.elected_s)

    async def _sleep(self, pause_s: float) -> None:
        """For so long at most; shorter if something changes, or a node falls silent."""
        if pause_s > 0:
            until_s = self.store.clock() + pause_s
            while True:
                due_s = min((until_s, *(self._silent_at(*one) for one in self._silences)))
                try:
                    async with asyncio.timeout(max(SHORTEST_SLEEP_S, due_s - self.store.clock())):
                        await self.wake.wait()
                    break
                except TimeoutError:
                    now_s = self.store.clock()
                    if now_s >= until_s or any(now_s >= self._silent_at(*one) for one in self._silences):
                        return
            await asyncio.sleep(max(COALESCE_S, self.progress_s + self.every_s - self.store.clock()))
        self.wake.clear()

    def _silent_at(self, name: NodeName, after_s: float) -> float:
        """When nothing new will have been seen of a node for so long. One that is not there any more has waked us."""
        beat = self.store.beats.get(name)
        return beat.seen_s + after_s + JUST_AFTER_S if beat is not None else math.inf

    async def round(self) -> float:
        """One round; how long to sleep at most after it, in seconds."""
        began_s = time.monotonic()
        made = await self.decide()
        self._silences = made.silences
        done = await self.actor.carry_out(made)
        self.actor.tally.went_round(time.monotonic() - began_s)
        if made.sentence != self._sentence:
            self._sentence = made.sentence
            log.info("%s: %s", self.elector.name, made.sentence, extra={"term": self.elector.term})
        if done.left:
            return 0.0
        if done.again:
            return AGAIN_S
        if made.wake_at_s is None:
            return LONGEST_SLEEP_S
        return min(LONGEST_SLEEP_S, max(SHORTEST_SLEEP_S, made.wake_at_s - self.store.clock()))

    @abstractmethod
    async def decide(self) -> Plan:
        """What to do now."""

    def look(self) -> World | None:
        """Everything that it decides by, as it is now; None when that is no World."""
        return None


class ClusterTicker(Ticker):
    """Plans one Cluster."""

    def __init__(self, elector: Elector, actor: Actor, store: Store, cluster: str) -> None:
        super().__init__(elector, actor, store)
        self.cluster = cluster
        self.capacity: CapacityStatus | None = None
        """What the last survey found."""
        self._survey: asyncio.Task[None] | None = None
        self._surveyed_s = float("-inf")
        self._surveyed: tuple[object, ...] = ()
        self._shape: tuple[object, ...] = ()

    def look(self) -> World | None:
        world = build_world(self.store, self.cluster, self.elector.term, self.elector.identity, self.host)
        return replace(world, capacity=self.capacity, nodes=self._answered(world)) if world is not None else None

    def _answered(self, world: World) -> tuple[NodeView, ...]:
        """The members, with what their fence devices have answered to this manager."""
        room = self.actor.deeds.power
        if room is None or not any(node.devices for node in world.nodes):
            return world.nodes
        return tuple(replace(node, reports=room.reports(node.name)) for node in world.nodes)

    async def decide(self) -> Plan:
        began_s, world = time.monotonic(), self.look()
        made = self._plan(world)
        self.actor.tally.planned(time.monotonic() - began_s)
        if world is not None and not made.statuses and not made.actions:
            self._see_to_survey(world)
        return made

    def _see_to_survey(self, world: World) -> None:
        """When nothing is to be done: what if nodes were lost now?

        Asked anew when some come or go, and when anything else has changed at most once a minute.
        """
        busy = self._survey is not None and not self._survey.done()
        if busy or not world.cluster.status.quorate:
            return
        shape, now_s = capacity.shape(world), self.store.clock()
        if shape == self._shape and now_s < self._surveyed_s + SURVEY_EVERY_S:
            return
        self._shape, self._surveyed_s, found = shape, now_s, capacity.inputs(world)
        if found != self._surveyed:
            self._surveyed = found
            self._survey = asyncio.create_task(self._look_ahead(world))

    async def _look_ahead(self, world: World) -> None:
        """Beside the rounds, in a thread: with thousands of guests it takes longer than a round may."""
        try:
            found = await self.host.beside(capacity.survey, world)
        except Exception:  # what only informs must not end what keeps guests running
            log.exception("the survey of Cluster %s failed", self.cluster)
            return
        if found != self.capacity:
            self.capacity = found
            self.wake.set()

    def _plan(self, world: World | None) -> Plan:
        if world is None:
            return Plan(sentence=f"Cluster {self.cluster} is gone")
        made = plan(world)
        heard = {name for name, _ in made.silences}
        self.store.attentive[self.cluster] = frozenset(node.name for node in world.nodes if _awaited(node, heard))
        return self._without_breaches(world, made)

    def _without_breaches(self, world: World, made: Plan) -> Plan:
        """A plan that would break an invariant is a bug: the objects it concerns are set aside, the rest goes on."""
        breaches = check(world, made)
        if not breaches:
            return made
        self.actor.tally.breached(len(breaches))
        for breach in breaches:
            text = (
                f"set aside because of a bug in Quorate, please report it: invariant {breach.invariant}: {breach.text}"
            )
            log.error("%s: %s", breach.subject, text)
            self.store.trouble(OURS[breach.subject.kind], (breach.subject.namespace, breach.subject.name), text)
        bad = {breach.subject for breach in breaches}
        kept = tuple(action for action in made.actions if action.subject not in bad)
        # That a node is to reset itself is no action but an order in its status.
        statuses = tuple(write for write in made.statuses if not (write.ref in bad and _orders_reset(write.status)))
        return replace(made, actions=kept, statuses=statuses)


def _awaited(node: NodeView, heard: Collection[NodeName]) -> bool:
    """May its next beat change what is decided, though it says nothing new?

    Not where a new boot of a fenced node is heard and held back: that ends with time, or with its silence.
    """
    incident = node.status.incident
    held_back = incident is not None and incident.stage is Stage.FENCED and node.name in heard
    return node.status.state not in HEARD and not held_back


def _orders_reset(status: object) -> bool:
    return isinstance(status, NodeStatus) and status.reset_request is not None


class HouseTicker(Ticker):
    """Tidies what belongs to no single Cluster. Nothing of that is urgent, and it looks at every guest of every Cluster."""

    every_s = 0.5

    def __init__(self, elector: Elector, actor: Actor, store: Store, api: Calls) -> None:
        super().__init__(elector, actor, store)
        self.api = api
        self.volumes = Look(api, store.clock)

    async def decide(self) -> Plan:
        guests = self.store.guests()
        storages = tuple(self.store.storages(guests))
        claims = await self._existing({view.claim for view in storages if view.claim is not None})
        house = Household(
            wall=self.host.wall(),
            clusters=tuple(view.name for view in self.store.clusters()),
            storages=storages,
            guests=guests,
            kube_nodes=tuple(self.store.kube_nodes()),
            claims=claims,
            classes=await self.volumes.classes(storages),
            sight=await self.volumes.sight(storages),
            reach={node.name: node.reach for node in self.store.nodes() if node.status.state in HEARD},
        )
        made = tidy(house)
        if any(isinstance(one, ProvideVolume | RemoveVolume) for one in made.actions):
            self.volumes.forget()
        if any(volume.problem for storage in storages for volume in storage.status.volumes):
            made = replace(made, wake_at_s=self.store.clock() + UNBOUND_AGAIN_S)  # nobody tells when a claim is bound
        return made

    async def _existing(self, claims: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        found = set()
        for namespace, name in claims:
            try:
                await self.api.get(CLAIMS.path(name, namespace))
            except NotFound:
                continue
            except ApiError as error:
                log.info("claim %s/%s: %s", namespace, name, error)
            found.add((namespace, name))
        return frozenset(found)


def build_world(store: Store, cluster: str, term: int, manager: str, host: Host = THIS_HOST) -> World | None:
    """Everything that one Cluster's decisions depend on; None when it is gone."""
    clusters = store.clusters()
    view = next((one for one in clusters if one.name == cluster), None)
    if view is None:
        return None
    everyone = store.guests()
    guests, workloads = store.workloads.split(cluster, store.guests_of(cluster), everyone)
    nodes = store.nodes()
    return World(
        now_s=store.clock(),
        wall=host.wall(),
        entropy=host.entropy(),
        term=term,
        manager=manager,
        cluster=view,
        nodes=tuple(node for node in nodes if node.cluster_name == cluster),
        guests=guests,
        workloads=workloads,
        storages=tuple(store.storages(everyone)),
        kube_nodes=tuple(store.kube_nodes()),
        claimed=tuple((node.name, node.cluster_name) for node in nodes if node.cluster_name != cluster),
        api_servers=store.api_servers,
        rewound=store.rewound_of(cluster),
        device=store.devices.get(view.spec.quorum.device.name) if view.spec.quorum.device is not None else None,
    )


def highest_term(store: Store, cluster: str) -> Callable[[], int]:
    """The largest term in any status of a Cluster, its nodes and its guests: a new leader's is larger."""

    def floor() -> int:
        return max(store.terms(cluster), default=0)

    return floor

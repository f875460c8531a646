"""Fence devices under every order of answers, silences, changes of leader and of specs: Hypothesis looks for a way to
release a node on a word that was never said, to ask a device that must not be asked, or to use one that is distrusted.

What the devices really said is kept beside the plan, by the orders that were in force.
"""

import os
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quorate.core.actions import AskDevice, TakeLease
from quorate.core.beats import saw
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.sequence import FenceDevice, Order, Power, Report, Said, Step, Verb, level_of, spec_of
from quorate.core.timing import PROFILES, Profile, TimingSpec
from quorate.core.types import EvidenceKind, Instant, Stage, Uid
from quorate.core.world import Attestation
from tests.unit.core import worlds

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6", "n7")
SLOW = PROFILES[Profile.PROXMOX]
"""Between S and T there is time for devices."""
EQUIPPED = st.sampled_from(("n1", "n2"))
DEVICES = (FenceDevice("a", "1"), FenceDevice("b", "1"), FenceDevice("c", "1", level=2))


class Fencing(RuleBasedStateMachine):
    """Seven nodes, two of them with devices and guests."""

    @initialize(power_on=st.booleans(), limit=st.integers(1, 3))
    def start(self, power_on: bool, limit: int) -> None:
        self.now_s, self.term, self.draws = worlds.NOW, 3, 0
        self.nodes = {name: worlds.node(name, beat=worlds.beat(name)) for name in NAMES}
        for name in ("n1", "n2"):
            self.nodes[name] = replace(self.nodes[name], devices=DEVICES)
        made = worlds.world(nodes=tuple(self.nodes.values()))
        timing = TimingSpec(Profile.PROXMOX)
        spec = replace(made.cluster.spec, power_on=power_on, max_concurrent=limit, timing=timing)
        self.made = replace(made, cluster=replace(made.cluster, spec=spec))
        self.silent: set[str] = set()
        self.said: dict[Order, Said] = {}
        self.asked: list[AskDevice] = []
        self.plan()

    # -- what happens

    @rule(node=st.sampled_from(NAMES))
    def falls_silent(self, node: str) -> None:
        self.silent.add(node)

    @rule(node=st.sampled_from(NAMES))
    def is_heard(self, node: str) -> None:
        self.silent.discard(node)

    @rule(nodes=st.sampled_from((("n1",), ("n2",), ("n1", "n2"))))
    def are_lost(self, nodes: tuple[str, ...]) -> None:
        self.silent.update(nodes)
        self.time_passes(90.0)

    @rule(node=EQUIPPED)
    def off_and_status_are_said(self, node: str) -> None:
        """Every device of the node does what it should."""
        for _ in range(2):
            for ask in [one for one in self.asked if one.node == node]:
                self._answer(ask, Said.ON if ask.order.verb is Verb.ON else Said.OFF)

    @rule(seconds=st.sampled_from((1.0, 5.0, 20.0, 60.0)))
    def time_passes(self, seconds: float) -> None:
        while seconds > 0:
            self.now_s, seconds = self.now_s + min(5.0, seconds), seconds - 5.0
            self._renew()
            self.plan()

    @rule(number=st.integers(0, 3), said=st.sampled_from(list(Said)))
    def answers(self, number: int, said: Said) -> None:
        if number < len(self.asked):
            self._answer(self.asked[number], said)

    def _answer(self, ask: AskDevice, said: Said) -> None:
        self.said[ask.order] = said
        node = self.nodes[ask.node]
        self.nodes[ask.node] = replace(node, reports=(*node.reports, Report(ask.order, said, self.now_s, self.now_s)))
        self.plan()

    @rule()
    def another_leads(self) -> None:
        """It has heard no answer."""
        self.term += 1
        self.nodes = {name: replace(node, reports=()) for name, node in self.nodes.items()}
        self.plan()

    @rule(node=EQUIPPED, spec=st.sampled_from(("1", "2")))
    def spec_changes(self, node: str, spec: str) -> None:
        devices = tuple(replace(one, spec=spec) if one.name == "a" else one for one in DEVICES)
        self.nodes[node] = replace(self.nodes[node], devices=devices)
        self.plan()

    @rule(node=EQUIPPED, number=st.integers(1, 3))
    def drill(self, node: str, number: int) -> None:
        self.nodes[node] = replace(self.nodes[node], drill=f"d{number}")
        self.plan()

    @rule(node=EQUIPPED)
    def boots_again(self, node: str) -> None:
        view = self.nodes[node]
        boot = int((view.beat.nonce or view.status.nonce or "n.1").rpartition(".")[2]) + 1
        self.silent.discard(node)
        self._beat(node, f"{node}.{boot}")
        self.plan()

    # -- the cluster

    def _beat(self, name: str, holder: str) -> None:
        old = self.nodes[name].beat
        said = replace(old.attestation, sequence=old.attestation.sequence + 1)
        self._saw(name, holder, said)

    def _saw(self, name: str, holder: str, said: Attestation) -> None:
        old = self.nodes[name].beat
        version = str(int(old.resource_version) + 1)
        beat = saw(old, uid=old.uid, resource_version=version, holder=holder, attestation=said, now_s=self.now_s)
        self.nodes[name] = replace(self.nodes[name], beat=beat)

    def _renew(self) -> None:
        for name in NAMES:
            holder = self.nodes[name].beat.nonce
            if name not in self.silent and holder is not None:
                self._beat(name, holder)
            else:
                beat = replace(self.nodes[name].beat, probed_s=self.now_s)
                self.nodes[name] = replace(self.nodes[name], beat=beat)

    def plan(self) -> None:
        for _ in range(12):
            self.draws += 1
            wall = Instant(worlds.WALL + round((self.now_s - worlds.NOW) * 1000))
            guests = tuple(self._guests())
            world = replace(
                self.made,
                now_s=self.now_s,
                wall=wall,
                term=self.term,
                entropy=f"{self.draws:08x}",
                nodes=tuple(self.nodes[name] for name in NAMES),
                guests=guests,
            )
            made = plan(world)
            assert check(world, made) == ()
            self.asked = [one for one in made.actions if isinstance(one, AskDevice)]
            self._judge_asked()
            nodes = [write for write in made.statuses if write.ref.name in self.nodes and write.ref.kind == "Node"]
            for write in nodes:
                self._judge_evidence(write.ref.name, write.status)
                self.nodes[write.ref.name] = replace(self.nodes[write.ref.name], status=write.status)
            taken = [one for one in made.actions if isinstance(one, TakeLease)]
            for one in taken:
                self._saw(one.node, f"fenced/{one.incident}/{one.nonce}", self.nodes[one.node].beat.attestation)
            if not nodes and not taken:
                return
        raise AssertionError("the plan never comes to rest")

    def _guests(self):
        """A guest on each node that has devices, on its boot of the beginning: enough for an incident."""
        for name in ("n1", "n2"):
            if self.nodes[name].drill or self._released(name):
                continue
            key = worlds.KEY._replace(name=f"g-{name}")
            ran = worlds.instance(name, uid=Uid(name))
            status = {"node": name, "instance": ran}
            yield replace(
                worlds.guest(status=status, pod=worlds.pod(name, uid=Uid(name))), key=key, uid=Uid(f"g-{name}")
            )

    def _released(self, name: str) -> bool:
        status = self.nodes[name].status
        return status.nonce != f"{name}.1" or (status.incident is not None and status.incident.stage is Stage.FENCED)

    # -- what must hold

    def _judge_asked(self) -> None:
        """Only a level that is not distrusted is asked to switch off, and not more at a time than may be.

        A drill may ask one that was distrusted before it: that is how it can be trusted again.
        """
        off = [one for one in self.asked if one.order.verb is not Verb.ON]
        for one in off:
            power = self.nodes[one.node].status.power or Power()
            since = 0
            if one.order.subject.startswith("d"):
                since = power.sequence.began if power.sequence is not None else 1 << 60
            known = [bad for bad in power.distrusted if bad.spec == self._spec(one.node, bad.level) and bad.at >= since]
            assert one.order.level not in {bad.level for bad in known}
        assert len({one.node for one in off}) <= max(1, self.made.cluster.spec.max_concurrent)

    def _spec(self, name: str, level: int) -> str:
        return spec_of(self.nodes[name].devices, level)

    def _judge_evidence(self, name: str, status: object) -> None:
        """PowerOff is recorded only when all devices of the level really said off, twice, to this leader for this loss."""
        before, incident = self.nodes[name].status, status.incident
        known = before.incident.evidence if before.incident is not None and incident is not None else ()
        if incident is None or before.incident is None or before.incident.id != incident.id:
            return
        if not any(one.kind is EvidenceKind.POWER_OFF for one in incident.evidence if one not in known):
            return
        sequence = before.power.sequence
        assert (sequence.term, sequence.step, sequence.nonce) == (self.term, Step.IS_OFF, incident.nonce)
        for device in level_of(self.nodes[name].devices, sequence.level):
            for verb in (Verb.OFF, Verb.STATUS):
                order = Order(
                    sequence.id,
                    self.term,
                    incident.id,
                    incident.nonce,
                    sequence.level,
                    sequence.attempt,
                    verb,
                    device.name,
                    device.spec,
                )
                assert self.said.get(order) is Said.OFF, order
        shown = {(one.level, one.spec) for one in before.power.proven}
        if (sequence.level, self._spec(name, sequence.level)) not in shown:
            age_s = self.now_s - self.nodes[name].beat.seen_s
            assert age_s >= SLOW.release_after_s, "an unproven level counted before T"
        assert sequence.level not in {one.level for one in before.power.distrusted}

    @invariant()
    def only_what_a_drill_showed_is_proven(self) -> None:
        for node in getattr(self, "nodes", {}).values():
            for one in node.status.power.proven if node.status.power is not None else ():
                assert one.lost != one.back


Fencing.TestCase.settings = settings(
    max_examples=int(os.environ.get("QUORATE_EXAMPLES", "60")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestFencing = Fencing.TestCase

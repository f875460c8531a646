"""plan() under everything that can happen to a small cluster, in every order: Hypothesis looks for a way to run a guest
twice, to act without quorum, to fence a healthy node, or to leave a guest down for ever.

The invariants of `core/invariants.py` are checked on every plan, at-most-once on the true state after every step, and at
the end everything is healed and each wanted guest must run again.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quorate.core.board import board_of
from quorate.core.load import Size, Usage
from quorate.core.quorum_options import QuorumOptions
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.types import (
    CpuPolicy,
    DisarmMode,
    Going,
    GuestKey,
    GuestState,
    Instant,
    NodeName,
    SchedulingMode,
    ShutdownPolicy,
    Wanted,
)
from quorate.core.world import AutoRebalance, Template
from tests.toy import Manager, Toy, wanted

BOTH = Guests((GuestKey("default", "a"), GuestKey("default", "b")))
RULES = [
    Rule("apart", BOTH, peers=GuestAffinity(Affinity.APART)),
    Rule("together", BOTH, peers=GuestAffinity(Affinity.TOGETHER)),
    Rule("a-strict", Guests(BOTH.names[:1]), nodes=NodeAffinity((NodePriority(NodeName("n1")),), strict=True)),
    Rule("b-first", Guests(BOTH.names[1:]), nodes=NodeAffinity((NodePriority(NodeName("n1")),))),
    Rule(
        "a-order",
        Guests(BOTH.names[:1]),
        nodes=NodeAffinity((NodePriority(NodeName("n2"), 1), NodePriority(NodeName("n3"), 2))),
    ),
    Rule(
        "both-strict",
        BOTH,
        nodes=NodeAffinity((NodePriority(NodeName("n1")), NodePriority(NodeName("n2"))), strict=True),
    ),
]
SIZES = st.sampled_from([Size(), Size(100, 1 << 30), Size(100, 3 << 30), Size(3000, 1 << 20)])
NODES = st.sampled_from(["n1", "n2", "n3"])
OPTIONS = st.sampled_from(
    [
        QuorumOptions(),
        QuorumOptions(wait_for_all=True, last_man_standing_s=10.0),
        QuorumOptions(wait_for_all=True, auto_tie_breaker=True),
    ]
)
GUESTS = st.sampled_from(["a", "b"])


class Chaos(RuleBasedStateMachine):
    """A cluster of three, two guests, and people and faults that do what they like."""

    @initialize(options=OPTIONS)
    def start(self, options: QuorumOptions) -> None:
        self.toy = Toy(3)
        self.toy.wish_quorum(options)
        self.leader: Manager = self.toy.manager()
        self.toy.run(4)
        self.keys = {name: self.toy.add_guest(name) for name in ("a", "b")}
        self.commands = 0
        self.late: tuple[Manager, object] | None = None

    # -- time

    @rule(steps=st.integers(1, 20))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.toy.step()

    @rule(steps=st.integers(1, 60))
    def time_passes_without_a_manager(self, steps: int) -> None:
        for _ in range(steps):
            self.toy.step(act=False)

    # -- nodes

    @rule(node=NODES)
    def power_off(self, node: str) -> None:
        self.toy.power_off(node)

    @rule(node=NODES)
    def power_on(self, node: str) -> None:
        self.toy.power_on(node)

    @rule(node=NODES)
    def reset(self, node: str) -> None:
        self.toy.reset(node)

    @rule(node=NODES, going=st.sampled_from(["", *Going]))
    def shut_down(self, node: str, going: str) -> None:
        if self.toy.machines[node].on:
            self.toy.shut_down(node, going)

    @rule(policy=st.sampled_from(list(ShutdownPolicy)))
    def shutdown_policy(self, policy: ShutdownPolicy) -> None:
        self.toy.set_spec(shutdown_policy=policy)

    @rule(node=NODES, up=st.booleans())
    def network(self, node: str, up: bool) -> None:
        self.toy.machines[node].network = up

    @rule(node=NODES, frozen=st.booleans())
    def freeze(self, node: str, frozen: bool) -> None:
        self.toy.machines[node].frozen = frozen and self.toy.machines[node].on

    @rule(node=NODES, alive=st.booleans())
    def agent(self, node: str, alive: bool) -> None:
        self.toy.machines[node].agent = alive

    @rule(node=NODES, alive=st.booleans())
    def kubelet(self, node: str, alive: bool) -> None:
        self.toy.machines[node].kubelet = alive

    @rule(node=NODES)
    def runtime_records_are_lost(self, node: str) -> None:
        machine = self.toy.machines[node]
        if not machine.processes:
            machine.began.clear()

    # -- objects

    @rule(name=GUESTS)
    def delete_pod_by_hand(self, name: str) -> None:
        self.toy.delete_pod_by_hand(self.keys[name])

    @rule(name=GUESTS)
    def podgc_fails_the_pod(self, name: str) -> None:
        """Phase says Failed; the containers may well run."""
        pod = self.toy.pods.get(self.keys[name])
        if pod is not None:
            self.toy._report(pod, phase="Failed", reason="NodeLost")

    @rule(name=GUESTS)
    def pod_object_vanishes(self, name: str) -> None:
        """Somebody deleted it by force and took the finalizer off, too."""
        self.toy.pods.pop(self.keys[name], None)

    @rule(name=GUESTS)
    def kubelet_guesses_an_end(self, name: str) -> None:
        self.toy.guess_end(self.keys[name])

    @rule(node=NODES, gone=st.booleans())
    def agent_is_taken_away(self, node: str, gone: bool) -> None:
        """Somebody deleted the DaemonSet: near the end of its grace period the agent disarms over running guests."""
        self.toy.machines[node].giving_up = gone

    @rule(node=NODES)
    def lease_is_deleted(self, node: str) -> None:
        self.toy.leases.pop(node, None)

    # -- people

    @rule(name=GUESTS, want=st.sampled_from(list(Wanted)))
    def set_state(self, name: str, want: Wanted) -> None:
        if self.keys[name] in self.toy.guests:
            self.toy.edit_guest(self.keys[name], wanted=want)

    @rule(name=GUESTS, node=NODES)
    def relocate(self, name: str, node: str) -> None:
        self.commands += 1
        if self.keys[name] in self.toy.guests:
            self.toy.touch_guest(self.keys[name], command=f"{self.commands} relocate {node}")

    @rule(name=GUESTS, after=st.lists(GUESTS, max_size=2, unique=True), priority=st.integers(-1, 1))
    def order(self, name: str, after: list[str], priority: int) -> None:
        if self.keys[name] in self.toy.guests:
            wished = tuple(self.keys[one] for one in after)
            self.toy.edit_guest(self.keys[name], start_after=wished, priority=priority)

    @rule(node=NODES, on=st.booleans())
    def maintenance(self, node: str, on: bool) -> None:
        if node in self.toy.nodes:
            self.toy.touch_node(node, maintenance="work" if on else None)

    @rule(name=GUESTS, version=st.integers(1, 3))
    def new_template(self, name: str, version: int) -> None:
        if self.keys[name] in self.toy.guests:
            self.toy.edit_guest(self.keys[name], template=Template(f"t{version}"))

    @rule(name=GUESTS)
    def delete_guest(self, name: str) -> None:
        view = self.toy.guests.get(self.keys[name])
        if view is not None and view.held:
            self.toy.touch_guest(self.keys[name], deleting=True)

    @rule(name=GUESTS)
    def create_guest_again(self, name: str) -> None:
        if self.keys[name] not in self.toy.guests:
            self.toy.add_guest(name)

    @rule(votes=st.integers(1, 3))
    def expected(self, votes: int) -> None:
        before = self.toy.cluster.status.override
        self.toy.expect_votes(votes, (before.generation if before else 0) + 1)

    @rule(node=NODES, right=st.booleans())
    def confirm(self, node: str, right: bool) -> None:
        """A person confirms that a node is off, and it is (or names another incident)."""
        view = self.toy.nodes.get(node)
        if view is None or view.status.incident is None:
            return
        incident = view.status.incident
        if right:
            self.toy.power_off(node)
        name = incident.id if right else "another"
        self.toy.touch_node(node, confirm=f"{name}/{incident.nonce}/admin")

    @rule(mode=st.sampled_from(list(DisarmMode)), for_s=st.sampled_from([10.0, 60.0, 3600.0]))
    def disarm(self, mode: DisarmMode, for_s: float) -> None:
        self.toy.disarm(mode, for_s)

    @rule()
    def arm(self) -> None:
        self.toy.arm()

    @rule(rules=st.lists(st.sampled_from(RULES), max_size=3, unique=True))
    def write_rules(self, rules: list[Rule]) -> None:
        self.toy.set_rules(*rules)

    @rule(
        mode=st.sampled_from(list(SchedulingMode)),
        cpu=st.sampled_from(list(CpuPolicy)),
        anew=st.booleans(),
        measured=st.lists(NODES, unique=True),
        auto=st.sampled_from([None, AutoRebalance(1, 1, 0.0, max_moves=2), AutoRebalance(20, 5, 5.0)]),
    )
    def write_scheduling(
        self, mode: SchedulingMode, cpu: CpuPolicy, anew: bool, measured: list[str], auto: AutoRebalance | None
    ) -> None:
        self.toy.set_scheduling(mode=mode, cpu=cpu, rebalance_on_start=anew, auto=auto)
        now = Instant(round(self.toy.now_s * 1000))
        self.toy.usage = {NodeName(name): Usage(Size(500, 1 << 30), now) for name in measured}

    @rule(name=GUESTS, size=SIZES, version=st.integers(1, 3))
    def resize(self, name: str, size: Size, version: int) -> None:
        if self.keys[name] in self.toy.guests:
            self.toy.edit_guest(self.keys[name], template=Template(f"t{version}", size=size))

    @rule(node=NODES, size=st.one_of(st.none(), st.just(Size(4000, 4 << 30))), others=SIZES)
    def a_node_is_smaller_than_was_thought(self, node: str, size: Size | None, others: Size) -> None:
        """And other Pods come and go on it. Every plan of the toy cluster is held to what its nodes have."""
        self.toy.touch_kube(node, size=size)
        self.toy.others[NodeName(node)] = others

    @rule(name=GUESTS, back=st.booleans())
    def failback(self, name: str, back: bool) -> None:
        if self.keys[name] in self.toy.guests:
            self.toy.edit_guest(self.keys[name], failback=back)

    # -- managers

    @rule(calls=st.integers(0, 6))
    def manager_dies_between_calls(self, calls: int) -> None:
        self.leader.act(self.leader.decide(), limit=calls)
        self._succeed()

    @rule()
    def manager_freezes_with_a_plan(self) -> None:
        """It has decided and is stopped before it acts; another one leads from now on."""
        if self.late is None:
            self.late = (self.leader, self.leader.decide())
            self._succeed()

    @precondition(lambda self: getattr(self, "late", None) is not None)
    @rule()
    def manager_thaws_and_acts(self) -> None:
        manager, made = self.late
        self.late = None
        manager.act(made)

    def _succeed(self) -> None:
        self.leader.stopped = True
        self.toy.managers.clear()
        self.leader = self.toy.manager()

    @invariant()
    def at_most_once(self) -> None:
        if hasattr(self, "toy"):
            self.toy.assert_at_most_once()

    def teardown(self) -> None:
        """Everything heals: what is wanted runs again, and nothing is left to do."""
        if not hasattr(self, "toy"):
            return
        toy = self.toy
        self.late = None
        toy.set_scheduling(mode=toy.cluster.spec.scheduling.mode)
        for name, machine in toy.machines.items():
            machine.network, machine.kubelet, machine.frozen, machine.leaving = True, True, False, False
            machine.agent, machine.giving_up, machine.going = True, False, ""
            if not machine.on:
                toy.power_on(name)
            if name in toy.nodes:
                toy.touch_node(name, maintenance=None)
            toy.touch_kube(name, size=Size(64_000, 64 << 30))
        toy.arm()
        toy.run(60)
        for name in self._unproven_by_machine():
            incident = toy.nodes[name].status.incident
            toy.touch_node(name, confirm=f"{incident.id}/{incident.nonce}/admin")
            returns = toy.nodes[name].status.returns
            if returns is not None:  # it flapped: nobody waits for it here
                toy.touch_node(name, release=f"{incident.id}/{returns.nonce}/admin")
        toy.run(60)
        for key in wanted(toy):
            status = toy.guests[key].status
            if status.state is GuestState.ERROR:
                continue
            assert status.state is GuestState.STARTED, (key, status)
            assert toy.running(key), (key, status)
            assert status.maintenance_node is None, (key, status)
        self._rules_are_honoured()

    def _rules_are_honoured(self) -> None:
        """Once all is well nobody runs against a rule, if the other one is not in Error or in other hands."""
        ours = wanted(self.toy)
        everybody = all(
            self.toy.guests[key].status.state is GuestState.STARTED for key in self.toy.guests if key in ours
        )
        board = board_of(self.toy.manager().observe())
        assert not everybody or not board.broken(), board.broken()

    def _unproven_by_machine(self) -> list[str]:
        """Incidents that only a person can end: no watchdog was armed, and no manager saw both boots."""
        return [name for name, view in self.toy.nodes.items() if view.status.incident is not None]


Chaos.TestCase.settings = settings(
    max_examples=int(os.environ.get("QUORATE_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestChaos = Chaos.TestCase

"""The cluster itself: machines with their agents, watchdogs and kubelets, faults, and the truth about what runs."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from itertools import count

from quorate.core import selffence
from quorate.core.load import Size, Usage
from quorate.core.override import ExpectedVotes
from quorate.core.pods import ContainerView
from quorate.core.quorum_options import QuorumOptions
from quorate.core.rules import Rule
from quorate.core.stopped import GUESSED, LOST
from quorate.core.storage import Reach
from quorate.core.timing import PROFILES, Profile, Timing, TimingSpec
from quorate.core.types import (
    PROTOCOL,
    WRONG_BOOT_EXIT,
    DisarmMode,
    Going,
    GuestKey,
    Instant,
    NodeName,
    Uid,
    Wanted,
    WatchdogKind,
)
from quorate.core.world import (
    Attestation,
    ClusterSpec,
    ClusterView,
    Disarm,
    GuestSpec,
    GuestView,
    KubeNode,
    NodeView,
    Scheduling,
    StorageView,
    Template,
)
from tests.toy.manager import Manager
from tests.toy.parts import FIRMWARE_S, GRACE_S, STEP_S, Copy, Lease, Machine, Pod, Process


class Toy:
    """The cluster. Everything is reachable for tests; `step` lets half a second pass, `settle` lets managers act."""

    def __init__(self, nodes: int = 3, profile: Profile = Profile.FAST) -> None:
        self.now_s = 1000.0
        self.versions = count(1)
        self.uids = count(1)
        self.timing: Timing = PROFILES[profile]
        self.machines = {
            NodeName(f"n{i}"): Machine(NodeName(f"n{i}"), booted_s=self.now_s) for i in range(1, nodes + 1)
        }
        self.kube: dict[NodeName, KubeNode] = {
            name: KubeNode(name, Uid(f"kube-{name}"), ready=True) for name in self.machines
        }
        self.leases: dict[NodeName, Lease] = {}
        self.nodes: dict[NodeName, NodeView] = {}
        self.guests: dict[GuestKey, GuestView] = {}
        self.pods: dict[GuestKey, Pod] = {}
        self.failing: set[GuestKey] = set()
        self.slow: set[GuestKey] = set()
        self.fails_on: Counter[tuple[GuestKey, NodeName]] = Counter()
        self.unstoppable: set[GuestKey] = set()
        self.rejected: set[str] = set()
        self.others: dict[NodeName, Size] = {}
        self.usage: dict[NodeName, Usage] = {}
        self.guest_usage: dict[GuestKey, Usage] = {}
        self.storages: dict[str, StorageView] = {}
        self.reach: dict[NodeName, tuple[Reach, ...]] = {}
        spec = ClusterSpec(timing=TimingSpec(profile), accepted_watchdogs=(WatchdogKind.EXTERNAL,))
        self.cluster = ClusterView("prod", Uid("cluster"), spec, resource_version=self.version())
        self.watched: set[GuestKey] = set()
        self.managers: list[Manager] = []
        self.term = count(1)

    # -- making things ----------------------------------------------------------------------------------------------

    def version(self) -> str:
        return str(next(self.versions))

    def uid(self) -> Uid:
        return Uid(f"uid-{next(self.uids)}")

    def add_guest(self, name: str = "web", **spec: object) -> GuestKey:
        key = GuestKey("default", name)
        wished = GuestSpec(**{"template": Template("t1"), **spec})  # type: ignore[arg-type]
        self.guests[key] = GuestView(key, self.uid(), wished, generation=1, resource_version=self.version())
        return key

    def edit_guest(self, key: GuestKey, **changes: object) -> None:
        """A person edits the spec."""
        view = self.guests[key]
        spec = replace(view.spec, **changes)  # type: ignore[arg-type]
        self.guests[key] = replace(view, spec=spec, generation=view.generation + 1, resource_version=self.version())

    def touch_guest(self, key: GuestKey, **changes: object) -> None:
        self.guests[key] = replace(self.guests[key], **changes, resource_version=self.version())  # type: ignore[arg-type]

    def touch_kube(self, name: str, **changes: object) -> None:
        """Somebody changes the Kubernetes node: a label, a cordon."""
        node = NodeName(name)
        self.kube[node] = replace(self.kube[node], **changes)  # type: ignore[arg-type]

    def touch_node(self, name: str, **changes: object) -> None:
        node = NodeName(name)
        self.nodes[node] = replace(self.nodes[node], **changes, resource_version=self.version())  # type: ignore[arg-type]

    def expect_votes(self, votes: int, generation: int = 1) -> None:
        self.set_spec(expected_votes=ExpectedVotes(votes, "test", generation))

    def set_rules(self, *rules: Rule) -> None:
        """A person writes spec.rules."""
        self.set_spec(rules=rules)

    def disarm(self, mode: DisarmMode = DisarmMode.FREEZE, for_s: float = 600.0) -> None:
        """A person disarms HA for a while."""
        self.set_spec(disarm=Disarm(mode, "new switch", Instant(round((self.now_s + for_s) * 1000))))

    def arm(self) -> None:
        """A person takes that back."""
        self.set_spec(disarm=None)

    def set_spec(self, **changes: object) -> None:
        """A person edits the Cluster."""
        self.cluster = replace(
            self.cluster,
            spec=replace(self.cluster.spec, **changes),  # type: ignore[arg-type]
            generation=self.cluster.generation + 1,
            resource_version=self.version(),
        )

    def set_scheduling(self, **fields: object) -> None:
        """A person writes spec.scheduling."""
        self.set_spec(scheduling=Scheduling(**fields))  # type: ignore[arg-type]

    def wish_quorum(self, options: QuorumOptions) -> None:
        """A person sets the options of `spec.quorum`."""
        self.set_spec(quorum=options)

    def manager(self) -> Manager:
        """A new leader: its term is above all before it, its clocks begin now."""
        made = Manager(self, next(self.term))
        self.managers.append(made)
        return made

    # -- faults -----------------------------------------------------------------------------------------------------

    def power_off(self, name: str) -> None:
        machine = self.machines[NodeName(name)]
        machine.on, machine.frozen, machine.boots_at_s = False, False, None
        machine.processes.clear()
        machine.petted_s = None
        machine.device = selffence.Device()

    def power_on(self, name: str) -> None:
        machine = self.machines[NodeName(name)]
        if machine.on:
            return
        machine.on, machine.boot, machine.booted_s = True, machine.boot + 1, self.now_s
        machine.guard, machine.orders = None, selffence.Orders()
        machine.began.clear()
        machine.leaving = machine.giving_up = False
        machine.going = ""
        machine.next_renewal_s = self.now_s

    def shut_down(self, name: str, going: str = Going.POWER_OFF) -> None:
        """The way down of a clean shutdown begins: the kubelet ends the guests, then the agent says farewell and goes."""
        machine = self.machines[NodeName(name)]
        machine.leaving, machine.going = True, going
        for process in machine.processes.values():
            process.stopping_s = min(process.stopping_s or self.now_s + 1.0, self.now_s + 1.0)

    def reset(self, name: str) -> None:
        """A watchdog's or a person's reset: off, and on again after the firmware."""
        self.power_off(name)
        self.machines[NodeName(name)].boots_at_s = self.now_s + FIRMWARE_S

    def copy(self) -> Copy:
        """The whole store, as it is now."""
        return Copy(
            deepcopy(self.leases),
            dict(self.nodes),
            dict(self.guests),
            deepcopy(self.pods),
            self.cluster,
            dict(self.kube),
        )

    def restore(self, copy: Copy) -> None:
        """Put an old copy back, versions and all."""
        self.leases, self.pods = deepcopy(copy.leases), deepcopy(copy.pods)
        self.nodes, self.guests, self.cluster, self.kube = (
            dict(copy.nodes),
            dict(copy.guests),
            copy.cluster,
            dict(copy.kube),
        )

    def accept_history(self) -> None:
        """A person accepts what the store says now."""
        rewind = self.cluster.status.rewind
        assert rewind is not None
        self.cluster = replace(self.cluster, accepted_history=rewind.id, resource_version=self.version())

    # -- truth ------------------------------------------------------------------------------------------------------

    def running(self, key: GuestKey) -> list[str]:
        """Where the guest's processes really run now. Frozen ones do not run."""
        return [
            machine.name
            for machine in self.machines.values()
            for process in machine.processes.values()
            if process.key == key and not machine.frozen
        ]

    def assert_at_most_once(self) -> None:
        for key in {*self.guests, *self.watched}:
            found = self.running(key)
            assert len(found) <= 1, f"{key.sid} runs on {found} at {self.now_s}"

    # -- time -------------------------------------------------------------------------------------------------------

    def step(self, act: bool = True) -> None:
        """Half a second: machines first, then every living manager."""
        self.watched.update(self.guests)
        self.now_s += STEP_S
        for machine in self.machines.values():
            self._machine(machine)
            self.assert_at_most_once()
        if act:
            for manager in self.managers:
                manager.settle()
                self.assert_at_most_once()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.step()

    def run_until(self, condition, within_s: float, what: str) -> float:
        """Step until the condition holds; how long it took, in seconds."""
        began = self.now_s
        while not condition():
            assert self.now_s - began < within_s, f"{what} did not happen within {within_s}s: {self.describe()}"
            self.step()
        return self.now_s - began

    def describe(self) -> str:
        guests = {str(key): (view.status.state, view.status.message) for key, view in self.guests.items()}
        nodes = {name: (view.status.state, view.status.message) for name, view in self.nodes.items()}
        return f"{self.cluster.status.message}\n{nodes}\n{guests}\n{self.pods}"

    def _machine(self, machine: Machine) -> None:
        if machine.petted_s is not None and self.now_s - machine.petted_s >= machine.device.timeout_s:
            self.reset(machine.name)
        if machine.boots_at_s is not None and self.now_s >= machine.boots_at_s:
            machine.boots_at_s = None
            self.power_on(machine.name)
        if not machine.on or machine.frozen:
            return
        if machine.agent and self.now_s >= machine.next_renewal_s:
            machine.next_renewal_s = self.now_s + self.timing.renew_s
            self._renew(machine)
        if machine.on and machine.kubelet:
            self._kubelet(machine)

    # -- the agent --------------------------------------------------------------------------------------------------

    def _renew(self, machine: Machine) -> None:
        guard = machine.guard or selffence.Guard(machine.nonce)
        if not machine.network:
            return
        node = self.nodes.get(machine.name)
        if node is not None:
            status = node.status
            machine.orders = selffence.Orders(
                member=True,
                generation=status.arming.generation,
                armed=status.arming.wanted,
                released=status.arming.released,
                reset=status.reset_request.nonce if status.reset_request is not None else None,
                timing=self.timing,
                asks=status.asks,
                highest_term=max(machine.orders.highest_term, status.term),
            )
        if selffence.told_to_reset(machine.orders, guard, machine.device):
            self.reset(machine.name)
            return
        lease = self.leases.get(machine.name)
        seen = None
        if lease is not None:
            sequence = lease.attestation.sequence if lease.attestation is not None else 0
            seen = selffence.LeaseSeen(lease.uid, str(lease.version), lease.holder, sequence)
        guard = selffence.looked(guard, seen)
        danger = machine.device.open or bool(machine.processes)
        verdict = selffence.judge(seen, guard, danger=danger)
        if verdict is selffence.Verdict.RESET:
            self.reset(machine.name)
            return
        if verdict is selffence.Verdict.LOST or (seen is None and not machine.orders.member):
            return
        if lease is None:
            lease = self.leases[machine.name] = Lease(self.uid(), next(self.versions))
        wanted = not machine.giving_up and selffence.wants_armed(
            machine.orders, guests_here=bool(machine.processes), leaving=machine.leaving
        )
        lease.holder, lease.version = machine.nonce, next(self.versions)
        said = self._attest(machine, lease, guard, seen, wanted)
        lease.attestation = said
        machine.guard = selffence.renewed(
            guard, selffence.LeaseSeen(lease.uid, str(lease.version), lease.holder, said.sequence)
        )
        self._device(machine, wanted, said)
        if said.drained:
            machine.agent = False
            machine.petted_s = None

    def _attest(
        self,
        machine: Machine,
        lease: Lease,
        guard: selffence.Guard,
        seen: selffence.LeaseSeen | None,
        wanted: bool,
    ) -> Attestation:
        here = set(machine.processes)
        # Of a Pod that is over and deleted, and that it never ran, a kubelet keeps nothing.
        over = {pod.view.uid for pod in self.pods.values() if pod.view.phase == "Failed" and pod.view.deleting}
        listed = {pod.view.uid for pod in self.pods.values() if pod.view.node == machine.name} - over
        return Attestation(
            lease_uid=lease.uid,
            sequence=selffence.next_sequence(guard, seen),
            armed=selffence.attested_armed(machine.device, wanted),
            watchdog=WatchdogKind.EXTERNAL,
            watchdog_s=selffence.attested_watchdog_s(machine.device, wanted, self.timing),
            timeout_s=self.timing.timeout_s,
            uptime_s=self.now_s - machine.booted_s,
            system_uuid=f"machine-{machine.name}",
            protocol=PROTOCOL,
            generation=machine.orders.generation,
            drained=machine.leaving and not here,
            left=tuple(sorted(self._ran(machine))) if machine.leaving and not here else (),
            idle=tuple(uid for uid in machine.orders.asks if uid not in here),
            gone=tuple(uid for uid in machine.orders.asks if uid not in here and uid not in listed),
            highest_term=machine.orders.highest_term,
            going=machine.going,
            rewound=guard.rewound,
        )

    def _ran(self, machine: Machine) -> set[Uid]:
        """Pods bound here whose main containers the kubelet has reported started."""
        return {
            pod.view.uid
            for pod in self.pods.values()
            if pod.view.node == machine.name and all(one.started for one in pod.view.containers if not one.init)
        }

    def _device(self, machine: Machine, wanted: bool, said: Attestation) -> None:
        device = replace(machine.device, attested_disarmed=not said.armed)
        match selffence.after_renewal(device, wanted, self.timing):
            case selffence.Step.OPEN:
                machine.device = selffence.Device(open=True, timeout_s=self.timing.watchdog_s)
                machine.petted_s = self.now_s
            case selffence.Step.CLOSE:
                machine.device = selffence.Device()
                machine.petted_s = None
            case selffence.Step.SET:
                machine.device = replace(device, timeout_s=self.timing.watchdog_s)
                machine.petted_s = self.now_s
            case selffence.Step.PET:
                machine.petted_s = self.now_s

    # -- the kubelet ------------------------------------------------------------------------------------------------

    def _kubelet(self, machine: Machine) -> None:
        for process in list(machine.processes.values()):
            ends = process.stopping_s is not None and self.now_s >= process.stopping_s
            if ends and process.key not in self.unstoppable:
                del machine.processes[process.uid]
        if not machine.network:
            return
        for process in list(machine.processes.values()):
            pod = self.pods.get(process.key)
            if (pod is None or pod.view.uid != process.uid) and process.stopping_s is None:
                process.stopping_s = self.now_s + 1.0
        for pod in list(self.pods.values()):
            if pod.view.node == machine.name:
                self._sync(machine, pod)

    def _sync(self, machine: Machine, pod: Pod) -> None:
        uid, view = pod.view.uid, pod.view
        process = machine.processes.get(uid)
        if process is not None:
            if view.deleting and process.stopping_s is None:
                process.stopping_s = self.now_s + 1.0
            state = ContainerView("main", state="running", started=True)
            self._report(pod, phase="Running", ready=pod.key not in self.slow, containers=(state,))
            return
        if uid in machine.began:  # it ran in this boot and has ended
            ended_by = "Terminated" if machine.going and not view.deleting else ""
            self._terminated(pod, 137 if view.deleting else 1, "Error", ended_by)
            return
        if all(container.state == "terminated" for container in view.containers):
            return
        if any(container.started for container in view.containers):  # it ran in another boot
            self._terminated(pod, 255, LOST)
            return
        if view.phase in {"Failed", "Succeeded"}:
            return
        if view.deleting:  # a kubelet that lists it after the deletion never starts it
            self._terminated(pod, 137, GUESSED)
            return
        if view.nonce != machine.nonce:  # the start gate
            gate = ContainerView("gate", True, "terminated", True, WRONG_BOOT_EXIT, "Error")
            waiting = ContainerView("main", state="waiting", reason="PodInitializing")
            self._report(pod, phase="Failed", containers=(gate, waiting))
            return
        machine.began.add(uid)
        fails = (pod.key, machine.name)
        if pod.key in self.failing or self.fails_on[fails] > 0:
            self.fails_on[fails] -= 1
            self._terminated(pod, 1, "Error")
        else:
            machine.processes[uid] = Process(pod.key, uid)

    def _terminated(self, pod: Pod, code: int, reason: str, ended_by: str = "") -> None:
        ended = ContainerView("main", False, "terminated", reason != GUESSED, code, reason)
        self._report(pod, phase="Failed", containers=(ended,), reason=ended_by or pod.view.reason)

    def _report(self, pod: Pod, **changes: object) -> None:
        after = replace(pod.view, **{"ready": False, **changes})  # type: ignore[arg-type]
        if after != pod.view:
            pod.version = next(self.versions)
            pod.view = replace(after, resource_version=str(pod.version))

    def guess_end(self, key: GuestKey) -> None:
        """A kubelet lost its records and assumes the end of a container that runs on."""
        if key in self.pods and any(c.started for c in self.pods[key].view.containers):
            self._terminated(self.pods[key], 137, GUESSED)

    def delete_process(self, key: GuestKey) -> None:
        """It crashes."""
        for machine in self.machines.values():
            for process in [one for one in machine.processes.values() if one.key == key]:
                del machine.processes[process.uid]

    def delete_pod_by_hand(self, key: GuestKey) -> None:
        """`kubectl delete pod`: graceful; our finalizer keeps the object."""
        if key in self.pods:
            self.end(self.pods[key])

    def end(self, pod: Pod) -> None:
        """The API server's part of a graceful deletion."""
        self._report(pod, deleting=True, stops_at_s=self.now_s + GRACE_S, ready=pod.view.ready)


def wanted(toy: Toy) -> list[GuestKey]:
    """Guests that should run."""
    return [
        key
        for key, view in toy.guests.items()
        if view.spec.wanted is Wanted.STARTED and not view.deleting and key not in toy.failing
    ]

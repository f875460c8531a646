"""A toy cluster for tests of the core: nodes, agents, kubelets, watchdogs and an API with compare-and-swap, in steps of
half a second of virtual time. Agents decide with the production self-fence code, managers with the production plan.

What really runs is known (`running`), so that at-most-once is checked against the truth and not against any status.
"""

from dataclasses import dataclass, field, replace
from itertools import count

from quorate.core import beats, selffence
from quorate.core.actions import (
    Action,
    CheckTemplate,
    CreateLease,
    CreatePod,
    Enroll,
    Plan,
    ProbeLease,
    RemovePod,
    SetFinalizer,
    SetTaint,
    StatusWrite,
    StopPod,
    TakeLease,
)
from quorate.core.invariants import check
from quorate.core.plan import plan
from quorate.core.quorum import ExpectedVotes
from quorate.core.selectors import Taint
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus
from quorate.core.stopped import GUESSED, LOST
from quorate.core.timing import PROFILES, Profile, Timing, TimingSpec
from quorate.core.types import (
    FENCE_TAINT,
    PROTOCOL,
    WRONG_BOOT_EXIT,
    GuestKey,
    Instant,
    NodeName,
    Nonce,
    Uid,
    Wanted,
    WatchdogKind,
)
from quorate.core.world import (
    Attestation,
    Beat,
    ClusterSpec,
    ClusterView,
    ContainerView,
    GuestSpec,
    GuestView,
    KubeNode,
    NodeView,
    PodView,
    Template,
    Verdict,
    World,
)

STEP_S = 0.5
FIRMWARE_S = 2.0


class Conflict(Exception):
    """The API refused: another version, another uid, or a name that is taken."""


@dataclass
class Lease:
    uid: Uid
    version: int
    holder: str = ""
    attestation: Attestation | None = None


@dataclass
class Pod:
    """A Pod object. What its kubelet last reported is in `view`."""

    view: PodView
    version: int
    key: GuestKey


@dataclass
class Process:
    """A guest that really runs."""

    key: GuestKey
    uid: Uid
    stopping_s: float | None = None


@dataclass
class Machine:
    """One node: what is true of it, whatever the API says."""

    name: NodeName
    boot: int = 1
    on: bool = True
    frozen: bool = False
    network: bool = True
    kubelet: bool = True
    agent: bool = True
    boots_at_s: float | None = None
    booted_s: float = 0.0
    petted_s: float | None = None
    device: selffence.Device = field(default_factory=selffence.Device)
    guard: selffence.Guard | None = None
    orders: selffence.Orders = field(default_factory=selffence.Orders)
    processes: dict[Uid, Process] = field(default_factory=dict)
    began: set[Uid] = field(default_factory=set)
    next_renewal_s: float = 0.0
    leaving: bool = False
    giving_up: bool = False

    @property
    def nonce(self) -> Nonce:
        return Nonce(f"{self.name}.{self.boot}")

    @property
    def reachable(self) -> bool:
        return self.on and self.network and not self.frozen


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
        self.rejected: set[str] = set()
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

    def touch_node(self, name: str, **changes: object) -> None:
        node = NodeName(name)
        self.nodes[node] = replace(self.nodes[node], **changes, resource_version=self.version())  # type: ignore[arg-type]

    def expect_votes(self, votes: int, generation: int = 1) -> None:
        wish = ExpectedVotes(votes, "test", generation)
        self.cluster = replace(
            self.cluster,
            spec=replace(self.cluster.spec, expected_votes=wish),
            generation=self.cluster.generation + 1,
            resource_version=self.version(),
        )

    def manager(self) -> "Manager":
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
        machine.next_renewal_s = self.now_s

    def reset(self, name: str) -> None:
        """A watchdog's or a person's reset: off, and on again after the firmware."""
        self.power_off(name)
        self.machines[NodeName(name)].boots_at_s = self.now_s + FIRMWARE_S

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
                timing=self.timing,
                asks=status.asks,
            )
        lease = self.leases.get(machine.name)
        seen = None
        if lease is not None:
            sequence = lease.attestation.sequence if lease.attestation is not None else 0
            seen = selffence.LeaseSeen(lease.uid, str(lease.version), lease.holder, sequence)
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
            idle=tuple(uid for uid in machine.orders.asks if uid not in here),
            gone=tuple(uid for uid in machine.orders.asks if uid not in here and uid not in listed),
        )

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
            if process.stopping_s is not None and self.now_s >= process.stopping_s:
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
            self._terminated(pod, 137 if view.deleting else 1, "Error")
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
        if pod.key in self.failing:
            self._terminated(pod, 1, "Error")
        else:
            machine.processes[uid] = Process(pod.key, uid)

    def _terminated(self, pod: Pod, code: int, reason: str) -> None:
        ended = ContainerView("main", False, "terminated", reason != GUESSED, code, reason)
        self._report(pod, phase="Failed", containers=(ended,))

    def _report(self, pod: Pod, **changes: object) -> None:
        after = replace(pod.view, **{"ready": False, **changes})  # type: ignore[arg-type]
        if after != pod.view:
            pod.version = next(self.versions)
            pod.view = replace(after, resource_version=str(pod.version))

    def guess_end(self, key: GuestKey) -> None:
        """A kubelet lost its records and assumes the end of a container that runs on."""
        if key in self.pods and any(c.started for c in self.pods[key].view.containers):
            self._terminated(self.pods[key], 137, GUESSED)

    def delete_pod_by_hand(self, key: GuestKey) -> None:
        """`kubectl delete pod`: graceful; our finalizer keeps the object."""
        if key in self.pods:
            self._report(self.pods[key], deleting=True, ready=self.pods[key].view.ready)


class Manager:
    """One manager: what it has seen of the Leases is its own; all else is in the API."""

    def __init__(self, toy: Toy, term: int) -> None:
        self.toy = toy
        self.term = term
        self.beats: dict[NodeName, Beat] = {}
        self.missing: dict[NodeName, float] = {}
        self.verdicts: dict[GuestKey, Verdict] = {}
        self.draws = count(1)
        self.stopped = False
        self.plans = 0

    def observe(self) -> World:
        toy = self.toy
        for name in toy.nodes:
            lease = toy.leases.get(name)
            if lease is None:
                self.missing.setdefault(name, toy.now_s)
                continue
            self.missing.pop(name, None)
            self.beats[name] = beats.saw(
                self.beats.get(name),
                uid=lease.uid,
                resource_version=str(lease.version),
                holder=lease.holder,
                attestation=lease.attestation,
                now_s=toy.now_s,
            )
        nodes = tuple(
            replace(
                view,
                kube=toy.kube.get(name),
                beat=self.beats.get(name) if name in toy.leases else None,
                lease_missing_s=self.missing.get(name),
                missed=self.beats.get(name) if name not in toy.leases else None,
            )
            for name, view in sorted(toy.nodes.items())
        )
        guests = tuple(
            replace(
                view,
                pod=toy.pods[key].view if key in toy.pods else None,
                verdict=self.verdicts.get(key),
            )
            for key, view in sorted(toy.guests.items())
        )
        return World(
            now_s=toy.now_s,
            wall=Instant(round(toy.now_s * 1000)),
            entropy=f"{self.term}-{next(self.draws)}-{len(toy.pods)}-{toy.now_s}",
            term=self.term,
            manager=f"manager-{self.term}",
            cluster=toy.cluster,
            nodes=nodes,
            guests=guests,
            kube_nodes=tuple(toy.kube[name] for name in sorted(toy.kube)),
            api_servers=1,
        )

    def decide(self) -> Plan:
        world = self.observe()
        made = plan(world)
        breaches = check(world, made)
        assert not breaches, breaches
        assert plan(world) == made, "the same World must give the same Plan"
        self.plans += 1
        return made

    def settle(self) -> None:
        """Plan and act until nothing is left to do now."""
        for _ in range(20):
            if self.stopped:
                return
            made = self.decide()
            done = self.act(made)
            if not done:
                return
        raise AssertionError(f"plan() does not come to rest: {made}")

    def act(self, made: Plan, limit: int | None = None) -> int:
        """Carry a plan out as the shell does; `limit` calls and the manager dies. How many calls took effect."""
        failed, calls, effective = set(), 0, 0
        for write in made.statuses:
            if limit is not None and calls >= limit:
                return effective
            calls += 1
            try:
                self._write(write)
                effective += 1
            except Conflict:
                failed.add(write.ref)
        for action in made.actions:
            if any(ref in failed for ref in action.after):
                continue
            if limit is not None and calls >= limit:
                return effective
            calls += 1
            try:
                effective += bool(self._do(action))
            except Conflict:
                continue
        return effective

    def _write(self, write: StatusWrite) -> None:
        toy, status = self.toy, write.status
        match status:
            case ClusterStatus():
                if toy.cluster.resource_version != write.resource_version:
                    raise Conflict
                toy.cluster = replace(toy.cluster, status=status, resource_version=toy.version())
            case NodeStatus():
                view = toy.nodes.get(NodeName(write.ref.name))
                if view is None or view.resource_version != write.resource_version:
                    raise Conflict
                toy.nodes[view.name] = replace(view, status=status, resource_version=toy.version())
            case GuestStatus():
                key = GuestKey(write.ref.namespace, write.ref.name)
                guest = toy.guests.get(key)
                if guest is None or guest.resource_version != write.resource_version:
                    raise Conflict
                toy.guests[key] = replace(guest, status=status, resource_version=toy.version())

    def _do(self, action: Action) -> object:
        toy = self.toy
        match action:
            case Enroll(name):
                if name in toy.nodes:
                    raise Conflict
                toy.nodes[name] = NodeView(name, toy.uid(), "prod", resource_version=toy.version())
                return True
            case CreateLease(name):
                if name in toy.leases:
                    raise Conflict
                toy.leases[name] = Lease(toy.uid(), next(toy.versions))
                return True
            case ProbeLease(name):
                if name in self.beats:
                    self.observe()
                    self.beats[name] = beats.probed(self.beats[name], toy.now_s)
                return True
            case TakeLease():
                return self._take(action)
            case SetTaint(name, incident):
                kube = toy.kube[name]
                others = tuple(taint for taint in kube.taints if taint.key != FENCE_TAINT)
                ours = (Taint(FENCE_TAINT, "NoSchedule", incident),) if incident else ()
                toy.kube[name] = replace(kube, taints=(*others, *ours))
                return toy.kube[name] != kube
            case SetFinalizer():
                return self._finalizer(action)
            case CheckTemplate(key, template_hash):
                accepted = template_hash not in toy.rejected
                self.verdicts[key] = Verdict(template_hash, accepted, "" if accepted else "spec: Invalid")
                return True
            case CreatePod():
                return self._create(action)
            case StopPod(key, uid, version):
                pod = self._judged(key, uid, version)
                toy._report(pod, deleting=True, ready=pod.view.ready)
                return True
            case RemovePod(key, uid, version):
                self._judged(key, uid, version)
                del toy.pods[key]
                return True
        raise AssertionError(action)

    def _judged(self, key: GuestKey, uid: Uid, version: str) -> Pod:
        pod = self.toy.pods.get(key)
        if pod is None or pod.view.uid != uid or pod.view.resource_version != version:
            raise Conflict
        return pod

    def _take(self, action: TakeLease) -> bool:
        lease = self.toy.leases.get(action.node)
        if action.resource_version is None:
            if lease is not None:
                raise Conflict
            lease = self.toy.leases[action.node] = Lease(self.toy.uid(), 0)
        elif lease is None or str(lease.version) != action.resource_version or lease.uid != action.uid:
            raise Conflict
        lease.version, lease.holder = next(self.toy.versions), f"fenced/{action.incident}/{action.nonce}"
        return True

    def _finalizer(self, action: SetFinalizer) -> bool:
        toy, ref = self.toy, action.subject
        if ref.kind == "HAResource":
            key = GuestKey(ref.namespace, ref.name)
            if key not in toy.guests:
                raise Conflict
            toy.touch_guest(key, held=action.present)
            if not action.present and toy.guests[key].deleting:
                del toy.guests[key]
        elif ref.kind == "Node":
            toy.touch_node(ref.name, held=action.present)
        else:
            toy.cluster = replace(toy.cluster, held=action.present, resource_version=toy.version())
        return True

    def _create(self, action: CreatePod) -> bool:
        toy, key, instance = self.toy, action.guest, action.instance
        if key in toy.pods or key not in toy.guests:
            raise Conflict
        version = next(toy.versions)
        view = PodView(
            uid=toy.uid(),
            resource_version=str(version),
            node=instance.node,
            owner=toy.guests[key].uid,
            instance=instance.id,
            nonce=instance.nonce,
            template_hash=instance.template_hash,
            held=True,
            containers=(ContainerView("gate", init=True), ContainerView("main")),
        )
        toy.pods[key] = Pod(view, version, key)
        return True


def wanted(toy: Toy) -> list[GuestKey]:
    """Guests that should run."""
    return [
        key
        for key, view in toy.guests.items()
        if view.spec.wanted is Wanted.STARTED and not view.deleting and key not in toy.failing
    ]

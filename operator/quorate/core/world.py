"""The World: one frozen look at everything that one Cluster's decisions depend on. Time is a field of it.

Views are what `kube/observe.py` (and the simulator) make of objects; lists are tuples sorted by name, so that the same
world always gives the same plan. `now_s` is this manager's own clock and proves things; `wall` is only written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.core.capacity_status import CapacityStatus
from quorate.core.device import DeviceBeat
from quorate.core.load import NOTHING, Size, Usage
from quorate.core.machines import MachineView
from quorate.core.override import ExpectedVotes
from quorate.core.pods import PodView
from quorate.core.quick import quick
from quorate.core.quorum_options import QuorumOptions
from quorate.core.rules import Rule
from quorate.core.selectors import NodeTerm, Selector, Taint, Toleration
from quorate.core.sequence import FenceDevice, Health, Report
from quorate.core.status import ClusterStatus, GuestStatus, Incident, NodeStatus, StorageStatus
from quorate.core.storage import NfsExport, Reach, VolumeClass
from quorate.core.timing import TimingSpec
from quorate.core.types import (
    Content,
    CpuPolicy,
    DisarmMode,
    EvidenceKind,
    GuestKey,
    InstanceId,
    Instant,
    NodeName,
    Nonce,
    OnLoss,
    RebalanceMethod,
    SchedulingMode,
    ShutdownPolicy,
    StopTimeoutPolicy,
    StorageType,
    Uid,
    UpdatePolicy,
    Wanted,
    WatchdogKind,
)
from quorate.core.workloads import KubeletLook, Matched, VolumesLook, WorkloadTarget


@quick
@dataclass(frozen=True, slots=True)
class Attestation:
    """What an agent says of its node with each renewal (annotation `quorate.dev/attestation` of the Lease).

    `drained`: it goes with its host, and no guest runs; of those in `left` (at most MAX_LEFT) every container had been
    started before, so that none can start any more. Of the Pods it was asked about, `idle` have no process left, and
    `gone` are unknown to the kubelet as well.
    `rewound`: it once found its Lease older than this sequence, which had been confirmed to it (0: never in this boot).
    `going`: the host goes down, and what comes then (`Going`); "" while it does not.
    `trouble`: what is wrong with its watchdog, and what to do; "" while nothing is.
    `latency_s`: 99 of 100 renewals of the last ten minutes took less; 0 until ten minutes are over.
    """

    lease_uid: Uid
    sequence: int
    armed: bool
    watchdog: str
    watchdog_s: float
    timeout_s: float
    uptime_s: float
    system_uuid: str
    protocol: int
    generation: int
    highest_term: int = 0
    highest_sequence: int = 0
    shared_kernel: bool = False
    drained: bool = False
    left: tuple[Uid, ...] = ()
    idle: tuple[Uid, ...] = ()
    gone: tuple[Uid, ...] = ()
    rewound: int = 0
    latency_s: float = 0.0
    going: str = ""
    trouble: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Sighting:
    """One holder of a Lease as this manager saw it.

    When its first and its last new sequence were seen, its uptime at first sight, and the largest sequence.
    """

    holder: str
    first_s: float
    last_s: float
    uptime_s: float
    sequence: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Beat:
    """A node's Lease as this manager has seen it.

    `seen_s`: when this manager first saw this (holder, sequence). `moved`: it has seen that pair change, so the holder
    was alive then; before, it has only found an object. `probed_s`: when a live GET last confirmed the version.
    """

    uid: Uid
    resource_version: str
    holder: str
    attestation: Attestation | None
    seen_s: float
    moved: bool
    probed_s: float | None = None
    sightings: tuple[Sighting, ...] = ()

    @property
    def fenced(self) -> tuple[str, Nonce] | None:
        """(incident, nonce) when a manager has taken this Lease, else None."""
        if not self.holder.startswith("fenced/"):
            return None
        parts = self.holder.split("/")
        return (parts[1], Nonce(parts[2])) if len(parts) == 3 else None

    def lives(self, incident: Incident) -> bool:
        """Has the incident's own boot renewed since the incident opened? (A drained one has said farewell instead.)"""
        said = self.attestation if self.nonce == incident.nonce else None
        return said is not None and said.sequence > incident.sequence and not said.drained

    def held_by_another(self, nonce: Nonce) -> bool:
        """Does another boot than this one hold the Lease?"""
        return self.nonce not in {None, nonce}

    @property
    def nonce(self) -> Nonce | None:
        """The boot that holds the Lease, None while nobody or a manager does."""
        return Nonce(self.holder) if self.holder and self.fenced is None else None

    def sighting(self, holder: str) -> Sighting | None:
        return next((s for s in self.sightings if s.holder == holder), None)


@dataclass(frozen=True, slots=True)
class KubeNode:
    """The core/v1 Node of the same name. `ready` is the kubelet's word, None when it never spoke; `size` is what it can
    allocate, None when it does not say. `remediator`: who else would take a machine that is lost in hand, "" if nobody.
    `boot_id`: the kernel's boot that the kubelet told of last.
    """

    name: NodeName
    uid: Uid
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    ready: bool | None = None
    size: Size | None = None
    remediator: str = ""
    boot_id: str = ""

    @property
    def control_plane(self) -> bool:
        return any(
            taint.key == "node-role.kubernetes.io/control-plane" and taint.effect == "NoSchedule"
            for taint in self.taints
        )


@quick
@dataclass(frozen=True, slots=True)
class NodeView:
    """A member: its CR, the Kubernetes node of that name (None: gone) and its Lease (None: missing).

    `missed`: the last version that this manager saw of a Lease that is missing now. `maintenance`: why its guests are to
    leave it; None: they are not.
    `drill`: the id of the newest drill that is asked for. `reports`: what became of the orders to its `devices`, as far as
    this manager gave them. `health`: what the devices said when they were last looked after.
    `zone`: as its spec says, "" if not. `others`: what Pods that are no guests request on it, None while nobody has looked;
    `usage`: what metrics.k8s.io says is used of it. `reach`: what the agent of the boot that renews says of Storages.
    `kubelet`: its kubelet's own Lease when it was last looked at.
    """

    name: NodeName
    uid: Uid
    cluster_name: str
    votes: int = 1
    status: NodeStatus = field(default_factory=NodeStatus)
    generation: int = 0
    resource_version: str = ""
    confirm: str = ""
    release: str = ""
    drill: str = ""
    devices: tuple[FenceDevice, ...] = ()
    reports: tuple[Report, ...] = ()
    health: tuple[Health, ...] = ()
    maintenance: str | None = None
    deleting: bool = False
    held: bool = False
    kube: KubeNode | None = None
    beat: Beat | None = None
    lease_missing_s: float | None = None
    missed: Beat | None = None
    zone: str = ""
    trouble: str = ""
    others: Size | None = None
    usage: Usage | None = None
    reach: tuple[Reach, ...] = ()
    kubelet: KubeletLook | None = None

    @property
    def remediator(self) -> str:
        """Who else would take the machine in hand, "" if nobody."""
        return self.kube.remediator if self.kube is not None else ""

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Those of its Kubernetes node; none while there is none."""
        return self.kube.taints if self.kube is not None else ()


@dataclass(frozen=True, slots=True)
class Template:
    """What placement must know of a pod template: `size` is what it requests. `problem` names a field that cannot be
    honoured, and the remedy.
    """

    hash: str
    node_selector: tuple[tuple[str, str], ...] = ()
    node_terms: tuple[NodeTerm, ...] | None = None
    tolerations: tuple[Toleration, ...] = ()
    problem: str = ""
    size: Size = NOTHING


@dataclass(frozen=True, slots=True)
class Mount:
    storage: str
    path: str


@quick
@dataclass(frozen=True, slots=True)
class GuestSpec:
    """`workload`: it protects what others run, and has no template. `machine`: the name of the VirtualMachine it is."""

    template: Template
    cluster_name: str = ""
    wanted: Wanted = Wanted.STARTED
    max_restart: int = 1
    max_relocate: int = 1
    start_timeout_s: float = 300.0
    stop_timeout_s: float = 60.0
    stop_timeout_policy: StopTimeoutPolicy = StopTimeoutPolicy.WAIT
    update_policy: UpdatePolicy = UpdatePolicy.RECREATE
    mounts: tuple[Mount, ...] = ()
    priority: int = 0
    start_after: tuple[GuestKey, ...] = ()
    failback: bool = True
    workload: WorkloadTarget | None = None
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server said to a dry run of a template: accepted, or refused in its own words."""

    template_hash: str
    accepted: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server would not make the Pod of this instance. `permanent`: it never will (the template is invalid)."""

    instance: InstanceId
    permanent: bool
    message: str


@quick
@dataclass(frozen=True, slots=True)
class GuestView:
    """A guest, its Pod and, where it is measured, what it uses. `machine`: what was seen of it, if it is one."""

    key: GuestKey
    uid: Uid
    spec: GuestSpec
    status: GuestStatus = field(default_factory=GuestStatus)
    generation: int = 0
    resource_version: str = ""
    command: str = ""
    deleting: bool = False
    held: bool = False
    pod: PodView | None = None
    verdict: Verdict | None = None
    refusal: Refusal | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""
    usage: Usage | None = None
    created: Instant | None = None
    machine: MachineView | None = None


@quick
@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A protected workload: its HAResource, and what belongs to that.

    `matched`: None while its namespace has not been listed yet. `volumes`: what was last found of its claims.
    """

    guest: GuestView
    matched: Matched | None = None
    volumes: VolumesLook | None = None


@quick
@dataclass(frozen=True, slots=True)
class StorageView:
    """A Storage. `used_by` lists the sids of every guest that names it, of all Clusters.

    `trouble`: why something that was to be done with it failed, in the API server's words.
    """

    name: str
    uid: Uid
    type: StorageType
    nodes: Selector | None = None
    namespaces: tuple[str, ...] = ()
    claim: tuple[str, str] | None = None
    nfs: NfsExport | None = None
    volume_class: VolumeClass | None = None
    path: str = ""
    content: tuple[Content, ...] = (Content.IMAGES, Content.ROOT_DIR)
    on_loss: OnLoss = OnLoss.IGNORE
    disabled: bool = False
    status: StorageStatus = field(default_factory=StorageStatus)
    generation: int = 0
    resource_version: str = ""
    deleting: bool = False
    held: bool = False
    used_by: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class AutoRebalance:
    """When running guests move for the load. `threshold` and `margin` in percent; `max_moves`: at once."""

    threshold: int = 30
    margin: int = 10
    hold_s: float = 30.0
    method: RebalanceMethod = RebalanceMethod.BRUTE_FORCE
    max_moves: int = 1


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How a node is chosen.

    `rebalance_on_start`: anew when a person starts a guest, not the node where it ran before. `auto`: running guests move;
    None: they do not.
    """

    mode: SchedulingMode = SchedulingMode.BASIC
    cpu: CpuPolicy = CpuPolicy.LIMIT
    rebalance_on_start: bool = False
    auto: AutoRebalance | None = None


@dataclass(frozen=True, slots=True)
class Disarm:
    """A person takes HA's hands off for a while."""

    mode: DisarmMode
    reason: str
    until: Instant


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    node_selector: Selector | None = None
    expected_votes: ExpectedVotes | None = None
    quorum: QuorumOptions = field(default_factory=QuorumOptions)
    timing: TimingSpec = field(default_factory=TimingSpec)
    disarm: Disarm | None = None
    accepted_evidence: tuple[EvidenceKind, ...] = tuple(EvidenceKind)
    accepted_watchdogs: tuple[WatchdogKind, ...] = (WatchdogKind.HARDWARE, WatchdogKind.SOFTDOG)
    hold_back_s: float = 60.0
    scheduling: Scheduling = field(default_factory=Scheduling)
    tolerate_node_failures: int = 1
    rules: tuple[Rule, ...] = ()
    shutdown_policy: ShutdownPolicy = ShutdownPolicy.CONDITIONAL
    freeze_timeout_s: float = 900.0
    start_without_proof: bool = False
    max_concurrent: int = 1
    power_on: bool = True


@quick
@dataclass(frozen=True, slots=True)
class ClusterView:
    name: str
    uid: Uid
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    status: ClusterStatus = field(default_factory=ClusterStatus)
    generation: int = 0
    resource_version: str = ""
    accepted_history: str = ""
    deleting: bool = False
    held: bool = False


@quick
@dataclass(frozen=True, slots=True)
class World:
    """Everything `plan()` may know.

    `entropy` is drawn by the shell for each World (the one source of new ids). `term` is this leader's; 0: not leading.
    `kube_nodes` are all Kubernetes nodes; `claimed` says which of them belong to other Clusters. `rewound`: how this
    manager found the store to be older than it had read it before. `device`: the Lease of the quorum device. `capacity`:
    what the last survey found.
    """

    now_s: float
    wall: Instant
    entropy: str
    term: int
    manager: str
    cluster: ClusterView
    nodes: tuple[NodeView, ...] = ()
    guests: tuple[GuestView, ...] = ()
    workloads: tuple[WorkloadView, ...] = ()
    storages: tuple[StorageView, ...] = ()
    kube_nodes: tuple[KubeNode, ...] = ()
    claimed: tuple[tuple[NodeName, str], ...] = ()
    api_servers: int = 0
    rewound: str = ""
    device: DeviceBeat | None = None
    capacity: CapacityStatus | None = None

    def after(self, moment: Instant) -> float:
        """Just after a moment of the wall clock, by this manager's own clock; now if it is over."""
        return self.now_s + max(0, moment - self.wall) / 1000 + 0.001

    def node(self, name: NodeName) -> NodeView | None:
        """The member of that name, None if there is none."""
        return next((one for one in self.nodes if one.name == name), None)

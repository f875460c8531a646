"""The Plan: statuses to write, deeds to do after them, notes for people, and when to look again.

Each deed names the statuses that must have been written before it (`after`) and carries the precondition under which it
is still right (uid, resourceVersion). `kube/act.py` carries them out and decides nothing.
"""

from dataclasses import dataclass
from typing import TypeAlias

from quorate.core.quick import quick
from quorate.core.sequence import Order
from quorate.core.status import ClusterStatus, GuestStatus, Instance, NodeStatus, StorageStatus
from quorate.core.storage import Volume
from quorate.core.types import GuestKey, IncidentId, InstanceId, NodeName, Nonce, Ref, Uid, node_ref


@quick
@dataclass(frozen=True, slots=True)
class StatusWrite:
    """Replace an object's status, by compare-and-swap on the version that was judged."""

    ref: Ref
    resource_version: str
    status: ClusterStatus | NodeStatus | GuestStatus | StorageStatus


@dataclass(frozen=True, slots=True)
class NodeAction:
    """A deed on a node. Deeds on one subject are done in order; `after` lists the statuses it depends on."""

    node: NodeName

    @property
    def subject(self) -> Ref:
        return node_ref(self.node)

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject,)


@dataclass(frozen=True, slots=True)
class Enroll(NodeAction):
    """Make the Node CR of a Kubernetes node that the Cluster selects (join)."""

    cluster: str


@dataclass(frozen=True, slots=True)
class CreateLease(NodeAction):
    """Make a member's Lease at enrolment, held by nobody."""


@dataclass(frozen=True, slots=True)
class ProbeLease(NodeAction):
    """Read the Lease from the API server itself: a watch that stalled is not a node that died."""


@dataclass(frozen=True, slots=True)
class TakeLease(NodeAction):
    """Take the Lease away by compare-and-swap on the version judged: the one deed that fences.

    `resource_version` None: the Lease is missing, create it as fenced.
    """

    incident: IncidentId
    nonce: Nonce
    uid: Uid | None
    resource_version: str | None


@dataclass(frozen=True, slots=True)
class GiveLease(NodeAction):
    """Let the fenced boot have its Lease again, by compare-and-swap: a person lets it come back without a reboot."""

    incident: IncidentId
    nonce: Nonce
    uid: Uid
    resource_version: str


@dataclass(frozen=True, slots=True)
class AskDevice(NodeAction):
    """Ask a fence device of the node something, once; it goes on until it is answered or left out of a plan.

    Just before `Off` the manager's Lease, the recorded sequence and the node's Lease are read live: no later one than
    `heard` may be in it.
    """

    order: Order
    timeout_s: float
    heard: int


@dataclass(frozen=True, slots=True)
class SetTaint(NodeAction):
    """Keep the scheduler away from a node in an incident (NoSchedule), or (incident None) let it come back.

    `evict`: also whatever runs there (NoExecute), so that a kubelet that comes back starts none of it. `out_of_service`:
    and say in Kubernetes' own word that the node is off, so that its volumes are detached.
    """

    incident: IncidentId | None
    evict: bool = False
    out_of_service: bool = False


@dataclass(frozen=True, slots=True)
class ProbeKubelet(NodeAction):
    """Read the kubelet's own Lease from the API server itself, for this incident."""

    incident: IncidentId


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Add or remove our finalizer on one of our own objects, by compare-and-swap."""

    subject: Ref
    finalizer: str
    present: bool

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject,)


@dataclass(frozen=True, slots=True)
class StorageAction:
    """A deed for a Storage, on the volume and the claim that its status has recorded."""

    subject: Ref
    volume: Volume

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject,)


@dataclass(frozen=True, slots=True)
class ProvideVolume(StorageAction):
    """Make what is missing of them. `claim`: the uid of the claim that is there already, for the volume to be held for."""

    claim: Uid | None


@dataclass(frozen=True, slots=True)
class RemoveVolume(StorageAction):
    """Delete exactly these, where they are given. The data stays on the server: the volume is retained."""

    volume_uid: Uid | None
    claim_uid: Uid | None


@dataclass(frozen=True, slots=True)
class GuestAction:
    """A deed on a guest."""

    guest: GuestKey

    @property
    def subject(self) -> Ref:
        return self.guest.ref

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject,)


@dataclass(frozen=True, slots=True)
class CheckTemplate(GuestAction):
    """Ask the API server by a dry run whether it takes this template; keep it as a revision when it does."""

    template_hash: str


@dataclass(frozen=True, slots=True)
class CreatePod(GuestAction):
    """Start an instance that the status already names."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class StopPod(GuestAction):
    """Delete gracefully, with the Pod's own grace period. The object stays until `RemovePod`."""

    uid: Uid
    resource_version: str


@dataclass(frozen=True, slots=True)
class RemovePod(GuestAction):
    """The instance has stopped as a fact: delete what is left of the Pod, take our finalizer off.

    `fact` says how that is known. `forced`: on evidence about the node, whose kubelet will not answer (grace 0).
    """

    uid: Uid
    resource_version: str
    fact: str
    forced: bool = False
    proof: tuple[Ref, ...] = ()

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject, *self.proof)


@dataclass(frozen=True, slots=True)
class EvictPod(GuestAction):
    """Delete a protected workload's Pod gracefully: a kubelet that lists it after that does not start it."""

    pod: str
    uid: Uid
    resource_version: str
    node: NodeName

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject, node_ref(self.node))


@dataclass(frozen=True, slots=True)
class RemoveStuckPod(GuestAction):
    """Delete it with grace 0, unless its kubelet has given any sign of life since its node was lost.

    The kubelet's Lease, its boot and the Pod's containers are compared just before, and the kubelet's just after.
    """

    pod: str
    uid: Uid
    resource_version: str
    node: NodeName
    incident: IncidentId
    lease: str
    boot_id: str
    marks: str

    @property
    def after(self) -> tuple[Ref, ...]:
        return (self.subject, node_ref(self.node))


@dataclass(frozen=True, slots=True)
class MachineAction(GuestAction):
    """A deed on the VirtualMachine of a guest: one patch of exactly the version that was judged."""

    name: str
    uid: Uid
    resource_version: str


@dataclass(frozen=True, slots=True)
class RunMachine(MachineAction):
    """Let KubeVirt start it once, as an instance that the status already names; its launcher waits to be bound."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class TakeMachine(MachineAction):
    """It runs: take its run strategy over, so that KubeVirt does not start it again by itself."""


@dataclass(frozen=True, slots=True)
class HaltMachine(MachineAction):
    """Let KubeVirt stop it gracefully, and start nothing of it."""


@dataclass(frozen=True, slots=True)
class ReturnMachine(MachineAction):
    """Give its run strategy back."""

    strategy: str


@dataclass(frozen=True, slots=True)
class BeginMigration(GuestAction):
    """Let KubeVirt migrate it live, as a migration that the status already names; its target waits to be bound."""

    name: str
    machine: str
    migration: InstanceId


@dataclass(frozen=True, slots=True)
class EndMigration(GuestAction):
    """Call a migration off. What has been handed over already stays where it is."""

    name: str
    uid: Uid


@dataclass(frozen=True, slots=True)
class BindLauncher(GuestAction):
    """Bind exactly that launcher, which the status already names, to the node of its instance."""

    pod: str
    uid: Uid
    resource_version: str
    node: NodeName
    instance: InstanceId


@dataclass(frozen=True, slots=True)
class LookAtVolumes(GuestAction):
    """Read where these claims are attached."""

    node: NodeName
    incident: IncidentId
    claims: tuple[str, ...]


Action: TypeAlias = (
    Enroll
    | CreateLease
    | ProbeLease
    | TakeLease
    | GiveLease
    | AskDevice
    | SetTaint
    | ProbeKubelet
    | SetFinalizer
    | ProvideVolume
    | RemoveVolume
    | CheckTemplate
    | CreatePod
    | StopPod
    | RemovePod
    | EvictPod
    | RemoveStuckPod
    | RunMachine
    | TakeMachine
    | HaltMachine
    | ReturnMachine
    | BeginMigration
    | EndMigration
    | BindLauncher
    | LookAtVolumes
)


@quick
@dataclass(frozen=True, slots=True)
class Note:
    """An Event: a CamelCase reason and one sentence, on one object."""

    ref: Ref
    reason: str
    message: str
    warning: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a guest may not run on a node."""

    node: NodeName
    reason: str


@quick
@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    `wake_at_s`: look again then at the latest (manager's clock), even if nothing happens. `silences`: look again as soon as
    nothing new has been seen of one of these nodes for so many seconds; a heartbeat that says nothing else puts that off.
    """

    statuses: tuple[StatusWrite, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    sentence: str = ""
    wake_at_s: float | None = None
    silences: tuple[tuple[NodeName, float], ...] = ()

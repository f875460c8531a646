"""Node (`qn`): one member of a Cluster, named like the Kubernetes node it stands for."""

from typing import Annotated, ClassVar

from pydantic import Field

from quorate.api.common import Column, Conditions, Model, Name, Proof, Resource, Timestamp, rule, schema_extra
from quorate.api.fencing import NodeFencing, PowerModel
from quorate.core.types import MAX_LEFT, Going, NodeState, Stage


class MaintenanceSpec(Model):
    """Work on the node (Proxmox: node-maintenance)."""

    enabled: bool
    """Whether its guests are to leave it, and none is to start there."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    """Why, for whoever looks."""


class NodeSpec(Model):
    """What is wished."""

    cluster_name: Annotated[
        Name, schema_extra(**{"x-kubernetes-validations": [rule("self == oldSelf", "clusterName is immutable")]})
    ]
    """The Cluster it votes in. It cannot be changed: delete the Node to let it join another one."""
    votes: Annotated[int, Field(ge=0, le=100)] = 1
    """Its votes. 0 is allowed: it runs guests and does not count."""
    maintenance: MaintenanceSpec | None = None
    """Its guests move to other nodes and come back when this ends. It goes on voting."""
    fencing: NodeFencing = NodeFencing()
    """How it is switched off from outside when it is lost."""
    zone: Annotated[str, Field(max_length=63)] = ""
    """Its failure domain, for rules by zone. Absent: the label topology.kubernetes.io/zone of its Kubernetes node."""


class EvidenceModel(Model):
    """One proof that a boot runs no guests any more."""

    kind: Proof
    """What kind of proof."""
    at: Timestamp
    """When it was found."""
    sequence: int
    """The sequence of the node's Lease that it was judged by."""
    detail: Annotated[str, Field(max_length=1024)]
    """In words."""
    pods: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_LEFT)] = []
    """Of Drained: the Pods (uids) that had been started and have no process left. It releases no other."""


class AttemptModel(Model):
    """A kind of proof that has not proven the loss."""

    kind: Proof
    """What kind of proof."""
    why: Annotated[str, Field(max_length=1024)]
    """What it waits for, or why it does not count."""


class KubeletModel(Model):
    """What the node's kubelet was last known to do."""

    lease: Annotated[str, Field(max_length=128)]
    """Uid and version of its own Lease."""
    boot_id: Annotated[str, Field(max_length=128)] = ""
    """The kernel's boot, where it was looked at again."""
    again: bool = False
    """It was alive after the node was lost, and has been silent since, while other proof says that the node is off."""
    words: int = 0
    """Proofs that the node is off, when its Lease was looked up after the last of them."""
    found: Annotated[str, Field(max_length=128)] = ""
    """What that was. Another one shows that the machine is on again, and those proofs count no more."""


class IncidentModel(Model):
    """One loss of one boot of the node."""

    id: Annotated[str, Field(max_length=128)]
    """Names the incident."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot that was lost."""
    opened: Timestamp
    """When."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why."""
    stage: Stage
    """Suspected; Proven: there is evidence; Fenced: its Lease was taken and its guests are released; Released: a person
    lets that boot come back without a reboot."""
    sequence: int
    """The last sequence heard from the lost boot."""
    term: int
    """The leader's term that opened it."""
    release_by: Timestamp | None = None
    """The latest moment at which the guests are released, where an armed watchdog bounds it."""
    in_service: bool = False
    """Its Kubernetes node has been seen without the taint node.kubernetes.io/out-of-service since then."""
    evidence: Annotated[list[EvidenceModel], Field(max_length=16)] = []
    """What was found so far."""
    tried: Annotated[list[AttemptModel], Field(max_length=16)] = []
    """What else was tried, as of the last look before it was proven."""
    kubelet: KubeletModel | None = None
    """As of when the node was lost; only where Pods of protected workloads are."""


class ReturnsModel(Model):
    """How often a lost node has come back lately."""

    number: int
    """How many returns. Each quiet hour takes one off."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot that came back last."""
    at: Timestamp
    """When it did."""
    until: Timestamp
    """No guest starts there before; from the second return within an hour on, and longer each time."""


class WatchdogModel(Model):
    """What the agent attested last."""

    kind: Annotated[str, Field(max_length=64)]
    """Hardware, Softdog, VirtualHardware, VirtualSoftdog or External."""
    armed: bool
    """Whether it resets the node when it is not petted."""
    timeout: str
    """Its time-out as read back from the device."""
    renewal_timeout: str
    """The agent's time-out for one renewal."""
    shared_kernel: bool = False
    """Whether the node shares its kernel with others (kind, lab): the start gate then asks the agent."""
    generation: int = 0
    """Of the arming request that it answered."""


class ArmingModel(Model):
    """The request to the agent to hold an armed watchdog."""

    generation: int
    """Grows with every change of mind."""
    wanted: bool
    """Whether to be armed."""
    since: Timestamp | None = None
    """When it was asked; a node that does not arm in time is not chosen for new starts."""
    failed: bool = False
    """It did not arm in time, and has not armed since: it is chosen only where no other node is left."""
    released: bool = False
    """HA is disarmed: the watchdog is to be let go even while guests run."""
    tries: int = 0
    """How often in a row it was asked and did not arm in time. The pause after each grows, from 30 s to an hour."""
    tried: Timestamp | None = None
    """When that was found last."""


class ResetRequestModel(Model):
    """The request to the agent of one boot to reset its node."""

    id: Annotated[str, Field(max_length=128)]
    """Names the request."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot that is to end."""
    guest: Annotated[str, Field(max_length=256)]
    """The guest that does not stop there."""
    at: Timestamp
    """When it was asked."""
    failed: bool = False
    """That boot did not obey, and is not asked again."""


class OrdersModel(Model):
    """The times the agent is to work by."""

    renew_every: str
    """r."""
    timeout: str
    """d."""
    watchdog: str
    """W."""


class ProbeModel(Model):
    """A Storage that the agent is to look at."""

    id: Annotated[str, Field(max_length=64)]
    """The uid of the Storage."""
    storage: Annotated[str, Field(max_length=253)]
    """Its name."""
    server: Annotated[str, Field(max_length=253)]
    """Host name or address of the NFS server."""
    export: Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x20]*$")]
    """The directory that it is to export."""
    port: int
    """Where NFS answers, over TCP."""
    mount_port: int = 0
    """Where mountd answers; 0: the portmapper is asked."""
    versions: Annotated[list[int], Field(max_length=4)] = []
    """The versions of NFS of which one is enough."""


class NodeStatusModel(Model):
    """What was seen and done."""

    state: NodeState = NodeState.UNKNOWN
    """Online; Maintenance: its guests leave it; Unknown: no heartbeat; Fence: lost with guests, waiting for proof or
    return; Gone: Kubernetes does not know it."""
    since: Timestamp | None = None
    """Since when."""
    votes: int = 0
    """Its votes as they count now."""
    nonce: Annotated[str | None, Field(max_length=128)] = None
    """Names the current boot."""
    system_uuid: Annotated[str, Field(max_length=128)] = ""
    """Names the machine."""
    agent_protocol: int = 0
    """The protocol that its agent speaks."""
    watchdog: WatchdogModel | None = None
    """What its agent attested of the watchdog."""
    watchdog_text: str = ""
    """The same in words."""
    arming: ArmingModel | None = None
    """What the agent is asked for."""
    orders: OrdersModel | None = None
    """The times the agent is to work by."""
    asks: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=1024)] = []
    """Pods of which the agent is asked to attest that nothing runs any more."""
    probes: Annotated[list[ProbeModel], Field(max_length=32)] = []
    """The Storages that its agent is asked to look at. What it sees is an annotation on the node's Lease."""
    guests: int = 0
    """How many guests are on it or on their way to it."""
    incident: IncidentModel | None = None
    """The open incident."""
    reset_request: ResetRequestModel | None = None
    """Its agent is asked to reset it, because a guest does not stop there (stopTimeoutPolicy: Fence)."""
    power: PowerModel | None = None
    """What is recorded of its fence devices."""
    returns: ReturnsModel | None = None
    """How often it was lost and came back lately, and until when it is held back because of that."""
    going: Going | None = None
    """Its host goes down cleanly: Reboot, PowerOff, or Shutdown when it cannot tell."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """What is awaited, and the latest moment at which guests are released."""
    term: int = 0
    """The leader's term that wrote this."""
    observed_generation: int = 0
    """The generation of the spec that this status answers."""
    conditions: Conditions = []
    """Ready, Reconciling, Stalled, WatchdogAccepted, FenceConfirmed, AgentCurrent; DevicesReady, DevicesTrusted and
    FencingBlocked where it has fence devices; Drained while in maintenance."""


class Node(Resource):
    """One member of a Cluster. Write `qn` or `nodes.quorate.dev`: a bare `node` is Kubernetes' own."""

    plural: ClassVar[str] = "nodes"
    singular: ClassVar[str] = "node"
    short_names: ClassVar[tuple[str, ...]] = ("qn",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("State", ".status.state"),
        Column("Votes", ".status.votes", "integer"),
        Column("Since", ".status.since", "date"),
        Column("Watchdog", ".status.watchdogText"),
        Column("Guests", ".status.guests", "integer"),
        Column("Why", ".status.message", wide=True),
        Column("Agent", ".status.agentProtocol", "integer", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.clusterName",)

    spec: NodeSpec
    """What is wished."""
    status: NodeStatusModel | None = None
    """What was seen and done."""

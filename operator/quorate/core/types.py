"""The words of the core: identities, references to objects, and the enumerations every room shares.

Nothing here knows how Kubernetes spells a thing on the wire; `api/` does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Final, NamedTuple, NewType

from quorate.core.quick import quick

NodeName = NewType("NodeName", str)
"""Name of a member: of the Node CR, of the Kubernetes node, and of its Lease."""
Nonce = NewType("Nonce", str)
"""Names one boot of one machine: same nonce, same boot. Computed by the agent, never stored."""
InstanceId = NewType("InstanceId", str)
"""Names one start of one guest. Drawn by the manager, never used twice."""
IncidentId = NewType("IncidentId", str)
"""Names one loss of one node."""
Uid = NewType("Uid", str)
Instant = NewType("Instant", int)
"""Wall clock, milliseconds since the epoch: what is written into a status. Never used to prove anything."""


def clock(moment: Instant) -> str:
    """A moment as people read it, UTC."""
    return datetime.fromtimestamp(moment / 1000, tz=UTC).strftime("%H:%M:%S")


GROUP: Final = "quorate.dev"
VERSION: Final = "v1alpha1"

GUEST_LABEL: Final = "quorate.dev/guest"
CLUSTER_LABEL: Final = "quorate.dev/cluster"
PART_OF_LABEL: Final = "app.kubernetes.io/part-of"
PART_OF: Final = "quorate"
"""On everything that is installed, so that an uninstall finds what is ours and never guesses."""
INSTANCE_ANNOTATION: Final = "quorate.dev/instance"
NODE_ANNOTATION: Final = "quorate.dev/node"
NONCE_ANNOTATION: Final = "quorate.dev/boot-nonce"
TEMPLATE_ANNOTATION: Final = "quorate.dev/template-hash"
ATTESTATION_ANNOTATION: Final = "quorate.dev/attestation"
REACH_ANNOTATION: Final = "quorate.dev/storages"
"""On a node's Lease, beside the attestation: which Storages its agent reaches."""
STORAGE_LABEL: Final = "quorate.dev/storage"
"""On the volumes and claims that are made of a Storage: its name."""
COMMAND_ANNOTATION: Final = "quorate.dev/command"
CONFIRM_ANNOTATION: Final = "quorate.dev/fence-confirm"
RELEASE_ANNOTATION: Final = "quorate.dev/fence-release"
DRILL_ANNOTATION: Final = "quorate.dev/drill"
"""On a Node: the incident, the boot and the user who lets it come back."""
ACCEPT_ANNOTATION: Final = "quorate.dev/accept-history"
"""On a Cluster: the name of the rewind that a person accepts."""
INSTANCE_FINALIZER: Final = "quorate.dev/instance"
"""On guest Pods (removed only on a fact that means "stopped") and on HAResources with an instance."""
MEMBER_FINALIZER: Final = "quorate.dev/member"
"""On Clusters and Nodes while guests or an incident exist."""
IN_USE_FINALIZER: Final = "quorate.dev/in-use"
FENCE_TAINT: Final = "quorate.dev/fence"
OUT_OF_SERVICE_TAINT: Final = "node.kubernetes.io/out-of-service"
"""Kubernetes' own word for a node that is certainly off: a person or another remediator sets it."""
WRONG_BOOT_EXIT: Final = 86
"""Exit code of the start gate when the node's boot is not the one the Pod was made for: the fact "stopped"."""

SYSTEM_NAMESPACE: Final = "quorate-system"
AGENT_NAMESPACE: Final = "quorate-agents"
MAX_LEFT: Final = 1024
"""Pods that an agent names when it leaves: 40 KiB of an annotation. Beyond that other evidence is needed."""
MAX_TROUBLE: Final = 1024
"""Characters in which an agent says what is wrong with its watchdog."""
PROTOCOL: Final = 1
"""Version of what agent and manager say to each other."""
MAX_NODES: Final = 32


class Kind(StrEnum):
    """The kinds a plan speaks of."""

    CLUSTER = "Cluster"
    NODE = "Node"
    HARESOURCE = "HAResource"
    STORAGE = "Storage"


@quick
@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One of our objects. `namespace` is empty for cluster-scoped kinds."""

    kind: Kind
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


class GuestKey(NamedTuple):
    """A guest's place in Kubernetes: that of its HAResource and of its Pod.

    A tuple, because all that is known of a guest is looked up by it.
    """

    namespace: str
    name: str

    @property
    def sid(self) -> str:
        """The name people see, in Proxmox's form."""
        return f"ct:{self.namespace}/{self.name}"

    @property
    def ref(self) -> Ref:
        return Ref(Kind.HARESOURCE, self.name, self.namespace)


class MachineKey(GuestKey):
    """The place of a guest that is a virtual machine: that of its HAResource. Equal to the same place of any guest."""

    __slots__ = ()

    @property
    def sid(self) -> str:
        return f"vm:{self.namespace}/{self.name}"


def node_ref(name: NodeName) -> Ref:
    return Ref(Kind.NODE, name)


class Answer(Enum):
    """Three-valued, so that "I cannot know yet" is never taken for "no"."""

    YES = "yes"
    NO = "no"
    NOT_YET = "not yet"


class Wanted(StrEnum):
    """What a person asks of a guest (Proxmox: requested state)."""

    STARTED = "Started"
    STOPPED = "Stopped"
    DISABLED = "Disabled"
    IGNORED = "Ignored"


class GuestState(StrEnum):
    """Where a guest is. The moves between them are data: `guests.MOVES`."""

    QUEUED = "Queued"
    STARTING = "Starting"
    STARTED = "Started"
    REQUEST_STOP = "RequestStop"
    STOPPED = "Stopped"
    MIGRATE = "Migrate"
    RELOCATE = "Relocate"
    FENCE = "Fence"
    RECOVERY = "Recovery"
    FREEZE = "Freeze"
    IGNORED = "Ignored"
    ERROR = "Error"


class NodeState(StrEnum):
    """Where a node is, in the manager's view."""

    ONLINE = "Online"
    UNKNOWN = "Unknown"
    MAINTENANCE = "Maintenance"
    FENCE = "Fence"
    GONE = "Gone"


HEARD: Final = frozenset({NodeState.ONLINE, NodeState.MAINTENANCE})
"""The states of a node that renews its Lease and has no incident."""


class Going(StrEnum):
    """What a host that goes down says of what comes then. `Shutdown`: it cannot tell."""

    REBOOT = "Reboot"
    POWER_OFF = "PowerOff"
    SHUTDOWN = "Shutdown"


class ShutdownPolicy(StrEnum):
    """What becomes of the guests of a node that goes down cleanly (`core/freeze.py`)."""

    CONDITIONAL = "Conditional"
    FREEZE = "Freeze"
    FAILOVER = "Failover"
    MIGRATE = "Migrate"


class EvidenceKind(StrEnum):
    """Why a node's boot cannot be running guests any more (safety: Evidence)."""

    DRAINED = "Drained"
    NEW_BOOT = "NewBoot"
    LEASE_EXPIRED = "LeaseExpired"
    HUMAN_ACK = "HumanAck"
    OUT_OF_SERVICE = "OutOfService"
    POWER_OFF = "PowerOff"


class Stage(StrEnum):
    """How far an incident has come. Released: the boot never ended, and a person lets it come back."""

    SUSPECTED = "Suspected"
    PROVEN = "Proven"
    FENCED = "Fenced"
    RELEASED = "Released"


TAKEN: Final = frozenset({Stage.FENCED, Stage.RELEASED})
"""The Lease was taken from the lost boot: no sign of life of it ends the incident any more."""


class WatchdogKind(StrEnum):
    """What resets the node when its agent stops petting. `External` stands outside the node (lab, kind)."""

    HARDWARE = "Hardware"
    SOFTDOG = "Softdog"
    VIRTUAL_HARDWARE = "VirtualHardware"
    VIRTUAL_SOFTDOG = "VirtualSoftdog"
    EXTERNAL = "External"


class SchedulingMode(StrEnum):
    """What decides between the nodes that rules and filters leave."""

    BASIC = "Basic"
    STATIC = "Static"
    DYNAMIC = "Dynamic"


class RebalanceMethod(StrEnum):
    """How the best of several moves is found."""

    BRUTE_FORCE = "BruteForce"
    TOPSIS = "Topsis"


class CpuPolicy(StrEnum):
    """May more processor time be requested on a node than it can allocate?"""

    LIMIT = "Limit"
    OVERCOMMIT = "Overcommit"


class DisarmMode(StrEnum):
    """What becomes of the guests while HA is disarmed: all stays, or what is deleted by hand may go."""

    FREEZE = "Freeze"
    IGNORE = "Ignore"


class StopTimeoutPolicy(StrEnum):
    """What is done about a guest that does not stop in time."""

    WAIT = "Wait"
    FENCE = "Fence"


class UpdatePolicy(StrEnum):
    """What a changed template does to a running guest."""

    RECREATE = "Recreate"
    ON_DELETE = "OnDelete"


class StorageType(StrEnum):
    CLAIM = "Claim"
    LOCAL = "Local"
    NFS = "NFS"
    STORAGE_CLASS = "StorageClass"


class Content(StrEnum):
    """What a Storage may be used for."""

    IMAGES = "Images"
    ROOT_DIR = "RootDir"
    ISO = "ISO"


class OnLoss(StrEnum):
    """What becomes of a guest that runs on a node which does not reach its Storage any more."""

    IGNORE = "Ignore"
    RELOCATE = "Relocate"

"""What a toy cluster is made of: objects with versions, processes, machines."""

from dataclasses import dataclass, field

from quorate.core import selffence
from quorate.core.pods import PodView
from quorate.core.types import (
    GuestKey,
    NodeName,
    Nonce,
    Uid,
)
from quorate.core.world import Attestation, ClusterView, GuestView, KubeNode, NodeView

STEP_S = 0.5
FIRMWARE_S = 2.0
GRACE_S = 1.0


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


@dataclass(frozen=True)
class Copy:
    """A copy of the store, to be restored some time."""

    leases: dict[NodeName, Lease]
    nodes: dict[NodeName, NodeView]
    guests: dict[GuestKey, GuestView]
    pods: dict[GuestKey, Pod]
    cluster: ClusterView
    kube: dict[NodeName, KubeNode]


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
    going: str = ""
    giving_up: bool = False

    @property
    def nonce(self) -> Nonce:
        return Nonce(f"{self.name}.{self.boot}")

    @property
    def reachable(self) -> bool:
        return self.on and self.network and not self.frozen

"""What the manager records: the `.status` of the four kinds.

All state that matters is here, written before the deed it announces, so that the manager may die between any two calls
and the next leader goes on. `api/` declares the same fields for the CRDs; a test holds the two together.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from quorate.core.capacity_status import CapacityStatus
from quorate.core.override import Override
from quorate.core.quick import quick
from quorate.core.quorum import NOBODY, Memory, Rule
from quorate.core.sequence import Power, Sequence
from quorate.core.storage import Probe, Unreached, Volume
from quorate.core.types import (
    DisarmMode,
    EvidenceKind,
    Going,
    GuestState,
    IncidentId,
    InstanceId,
    Instant,
    NodeName,
    NodeState,
    Nonce,
    Stage,
    Uid,
)
from quorate.core.workloads import KubeletSeen, PodRecord


@quick
@dataclass(frozen=True, slots=True)
class Condition:
    """One line of `status.conditions`, as Kubernetes means it."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: Instant
    observed_generation: int


@quick
@dataclass(frozen=True, slots=True)
class Evidence:
    """A proof that one boot of a node runs no guests any more, and the sequence of its Lease that it was judged by.

    `pods`: only Drained names any, and it speaks of no other.
    """

    kind: EvidenceKind
    at: Instant
    sequence: int
    detail: str
    pods: tuple[Uid, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A kind of evidence that has not proven a boot dead: what it waits for, or why it does not count."""

    kind: EvidenceKind
    why: str


@quick
@dataclass(frozen=True, slots=True)
class Incident:
    """One loss of one boot of a node.

    `sequence` is the last one heard from that boot: a larger one is a sign of life. `in_service`: since then its Kubernetes
    node has been seen without the taint out-of-service. `tried`: what has not proven its end, as of the last look before it
    was proven. `kubelet`: only where Pods of protected workloads are.
    """

    id: IncidentId
    nonce: Nonce
    opened: Instant
    reason: str
    stage: Stage
    sequence: int
    term: int
    release_by: Instant | None = None
    in_service: bool = False
    evidence: tuple[Evidence, ...] = ()
    tried: tuple[Attempt, ...] = ()
    kubelet: KubeletSeen | None = None


@quick
@dataclass(frozen=True, slots=True)
class WatchdogStatus:
    """What the node's agent attested last: kept because a new boot overwrites the attestation.

    `generation`: of the arming request that it answered.
    """

    kind: str
    armed: bool
    timeout_s: float
    renewal_timeout_s: float
    shared_kernel: bool = False
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Arming:
    """The request to the agent: hold an armed watchdog, or do not. Each change of mind is a new generation.

    `failed`: it was asked once and did not arm in time, and has not armed since: `tries` times in a row, `tried` then last
    (not counting what was asked of it in the pause after a try, `core/arming.py`). `released`: HA is disarmed, so the
    watchdog is to be let go even while guests run.
    """

    generation: int
    wanted: bool
    since: Instant | None = None
    failed: bool = False
    released: bool = False
    tries: int = 0
    tried: Instant | None = None


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """The request to the agent of one boot to reset its node, because this guest does not stop there (`core/overdue.py`).

    `failed`: that boot did not obey, and is not asked again.
    """

    id: str
    nonce: Nonce
    guest: str
    at: Instant
    failed: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Orders:
    """The times the agent is to work by, in seconds."""

    renew_every_s: float
    timeout_s: float
    watchdog_s: float


@dataclass(frozen=True, slots=True)
class Returns:
    """How often a lost node has come back lately (`core/flapping.py`).

    `nonce`: the boot that came back last, `at`: when. It is held back `until` then.
    """

    number: int
    nonce: Nonce
    at: Instant
    until: Instant


@quick
@dataclass(frozen=True, slots=True)
class NodeStatus:
    state: NodeState = NodeState.UNKNOWN
    since: Instant | None = None
    votes: int = 0
    nonce: Nonce | None = None
    system_uuid: str = ""
    agent_protocol: int = 0
    watchdog: WatchdogStatus | None = None
    watchdog_text: str = ""
    arming: Arming = field(default_factory=lambda: Arming(0, wanted=False))
    orders: Orders | None = None
    asks: tuple[Uid, ...] = ()
    probes: tuple[Probe, ...] = ()
    guests: int = 0
    incident: Incident | None = None
    reset_request: ResetRequest | None = None
    returns: Returns | None = None
    power: Power | None = None
    going: Going | None = None
    message: str = ""
    term: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()

    @property
    def sequence(self) -> Sequence | None:
        """How its power is being switched; None while it is not."""
        return self.power.sequence if self.power is not None else None

    @property
    def resets(self) -> bool:
        """Is it asked to reset itself, and may still obey?"""
        return self.reset_request is not None and not self.reset_request.failed


@quick
@dataclass(frozen=True, slots=True)
class Instance:
    """One start of the guest, on one boot of one node. It is written before the Pod is made.

    `began`: some container of it was once reported started; `started`: a main one was. `stopping`: we asked for its
    end. `failure`: why it counts as a failed try once it has ended, although its containers did not say so themselves.
    `ended`: the fact by which it is known to have stopped; once written it stays true. `counted`: that end is a failed
    try for the restart limit.
    """

    id: InstanceId
    node: NodeName
    nonce: Nonce
    template_hash: str
    drawn: Instant
    uid: Uid | None = None
    began: bool = False
    started: bool = False
    stopping: bool = False
    failure: str = ""
    ended: str = ""
    counted: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Termination:
    """Why the last instance ended. `counted`: as a failed try."""

    node: NodeName
    instance: InstanceId
    reason: str
    at: Instant
    exit_code: int | None = None
    message: str = ""
    counted: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Migration:
    """A live migration under way: the other side of the guest's instance. It may run on either, until one has ended.

    It is written before it is begun. `job`: the uid of the object that KubeVirt does it by, `uid`: of the launcher on
    `node`, each once it was seen. `failed`: why it is given up; then only the end of that launcher is awaited.
    """

    id: InstanceId
    node: NodeName
    nonce: Nonce
    began: Instant
    job: Uid | None = None
    uid: Uid | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class MigrationFailure:
    """That live migrations of this instance have failed: how many, when the last one did, and why."""

    tries: int
    at: Instant
    why: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of the newest one-shot command."""

    id: str
    verb: str
    result: str
    accepted: bool


@quick
@dataclass(frozen=True, slots=True)
class Timeline:
    """The last recovery, step by step. `duration_s` counts from the suspicion to ready.

    Of a workload alone: when no Pod was stuck any more, the claims that were attached to the lost node, and when they were
    detached from it and attached elsewhere.
    """

    incident: IncidentId
    node: NodeName
    suspected: Instant
    evidence: str = ""
    fenced: Instant | None = None
    released: Instant | None = None
    created: Instant | None = None
    ready: Instant | None = None
    duration_s: float | None = None
    removed: Instant | None = None
    volumes: tuple[str, ...] = ()
    detached: Instant | None = None
    attached: Instant | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """A guest that waits for its node, which went down cleanly in the boot `nonce`, `until` then at the latest."""

    node: NodeName
    nonce: Nonce
    since: Instant
    until: Instant


@quick
@dataclass(frozen=True, slots=True)
class GuestStatus:
    """`interrupted`: it was stopped to run again at once (a move, a new template), and has not run since."""

    guest: str = ""
    state: GuestState = GuestState.QUEUED
    since: Instant | None = None
    cluster_name: str = ""
    ready: bool = False
    ready_since: Instant | None = None
    node: NodeName | None = None
    target: NodeName | None = None
    interrupted: bool = False
    restarts: int = 0
    failed_nodes: tuple[NodeName, ...] = ()
    maintenance_node: NodeName | None = None
    frozen: Frozen | None = None
    tries: str = ""
    next_try: Instant | None = None
    instance: Instance | None = None
    migration: Migration | None = None
    migration_failure: MigrationFailure | None = None
    template_hash: str = ""
    rejected_template: str = ""
    last_command: CommandResult | None = None
    last_termination: Termination | None = None
    recovery: Timeline | None = None
    pods: tuple[PodRecord, ...] = ()
    message: str = ""
    term: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class VotesStatus:
    """The count. `text` is live/expected, for the printer column. `rule`: what decided, `tie_breaker`: who did."""

    expected: int = 0
    total: int = 0
    live: int = 0
    needed: int = 0
    text: str = ""
    rule: Rule = Rule.MAJORITY
    tie_breaker: NodeName = NOBODY


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The quorum device: its votes, and whether it is heard."""

    name: str
    votes: int
    heard: bool


@quick
@dataclass(frozen=True, slots=True)
class TimingStatus:
    """The times in force, in seconds, and why these.

    `slowed_to`: what Auto has become because renewals were slow, and when it last changed (`core/latency.py`).
    """

    profile: str
    why: str
    renew_every_s: float
    timeout_s: float
    watchdog_s: float
    suspect_after_s: float
    release_after_s: float
    slowed_to: str = ""
    slowed_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A node whose agent had renewed its Lease up to this sequence and then found it older."""

    node: NodeName
    sequence: int


@dataclass(frozen=True, slots=True)
class Rewind:
    """The last time that history was found running backwards (`core/history.py`).

    `accepted`: when a person accepted it; `ended`: when every node had renewed after that. `term` and `nodes` are what
    the agents remembered of the time before: accepted with it, and no sign any more.
    """

    id: str
    since: Instant
    why: str
    accepted: Instant | None = None
    ended: Instant | None = None
    term: int = 0
    nodes: tuple[Remembered, ...] = ()


class DisarmState(StrEnum):
    DISARMING = "Disarming"
    DISARMED = "Disarmed"


@quick
@dataclass(frozen=True, slots=True)
class DisarmStatus:
    """How far a disarm has come. `hands_off`: nothing was in flight, and from then on nothing is done."""

    state: DisarmState
    mode: DisarmMode
    reason: str
    until: Instant
    since: Instant
    hands_off: bool = False


@dataclass(frozen=True, slots=True)
class IgnoredRule:
    """A rule that is not followed: why in one word, and in one sentence with the others of its set."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RebalanceStatus:
    """Since when nodes have been too unevenly loaded, None while they are not; what moved last because of that, and between
    which nodes.
    """

    since: Instant | None = None
    last: str = ""
    nodes: tuple[NodeName, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class ClusterStatus:
    quorate: bool = False
    quorate_since: Instant | None = None
    ever_quorate: bool = False
    votes: VotesStatus = field(default_factory=VotesStatus)
    device: DeviceStatus | None = None
    quorum: Memory | None = None
    override: Override | None = None
    table_generation: int = 0
    manager: str = ""
    term: int = 0
    timing: TimingStatus | None = None
    fencing: str = ""
    disarm: DisarmStatus | None = None
    nodes: str = ""
    guests: str = ""
    rules: str = ""
    ignored_rules: tuple[IgnoredRule, ...] = ()
    capacity: CapacityStatus | None = None
    rebalance: RebalanceStatus | None = None
    rewind: Rewind | None = None
    message: str = ""
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """`nodes`: how many reach it / how many should; `content` is printable. `volumes` are recorded before they are made."""

    shared: bool = False
    content: str = ""
    nodes: str = ""
    unreached: tuple[Unreached, ...] = ()
    used: str = ""
    volumes: tuple[Volume, ...] = ()
    used_by: tuple[str, ...] = ()
    state: str = ""
    message: str = ""
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()

"""Cluster (`qc`): the set of nodes that vote together, its quorum, times and fencing."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from quorate.api.common import (
    Column,
    Conditions,
    Duration,
    LabelSelector,
    Model,
    Proof,
    Resource,
    Timestamp,
    rule,
)
from quorate.api.quorum import DeviceModel, MemoryModel, QuorumSpec, VotesModel
from quorate.api.rules import RULES_RULES, SpecRules
from quorate.core.override import OverrideState
from quorate.core.status import DisarmState
from quorate.core.timing import Profile
from quorate.core.types import (
    CpuPolicy,
    DisarmMode,
    EvidenceKind,
    RebalanceMethod,
    SchedulingMode,
    ShutdownPolicy,
    WatchdogKind,
)

ALL_EVIDENCE: list[Proof] = [
    EvidenceKind.DRAINED,
    EvidenceKind.NEW_BOOT,
    EvidenceKind.LEASE_EXPIRED,
    EvidenceKind.POWER_OFF,
    EvidenceKind.HUMAN_ACK,
    EvidenceKind.OUT_OF_SERVICE,
]
DEFAULT_WATCHDOGS = [WatchdogKind.HARDWARE, WatchdogKind.SOFTDOG]


class CustomTiming(Model):
    """Times of your own. watchdog must be at least renewEvery + 2 x timeout + 1s."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("duration(self.renewEvery) >= duration('500ms')", "renewEvery must be at least 500ms"),
                rule("duration(self.timeout) > duration('0s')", "timeout must be positive"),
                rule(
                    "duration(self.watchdog) >= duration(self.renewEvery) + duration(self.timeout) + "
                    "duration(self.timeout) + duration('1s')",
                    message_expression=(
                        "'watchdog %dms is shorter than renewEvery + 2 x timeout + 1s = %dms + 2 x %dms + 1000ms: "
                        "one lost request would cost the node'.format([duration(self.watchdog).getMilliseconds(), "
                        "duration(self.renewEvery).getMilliseconds(), duration(self.timeout).getMilliseconds()])"
                    ),
                ),
            ]
        }
    )

    renew_every: Duration
    """How often an agent renews its Lease (r)."""
    timeout: Duration
    """Time-out of a renewal, and the greatest age of one that may still pet the watchdog (d)."""
    watchdog: Duration
    """Time-out of the watchdog (W)."""


class TimingSpec(Model):
    """How fast a dead node is found out, against how slow an API server may be."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.custom) == (self.profile == 'Custom')",
                    "custom belongs to profile Custom, and only to it",
                )
            ]
        }
    )

    profile: Profile = Profile.AUTO
    """Auto: Balanced with three or more API server addresses, else Relaxed. Guests of a dead node are released after
    Fast 14.7s, Balanced 21.3s, Relaxed 68.7s, Proxmox 134.4s; armed nodes that cannot reach the API server for longer
    than their watchdog (5s, 8s, 30s, 60s) reset themselves."""
    custom: CustomTiming | None = None
    """The times of profile Custom."""


class FencingSpec(Model):
    """What proves that a node is dead, and which watchdogs may be relied on."""

    accepted_evidence: Annotated[
        list[Proof], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ALL_EVIDENCE
    """The kinds of evidence that release a node's guests. Drained: its agent attested that none runs there. NewBoot:
    another boot of the machine renews. LeaseExpired: armed, and silent for longer than its watchdog allows. PowerOff: its
    fence devices said twice that it is off. HumanAck: a person confirmed it. OutOfService: the taint of that name was set
    on its Kubernetes node after it was lost."""
    accepted_watchdogs: Annotated[
        list[WatchdogKind], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = DEFAULT_WATCHDOGS
    """The kinds of watchdog that are trusted to reset their node. Guests start only on nodes with one of these.
    VirtualHardware, VirtualSoftdog (a VM can be frozen with its watchdog) and External (a stand-in outside the node: lab
    and kind) count only when they are named here."""
    start_without_proof: bool = False
    """Guests also start on nodes that could not prove their death: without an accepted watchdog, and without fence
    devices that a drill has proven. When such a node is lost its guests wait, however long, until it has drained or booted
    again, or somebody says that it is off. For clouds that offer neither."""
    max_concurrent: Annotated[int, Field(ge=1, le=64)] = 1
    """So many fence devices may be at work at the same time. What releases guests by itself (LeaseExpired) never waits."""
    power_on: bool = True
    """Whether a node that was switched off by its fence devices is switched on again, once its guests are released."""
    hold_back: Duration = "1m"
    """A node that is lost again within an hour of its return is held back for so long when it is back the next time, then
    for twice as long, and so on up to 15m: no guest starts there meanwhile. 0s: never."""


class AutoRebalanceSpec(Model):
    """When running guests are moved because nodes are unevenly loaded (ha-auto-rebalance). Each move is a planned
    relocation. Nothing moves while a node is lost or in maintenance, or while another guest is on its way.
    """

    threshold: Annotated[int, Field(ge=1, le=100)] = 30
    """In percent: the imbalance above which guests move. 0 is all nodes alike, 100 all load on one of them."""
    margin: Annotated[int, Field(ge=1, le=100)] = 10
    """In percent: a move must lower the imbalance by so much of it."""
    hold: Duration = "30s"
    """The imbalance must have exceeded the threshold for so long, and a guest been Ready. After a move it begins anew."""
    method: RebalanceMethod = RebalanceMethod.BRUTE_FORCE
    """BruteForce: the move that leaves the least imbalance. Topsis: the one that a placement in these modes would favour,
    which counts memory most."""
    max_moves: Annotated[int, Field(ge=1, le=32)] = 1
    """How many guests may move at the same time."""


class SchedulingSpec(Model):
    """How a node is chosen among those that filters and rules leave (Proxmox: cluster resource scheduling)."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!has(self.autoRebalance) || self.mode != 'Basic'",
                    "autoRebalance needs mode Static or Dynamic: mode Basic knows no loads",
                )
            ]
        }
    )

    mode: SchedulingMode = SchedulingMode.BASIC
    """Basic: the node with the fewest guests. Static: the one that leaves nodes most evenly filled by what Pods request,
    memory before processor. Dynamic: by what is used, as measured by metrics.k8s.io; without fresh measurements as Static,
    and the condition SchedulingInForce says so. In Static and Dynamic a guest starts only where the memory that it
    requests is free, counting the Pods that are not under HA; else it waits and says so."""
    cpu: CpuPolicy = CpuPolicy.LIMIT
    """In Static and Dynamic. Limit: the processor time that is requested must be free as well (a kubelet refuses the Pod
    otherwise). Overcommit: it need not be, but nodes where it is come first."""
    rebalance_on_start: bool = False
    """Choose the node anew whenever somebody starts a stopped guest, not the one where it ran before. A restart after a
    failure, and one for a changed template, stay where they are."""
    auto_rebalance: AutoRebalanceSpec | None = None
    """Move running guests when nodes are unevenly loaded. Absent: a running guest is never moved for the load."""


class DisarmSpec(Model):
    """Take HA's hands off everything for a while, with the watchdogs released."""

    mode: DisarmMode
    """Freeze: everything stays as it is. Ignore: a guest's Pod that somebody deletes by hand may go."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why; it is in the status and in the events."""
    until: Timestamp
    """When HA arms itself again, if nobody does it before (removes this)."""


class ClusterSpec(Model):
    """What is wished."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": list(RULES_RULES)})

    node_selector: LabelSelector | None = None
    """Which Kubernetes nodes join. Absent: every node without a NoSchedule control-plane taint. Joining is sticky and
    stops at 32 nodes."""
    quorum: QuorumSpec = QuorumSpec()
    """How votes are counted."""
    timing: TimingSpec = TimingSpec()
    """How fast a dead node is found out."""
    fencing: FencingSpec = FencingSpec()
    """What proves that a node is dead."""
    scheduling: SchedulingSpec = SchedulingSpec()
    """How a node is chosen."""
    tolerate_node_failures: Annotated[int, Field(ge=0, le=16)] = 1
    """How many nodes must be able to fail together with every guest finding another one. Below it the condition
    CapacitySufficient is False and names the guests that would have none; it keeps nobody from starting."""
    rules: SpecRules = []
    """Where guests may run (ha-manager rules). Rules come before load. Those that contradict each other, or that cannot be
    satisfied, are ignored as a whole set: status.ignoredRules and the condition RulesHonoured say which and why."""
    shutdown_policy: ShutdownPolicy = ShutdownPolicy.CONDITIONAL
    """What becomes of the guests of a node that goes down cleanly. Conditional: they wait for it when it reboots, and start
    elsewhere when it powers off or cannot tell. Freeze: they wait for it. Failover: they start elsewhere. Migrate: they
    start elsewhere and return when it is back."""
    freeze_timeout: Duration = "15m"
    """How long guests wait for a node that went down cleanly, before they start elsewhere after all."""
    disarm: DisarmSpec | None = None
    """Take HA's hands off everything for a while (ha-manager crm-command disarm-ha)."""


class OverrideModel(Model):
    """What became of the newest expectedVotes."""

    generation: int
    """Its generation."""
    votes: int
    """Its votes."""
    state: OverrideState
    """Active, Refused (a real majority was alive) or Spent (one has lived again)."""


class TimingModel(Model):
    """The times in force."""

    profile: str
    """The profile they come from."""
    why: str
    """Why this profile."""
    renew_every: str
    """r: how often agents renew."""
    timeout: str
    """d: time-out of a renewal."""
    watchdog: str
    """W: time-out of the watchdogs."""
    suspect_after: str
    """S: silence after which a node is suspected."""
    release_after: str
    """T: silence after which an armed node has been reset for certain."""
    slowed_to: str = ""
    """What profile Auto has become because renewals were slow."""
    slowed_at: Timestamp | None = None
    """When that last changed."""


class DisarmModel(Model):
    """How far a disarm has come."""

    state: DisarmState
    """Disarming: something is in flight, or a watchdog is still armed. Disarmed: all are released."""
    mode: DisarmMode
    """Freeze or Ignore."""
    reason: str
    """Why."""
    until: Timestamp
    """When HA arms itself again."""
    since: Timestamp
    """Since when it is in this state."""
    hands_off: bool = False
    """Nothing was in flight any more: from then on nothing is done."""


class RememberedModel(Model):
    """A node whose agent remembers more of its Lease than the store did."""

    node: str
    """Its name."""
    sequence: int
    """The newest sequence of its Lease that had been confirmed to it."""


class RewindModel(Model):
    """History that ran backwards: everything was restored from an old copy."""

    id: str
    """Its name: what a person accepts, as annotation quorate.dev/accept-history."""
    since: Timestamp
    """When it was noticed."""
    why: str
    """By which signs."""
    accepted: Timestamp | None = None
    """When a person accepted what the store says now."""
    ended: Timestamp | None = None
    """When every node had renewed after that, and work went on."""
    term: int = 0
    """The largest term that agents remembered: accepted, too."""
    nodes: Annotated[list[RememberedModel], Field(max_length=64)] = []
    """What agents remembered of their Leases: accepted, too."""


class IgnoredRuleModel(Model):
    """A rule that is not followed."""

    name: str
    """Its name."""
    reason: str
    """Why, in one word."""
    message: str
    """Why, with the rules and guests concerned, and what to do."""


class UnplacedModel(Model):
    """A guest that would have no node."""

    guest: str
    """Its sid."""
    lost: str
    """The node or nodes after whose loss."""
    reason: str
    """Why no other node can run it."""


class CapacityModel(Model):
    """What the loss of nodes would mean, looked at when something changes, at most once a minute."""

    survivable: int = 0
    """How many nodes may be lost together now; looked no further than one more than tolerateNodeFailures."""
    text: str = ""
    """What the loss of each single node would mean."""
    votes: str = ""
    """The loss after which there would be no quorum."""
    unplaced: Annotated[list[UnplacedModel], Field(max_length=16)] = []
    """Guests that would have no node after the first loss that is too much."""
    more: int = 0
    """How many guests more."""


class RebalanceModel(Model):
    """Automatic rebalancing."""

    since: Timestamp | None = None
    """Since when nodes have been more unevenly loaded than autoRebalance.threshold allows; absent while they are not."""
    last: str = ""
    """What moved last because of it."""
    nodes: Annotated[list[str], Field(max_length=64)] = []
    """The nodes between which that went. In mode Dynamic none of them takes part again before it has been measured anew."""


class ClusterStatusModel(Model):
    """What was seen and done."""

    quorate: bool = False
    """Whether a majority of the votes is alive. Without it nothing is fenced, recovered, started or moved."""
    quorate_since: Timestamp | None = None
    """Since when."""
    ever_quorate: bool = False
    """Whether it ever was: from then on, joining needs quorum."""
    votes: VotesModel = VotesModel()
    """The votes."""
    device: DeviceModel | None = None
    """The quorum device, where there is one."""
    quorum: MemoryModel | None = None
    """What counting remembers."""
    override: OverrideModel | None = None
    """What became of the newest expectedVotes."""
    table_generation: int = 0
    """Grows with every change of the effective votes."""
    manager: str = ""
    """The leading manager."""
    term: int = 0
    """Its term: larger than any before it."""
    timing: TimingModel | None = None
    """The times in force."""
    fencing: str = ""
    """How many nodes hold an armed watchdog (Armed), Standby when none needs to, Disarming or Disarmed."""
    disarm: DisarmModel | None = None
    """The disarm, while there is one."""
    nodes: str = ""
    """Nodes online / members."""
    guests: str = ""
    """Guests by state."""
    rules: str = ""
    """How many rules are in use, and how many are ignored."""
    ignored_rules: Annotated[list[IgnoredRuleModel], Field(max_length=64)] = []
    """The rules that are not followed, and why."""
    capacity: CapacityModel | None = None
    """How many nodes may be lost now. Requested memory is a limit here in every mode of scheduling."""
    rebalance: RebalanceModel | None = None
    """Automatic rebalancing, where it is asked for."""
    rewind: RewindModel | None = None
    """The last time that history ran backwards. Until a person has accepted it nothing is done."""
    message: str = ""
    """One sentence: what was done or is awaited, and until when at the latest."""
    observed_generation: int = 0
    """The generation of the spec that this status answers."""
    conditions: Conditions = []
    """Ready, Reconciling, Stalled, SurvivesNodeFailure, TimingValid, ApiFast, HistoryForward, NodesEnrolled,
    RulesHonoured, SchedulingInForce, CapacitySufficient, ExpectedVotesActive,
    QuorumOptionsInForce, QuorumDeviceHeard, Armed."""


class Cluster(Resource):
    """A set of nodes that vote together. A guest under HA belongs to one Cluster; a node to at most one."""

    plural: ClassVar[str] = "clusters"
    singular: ClassVar[str] = "cluster"
    short_names: ClassVar[tuple[str, ...]] = ("qc",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Quorate", ".status.quorate", "boolean"),
        Column("Votes", ".status.votes.text"),
        Column("Nodes", ".status.nodes"),
        Column("Guests", ".status.guests"),
        Column("Fencing", ".status.fencing"),
        Column("Status", ".status.message"),
        Column("Manager", ".status.manager", wide=True),
        Column("Term", ".status.term", "integer", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    rules: ClassVar[tuple[JsonDict, ...]] = (
        rule("self.metadata.name.size() <= 48", "the name of a Cluster has at most 48 characters"),
    )

    spec: ClusterSpec
    """What is wished."""
    status: Annotated[ClusterStatusModel | None, Field()] = None
    """What was seen and done."""

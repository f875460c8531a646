"""HAResource (`har`): one guest under HA."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.config import JsonDict

from quorate.api.common import (
    Column,
    Conditions,
    Duration,
    LabelSelector,
    Model,
    ObjectName,
    Resource,
    Text,
    Timestamp,
    rule,
    schema_extra,
)
from quorate.core.types import GuestState, StopTimeoutPolicy, UpdatePolicy, Wanted
from quorate.core.workloads import MAX_PODS, WorkloadKind


class TemplateMetadata(Model):
    """What the guest's Pod is labelled and annotated with."""

    labels: dict[str, Annotated[str, Field(max_length=63)]] = {}
    """Labels."""
    annotations: dict[str, str] = {}
    """Annotations."""


class Container(Model):
    """A pod template."""

    metadata: TemplateMetadata = TemplateMetadata()
    """Labels and annotations of the Pod."""
    spec: Annotated[dict[str, Any], schema_extra(**{"x-kubernetes-preserve-unknown-fields": True})]
    """A PodSpec, as the API server takes it; it is tried by a dry run. Quorate sets nodeName, restartPolicy (Never),
    tolerations for not-ready and unreachable nodes, and an init container that keeps the Pod from running in another boot
    of its node."""


class Workload(Model):
    """What its own controller runs: one by name, or every StatefulSet of this namespace that has these labels."""

    api_version: Literal["apps/v1"] = "apps/v1"
    """The API it belongs to."""
    kind: WorkloadKind = WorkloadKind.STATEFUL_SET
    """StatefulSet, or Deployment: one whose Pods tolerate not-ready and unreachable nodes without a limit, or Kubernetes
    starts replacements before the node is proven dead."""
    name: ObjectName | None = None
    """Its name."""
    selector: LabelSelector | None = None
    """Labels of StatefulSets."""


class VirtualMachine(Model):
    """A VirtualMachine of KubeVirt (kubevirt.io/v1), in the namespace of the HAResource."""

    name: ObjectName
    """Its name."""


class Guest(Model):
    """What runs: exactly one of its fields. It does not turn into another."""

    container: Container | None = None
    """A Pod, which Quorate makes and keeps running exactly once."""
    workload: Annotated[
        Workload | None,
        schema_extra(
            **{
                "x-kubernetes-validations": [
                    rule("has(self.name) != has(self.selector)", "exactly one of name and selector"),
                    rule(
                        "!has(self.selector) || self.kind == 'StatefulSet'",
                        "selector protects StatefulSets: name a Deployment",
                    ),
                ]
            }
        ),
    ] = None
    """What runs already, protected where it is: its own controller makes and places the Pods. When a node is lost and
    proven dead, Quorate removes the Pods that are stuck there."""
    virtual_machine: VirtualMachine | None = None
    """A virtual machine, which Quorate starts, stops and keeps running exactly once. Its run strategy is taken over, and
    given back when the HAResource is deleted or Ignored; the machine itself stays."""


class StorageMount(Model):
    """A Storage and where it is mounted in every container of the guest."""

    name: ObjectName
    """Name of the Storage."""
    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^:]*$")]
    """Absolute path in the containers."""


_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
GuestName = Annotated[str, Field(max_length=130, pattern=f"^((ct|vm):)?({_LABEL}/)?{_LABEL}$")]
"""NAME (in the same namespace), NAMESPACE/NAME, ct:NAMESPACE/NAME or vm:NAMESPACE/NAME."""


class HAResourceSpec(Model):
    """What is wished."""

    cluster_name: Annotated[str, Field(max_length=63)] = ""
    """The Cluster that looks after it. May be empty while there is only one; once resolved it stays."""
    guest: Annotated[
        Guest,
        schema_extra(
            **{
                "x-kubernetes-validations": [
                    rule(
                        "[has(self.container), has(self.virtualMachine), has(self.workload)].filter(one, one).size() == 1",
                        "exactly one of container, virtualMachine and workload",
                    ),
                    rule(
                        "has(self.container) == has(oldSelf.container) && has(self.workload) == has(oldSelf.workload)",
                        "a guest does not turn into another kind: delete the HAResource and make another",
                    ),
                    rule(
                        "!has(self.virtualMachine) || !has(oldSelf.virtualMachine) || "
                        "self.virtualMachine.name == oldSelf.virtualMachine.name",
                        "a guest does not turn into another machine: delete the HAResource and make another",
                    ),
                ]
            }
        ),
    ]
    """What runs."""
    state: Wanted = Wanted.STARTED
    """Started: keep it running. Stopped: keep it stopped. Disabled: the same, and the way out of Error. Ignored: hands
    off."""
    max_restart: Annotated[int, Field(ge=0, le=100)] = 1
    """How often a failed start or an end is answered by a restart on the same node."""
    max_relocate: Annotated[int, Field(ge=0, le=100)] = 1
    """How many other nodes are tried after that; then Error."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Guests of a larger priority are recovered and started first."""
    start_after: Annotated[
        list[GuestName], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """Guests that run before this one is started. One that is not wanted, in Error or unknown is not waited for."""
    failback: bool = True
    """Return to a node of higher priority (Cluster, spec.rules) once that has been Online for a minute. False: it stays
    wherever its rules allow it."""
    start_timeout: Duration = "5m"
    """A guest that is not Ready within this time has failed to start."""
    stop_timeout: Annotated[
        Duration,
        schema_extra(
            **{
                "x-kubernetes-validations": [
                    rule("duration(self) >= duration('10s')", "stopTimeout must be at least 10s")
                ]
            }
        ),
    ] = "1m"
    """A guest that goes on for this long after the end of its Pod's own grace period does not stop."""
    stop_timeout_policy: StopTimeoutPolicy = StopTimeoutPolicy.WAIT
    """What is done then. Wait: it is said, and waited for. Fence: its node's agent is asked to reset the node, which all
    other guests there lose as well; quorum must survive it, and no other node be lost."""
    update_policy: UpdatePolicy = UpdatePolicy.RECREATE
    """What a changed template does to a running guest. Recreate: it is stopped and started on the same node, not counted
    as a failure. OnDelete: the new template is used at the next start."""
    storage: Annotated[
        list[StorageMount],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """Storages to mount. A node without one of them is no candidate."""
    comment: Text = ""
    """Free text."""


_WORKLOAD_RULES: tuple[JsonDict, ...] = (
    rule(
        "!has(self.guest.workload) || self.state == 'Started' || self.state == 'Ignored'",
        "a workload is Started (protected) or Ignored: its own controller stops it, when it is scaled to zero",
        path=".state",
    ),
    *(
        rule(
            f"!has(self.guest.workload) || self.{name} == {default}",
            f"{name} means nothing for a workload, which its own controller runs: leave it out",
            path=f".{name}",
        )
        for name, default in (
            ("maxRestart", "1"),
            ("maxRelocate", "1"),
            ("priority", "0"),
            ("failback", "true"),
            ("startTimeout", "'5m'"),
            ("stopTimeout", "'1m'"),
            ("stopTimeoutPolicy", "'Wait'"),
            ("updatePolicy", "'Recreate'"),
        )
    ),
    *(
        rule(
            f"!has(self.guest.workload) || !has(self.{name}) || self.{name}.size() == 0",
            f"{name} means nothing for a workload, which its own controller runs: leave it out",
            path=f".{name}",
        )
        for name in ("startAfter", "storage")
    ),
)


_MACHINE_RULES: tuple[JsonDict, ...] = (
    rule(
        "!has(self.guest.virtualMachine) || self.updatePolicy == 'Recreate'",
        "updatePolicy means nothing for a virtual machine: what is changed in it counts from its next start; leave it out",
        path=".updatePolicy",
    ),
    rule(
        "!has(self.guest.virtualMachine) || !has(self.storage) || self.storage.size() == 0",
        "a virtual machine names its own volumes: leave storage out",
        path=".storage",
    ),
)


class FrozenModel(Model):
    """A guest that waits for its node, which went down cleanly."""

    node: str
    """The node."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot that ended."""
    since: Timestamp
    """Since when it waits."""
    until: Timestamp
    """Then it starts elsewhere, if the node is not back."""


class InstanceModel(Model):
    """One start of the guest, on one boot of one node."""

    id: str
    """Names this start."""
    node: str
    """Its node."""
    nonce: str
    """That node's boot."""
    template_hash: str
    """The template it was made from."""
    drawn: Timestamp
    """When it was decided."""
    uid: str | None = None
    """The Pod's uid."""
    began: bool = False
    """Whether any container of it was ever reported started."""
    started: bool = False
    """Whether a main container of it was ever reported started."""
    stopping: bool = False
    """Whether its end was asked for."""
    failure: Text = ""
    """Why it counts as failed although its containers did not say so."""
    ended: Text = ""
    """The fact by which it is known to have stopped."""
    counted: bool = False
    """Whether that end counts for the restart limit."""


class MigrationModel(Model):
    """A live migration under way. The guest may run on either node until one of its two Pods has ended."""

    id: str
    """Names this migration."""
    node: str
    """Where it goes."""
    nonce: Annotated[str, Field(max_length=128)]
    """That node's boot."""
    began: Timestamp
    """When it was decided."""
    job: str | None = None
    """The uid of its VirtualMachineInstanceMigration."""
    uid: str | None = None
    """The uid of the launcher on that node."""
    failed: Text = ""
    """Why it is given up."""


class MigrationFailureModel(Model):
    """Live migrations of this instance that failed."""

    tries: int
    """How many."""
    at: Timestamp
    """When the last one did."""
    why: Text = ""
    """Why."""


class CommandModel(Model):
    """What became of the newest command (annotation quorate.dev/command)."""

    id: str
    """Its id."""
    verb: str
    """Its verb."""
    result: Text
    """In words."""
    accepted: bool
    """Whether it was carried out."""


class TerminationModel(Model):
    """Why the last instance ended."""

    node: str
    """Where it ran."""
    instance: str
    """Which start it was."""
    reason: str
    """One word."""
    at: Timestamp
    """When it was known."""
    exit_code: int | None = None
    """The exit code, if the kubelet reported one."""
    message: Text = ""
    """The container's last words."""
    counted: bool = False
    """Whether it counted as a failed try."""


class RecoveryModel(Model):
    """The last recovery, step by step."""

    incident: str
    """The incident it belongs to."""
    node: str
    """The node that was lost."""
    suspected: Timestamp
    """When the node was suspected."""
    evidence: Text = ""
    """What proved that the old instance was dead."""
    fenced: Timestamp | None = None
    """When that was certain."""
    released: Timestamp | None = None
    """When the old Pod was gone."""
    created: Timestamp | None = None
    """When the new Pod was made."""
    ready: Timestamp | None = None
    """When it was Ready."""
    duration: str | None = None
    """From suspected to ready."""
    removed: Timestamp | None = None
    """Of a workload: when none of its Pods was stuck on that node any more."""
    volumes: Annotated[list[str], Field(max_length=64)] = []
    """Of a workload: the claims that were attached to that node."""
    detached: Timestamp | None = None
    """When they were detached from it."""
    attached: Timestamp | None = None
    """When they were attached elsewhere."""


class PodModel(Model):
    """A Pod of a protected workload, or a launcher of a virtual machine."""

    name: str
    """Its name."""
    uid: str
    """Its uid."""
    node: str
    """Where it is."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot of that node which it belongs to; empty while that is not known."""
    ready: bool = False
    """Whether it is Ready."""
    boot_id: Annotated[str, Field(max_length=128)] = ""
    """The kernel's boot, as that node's kubelet told of it."""
    marks: Annotated[str, Field(max_length=64)] = ""
    """A digest of its containers and their restarts. Another one after the node was lost shows that its kubelet lives."""


class HAResourceStatusModel(Model):
    """What was seen and done."""

    guest: str = ""
    """Its sid, as Proxmox writes it: ct:namespace/name, vm:namespace/name of a virtual machine;
    wl:namespace/name of a workload."""
    state: GuestState = GuestState.QUEUED
    """Queued, Starting, Started, RequestStop, Stopped, Migrate, Relocate, Fence (its node is lost, waiting for proof),
    Recovery, Freeze (its node went down cleanly, waiting for it), Ignored or Error."""
    since: Timestamp | None = None
    """Since when."""
    cluster_name: str = ""
    """The Cluster that looks after it."""
    ready: bool = False
    """Whether its Pod is Ready."""
    ready_since: Timestamp | None = None
    """Since when."""
    node: str | None = None
    """Where it runs, or ran last."""
    target: str | None = None
    """Where it is going; in Fence, where it would go."""
    interrupted: bool = False
    """It was stopped to run again at once (a move, a new template), and has not run since: Disarm waits for it."""
    restarts: int = 0
    """Restarts used on this node."""
    failed_nodes: Annotated[list[str], Field(max_length=128)] = []
    """Nodes on which it failed."""
    maintenance_node: str | None = None
    """The node that it left for maintenance, and to which it returns when that is over."""
    frozen: FrozenModel | None = None
    """In Freeze: the node that went down cleanly, and until when the guest waits for it."""
    tries: str = ""
    """Restarts and relocations used, of those allowed."""
    next_try: Timestamp | None = None
    """Not before."""
    instance: InstanceModel | None = None
    """The current start."""
    migration: MigrationModel | None = None
    """Of a virtual machine: the live migration under way."""
    migration_failure: MigrationFailureModel | None = None
    """Of a virtual machine: that it could not be migrated from where it is. After two failures it is stopped and started
    elsewhere, where it has to go."""
    template_hash: str = ""
    """The newest template that the API server accepted."""
    rejected_template: str = ""
    """The template that it rejected."""
    last_command: CommandModel | None = None
    """The newest command and what became of it."""
    last_termination: TerminationModel | None = None
    """Why the last instance ended."""
    recovery: RecoveryModel | None = None
    """The last recovery."""
    pods: Annotated[list[PodModel], Field(max_length=MAX_PODS)] = []
    """Of a workload: its Pods that have a node. Those beyond 256 are not protected. Of a virtual machine: its launchers.
    """
    message: Annotated[str, Field(max_length=8192)] = ""
    """One sentence: what is done or awaited."""
    term: int = 0
    """The leader's term that wrote this."""
    observed_generation: int = 0
    """The generation of the spec that this status answers."""
    conditions: Conditions = []
    """Ready (as wished: a guest that is stopped on request is Ready), Reconciling, Stalled. Of a workload also Protected:
    whether all of its Pods are on nodes whose death can be proven."""


class HAResource(Resource):
    """One guest under HA: kept running exactly once, whatever fails."""

    plural: ClassVar[str] = "haresources"
    singular: ClassVar[str] = "haresource"
    short_names: ClassVar[tuple[str, ...]] = ("har",)
    namespaced: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Guest", ".status.guest"),
        Column("Want", ".spec.state"),
        Column("State", ".status.state"),
        Column("Ready", ".status.ready", "boolean"),
        Column("Node", ".status.node"),
        Column("Target", ".status.target"),
        Column("Tries", ".status.tries", wide=True),
        Column("Since", ".status.since", "date"),
        Column("Why", ".status.message", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    rules: ClassVar[tuple[JsonDict, ...]] = (
        rule("self.metadata.name.size() <= 63", "the name becomes the Pod's name and a label: at most 63 characters"),
    )

    spec: Annotated[HAResourceSpec, schema_extra(**{"x-kubernetes-validations": [*_WORKLOAD_RULES, *_MACHINE_RULES]})]
    """What is wished."""
    status: HAResourceStatusModel | None = None
    """What was seen and done."""

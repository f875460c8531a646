"""Workloads that run already (StatefulSets, Deployments) and their Pods, as they are seen.

Their own controllers make and place the Pods. Quorate proves the death of a lost node, removes what is stuck there, and
steers nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from quorate.core.quick import quick
from quorate.core.selectors import Selector
from quorate.core.types import GuestKey, IncidentId, Instant, NodeName, Nonce, Uid

PROTECTED: Final = "Protected"
"""Condition: does each Pod run on a node whose death could be proven?"""
NOTHING_RUNS: Final = "NothingRuns"
"""Its reason where there is no Pod."""
MAX_PODS: Final = 256
"""Pods that one HAResource records: what its status has room for."""


class WorkloadKind(StrEnum):
    """What may be protected where it runs."""

    STATEFUL_SET = "StatefulSet"
    DEPLOYMENT = "Deployment"


@dataclass(frozen=True, slots=True)
class WorkloadTarget:
    """What an HAResource protects: one by name, or every StatefulSet of its namespace that has these labels."""

    kind: WorkloadKind
    name: str = ""
    selector: Selector | None = None

    def __str__(self) -> str:
        if self.selector is None:
            return f"{self.kind} {self.name}"
        return f"every StatefulSet with {self.selector}" if self.selector.requirements else "every StatefulSet"


@quick
@dataclass(frozen=True, slots=True)
class WorkloadObject:
    """A StatefulSet or Deployment. `patient`: its Pods tolerate not-ready and unreachable nodes without a limit."""

    kind: WorkloadKind
    name: str
    uid: Uid
    replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    patient: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@quick
@dataclass(frozen=True, slots=True)
class WorkloadPod:
    """A Pod that some controller made.

    `owner`: kind, name and uid of that. `revision`: the label that a Deployment gives the Pods of one ReplicaSet. `marks`:
    which containers the kubelet has reported, and how often it restarted them; another one for every start. `heedless`: it
    tolerates our NoExecute taint, so that a kubelet that comes back would start it. `seen_s`: when this version came, and
    `ending_s` when it was first seen being deleted, both on this manager's clock.
    """

    name: str
    uid: Uid
    resource_version: str
    owner: tuple[str, str, Uid]
    node: NodeName | None = None
    revision: str = ""
    phase: str = "Pending"
    ready: bool = False
    deleting: bool = False
    running: bool = False
    finalizers: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    marks: str = ""
    heedless: bool = False
    seen_s: float = 0.0
    ending_s: float | None = None

    @property
    def over(self) -> bool:
        """Has the kubelet, or whoever else, said that it is over, with no container left running?"""
        return self.phase in {"Failed", "Succeeded"} and not self.running


@dataclass(frozen=True, slots=True)
class KubeletLook:
    """A kubelet's own Lease as a live GET found it, for one incident.

    `lease`: its uid and version, "" for none. `since_s`: when this manager first found that version, on its own clock;
    `at_s`: when it looked last.
    """

    incident: IncidentId
    lease: str
    since_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class VolumesLook:
    """Which claims are attached to the lost node of an incident, and which to another one."""

    incident: IncidentId
    here: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class KubeletSeen:
    """The kubelet's own Lease (uid and version) and the kernel's boot, as last known when the node was lost.

    `again`: it was found alive after that, and has been silent since, while other proof says that the node is off.
    `words`: so many proofs of that kind there were when its Lease was looked up after the last of them, and `found` is what
    that was: a kubelet that renews it once more runs on a machine that is on again, and those proofs say nothing of it.
    """

    lease: str
    boot_id: str = ""
    again: bool = False
    words: int = 0
    found: str = ""


@quick
@dataclass(frozen=True, slots=True)
class PodRecord:
    """A Pod of a protected workload, and the boot that it belongs to ("": that of its node is not known).

    `boot_id` and `marks` (its containers and their restarts) are as last known while that boot renewed.
    """

    name: str
    uid: Uid
    node: NodeName
    nonce: Nonce
    ready: bool = False
    boot_id: str = ""
    marks: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """One HAResource that protects a workload, for matching. `recorded`: the Pods of its status."""

    key: GuestKey
    created: Instant | None
    target: WorkloadTarget
    recorded: frozenset[Uid] = frozenset()


@dataclass(frozen=True, slots=True)
class Matched:
    """What belongs to one HAResource. `taken`: what it means as well, but an older HAResource protects: name -> whose."""

    objects: tuple[WorkloadObject, ...] = ()
    pods: tuple[WorkloadPod, ...] = ()
    taken: tuple[tuple[str, str], ...] = ()


def sid_of(key: GuestKey) -> str:
    """The name that people see of a protected workload."""
    return f"wl:{key.namespace}/{key.name}"


def assign(
    asking: tuple[Asking, ...], objects: tuple[WorkloadObject, ...], pods: tuple[WorkloadPod, ...]
) -> dict[GuestKey, Matched]:
    """Who protects what in one namespace. Of two HAResources that mean the same one, the older does; then the name decides.

    A Pod that is recorded stays with its HAResource while its workload is deleted: it may be stuck on a lost node.
    """
    owners: dict[str, GuestKey] = {}
    found: dict[GuestKey, tuple[list[WorkloadObject], list[tuple[str, str]]]] = {}
    for one in sorted(asking, key=lambda one: (one.created or 0, one.key)):
        mine, taken = found.setdefault(one.key, ([], []))
        for workload in objects:
            if not _means(one.target, workload):
                continue
            owner = owners.setdefault(str(workload), one.key)
            if owner == one.key:
                mine.append(workload)
            else:
                taken.append((str(workload), sid_of(owner)))
    recorded = {uid: one.key for one in asking for uid in one.recorded}
    whose: dict[GuestKey, list[WorkloadPod]] = {key: [] for key in found}
    for pod in pods:
        owner_key = owners.get(_controller(pod)) or recorded.get(pod.uid)
        if owner_key is not None:
            whose[owner_key].append(pod)
    return {key: Matched(tuple(mine), tuple(whose[key]), tuple(taken)) for key, (mine, taken) in found.items()}


def _means(target: WorkloadTarget, workload: WorkloadObject) -> bool:
    if target.selector is not None:
        return workload.kind is WorkloadKind.STATEFUL_SET and target.selector.matches(workload.labels)
    return (target.kind, target.name) == (workload.kind, workload.name)


def _controller(pod: WorkloadPod) -> str:
    """The workload that a Pod belongs to. A ReplicaSet is named after its Deployment and the revision of its Pods."""
    kind, name, _ = pod.owner
    if kind == "ReplicaSet" and pod.revision and name.endswith(f"-{pod.revision}"):
        return f"{WorkloadKind.DEPLOYMENT} {name.removesuffix(f'-{pod.revision}')}"
    return f"{kind} {name}"

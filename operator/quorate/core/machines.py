"""KubeVirt's virtual machines as guests, as they are seen.

KubeVirt makes the launcher Pod of a machine, and Quorate says on which node it runs: while under HA a machine has the run
strategy Once (KubeVirt starts it once, and never again by itself) or Halted, and nobody but Quorate binds its launcher.
What the strategy was before is kept in an annotation, and given back afterwards.
"""

from dataclasses import dataclass
from typing import Final

from quorate.core.pods import PodView
from quorate.core.quick import quick
from quorate.core.types import GuestKey, InstanceId, Instant, NodeName, Uid
from quorate.core.workloads import WorkloadPod

KEPT_ANNOTATION: Final = "quorate.dev/run-strategy"
"""On a machine under HA: the run strategy that it is to have again afterwards."""
SCHEDULER_ANNOTATION: Final = "quorate.dev/scheduler-name"
"""The same for the `schedulerName` of its template, where it had one."""
SCHEDULER: Final = "quorate"
"""`schedulerName` of launchers that only Quorate binds to a node."""
RUNNING_WORD: Final = "running="
"""How the older field `running` of a machine is told from a run strategy."""
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
WAITING: Final = frozenset({"Pending", "WaitingForSync", "Scheduling", "Scheduled"})
"""Phases of a run in which nothing runs yet."""
ONCE: Final = "Once"
HALTED: Final = "Halted"
SCHEDULABLE_LABEL: Final = "kubevirt.io/schedulable"
"""On nodes whose virt-handler is alive: KubeVirt gives every launcher a nodeSelector for it."""


@quick
@dataclass(frozen=True, slots=True)
class Launcher:
    """A virt-launcher Pod, as an instance's own and as one that somebody else made.

    `vmi`: the run that it belongs to. `waits`: its scheduler is ours, so that nobody else binds it. `migration`: the uid of
    the migration that it is the target of, "" for none.
    """

    name: str
    pod: PodView
    made: WorkloadPod
    vmi: Uid
    waits: bool = False
    migration: str = ""


@quick
@dataclass(frozen=True, slots=True)
class MachineMigration:
    """A VirtualMachineInstanceMigration. `ours`: Quorate made it."""

    name: str
    uid: Uid
    phase: str = ""
    ours: bool = False
    deleting: bool = False
    reason: str = ""

    @property
    def over(self) -> bool:
        return self.phase in {SUCCEEDED, FAILED}


@quick
@dataclass(frozen=True, slots=True)
class MachineRun:
    """A VirtualMachineInstance: one run of a machine.

    `node`: where KubeVirt says that it runs; after a live migration its target. `fixed`: why it cannot be migrated live, ""
    if it can, as far as KubeVirt has said.
    """

    uid: Uid
    phase: str = ""
    deleting: bool = False
    node: NodeName | None = None
    fixed: str = ""


@quick
@dataclass(frozen=True, slots=True)
class MachineView:
    """A VirtualMachine, its run and its launchers.

    `absent`: why nothing can be known of it (KubeVirt is not installed, its objects may not be read), "" if it can.
    `uid`: None if there is none of that name. `kept`: the strategy to give back, None if it was not taken over.
    `instance`: for which start its template was last prepared. `owner`: the kind and name of what makes and changes it,
    "" if nothing does. `taken`: the sid of an older HAResource over the same one. `said`: KubeVirt's own word for it.
    `problem`: what cannot be read of it.
    """

    name: str
    absent: str = ""
    uid: Uid | None = None
    resource_version: str = ""
    strategy: str = ""
    kept: str | None = None
    instance: InstanceId | None = None
    scheduler: str = ""
    owner: str = ""
    taken: str = ""
    deleting: bool = False
    said: str = ""
    problem: str = ""
    run: MachineRun | None = None
    launchers: tuple[Launcher, ...] = ()
    migrations: tuple[MachineMigration, ...] = ()

    @property
    def there(self) -> bool:
        return self.uid is not None

    @property
    def rests(self) -> bool:
        """Is nothing of it left that runs or may begin to?"""
        return self.run is None and not self.launchers


def current(machine: MachineView, uid: Uid | None, instance: InstanceId | None) -> PodView | None:
    """The Pod of the guest's instance among the launchers; another one where it has none.

    By its uid once that is recorded, else by the instance that its annotation names; then whatever else is bound to a node.
    """
    place = machine.run.node if machine.run is not None else None
    known = [one.pod for one in sorted(machine.launchers, key=lambda one: (one.pod.node != place, bool(one.migration)))]
    return (
        next((pod for pod in known if uid is not None and pod.uid == uid), None)
        or next((pod for pod in known if instance is not None and pod.instance == instance), None)
        or next((pod for pod in known if pod.bound), None)
        or next(iter(known), None)
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """One HAResource over a machine, to find who has it."""

    key: GuestKey
    created: Instant | None
    name: str


def owners(claims: tuple[Claim, ...]) -> dict[str, GuestKey]:
    """Name of a machine -> the HAResource that has it. Of two over the same one the older does; then the name decides."""
    found: dict[str, GuestKey] = {}
    for one in sorted(claims, key=lambda one: (one.created or 0, one.key)):
        found.setdefault(one.name, one.key)
    return found

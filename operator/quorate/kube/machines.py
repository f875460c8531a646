"""KubeVirt's objects -> what the core sees of a virtual machine. Never raises: anybody may have written them."""

from collections import Counter
from collections.abc import Collection, Mapping
from operator import is_
from typing import Any, Final

from quorate.api import quantity
from quorate.api.template import placement
from quorate.core.load import NOTHING, Size
from quorate.core.machines import (
    KEPT_ANNOTATION,
    RUNNING_WORD,
    SCHEDULABLE_LABEL,
    SCHEDULER,
    Claim,
    Launcher,
    MachineMigration,
    MachineRun,
    MachineView,
    current,
    owners,
)
from quorate.core.quick import replace
from quorate.core.types import GUEST_LABEL, INSTANCE_ANNOTATION, GuestKey, InstanceId, MachineKey, NodeName, Uid
from quorate.core.workloads import WorkloadPod
from quorate.core.world import GuestView, Template
from quorate.kube import views
from quorate.kube.calls import ApiError, NotFound
from quorate.kube.resources import MACHINE_RUNS, MACHINES, MIGRATIONS, Key, Resource

Raw = Mapping[str, Any]
LAUNCHER_LABEL: Final = ("kubevirt.io", "virt-launcher")
RUN_LABEL: Final = "kubevirt.io/created-by"
"""On a launcher: the uid of the run that it belongs to."""
JOB_LABEL: Final = "kubevirt.io/migrationJobUID"
"""On the target of a migration: the uid of that."""
NAME_LABEL: Final = "vm.kubevirt.io/name"
"""On a launcher: the hostname of what runs in it, which is the machine's name only where the machine names no other."""
DOMAIN_ANNOTATION: Final = "kubevirt.io/domain"


def machine(raw: Raw) -> MachineView:
    """A VirtualMachine by itself."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    annotations, template = metadata.get("annotations") or {}, spec.get("template") or {}
    prepared = ((template.get("metadata") or {}).get("annotations") or {}).get(INSTANCE_ANNOTATION)
    owner: Raw = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), {})
    return MachineView(
        name=metadata["name"],
        uid=Uid(metadata.get("uid", "")),
        resource_version=metadata.get("resourceVersion", ""),
        strategy=strategy_of(spec),
        kept=annotations.get(KEPT_ANNOTATION),
        instance=InstanceId(prepared) if prepared else None,
        scheduler=str((template.get("spec") or {}).get("schedulerName") or ""),
        owner=f"{owner.get('kind')} {owner.get('name')}" if owner else "",
        deleting=metadata.get("deletionTimestamp") is not None,
        said=str(status.get("printableStatus") or ""),
        problem=_unhonoured(template.get("spec") or {}),
    )


def _unhonoured(spec: Raw) -> str:
    """A field that says where it may run and is not honoured, with the remedy; "" for none."""
    where = "spec.template.spec"
    if spec.get("topologySpreadConstraints"):
        return f"{where}.topologySpreadConstraints is set: Quorate chooses the node, remove it"
    for kind in ("podAffinity", "podAntiAffinity"):
        if ((spec.get("affinity") or {}).get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution"):
            return (
                f"{where}.affinity.{kind} is required: it is not honoured here; use a rule of the Cluster (quorate rules) "
                "or a required node affinity"
            )
    return ""


def strategy_of(spec: Raw) -> str:
    """The run strategy; of a machine that has the older field instead, what that says."""
    running = spec.get("running")
    return str(spec.get("runStrategy") or "") if running is None else f"{RUNNING_WORD}{str(bool(running)).lower()}"


def machine_run(raw: Raw) -> MachineRun:
    """A VirtualMachineInstance by itself."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    node = status.get("nodeName")
    return MachineRun(
        uid=Uid(metadata.get("uid", "")),
        phase=str(status.get("phase") or ""),
        deleting=metadata.get("deletionTimestamp") is not None,
        node=NodeName(str(node)) if node else None,
        fixed=_fixed(status),
    )


def _fixed(status: Raw) -> str:
    """Why it cannot be migrated live, as KubeVirt says it; "" where it can, or nothing has been said."""
    for one in status.get("conditions") or []:
        if one.get("type") == "LiveMigratable" and one.get("status") == "False":
            return str(one.get("message") or one.get("reason") or "KubeVirt does not say why")[:512]
    return ""


def migration(raw: Raw) -> tuple[str, MachineMigration]:
    """The name of a machine, and a migration of it."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    state = status.get("migrationState") or {}
    one = MachineMigration(
        name=metadata["name"],
        uid=Uid(metadata.get("uid", "")),
        phase=str(status.get("phase") or ""),
        ours=GUEST_LABEL in (metadata.get("labels") or {}),
        deleting=metadata.get("deletionTimestamp") is not None,
        reason=str(state.get("failureReason") or state.get("abortStatus") or ""),
    )
    return str(spec.get("vmiName") or ""), one


def template_of(raw: Raw) -> Template:
    """What placement must know of a machine: KubeVirt gives its launchers the same constraints."""
    spec: Raw = ((raw.get("spec") or {}).get("template") or {}).get("spec") or {}
    made = placement(dict(spec), "")
    chosen = dict(made.node_selector) | {SCHEDULABLE_LABEL: "true"}
    return replace(made, node_selector=tuple(sorted(chosen.items())), size=_size(spec), problem="")


def _size(spec: Raw) -> Size:
    """The memory and processors that its domain asks for; the launcher itself takes a little more."""
    try:
        domain = spec.get("domain") or {}
        requests = (domain.get("resources") or {}).get("requests") or {}
        memory = requests.get("memory") or (domain.get("memory") or {}).get("guest")
        return quantity.size({"cpu": requests.get("cpu", "0"), "memory": memory or "0"})
    except (AttributeError, TypeError, ValueError):
        return NOTHING


def is_launcher(raw: Raw) -> bool:
    label, value = LAUNCHER_LABEL
    return (raw["metadata"].get("labels") or {}).get(label) == value


def machine_of(raw: Raw) -> str:
    """The name of the machine that a launcher belongs to.

    By the run that owns it, which has the machine's name, or else by the annotation that names that. Its label is only
    used where there is neither: KubeVirt writes the guest's hostname there, which may be the name of another machine.
    """
    metadata = raw["metadata"]
    owner: Raw = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), {})
    if owner.get("kind") == MACHINE_RUNS.kind and owner.get("name"):
        return str(owner["name"])
    named = (metadata.get("annotations") or {}).get(DOMAIN_ANNOTATION) or (metadata.get("labels") or {}).get(NAME_LABEL)
    return str(named or owner.get("name") or "")


def launcher(raw: Raw, made: WorkloadPod) -> Launcher:
    """A virt-launcher Pod. One of a run that was begun without us is an instance by its own uid."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    pod = views.launcher_pod(raw)
    return Launcher(
        name=metadata["name"],
        pod=replace(pod, instance=pod.instance or InstanceId(pod.uid)),
        made=made,
        vmi=Uid((metadata.get("labels") or {}).get(RUN_LABEL, "")),
        waits=spec.get("schedulerName") == SCHEDULER,
        migration=str((metadata.get("labels") or {}).get(JOB_LABEL, "")),
    )


def absent_because(error: ApiError) -> str:
    """Why nothing is known of virtual machines, for people."""
    if isinstance(error, NotFound):
        return "KubeVirt is not installed: the API server does not serve kubevirt.io/v1"
    return f"KubeVirt's machines may not be read ({error.words or error}): give the manager that right"


class Machines:
    """Machines, their runs and their launchers, by namespace. `absent`: why KubeVirt's kinds cannot be read."""

    def __init__(self) -> None:
        self.absent = ""
        self.namespaces: frozenset[str] = frozenset()
        self._guests: dict[GuestKey, str] = {}
        self._objects: dict[tuple[Resource, Key], tuple[Any, Template | None]] = {}
        self._launchers: dict[Key, tuple[str, Launcher]] = {}
        """Each with the name of its machine."""
        self._stamps: Counter[str] = Counter()
        self._made: dict[GuestKey, tuple[GuestView, int, str, GuestView]] = {}
        self._seen: dict[str, tuple[GuestView, ...]] = {}

    def mind(self, key: GuestKey, view: GuestView | None) -> bool:
        """An HAResource as it is now, None: it is gone. True: its namespace is to be listed anew."""
        if view is not None and view.spec.machine:
            self._guests[key] = view.spec.machine
        else:
            self._guests.pop(key, None)
        before, self.namespaces = self.namespaces, frozenset(key.namespace for key in self._guests)
        self.touch(key.namespace)
        return key.namespace in self.namespaces - before

    def touch(self, namespace: str) -> None:
        """Something in it is another one by now."""
        self._stamps[namespace] += 1

    def put(self, resource: Resource, key: Key, raw: Raw | None) -> None:
        """A machine or a run of one, None: it is gone."""
        if raw is None:
            self._objects.pop((resource, key), None)
        elif resource is MIGRATIONS:
            self._objects[resource, key] = (migration(raw), None)
        elif resource is MACHINES:
            self._objects[resource, key] = (machine(raw), template_of(raw))
        else:
            self._objects[resource, key] = (machine_run(raw), None)

    def pod(self, key: Key, raw: Raw | None, made: WorkloadPod | None) -> None:
        """A Pod that others made, None: it is gone."""
        if raw is None or made is None or not is_launcher(raw):
            self._launchers.pop(key, None)
            return
        one = launcher(raw, made)
        if made.ending_s is not None:
            grace_s = float(raw["metadata"].get("deletionGracePeriodSeconds") or 0)
            one = replace(one, pod=replace(one.pod, stops_at_s=made.ending_s + grace_s))
        self._launchers[key] = (machine_of(raw), one)

    def forget(self, namespace: str) -> None:
        """Nothing is followed there any more, or nothing that was known of it means anything."""
        self.empty(namespace)
        self._launchers = {key: one for key, one in self._launchers.items() if key[0] != namespace}

    def empty(self, namespace: str) -> None:
        """KubeVirt's kinds cannot be read there."""
        self._objects = {place: one for place, one in self._objects.items() if place[1][0] != namespace}

    def seen(
        self, cluster: str, guests: tuple[GuestView, ...], everyone: tuple[GuestView, ...], listed: Collection[str]
    ) -> tuple[GuestView, ...]:
        """The guests of a Cluster, with what was seen of those that are machines; the same tuple while they are."""
        if not self._guests:
            return guests
        claims = tuple(Claim(one.key, one.created, one.spec.machine) for one in everyone if one.spec.machine)
        found = tuple(self._one(one, claims, listed) if one.spec.machine else one for one in guests)
        before = self._seen.get(cluster, ())
        if len(before) == len(found) and all(map(is_, before, found)):
            return before
        self._seen[cluster] = found
        return found

    def _one(self, guest: GuestView, claims: tuple[Claim, ...], listed: Collection[str]) -> GuestView:
        namespace, name = guest.key.namespace, guest.spec.machine
        has = owners(tuple(one for one in claims if one.key.namespace == namespace)).get(name, guest.key)
        taken = MachineKey(*has).sid if has != guest.key else ""
        stamp = self._stamps[namespace]
        known = self._made.get(guest.key)
        if known is not None and known[0] is guest and known[1:3] == (stamp, taken):
            return known[3]
        made = self._put_together(guest, taken) if namespace in listed else guest
        self._made[guest.key] = (guest, stamp, taken, made)
        return made

    def _migrations(self, place: Key) -> tuple[MachineMigration, ...]:
        found = (
            value
            for (resource, key), (value, _) in self._objects.items()
            if resource is MIGRATIONS and key[0] == place[0]
        )
        return tuple(sorted((one for name, one in found if name == place[1]), key=lambda one: one.name))

    def _put_together(self, guest: GuestView, taken: str) -> GuestView:
        place = (guest.key.namespace, guest.spec.machine)
        view, template = self._objects.get((MACHINES, place), (None, None))
        run, _ = self._objects.get((MACHINE_RUNS, place), (None, None))
        launchers = tuple(
            one for (namespace, _), (name, one) in sorted(self._launchers.items()) if (namespace, name) == place
        )
        whole = replace(
            view if view is not None else MachineView(guest.spec.machine),
            absent=self.absent,
            taken=taken,
            run=run,
            launchers=() if taken else launchers,
            migrations=self._migrations(place),
        )
        instance = guest.status.instance
        pod = current(whole, instance.uid if instance else None, instance.id if instance else None)
        spec = replace(guest.spec, template=template) if template is not None else guest.spec
        return replace(guest, machine=whole, pod=pod, spec=spec)

"""What is seen of virtual machines: their objects, their launchers, who has them, and KubeVirt that is not there."""

from dataclasses import replace
from typing import Any

import pytest

from quorate.core.load import Size
from quorate.core.status import GuestStatus, Instance
from quorate.core.types import InstanceId, Instant, MachineKey, NodeName, Nonce, Uid, Wanted
from quorate.core.world import GuestSpec, GuestView, Template
from quorate.kube import machines
from quorate.kube.calls import NotFound, Permanent
from quorate.kube.resources import MACHINE_RUNS, MACHINES, MIGRATIONS
from quorate.kube.workloads import FOLLOWED, KUBEVIRT, WORKLOAD_PODS, Workloads, list_namespace

Json = dict[str, Any]
KEY = MachineKey("shop", "win")


def vm(version: str = "3", **spec: Any) -> Json:
    domain = {"resources": {"requests": {"memory": "2Gi", "cpu": "2"}}}
    template = {"spec": {"domain": domain, "nodeSelector": {"disk": "ssd"}}}
    return {
        "metadata": {"name": "win", "namespace": "shop", "uid": "vm", "resourceVersion": version},
        "spec": {"runStrategy": "Always", "template": template, **spec},
        "status": {"printableStatus": "Running"},
    }


def vmi(**metadata: Any) -> Json:
    meta = {"name": "win", "namespace": "shop", "uid": "run", "resourceVersion": "4"}
    return {"metadata": meta | metadata, "spec": {}, "status": {"phase": "Running"}}


def launcher(
    name: str = "virt-launcher-win-x", node: str | None = "n1", version: str = "5", **annotations: str
) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": version,
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "run", "vm.kubevirt.io/name": "win"},
            "annotations": annotations,
        },
        "spec": {
            "schedulerName": "quorate",
            "containers": [{"name": "compute"}],
            **({"nodeName": node} if node else {}),
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "compute", "state": {"running": {"startedAt": "x"}}}],
        },
    }


def har(key: MachineKey = KEY, *, created: int = 1, wanted: Wanted = Wanted.STARTED, **changes: Any) -> GuestView:
    spec = GuestSpec(Template(""), machine="win", wanted=wanted)
    return GuestView(key, Uid(f"har-{key.name}"), spec, created=Instant(created), **changes)


@pytest.fixture
def seen() -> Workloads:
    made = Workloads(lambda: None, lambda: 100.0)
    made.mind(KEY, har())
    made.sweep(MACHINES, "shop", [vm()], 5)
    made.sweep(MACHINE_RUNS, "shop", [vmi()], 5)
    made.sweep(WORKLOAD_PODS, "shop", [launcher()], 5)
    made.opened("shop")
    return made


def the(workloads: Workloads, *guests: GuestView) -> GuestView:
    ours, _ = workloads.split("prod", guests or (har(),), guests or (har(),))
    return ours[0]


def test_all_of_it_is_put_together(seen):
    one = the(seen)
    found = one.machine
    assert (found.uid, found.resource_version, found.strategy, found.kept, found.said) == (
        "vm",
        "3",
        "Always",
        None,
        "Running",
    )
    assert (found.run.uid, found.run.phase) == ("run", "Running")
    (pod,) = found.launchers
    assert (pod.name, pod.vmi, pod.waits, pod.made.node, pod.pod.node) == (
        "virt-launcher-win-x",
        "run",
        True,
        "n1",
        "n1",
    )
    assert one.pod is pod.pod
    assert pod.pod.instance == pod.pod.uid, "one of a run that was begun without us is an instance by its own uid"


@pytest.mark.parametrize("known_by", ["its run", "its annotation"])
def test_a_launcher_belongs_to_its_machine_whatever_that_is_called_inside(seen, known_by):
    """KubeVirt writes spec.hostname into the label that is named like the machine's name."""
    other = launcher("virt-launcher-db-x", **{"kubevirt.io/domain": "db"})
    other["metadata"]["labels"]["kubevirt.io/created-by"] = "another"
    own = launcher(**{"kubevirt.io/domain": "win"})
    own["metadata"]["labels"]["vm.kubevirt.io/name"] = "desktop"
    if known_by == "its run":
        for raw, name in ((own, "win"), (other, "db")):
            owner = {"kind": "VirtualMachineInstance", "name": name, "uid": "run", "controller": True}
            raw["metadata"] |= {"annotations": {}, "ownerReferences": [owner]}
    seen.sweep(WORKLOAD_PODS, "shop", [own, other], 7)
    assert [one.name for one in the(seen).machine.launchers] == ["virt-launcher-win-x"]


def test_placement_knows_its_constraints(seen):
    template = the(seen).spec.template
    assert template.node_selector == (("disk", "ssd"), ("kubevirt.io/schedulable", "true"))
    assert template.size == Size(cpu_m=2000, memory=2 << 30)
    assert template.hash == ""


def test_nothing_is_known_before_the_first_list():
    workloads = Workloads(lambda: None, lambda: 100.0)
    workloads.mind(KEY, har())
    assert the(workloads).machine is None


def test_where_nothing_changes_the_view_is_the_same(seen):
    guests = (har(),)
    first, _ = seen.split("prod", guests, guests)
    second, _ = seen.split("prod", guests, guests)
    assert second is first
    seen.put(MACHINES, vm("6", runStrategy="Halted"))
    third, _ = seen.split("prod", guests, guests)
    assert third[0].machine.strategy == "Halted"


def test_the_launcher_of_the_instance_is_its_pod(seen):
    ours = launcher("virt-launcher-win-y", None, "6", **{"quorate.dev/instance": "i1"})
    seen.put(WORKLOAD_PODS, ours)
    drawn = Instance(InstanceId("i1"), NodeName("n1"), Nonce("n1.1"), "", Instant(1))
    guest = har(status=GuestStatus(instance=drawn))
    assert the(seen, guest).pod.uid == "uid-virt-launcher-win-y"
    known = replace(guest, status=GuestStatus(instance=replace(drawn, uid=Uid("uid-virt-launcher-win-x"))))
    assert the(seen, known).pod.uid == "uid-virt-launcher-win-x"


def test_what_goes_is_gone(seen):
    seen.gone(WORKLOAD_PODS, ("shop", "virt-launcher-win-x"), "uid-virt-launcher-win-x")
    seen.gone(MACHINE_RUNS, ("shop", "win"), "run")
    seen.gone(MACHINES, ("shop", "win"), "vm")
    found = the(seen).machine
    assert (found.uid, found.run, found.launchers, found.rests) == (None, None, (), True)


def test_its_grace_period_is_counted_from_when_its_end_was_seen(seen):
    raw = launcher(version="7")
    raw["metadata"] |= {"deletionTimestamp": "2027-01-15T08:00:00Z", "deletionGracePeriodSeconds": 30}
    seen.put(WORKLOAD_PODS, raw)
    assert the(seen).pod.stops_at_s == 130.0


def test_of_two_over_one_machine_the_younger_sees_who_has_it(seen):
    old, young = har(created=1), har(MachineKey("shop", "a"), created=2)
    seen.mind(young.key, young)
    seen.opened("shop")
    ours, _ = seen.split("prod", (young, old), (young, old))
    assert [one.machine.taken for one in ours] == ["vm:shop/win", ""]
    assert ours[0].machine.launchers == (), "none of its launchers may be taken for the younger one's"


def test_the_older_field_running_is_understood():
    raw = vm(running=True)
    del raw["spec"]["runStrategy"]
    assert machines.machine(raw).strategy == "running=true"


def test_what_manages_it_is_seen():
    raw = vm()
    raw["metadata"]["ownerReferences"] = [{"kind": "VirtualMachinePool", "name": "pool", "controller": True}]
    assert machines.machine(raw).owner == "VirtualMachinePool pool"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"topologySpreadConstraints": [{}]}, "topologySpreadConstraints is set"),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            "affinity.podAntiAffinity is required",
        ),
    ],
)
def test_what_is_not_honoured_is_said(spec, words):
    assert words in machines.machine(vm(template={"spec": spec})).problem


@pytest.mark.parametrize("spec", [None, {}, {"template": {}}, {"template": {"spec": {"domain": {"memory": None}}}}])
def test_whatever_somebody_wrote_is_read(spec):
    raw = {"metadata": {"name": "win", "namespace": "shop", "uid": "vm", "resourceVersion": "1"}, "spec": spec}
    assert machines.machine(raw).name == "win"
    assert machines.template_of(raw).size == Size()


class Server:
    """Serves these lists; what it lacks, or refuses, is an error."""

    def __init__(self) -> None:
        self.lists = {"virtualmachines": [vm()], "virtualmachineinstances": [vmi()], "pods": [launcher()]}
        self.refuses: type[NotFound] | type[Permanent] | None = None
        self.asked: list[str] = []

    async def get(self, path: str, query: object = None) -> Json:
        plural = path.rpartition("/")[2]
        self.asked.append(plural)
        if plural.startswith("virtual") and self.refuses is not None:
            raise self.refuses(f"GET {path}", 404, "NotFound", "may not list")
        return {"items": self.lists.get(plural, []), "metadata": {"resourceVersion": "9"}}


async def test_without_kubevirt_everything_else_is_listed_and_it_is_looked_for_again():
    server, workloads = Server(), Workloads(lambda: None, lambda: 100.0)
    server.refuses = NotFound
    workloads.mind(KEY, har())
    await list_namespace(workloads, server, "shop")
    assert "kubevirt.io/v1" in the(workloads).machine.absent
    server.refuses = None
    await list_namespace(workloads, server, "shop")
    found = the(workloads).machine
    assert (found.absent, found.uid) == ("", "vm")
    server.refuses = Permanent
    await list_namespace(workloads, server, "shop")
    assert "may not list" in the(workloads).machine.absent
    assert the(workloads).machine.uid is None
    server.refuses = None
    await list_namespace(workloads, server, "shop")
    assert the(workloads).machine.uid == "vm", "the very same version is taken again"


async def test_kubevirts_kinds_are_asked_for_only_where_a_machine_is():
    server, workloads = Server(), Workloads(lambda: None, lambda: 100.0)
    workloads.mind(KEY, har())
    assert (workloads.followed("shop"), workloads.followed("other")) == ((*FOLLOWED, *KUBEVIRT), FOLLOWED)
    workloads.mind(KEY, None)
    assert (workloads.followed(), workloads.namespaces()) == (FOLLOWED, frozenset())
    await list_namespace(workloads, server, "other")
    assert not any(one.startswith("virtual") for one in server.asked)


def test_a_migration_and_its_target_are_seen(seen):
    meta = {
        "name": "win-m1",
        "namespace": "shop",
        "uid": "job",
        "resourceVersion": "7",
        "labels": {"quorate.dev/guest": "win"},
    }
    status = {"phase": "Failed", "migrationState": {"failureReason": "no memory"}}
    seen.put(MIGRATIONS, {"metadata": meta, "spec": {"vmiName": "win"}, "status": status})
    target = launcher("virt-launcher-win-y", "n2", "8")
    target["metadata"]["labels"]["kubevirt.io/migrationJobUID"] = "job"
    seen.put(WORKLOAD_PODS, target)
    found = the(seen).machine
    (one,) = found.migrations
    assert (one.name, one.uid, one.phase, one.ours, one.reason, one.over) == (
        "win-m1",
        "job",
        "Failed",
        True,
        "no memory",
        True,
    )
    assert {pod.name: pod.migration for pod in found.launchers} == {
        "virt-launcher-win-x": "",
        "virt-launcher-win-y": "job",
    }


def test_where_it_runs_and_whether_it_can_be_migrated_is_what_kubevirt_says():
    said = {
        "type": "LiveMigratable",
        "status": "False",
        "reason": "DisksNotLiveMigratable",
        "message": "its disk is not shared",
    }
    raw = vmi() | {"status": {"phase": "Running", "nodeName": "n2", "conditions": [said]}}
    run = machines.machine_run(raw)
    assert (run.node, run.fixed) == ("n2", "its disk is not shared")
    assert machines.machine_run(vmi()).fixed == ""

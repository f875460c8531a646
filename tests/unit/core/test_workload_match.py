"""Who protects what: by name, by labels, and of two the older one."""

from dataclasses import replace

from quorate.core.selectors import Requirement, Selector
from quorate.core.types import GuestKey, Instant, Uid
from quorate.core.workloads import Asking, WorkloadKind, WorkloadTarget, assign
from tests.unit.core.workload_worlds import SET, TARGET, pod

DB, ALL = GuestKey("shop", "db"), GuestKey("shop", "all")
GOLD = replace(SET, labels={"tier": "gold"})
OTHER = replace(GOLD, name="cache", uid=Uid("other"))
LABELLED = WorkloadTarget(WorkloadKind.STATEFUL_SET, selector=Selector((Requirement("tier", "In", ("gold",)),)))


def asking(key: GuestKey, created: int, target: WorkloadTarget = TARGET, *recorded: str) -> Asking:
    return Asking(key, Instant(created), target, frozenset(map(Uid, recorded)))


def test_by_name():
    other = replace(pod("cache-0"), owner=("StatefulSet", "cache", Uid("other")))
    found = assign((asking(DB, 1),), (SET, OTHER), (other, pod()))
    assert (found[DB].objects, [one.name for one in found[DB].pods], found[DB].taken) == ((SET,), ["db-0"], ())


def test_by_label_every_stateful_set_and_nothing_else():
    deployment = replace(GOLD, kind=WorkloadKind.DEPLOYMENT, name="web")
    found = assign((asking(ALL, 1, LABELLED),), (GOLD, OTHER, deployment, replace(SET, name="plain")), ())
    assert [one.name for one in found[ALL].objects] == ["db", "cache"]


def test_of_two_the_older_protects():
    found = assign((asking(ALL, 5, LABELLED), asking(DB, 3)), (GOLD, OTHER), (pod(),))
    assert [one.name for one in found[DB].objects] == ["db"]
    assert [one.name for one in found[ALL].objects] == ["cache"]
    assert found[ALL].taken == (("StatefulSet db", "wl:shop/db"),)
    assert ([one.name for one in found[DB].pods], found[ALL].pods) == (["db-0"], ())


def test_of_two_of_the_same_second_the_name_decides():
    found = assign((asking(DB, 3), asking(ALL, 3, LABELLED)), (GOLD,), ())
    assert (found[ALL].objects, found[DB].objects) == ((GOLD,), ())


def test_a_pod_of_a_deployment_is_known_by_its_replica_set():
    web = WorkloadTarget(WorkloadKind.DEPLOYMENT, "web")
    deployment = replace(SET, kind=WorkloadKind.DEPLOYMENT, name="web")
    mine = replace(pod("web-77-a"), owner=("ReplicaSet", "web-77", Uid("rs")), revision="77")
    foreign = replace(mine, name="web-x-78-a", uid=Uid("f"), owner=("ReplicaSet", "web-x-78", Uid("x")), revision="78")
    found = assign((asking(DB, 1, web),), (deployment,), (foreign, mine))
    assert [one.name for one in found[DB].pods] == ["web-77-a"]


def test_a_recorded_pod_stays_while_its_workload_is_gone():
    assert assign((asking(DB, 1),), (), (pod(),))[DB].pods == ()
    assert [one.name for one in assign((asking(DB, 1, TARGET, "uid-db-0"),), (), (pod(),))[DB].pods] == ["db-0"]

"""What is seen of protected workloads: in which namespaces, which version, and what an object says."""

import asyncio
from typing import Any

import pytest

from quorate.core.types import GuestKey, NodeName, Uid, Wanted
from quorate.core.workloads import WorkloadKind, WorkloadTarget
from quorate.core.world import GuestSpec, GuestView, Template
from quorate.kube import workloads
from quorate.kube.calls import Permanent, Transient
from quorate.kube.resources import DEPLOYMENTS, STATEFUL_SETS
from quorate.kube.workloads import WORKLOAD_PODS, Workloads, keep_listing, marks_of

Json = dict[str, Any]
DB = GuestKey("shop", "db")


def guest(key: GuestKey = DB, **spec: Any) -> GuestView:
    target = WorkloadTarget(WorkloadKind.STATEFUL_SET, key.name)
    return GuestView(key, Uid(key.name), GuestSpec(Template(""), workload=target, **spec))


def stateful_set(name: str = "db", namespace: str = "shop", version: int = 1, **spec: Any) -> Json:
    meta = {"name": name, "namespace": namespace, "uid": f"set-{name}", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"replicas": 1, "template": {"spec": {}}, **spec}}


def db_0(version: int = 2, namespace: str = "shop", **metadata: Any) -> Json:
    owner = {"kind": "StatefulSet", "name": "db", "uid": "set-db", "controller": True}
    meta = {"name": "db-0", "namespace": namespace, "uid": "u", "resourceVersion": str(version)}
    return {"metadata": meta | {"ownerReferences": [owner]} | metadata, "spec": {"nodeName": "n1"}, "status": {}}


@pytest.fixture
def seen() -> Workloads:
    made = Workloads(lambda: None, lambda: 7.0)
    made.mind(DB, guest())
    made.put(STATEFUL_SETS, stateful_set())
    made.put(WORKLOAD_PODS, db_0())
    made.opened("shop")
    return made


def views(seen: Workloads, *guests: GuestView) -> dict[str, Any]:
    everyone = guests or (guest(),)
    ours, theirs = seen.split("prod", everyone, everyone)
    assert ours == ()
    return {one.guest.key.name: one for one in theirs}


def test_what_belongs_to_it_is_found(seen):
    matched = views(seen)["db"].matched
    assert [str(one) for one in matched.objects] == ["StatefulSet db"]
    assert [(one.name, one.node, one.seen_s) for one in matched.pods] == [("db-0", "n1", 7.0)]


def test_before_its_namespace_was_listed_nothing_is_said():
    made = Workloads(lambda: None, lambda: 7.0)
    made.mind(DB, guest())
    assert views(made)["db"].matched is None


def test_the_same_view_as_long_as_nothing_changes(seen):
    one, everyone = guest(), None
    everyone = (one,)
    (first,) = seen.split("prod", everyone, everyone)[1]
    (second,) = seen.split("prod", everyone, everyone)[1]
    assert first is second
    seen.put(WORKLOAD_PODS, db_0(3))
    assert seen.split("prod", everyone, everyone)[1][0] is not first


def test_containers_are_left_to_quorate(seen):
    container = GuestView(GuestKey("shop", "web"), Uid("web"), GuestSpec(Template("t")))
    everyone = (guest(), container)
    ours, theirs = seen.split("prod", everyone, everyone)
    assert (ours, [one.guest.key for one in theirs]) == ((container,), [DB])
    alone = (container,)
    assert seen.split("prod", alone, alone)[0] is alone


def test_an_older_version_never_replaces_a_newer_one(seen):
    seen.put(WORKLOAD_PODS, db_0(1, deletionTimestamp="x"))
    assert not views(seen)["db"].matched.pods[0].deleting


def test_one_that_had_its_name_before_does_not_come_back_late(seen):
    seen.put(WORKLOAD_PODS, db_0(9, uid="v"))
    seen.put(WORKLOAD_PODS, db_0(8))
    seen.gone(WORKLOAD_PODS, ("shop", "db-0"), "u", 10)
    assert [pod.uid for pod in views(seen)["db"].matched.pods] == ["v"]


@pytest.mark.parametrize("name", ["../../../shop/secrets/key", "a?b", "A", "x" * 254, "", None])
def test_a_claim_that_cannot_be_is_none(name):
    raw = db_0() | {
        "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": name}}, {"persistentVolumeClaim": None}]}
    }
    assert workloads.pod(raw).claims == ()


def test_what_was_deleted_does_not_come_back(seen):
    seen.gone(WORKLOAD_PODS, ("shop", "db-0"), "u", 9)
    seen.put(WORKLOAD_PODS, db_0(8))
    assert views(seen)["db"].matched.pods == ()
    seen.put(WORKLOAD_PODS, db_0(10, uid="another"))
    assert len(views(seen)["db"].matched.pods) == 1


def test_a_list_is_the_last_word(seen):
    seen.sweep(WORKLOAD_PODS, "shop", [], 1)
    assert len(views(seen)["db"].matched.pods) == 1  # newer than the list
    seen.sweep(WORKLOAD_PODS, "shop", [], 5)
    assert views(seen)["db"].matched.pods == ()


def test_other_namespaces_are_none_of_ours(seen):
    seen.put(WORKLOAD_PODS, db_0(namespace="bank"))
    assert seen.namespaces() == {"shop"}
    assert [one.name for one in views(seen)["db"].matched.pods] == ["db-0"]


def test_a_namespace_is_forgotten_when_nothing_in_it_is_protected(seen):
    seen.moved.clear()
    seen.mind(DB, guest(wanted=Wanted.IGNORED))
    assert (seen.namespaces(), seen.listed, seen.moved.is_set()) == (frozenset(), set(), True)
    seen.mind(DB, guest())
    assert views(seen)["db"].matched is None


def test_since_when_it_is_being_deleted_is_remembered(seen):
    moments = iter((10.0, 20.0))
    seen._clock = lambda: next(moments)
    seen.put(WORKLOAD_PODS, db_0(3, deletionTimestamp="x"))
    seen.put(WORKLOAD_PODS, db_0(4, deletionTimestamp="x", labels={"a": "b"}))
    (pod,) = views(seen)["db"].matched.pods
    assert (pod.ending_s, pod.seen_s) == (10.0, 20.0)


def test_a_restored_store_is_read_anew(seen):
    seen.forget_all()
    assert views(seen)["db"].matched is None
    seen.put(STATEFUL_SETS, stateful_set())
    seen.put(WORKLOAD_PODS, db_0(1))
    seen.opened("shop")
    assert len(views(seen)["db"].matched.pods) == 1


def status(**changes: Any) -> Json:
    return {"name": "main", "containerID": "c://1", "restartCount": 0, "state": {"running": {}}} | changes


@pytest.mark.parametrize("changes", [{"containerID": "c://2"}, {"restartCount": 1}])
def test_each_start_leaves_other_marks(changes):
    def of(**what: Any) -> str:
        return marks_of({"status": {"containerStatuses": [status(**what)]}})

    assert of(**changes) != of() == of(state={"terminated": {}}, ready=True)
    assert marks_of({}) == ""


EVERYTHING = {"operator": "Exists"}
LOSS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
    for key in ("not-ready", "unreachable")
]


@pytest.mark.parametrize(
    ("tolerations", "heedless", "patient"),
    [
        ([], False, False),
        (LOSS, False, True),
        ([{**one, "tolerationSeconds": 300} for one in LOSS], False, False),
        (LOSS[:1], False, False),
        ([EVERYTHING], True, True),
        ([{"key": "quorate.dev/fence", "operator": "Exists"}], True, False),
        ([{**EVERYTHING, "effect": "NoSchedule"}], False, False),
    ],
)
def test_tolerations(tolerations, heedless, patient):
    pod = {"metadata": {"name": "p"}, "spec": {"tolerations": tolerations}}
    assert workloads.pod(pod).heedless is heedless
    raw = stateful_set(template={"spec": {"tolerations": tolerations}})
    assert workloads.workload(DEPLOYMENTS, raw).patient is patient


def test_a_pod_says_what_matters():
    raw = db_0(finalizers=["f"], labels={"pod-template-hash": "77"})
    raw["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "data"}}, {"emptyDir": {}}]
    raw["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    raw["status"]["containerStatuses"] = [status()]
    seen = workloads.pod(raw)
    assert (seen.owner, seen.claims, seen.finalizers) == (("StatefulSet", "db", "set-db"), ("data",), ("f",))
    assert (seen.ready, seen.running, seen.revision, seen.over) == (True, True, "77", False)
    assert seen.node == NodeName("n1")


class Lists:
    """An API server that fails once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def get(self, path: str, query: Any = None) -> Json:
        self.asked.append((path, query))
        if len(self.asked) == 1:
            raise Transient(f"GET {path}", 503, "", "")
        items = {"statefulsets": [stateful_set()], "pods": [db_0()]}.get(path.rpartition("/")[2], [])
        return {"metadata": {"resourceVersion": "9"}, "items": items}


async def test_what_cannot_be_listed_keeps_nothing_else_from_being_planned(seen):
    class Refusing:
        async def get(self, path: str, query: Any = None) -> Json:
            raise Permanent(f"GET {path}", 403, "Forbidden", "no")

    await workloads.list_all(seen, Refusing())  # type: ignore[arg-type]
    assert len(views(seen)["db"].matched.pods) == 1


async def test_a_namespace_is_listed_as_soon_as_something_in_it_is_protected(monkeypatch):
    monkeypatch.setattr(workloads, "AGAIN_S", 0.0)
    seen, api = Workloads(lambda: None, lambda: 7.0), Lists()
    listing = asyncio.create_task(keep_listing(seen, api))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert api.asked == []
    seen.mind(DB, guest())
    async with asyncio.timeout(30):
        while "shop" not in seen.listed:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    listing.cancel()
    assert api.asked[-1] == ("/api/v1/namespaces/shop/pods", {"labelSelector": "!quorate.dev/guest"})
    assert len(views(seen)["db"].matched.pods) == 1

"""Deeds on stuck Pods: nothing is removed from a kubelet that lives, and nothing but what was judged."""

import copy
from typing import Any

import pytest

from quorate.core.actions import EvictPod, LookAtVolumes, ProbeKubelet, RemoveStuckPod, SetTaint
from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT, GuestKey, IncidentId, NodeName, Uid
from quorate.core.workloads import WorkloadKind, WorkloadTarget
from quorate.core.world import GuestSpec, GuestView, Template
from quorate.kube.calls import Conflict, NotFound, Permanent
from quorate.kube.deeds import Deeds
from quorate.kube.guests.pod import Gate
from quorate.kube.store import Store
from quorate.kube.taints import foreign_taints
from quorate.kube.workloads import WORKLOAD_PODS, marks_of

Json = dict[str, Any]
KEY, N1, CASE = GuestKey("shop", "db"), NodeName("n1"), IncidentId("n1-x")
POD, LEASE = "/api/v1/namespaces/shop/pods/db-0", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1"
NODE, CLAIM = "/api/v1/nodes/n1", "/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


def db_0(**metadata: Any) -> Json:
    meta = {"name": "db-0", "namespace": "shop", "uid": "u", "resourceVersion": "5", "deletionTimestamp": "x"}
    running = {"name": "main", "containerID": "c://1", "restartCount": 0, "state": {"running": {}}}
    return {"metadata": meta | metadata, "spec": {"nodeName": "n1"}, "status": {"containerStatuses": [running]}}


class Server:
    """What the API server has, by path. `then`: what happens with each deletion."""

    def __init__(self) -> None:
        self.has: dict[str, Json] = {
            POD: db_0(),
            LEASE: {"metadata": {"name": "n1", "uid": "k", "resourceVersion": "7"}},
            NODE: {
                "metadata": {"name": "n1", "uid": "n", "resourceVersion": "9"},
                "spec": {},
                "status": {"nodeInfo": {"bootID": "b1"}},
            },
            CLAIM: {"metadata": {"name": "data-db-0", "namespace": "shop"}, "spec": {"volumeName": "pv-1"}},
            ATTACHMENTS: {"items": []},
        }
        self.deleted: list[Json] = []
        self.then = lambda: None

    async def get(self, path: str, query: object = None) -> Json:
        if path not in self.has:
            raise NotFound(f"GET {path}", 404, "NotFound", "not found")
        return copy.deepcopy(self.has[path])

    async def delete(self, path: str, **how: Any) -> Json:
        meta = self.has[path]["metadata"]
        if (how["uid"], how["resource_version"]) != (meta["uid"], meta["resourceVersion"]):
            raise Conflict(f"DELETE {path}", 409, "Conflict", "another one")
        self.deleted.append(how)
        self.then()
        return copy.deepcopy(self.has[path])


def removal(**changes: str) -> RemoveStuckPod:
    given = {"lease": "k/7", "boot_id": "b1", "marks": marks_of(db_0()), "uid": "u", "resource_version": "5"} | changes
    return RemoveStuckPod(
        KEY,
        "db-0",
        Uid(given["uid"]),
        given["resource_version"],
        N1,
        CASE,
        given["lease"],
        given["boot_id"],
        given["marks"],
    )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def store() -> Store:
    made = Store(lambda: None, lambda: 100.0)
    target = WorkloadTarget(WorkloadKind.STATEFUL_SET, "db")
    made.workloads.mind(KEY, GuestView(KEY, Uid("g"), GuestSpec(Template(""), workload=target)))
    made.workloads.put(WORKLOAD_PODS, db_0())
    return made


@pytest.fixture
def deeds(server: Server, store: Store) -> Deeds:
    return Deeds(server, store, Gate("image", 1), "prod", "m1")  # type: ignore[arg-type]


def known(store: Store) -> list[str]:
    return [one.name for one in store.workloads._pods["shop"].values()]


async def test_a_stuck_pod_is_removed(deeds, server, store):
    await deeds.workloads.remove(removal())
    assert server.deleted == [{"uid": "u", "resource_version": "5", "grace_s": 0}]
    assert known(store) == []


@pytest.mark.parametrize("changes", [{"lease": "k/6"}, {"boot_id": "b0"}, {"marks": "other"}], ids=str)
async def test_nothing_is_removed_from_a_kubelet_that_shows_life(deeds, server, store, changes):
    with pytest.raises(Conflict):
        await deeds.workloads.remove(removal(**changes))
    assert (server.deleted, known(store)) == ([], ["db-0"])
    assert store.workloads.kubelets[N1].lease == "k/7"


async def test_one_that_shows_life_just_after_is_noticed(deeds, server, store):
    server.then = lambda: server.has[LEASE]["metadata"].update(resourceVersion="8")
    with pytest.raises(Conflict, match="has given a sign of life"):
        await deeds.workloads.remove(removal())
    assert len(server.deleted) == 1
    assert store.workloads.kubelets[N1].lease == "k/8"


@pytest.mark.parametrize("changes", [{"uid": "other"}, {"resource_version": "4"}], ids=str)
async def test_nothing_is_removed_but_what_was_judged(deeds, server, changes):
    with pytest.raises((Conflict, NotFound)):
        await deeds.workloads.remove(removal(**changes))
    assert server.deleted == []


async def test_one_that_somebody_holds_is_still_there(deeds, server, store):
    held = db_0(finalizers=["example.com/backup"], resourceVersion="6")
    server.then = lambda: server.has.update({POD: held})
    await deeds.workloads.remove(removal())
    assert store.workloads._pods["shop"]["db-0"].finalizers == ("example.com/backup",)


async def test_a_graceful_deletion_sets_no_grace(deeds, server, store):
    await deeds.workloads.evict(EvictPod(KEY, "db-0", Uid("u"), "5", N1))
    assert server.deleted == [{"uid": "u", "resource_version": "5"}]
    assert known(store) == ["db-0"]


async def test_one_that_is_gone_is_forgotten(deeds, server, store):
    server.has[POD] = db_0(uid="younger", resourceVersion="9")
    with pytest.raises(Conflict):
        await deeds.workloads.evict(EvictPod(KEY, "db-0", Uid("u"), "5", N1))
    assert store.workloads._pods["shop"]["db-0"].uid == "younger"


async def test_a_kubelet_is_looked_at_from_when_its_version_was_found(deeds, server, store):
    moments = iter((10.0, 20.0, 30.0))
    store.clock = lambda: next(moments)
    for version in ("7", "7", "8"):
        server.has[LEASE]["metadata"]["resourceVersion"] = version
        await deeds.workloads.probe_kubelet(ProbeKubelet(N1, CASE))
        look = store.workloads.kubelets[N1]
        assert (look.lease, look.since_s) == (f"k/{version}", 10.0 if version == "7" else 30.0)
    del server.has[LEASE]
    store.clock = lambda: 40.0
    await deeds.workloads.probe_kubelet(ProbeKubelet(N1, CASE))
    assert store.workloads.kubelets[N1].lease == ""


async def test_volumes_are_read(deeds, server, store):
    def attachment(node: str, attached: bool = True) -> Json:
        source = {"persistentVolumeName": "pv-1"}
        return {"spec": {"nodeName": node, "source": source}, "status": {"attached": attached}}

    action = LookAtVolumes(KEY, N1, CASE, ("data-db-0", "lost"))
    for items, here, elsewhere in (
        ([attachment("n1")], ("data-db-0",), ()),
        ([attachment("n1", attached=False)], (), ()),
        ([attachment("n2")], (), ("data-db-0",)),
    ):
        server.has[ATTACHMENTS] = {"items": items}
        await deeds.workloads.look_at_volumes(action)
        look = store.workloads._volumes[KEY]
        assert (look.incident, look.here, look.elsewhere) == (CASE, here, elsewhere)


class Forbidding(Server):
    """Reads of Leases and attachments are refused."""

    async def get(self, path: str, query: object = None) -> Json:
        if path in {LEASE, ATTACHMENTS}:
            raise Permanent(f"GET {path}", 403, "Forbidden", "no")
        return await super().get(path, query)


async def test_what_may_not_be_read_keeps_no_node_from_being_fenced(store):
    server = Forbidding()
    deeds = Deeds(server, store, Gate("image", 1), "prod", "m1")  # type: ignore[arg-type]
    await deeds.workloads.probe_kubelet(ProbeKubelet(N1, CASE))
    assert store.workloads.kubelets == {}
    await deeds.workloads.look_at_volumes(LookAtVolumes(KEY, N1, CASE, ("data-db-0",)))
    assert store.workloads._volumes[KEY].here == ()
    with pytest.raises(Permanent):
        await deeds.workloads.remove(removal())
    assert server.deleted == []


OURS = {"key": FENCE_TAINT, "value": "n1-x", "effect": "NoSchedule"}
OFF = {"key": OUT_OF_SERVICE_TAINT, "value": "n1-x", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("taints", "foreign"),
    [
        ([OURS, OFF], []),
        ([OURS, OFF | {"value": "nodeshutdown"}], [OFF | {"value": "nodeshutdown"}]),
        ([OFF], [OFF]),
        ([{"key": "a", "effect": "NoSchedule"}, OURS], [{"key": "a", "effect": "NoSchedule"}]),
    ],
)
def test_a_taint_is_ours_by_key_or_by_our_incident(taints, foreign):
    assert foreign_taints(taints) == foreign


class Tainting(Server):
    async def patch(self, path: str, operations: list[Json]) -> Json:
        self.has[path] = copy.deepcopy(self.has[path])
        self.has[path]["spec"]["taints"] = operations[-1]["value"]
        return self.has[path]


async def test_taints_are_set_together_beside_those_of_others():
    server, others = Tainting(), {"key": "a", "effect": "NoSchedule"}
    server.has[NODE]["spec"]["taints"] = [others]
    deeds = Deeds(server, Store(lambda: None), Gate("image", 1), "prod", "m1")  # type: ignore[arg-type]
    await deeds.set_taint(SetTaint(N1, CASE, evict=True, out_of_service=True))
    assert server.has[NODE]["spec"]["taints"] == [others, OURS, OURS | {"effect": "NoExecute"}, OFF]
    await deeds.set_taint(SetTaint(N1, None))
    assert server.has[NODE]["spec"]["taints"] == [others]


async def test_an_out_of_service_of_others_is_not_set_twice():
    server, others = Tainting(), OFF | {"value": "nodeshutdown"}
    server.has[NODE]["spec"]["taints"] = [others]
    deeds = Deeds(server, Store(lambda: None), Gate("image", 1), "prod", "m1")  # type: ignore[arg-type]
    await deeds.set_taint(SetTaint(N1, CASE, evict=True, out_of_service=True))
    assert [one for one in server.has[NODE]["spec"]["taints"] if one["key"] == OUT_OF_SERVICE_TAINT] == [others]

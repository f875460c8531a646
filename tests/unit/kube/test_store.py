"""The store: the newest version wins, what was deleted stays deleted, a list is the last word, most beats wake nobody."""

import pytest

from quorate.api import attestation
from quorate.core.load import Size, Usage
from quorate.core.types import GuestKey, InstanceId, Instant, NodeName, Uid
from quorate.core.world import Refusal, Verdict
from quorate.kube.resources import CLUSTERS, HARESOURCES, KUBE_NODES, LEASES, NODES, PODS, STORAGES
from quorate.kube.store import Store
from tests.unit.core.worlds import said


class Woken:
    def __init__(self):
        self.times = 0
        self.now_s = 100.0

    def __call__(self):
        self.times += 1


@pytest.fixture
def woken():
    return Woken()


@pytest.fixture
def store(woken):
    return Store(woken, clock=lambda: woken.now_s)


def guest(version=1, uid="g1", name="web", **spec):
    container = {"spec": {"containers": [{"name": "web", "image": "i"}]}}
    return {
        "kind": "HAResource",
        "metadata": {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)},
        "spec": {"guest": {"container": container}, **spec},
    }


def member(version=1, name="n1"):
    metadata = {"name": name, "uid": f"node-{name}", "resourceVersion": str(version)}
    return {"kind": "Node", "metadata": metadata, "spec": {"clusterName": "prod"}}


def cluster(name):
    return {"kind": "Cluster", "metadata": {"name": name, "uid": f"cluster-{name}", "resourceVersion": "1"}, "spec": {}}


def lease(sequence, version=None, holder="boot", uid="lease-n1", **changes):
    text = attestation.encode(said("n1", sequence, **changes))
    return {
        "metadata": {
            "namespace": "quorate-agents",
            "name": "n1",
            "uid": uid,
            "resourceVersion": str(version or sequence),
            "annotations": {"quorate.dev/attestation": text},
        },
        "spec": {"holderIdentity": holder},
    }


def names(store):
    return [view.key.name for view in store.guests()]


class TestVersions:
    def test_an_older_version_never_replaces_a_newer_one(self, store):
        store.put(HARESOURCES, guest(5, maxRestart=5))
        store.put(HARESOURCES, guest(4, maxRestart=4))
        assert store.guests()[0].spec.max_restart == 5

    def test_another_object_under_the_name_does_whatever_its_version(self, store):
        store.put(HARESOURCES, guest(5))
        store.put(HARESOURCES, guest(3, uid="g2"))
        assert store.guests()[0].uid == "g2"

    def test_what_was_deleted_does_not_come_back_with_a_late_event(self, store):
        store.put(HARESOURCES, guest(5))
        store.gone(HARESOURCES, ("default", "web"), "g1")
        store.put(HARESOURCES, guest(6))
        assert names(store) == []

    def test_a_deletion_of_an_earlier_object_does_not_hit_its_successor(self, store):
        store.put(HARESOURCES, guest(9, uid="g2"))
        store.gone(HARESOURCES, ("default", "web"), "g1")
        assert names(store) == ["web"]

    def test_a_list_is_the_last_word_on_what_exists(self, store):
        store.put(HARESOURCES, guest(5))
        store.put(HARESOURCES, guest(6, uid="g2", name="db"))
        store.sweep(HARESOURCES, [guest(6, uid="g2", name="db")], version=10)
        assert names(store) == ["db"]

    def test_but_not_on_what_is_newer_than_the_list(self, store):
        store.put(HARESOURCES, guest(12))
        store.sweep(HARESOURCES, [], version=10)
        assert names(store) == ["web"]


class TestWaking:
    def test_a_heartbeat_that_says_only_still_there_wakes_nobody(self, store, woken):
        store.put(LEASES, lease(1))
        store.put(LEASES, lease(2))
        before = woken.times
        woken.now_s += 1
        store.put(LEASES, lease(3))
        assert woken.times == before
        assert store.beats["n1"].seen_s == 101.0

    @pytest.mark.parametrize(
        "news",
        [
            {"armed": False},
            {"generation": 9},
            {"drained": True},
            {"left": (Uid("x"),)},
            {"idle": (Uid("x"),)},
            {"gone": (Uid("x"),)},
        ],
    )
    def test_one_that_says_more_does(self, store, woken, news):
        store.put(LEASES, lease(1))
        store.put(LEASES, lease(2))
        before = woken.times
        store.put(LEASES, lease(3, **news))
        assert woken.times == before + 1

    def test_one_of_a_node_that_is_waited_for_does(self, store, woken):
        store.put(LEASES, lease(1))
        store.put(LEASES, lease(2))
        store.attentive["prod"] = frozenset({NodeName("n1")})
        before = woken.times
        store.put(LEASES, lease(3))
        assert woken.times == before + 1

    def test_the_same_version_again_wakes_nobody(self, store, woken):
        store.put(HARESOURCES, guest(5))
        before = woken.times
        store.put(HARESOURCES, guest(5))
        assert woken.times == before


class TestLeases:
    def test_a_member_has_its_beat_and_its_kubernetes_node(self, store):
        store.put(NODES, member())
        store.put(
            KUBE_NODES,
            {"metadata": {"name": "n1", "uid": "k"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        )
        store.put(LEASES, lease(1))
        (view,) = store.nodes()
        assert view.beat.holder == "boot"
        assert view.kube.ready

    def test_a_deleted_lease_is_missing_from_then_on_and_its_history_is_kept(self, store, woken):
        store.put(NODES, member())
        store.put(LEASES, lease(1))
        woken.now_s = 150.0
        store.gone(LEASES, ("quorate-agents", "n1"), "lease-n1")
        (view,) = store.nodes()
        assert (view.beat, view.lease_missing_s) == (None, 150.0)
        store.put(LEASES, lease(2, uid="lease-2", lease_uid="lease-2"))
        (view,) = store.nodes()
        assert view.lease_missing_s is None
        assert view.beat.sighting("boot").first_s == 100.0

    def test_a_member_without_a_lease_is_noticed_only_once_all_was_listed(self, store):
        store.put(NODES, member())
        assert store.nodes()[0].lease_missing_s is None
        store.sweep(LEASES, [], version=10)
        assert store.nodes()[0].lease_missing_s == 100.0
        store.open_gate(0.0)
        store.put(NODES, member(name="n2"))
        assert store.nodes()[1].lease_missing_s == 100.0

    def test_a_probe_confirms_the_version_that_is_known(self, store, woken):
        store.put(NODES, member())
        store.put(LEASES, lease(1))
        store.probed(NodeName("n1"), 120.0, lease(1))
        assert store.beats["n1"].probed_s == 120.0

    def test_a_probe_counts_although_somebody_writes_the_lease_all_the_time(self, store, woken):
        """The watch was faster and knows a later version, of the same sequence: the node is as silent as it was read."""
        store.put(NODES, member())
        store.put(LEASES, lease(1, version=1))
        store.put(LEASES, lease(1, version=3))
        store.probed(NodeName("n1"), 120.0, lease(1, version=2))
        assert store.beats["n1"].probed_s == 120.0

    def test_a_probe_that_finds_a_newer_one_is_a_beat(self, store, woken):
        store.put(LEASES, lease(1))
        woken.now_s = 120.0
        store.probed(NodeName("n1"), 119.0, lease(2))
        assert store.beats["n1"].seen_s == 120.0

    def test_a_probe_that_finds_none(self, store):
        store.put(NODES, member())
        store.put(LEASES, lease(1))
        store.probed(NodeName("n1"), 119.0, None)
        assert store.nodes()[0].beat is None

    def test_a_list_that_lacks_a_lease_the_watch_did_not_see_deleted(self, store, woken):
        store.put(NODES, member())
        store.put(LEASES, lease(1))
        store.sweep(LEASES, [], version=10)
        assert store.nodes()[0].lease_missing_s == 100.0


class TestTroubles:
    def test_an_object_that_cannot_be_read_keeps_its_last_form_and_says_so(self, store):
        store.put(HARESOURCES, guest(5))
        store.put(HARESOURCES, guest(6, maxRestart="many"))
        (view,) = store.guests()
        assert view.resource_version == "6"
        assert "HAResource default/web: spec.maxRestart" in view.trouble
        store.put(HARESOURCES, guest(7))
        assert store.guests()[0].trouble == ""

    def test_one_that_never_could_be_is_left_out_and_named(self, store):
        store.put(HARESOURCES, guest(6, maxRestart="many"))
        assert store.guests() == ()
        assert "spec.maxRestart" in store.troubles[HARESOURCES, ("default", "web")]

    def test_a_deed_that_cannot_be_done_is_said_until_it_is_done(self, store):
        store.put(HARESOURCES, guest())
        store.trouble(HARESOURCES, ("default", "web"), "forbidden")
        assert store.guests()[0].trouble == "forbidden"
        store.trouble(HARESOURCES, ("default", "web"))
        assert store.guests()[0].trouble == ""


def test_verdicts_and_refusals_go_with_their_guest(store):
    store.put(HARESOURCES, {**guest(), "status": {"instance": INSTANCE}})
    store.judge(Uid("g1"), Verdict("t1", accepted=True))
    store.refuse(Refusal(InstanceId("i1"), permanent=True, message="no"))
    (view,) = store.guests()
    assert view.verdict.accepted
    assert view.refusal.message == "no"
    store.gone(HARESOURCES, ("default", "web"), "g1")
    assert store.verdicts == {}


INSTANCE = {"id": "i1", "node": "n1", "nonce": "b", "templateHash": "t", "drawn": "2026-01-01T00:00:00Z"}


def test_a_guest_has_its_pod(store):
    store.put(HARESOURCES, guest())
    store.put(PODS, {"metadata": {"namespace": "default", "name": "web", "uid": "p", "resourceVersion": "1"}})
    assert store.guests()[0].pod.uid == "p"


def test_a_storage_knows_who_names_it(store):
    spec = {"type": "Local", "local": {"path": "/srv"}}
    store.put(
        STORAGES, {"kind": "Storage", "metadata": {"name": "s", "uid": "s", "resourceVersion": "1"}, "spec": spec}
    )
    store.put(HARESOURCES, guest(storage=[{"name": "s", "path": "/data"}]))
    (view,) = store.storages(store.guests())
    assert view.used_by == ("ct:default/web",)


def test_the_gate_opens_with_a_complete_look(store, woken):
    store.open_gate(5.0)
    assert (store.synced, store.listed_s, woken.times) == (True, 5.0, 1)
    assert store.guest_raw(GuestKey("default", "none")) is None


def test_what_was_read_before_a_restore_is_forgotten_but_not_the_heartbeats(store, woken):
    cluster = {"metadata": {"name": "prod", "uid": "c", "resourceVersion": "3"}, "spec": {}}
    for resource, raw in ((CLUSTERS, cluster), (NODES, member(version=90)), (HARESOURCES, guest(version=91))):
        store.put(resource, raw)
    store.put(LEASES, lease(5))
    store.open_gate(1.0)
    store.forget("older")
    assert (store.synced, store.clusters(), store.nodes(), store.guests()) == (False, [], [], ())
    assert store.rewound_of("prod") == "older"
    assert store.newest(NODES) == 0
    store.put(NODES, member(version=40))
    assert [view.resource_version for view in store.nodes()] == ["40"], "an older version is what there is now"
    assert store.beats["n1"].attestation.sequence == 5


@pytest.mark.parametrize(
    ("rewind", "left"),
    [
        ({"id": "rewind-2", "since": "2026-11-28T10:00:00Z", "why": "x"}, ""),
        ({"id": "rewind-1", "since": "2026-11-28T10:00:00Z", "why": "x", "accepted": "2026-11-28T10:05:00Z"}, "older"),
        (None, "older"),
    ],
)
def test_a_rewind_that_another_replica_has_recorded_is_no_news_when_this_one_leads_later(store, rewind, left):
    """Both noticed the restore. It was accepted long ago when the standby takes over: it must not stop everything."""
    raw = {"metadata": {"name": "prod", "uid": "c", "resourceVersion": "30"}, "spec": {}}
    store.put(CLUSTERS, raw)
    store.forget("older")
    status = {"rewind": rewind} if rewind is not None else {}
    store.put(CLUSTERS, {**raw, "metadata": {**raw["metadata"], "resourceVersion": "20"}, "status": status})
    assert store.rewound_of("prod") == left


def test_of_pods_and_kubernetes_nodes_only_names_and_versions_are_kept(store):
    """A thousand of them with all their fields would take more memory than everything else."""
    raw = {**pod_raw(), "metadata": {**pod_raw()["metadata"], "managedFields": [{"manager": "kubelet"}]}}
    store.put(PODS, raw)
    (kept,) = store.raw[PODS].values()
    assert set(kept) == {"metadata"}
    assert "managedFields" not in kept["metadata"]
    assert "managedFields" in raw["metadata"], "what was given is left as it was"


def test_our_own_objects_keep_what_is_written_back_with_their_status(store):
    raw = guest()
    raw["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.put(HARESOURCES, raw)
    (kept,) = store.raw[HARESOURCES].values()
    assert kept["spec"] == raw["spec"]
    assert "managedFields" not in kept["metadata"]


def test_a_guest_is_put_together_anew_when_a_part_of_it_changes_and_only_then(store):
    store.put(HARESOURCES, guest())
    before = store.guests()[0]
    assert store.guests()[0] is before
    store.trouble(HARESOURCES, ("default", "web"), "its name is taken")
    assert store.guests()[0].trouble == "its name is taken"
    store.trouble(HARESOURCES, ("default", "web"))
    store.judge(Uid("g1"), Verdict("t", accepted=True))
    assert store.guests()[0].verdict == Verdict("t", accepted=True)
    store.put(PODS, pod_raw())
    assert store.guests()[0].pod is not None
    store.measured({}, {GuestKey("default", "web"): ("10:00", Usage(Size(2, 3), Instant(1000)))})
    assert store.guests()[0].usage == Usage(Size(2, 3), Instant(1000))
    store.gone(PODS, ("default", "web"), "p1")
    assert store.guests()[0].pod is None
    store.put(HARESOURCES, guest(version=2))
    assert store.guests()[0].resource_version == "2"
    store.gone(HARESOURCES, ("default", "web"), "g1")
    assert store.guests() == ()


def test_who_belongs_to_a_cluster_is_told_again_when_guests_or_clusters_change(store):
    store.put(CLUSTERS, cluster("prod"))
    store.put(HARESOURCES, guest())
    assert store.guests_of("prod") == store.guests()
    assert store.guests_of("prod") is store.guests_of("prod")
    store.put(CLUSTERS, cluster("test"))
    assert store.guests_of("prod") == ()


def pod_raw():
    metadata = {"namespace": "default", "name": "web", "uid": "p1", "resourceVersion": "3", "labels": {}}
    return {"metadata": metadata, "spec": {"nodeName": "n1", "containers": [{"name": "web"}]}, "status": {}}


def device_lease(renewed, uid="lease-third"):
    metadata = {"namespace": "quorate-system", "name": "quorum-device-third", "uid": uid, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"renewTime": renewed} if renewed else {}}


class TestQuorumDevice:
    def test_a_renewal_counts_from_before_it_was_asked_for(self, store, woken):
        store.device("third", device_lease("2026-01-01T00:00:00.000000Z"), 90.0)
        assert not store.devices["third"].moved
        store.device("third", device_lease("2026-01-01T00:00:02.000000Z"), 92.0)
        assert (store.devices["third"].moved, store.devices["third"].seen_s) == (True, 92.0)

    def test_only_what_may_change_the_count_wakes(self, store, woken):
        for second in range(3):
            store.device("third", device_lease(f"2026-01-01T00:00:0{second}.000000Z"), 90.0 + second)
        assert woken.times == 2, "found, and heard for the first time"
        store.device("third", device_lease("2026-01-01T00:01:00.000000Z"), 150.0)
        assert woken.times == 3, "heard again after a long silence"

    def test_a_lease_without_a_renewal_is_no_vote(self, store):
        store.device("third", device_lease(""), 90.0)
        store.device("third", device_lease(""), 91.0)
        assert not store.devices["third"].moved

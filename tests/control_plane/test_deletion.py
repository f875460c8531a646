"""How objects go: finalizers, grace periods, owners, namespaces. A delete is never a stop."""

import pytest

from tests.control_plane.objects import CLUSTERS, cluster, config_maps, guest, guests, owner, pod, pods
from tests.control_plane.servers import eventually

FINALIZER = "quorate.dev/instance"


def gone(api, path):
    return lambda: api.get(path).code == 404


@pytest.fixture
def bound(api, namespace):
    """bound("web") -> the path of a Pod that a node runs."""

    def make(name, phase="Running", **metadata):
        api.post(pods(namespace), pod(name, node="node1", **metadata)).ok()
        path = f"{pods(namespace)}/{name}"
        api.merge(f"{path}/status", {"status": {"phase": phase}}).ok()
        return path

    return make


def test_a_finalizer_holds_an_object_until_it_is_taken_off(api, unique):
    api.post(CLUSTERS, cluster(unique) | {"metadata": {"name": unique, "finalizers": ["quorate.dev/member"]}}).ok()
    path = f"{CLUSTERS}/{unique}"
    meta = api.delete(path).ok()["metadata"]
    assert "deletionTimestamp" in meta
    assert meta["finalizers"] == ["quorate.dev/member"]
    assert api.delete(path).ok()["metadata"] == meta, "deleting again changes nothing"
    assert api.merge(path, {"spec": {"timing": {"profile": "Fast"}}}).code == 200, "it can still be changed"
    api.merge(path, {"metadata": {"finalizers": []}}).ok()
    api.get(path).refused(404, "NotFound")


def test_deletion_cannot_be_taken_back_nor_held_up_anew(api, unique):
    api.post(CLUSTERS, cluster(unique) | {"metadata": {"name": unique, "finalizers": ["a.b/one"]}}).ok()
    path = f"{CLUSTERS}/{unique}"
    api.delete(path).ok()
    assert "deletionTimestamp" in api.merge(path, {"metadata": {"deletionTimestamp": None}}).ok()["metadata"]
    causes = api.merge(path, {"metadata": {"finalizers": ["a.b/one", "a.b/two"]}}).causes()
    words = "no new finalizers can be added if the object is being deleted, found new finalizers"
    assert causes == {
        ("metadata.finalizers", "FieldValueForbidden", f'Forbidden: {words} []string{{"a.b/two"}}'),
    }
    assert "object is being deleted" in api.post(CLUSTERS, cluster(unique)).refused(409, "AlreadyExists")


def test_deletion_is_a_new_generation(api, unique):
    """observedGeneration falls behind when a deletion begins."""
    api.post(CLUSTERS, cluster(unique) | {"metadata": {"name": unique, "finalizers": ["a.b/one"]}}).ok()
    assert api.delete(f"{CLUSTERS}/{unique}").ok()["metadata"]["generation"] == 2


def test_without_a_finalizer_an_object_goes_at_once(api, unique):
    api.post(CLUSTERS, cluster(unique)).ok()
    api.delete(f"{CLUSTERS}/{unique}").ok()
    api.get(f"{CLUSTERS}/{unique}").refused(404, "NotFound")


@pytest.mark.parametrize("wrong", [{"uid": "none"}, {"resourceVersion": "1"}])
def test_a_delete_with_a_wrong_precondition_is_a_conflict(api, bound, wrong):
    path = bound("web")
    found = api.get(path).ok()["metadata"]
    right = {"uid": found["uid"], "resourceVersion": found["resourceVersion"]}
    words = api.delete(path, {"preconditions": right | wrong}).refused(409, "Conflict")
    assert "Operation cannot be fulfilled on" in words
    assert "deletionTimestamp" not in api.get(path).ok()["metadata"]
    assert "deletionTimestamp" in api.delete(path, {"preconditions": right}).ok()["metadata"]


def test_a_bound_pod_stays_until_its_kubelet_deletes_it(api, bound):
    path = bound("web")
    meta = api.delete(path).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 30
    assert meta["deletionTimestamp"] > meta["creationTimestamp"]
    api.merge(f"{path}/status", {"status": {"phase": "Succeeded"}}).ok()
    api.delete(path).ok()
    assert api.get(path).ok()["metadata"]["deletionTimestamp"] == meta["deletionTimestamp"], "a plain delete is no end"
    api.delete(path, {"gracePeriodSeconds": 0}).ok()
    api.get(path).refused(404, "NotFound")


def test_a_grace_period_can_only_be_shortened(api, bound):
    path = bound("web")
    api.delete(path, gracePeriodSeconds="20").ok()
    longer = api.delete(path, {"gracePeriodSeconds": 50}).ok()["metadata"]
    shorter = api.delete(path, {"gracePeriodSeconds": 5}).ok()["metadata"]
    assert (longer["deletionGracePeriodSeconds"], shorter["deletionGracePeriodSeconds"]) == (20, 5)
    assert shorter["deletionTimestamp"] < longer["deletionTimestamp"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_goes_at_once(api, bound, phase):
    path = bound("web", phase)
    api.delete(path).ok()
    api.get(path).refused(404, "NotFound")


def test_an_unbound_pod_goes_at_once(api, namespace):
    api.post(pods(namespace), pod("web")).ok()
    api.delete(f"{pods(namespace)}/web").ok()
    api.get(f"{pods(namespace)}/web").refused(404, "NotFound")


def test_our_finalizer_outlives_a_forced_delete(api, bound):
    """`kubectl delete --force` does not make a guest's Pod vanish while nobody knows that it has stopped."""
    path = bound("web", finalizers=[FINALIZER])
    meta = api.delete(path, {"gracePeriodSeconds": 0}).ok()["metadata"]
    assert (meta["deletionGracePeriodSeconds"], meta["finalizers"]) == (0, [FINALIZER])
    api.merge(path, {"metadata": {"finalizers": None}}).ok()
    api.get(path).refused(404, "NotFound")


def test_a_finalizer_taken_off_within_the_grace_period_leaves_the_pod(api, bound):
    path = bound("web", finalizers=[FINALIZER])
    api.delete(path).ok()
    api.merge(path, {"metadata": {"finalizers": []}}).ok()
    assert "deletionTimestamp" in api.get(path).ok()["metadata"]
    api.delete(path, {"gracePeriodSeconds": 0}).ok()
    api.get(path).refused(404, "NotFound")


def test_a_finished_pod_with_our_finalizer_waits_for_it_alone(api, bound):
    path = bound("web", "Failed", finalizers=[FINALIZER])
    assert api.delete(path).ok()["metadata"]["deletionGracePeriodSeconds"] == 0
    api.merge(path, {"metadata": {"finalizers": []}}).ok()
    api.get(path).refused(404, "NotFound")


def test_what_an_object_owns_goes_with_it(api, controllers, namespace):
    made = api.post(guests(namespace), guest("web")).ok()
    references = [owner(made) | {"controller": True}]
    api.post(pods(namespace), pod("web", node="node1", ownerReferences=references, finalizers=[FINALIZER])).ok()
    api.post(config_maps(namespace), {"metadata": {"name": "web", "ownerReferences": references}}).ok()
    api.delete(f"{guests(namespace)}/web").ok()
    eventually(gone(api, f"{config_maps(namespace)}/web"))
    found = eventually(
        lambda: (meta := api.get(f"{pods(namespace)}/web").ok()["metadata"]) and "deletionTimestamp" in meta and meta
    )
    assert (found["deletionGracePeriodSeconds"], found["finalizers"]) == (30, [FINALIZER])


def test_of_two_owners_the_last_one_decides(api, controllers, namespace):
    path = config_maps(namespace)
    owners = [
        owner(api.post(path, {"metadata": {"name": name}}).ok() | {"apiVersion": "v1", "kind": "ConfigMap"})
        for name in "ab"
    ]
    api.post(path, {"metadata": {"name": "owned", "ownerReferences": owners}}).ok()
    api.delete(f"{path}/a").ok()
    eventually(lambda: api.get(f"{path}/owned").ok()["metadata"]["ownerReferences"] == owners[1:])
    api.delete(f"{path}/b").ok()
    eventually(gone(api, f"{path}/owned"))


def test_an_owner_that_does_not_exist_counts_as_gone(api, controllers, namespace):
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}
    path = f"{config_maps(namespace)}/orphan"
    api.post(config_maps(namespace), {"metadata": {"name": "orphan", "ownerReferences": [nobody]}}).ok()
    eventually(gone(api, path))


def test_an_owner_has_a_uid(api, namespace):
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none"}
    answer = api.post(config_maps(namespace), {"metadata": {"name": "one", "ownerReferences": [nobody]}})
    ((field, _, _),) = answer.causes()
    assert field.startswith("metadata.ownerReferences")


def test_a_namespace_must_exist(api, unique):
    words = api.post(pods(unique), pod("web")).refused(404, "NotFound")
    assert words == f'namespaces "{unique}" not found'
    assert api.names(pods(unique)) == [], "but it can be looked into"


def test_some_namespaces_exist_from_the_start(api):
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= set(api.names("/api/v1/namespaces"))
    found = api.get("/api/v1/namespaces/default").ok()
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "default"}
    assert found["status"] == {"phase": "Active"}


def test_a_namespace_takes_its_contents_along(api, controllers, namespace):
    api.post(guests(namespace), guest("web")).ok()
    api.post(config_maps(namespace), {"metadata": {"name": "web"}}).ok()
    api.delete(f"/api/v1/namespaces/{namespace}").ok()
    eventually(gone(api, f"/api/v1/namespaces/{namespace}"))
    assert api.names(guests(namespace)) == []


def test_a_namespace_waits_for_what_is_held_in_it_and_takes_nothing_new(api, controllers, namespace):
    api.post(pods(namespace), pod("web", node="node1", finalizers=[FINALIZER])).ok()
    path = f"/api/v1/namespaces/{namespace}"
    assert api.delete(path).ok()["status"]["phase"] == "Terminating"
    words = api.post(config_maps(namespace), {"metadata": {"name": "late"}}).refused(403, "Forbidden")
    assert f"unable to create new content in namespace {namespace} because it is being terminated" in words
    eventually(lambda: "deletionTimestamp" in api.get(f"{pods(namespace)}/web").ok()["metadata"])
    api.merge(f"{pods(namespace)}/web", {"metadata": {"finalizers": []}}).ok()
    api.delete(f"{pods(namespace)}/web", {"gracePeriodSeconds": 0})
    eventually(gone(api, path))


def test_a_namespace_is_no_domain(api):
    (cause,) = api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}}).causes()
    assert cause == ("metadata.name", "FieldValueInvalid", 'Invalid value: "a.b": must not contain dots')

"""Optimistic concurrency, and what a write may change: the ground that every lock of Quorate stands on."""

import pytest

from quorate.api.crd import UNSEEN
from tests.control_plane.objects import (
    CLUSTERS,
    KUBE_NODES,
    NODES,
    cluster,
    config_maps,
    guest,
    guests,
    leases,
    node,
    pod,
    pods,
)


def test_a_new_object_gets_its_identity_from_the_server(api, namespace):
    made = api.post(guests(namespace), guest("web", state="Stopped") | {"status": {"state": "Started"}}).ok()
    meta = made["metadata"]
    assert meta["namespace"] == namespace
    assert meta["generation"] == 1
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 0
    assert made["status"] == UNSEEN
    assert api.get(f"{guests(namespace)}/web").ok() == made


def test_what_only_the_server_sets_is_not_taken_from_a_client(api, unique):
    wish = cluster(unique)
    wish["metadata"] |= {"uid": "mine", "generation": 7, "deletionTimestamp": "2020-01-01T00:00:00Z"}
    meta = api.post(CLUSTERS, wish).ok()["metadata"]
    assert (meta["uid"] != "mine", meta["generation"], "deletionTimestamp" in meta) == (True, 1, False)


def test_a_name_is_taken_once(api, unique):
    api.post(CLUSTERS, cluster(unique)).ok()
    words = api.post(CLUSTERS, cluster(unique)).refused(409, "AlreadyExists")
    assert words == f'clusters.quorate.dev "{unique}" already exists'


def test_generate_name_makes_a_new_name_each_time(api, namespace):
    wish = pod("")
    wish["metadata"] = {"generateName": "web-"}
    names = {api.post(pods(namespace), wish).ok()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(len(name) == 9 and name.startswith("web-") for name in names)


def test_an_object_needs_a_name(api):
    assert ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required") in (
        api.post(CLUSTERS, cluster("")).causes()
    )


def test_a_name_is_a_dns_name(api):
    (cause,) = api.post(KUBE_NODES, {"metadata": {"name": "Bad_Name"}}).causes()
    assert cause[:2] == ("metadata.name", "FieldValueInvalid")
    assert 'Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case' in cause[2]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/apis/quorate.dev/v1alpha1/clusters/none", 'clusters.quorate.dev "none" not found'),
        ("/api/v1/namespaces/none", 'namespaces "none" not found'),
        ("/api/v1/namespaces/default/pods/none", 'pods "none" not found'),
    ],
)
def test_what_is_not_there_is_not_found(api, path, found):
    assert api.get(path).refused(404, "NotFound") == found
    assert api.delete(path).refused(404, "NotFound") == found
    assert api.merge(path, {}).refused(404, "NotFound") == found


@pytest.mark.parametrize("path", ["/apis/quorate.dev/v1alpha1/none", "/apis/none.dev/v1/clusters", "/none"])
def test_what_is_not_served_is_404(api, path):
    assert api.get(path).code == 404


def test_an_update_of_an_old_version_is_a_conflict(api, unique):
    old = api.post(NODES, node(unique)).ok()
    new = api.put(f"{NODES}/{unique}", old | {"spec": {"clusterName": "prod", "votes": 2}}).ok()
    assert new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
    words = api.put(f"{NODES}/{unique}", old | {"spec": {"clusterName": "prod", "votes": 3}}).refused(409, "Conflict")
    assert words == (
        f'Operation cannot be fulfilled on nodes.quorate.dev "{unique}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert api.get(f"{NODES}/{unique}").ok() == new


def test_an_update_names_the_version_it_was_made_from(api, unique):
    api.post(NODES, node(unique)).ok()
    words = api.put(f"{NODES}/{unique}", node(unique)).refused(422, "Invalid")
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in words


def test_an_update_of_another_uid_is_a_conflict(api, unique):
    found = api.post(NODES, node(unique)).ok()
    found["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    words = api.put(f"{NODES}/{unique}", found).refused(409, "Conflict")
    assert words.startswith(f'Operation cannot be fulfilled on nodes.quorate.dev "{unique}": ')


def test_an_update_stays_in_its_place(api, namespace, unique):
    found = api.post(NODES, node(unique)).ok()
    found["metadata"]["name"] = "other"
    api.put(f"{NODES}/{unique}", found).refused(400, "BadRequest")
    elsewhere = guest("web")
    elsewhere["metadata"]["namespace"] = "default"
    api.post(guests(namespace), elsewhere).refused(400, "BadRequest")


def test_an_update_that_changes_nothing_is_none(api, unique):
    made = api.post(NODES, node(unique)).ok()
    # The real server stores the default of a status with the first write after the one that made the object.
    found = api.put(f"{NODES}/{unique}", made).ok()
    assert found["spec"] == made["spec"]
    assert api.put(f"{NODES}/{unique}", found).ok() == found
    assert api.merge(f"{NODES}/{unique}", {"spec": {"votes": 1}}).ok() == found


def test_generation_counts_changes_of_the_spec_alone(api, unique):
    def generation(answer):
        return answer.ok()["metadata"]["generation"]

    api.post(NODES, node(unique)).ok()
    path = f"{NODES}/{unique}"
    assert generation(api.merge(path, {"metadata": {"labels": {"a": "b"}}})) == 1
    assert generation(api.merge(f"{path}/status", {"status": {"votes": 1}})) == 1
    assert generation(api.merge(path, {"spec": {"votes": 2}})) == 2
    assert generation(api.merge(path, {"spec": {"votes": 2}})) == 2


def test_the_status_endpoint_changes_only_the_status(api, unique):
    before = api.post(NODES, node(unique)).ok()
    path = f"{NODES}/{unique}"
    wish = {"status": {"votes": 3}, "spec": {"votes": 9}, "metadata": {"labels": {"a": "b"}, "finalizers": ["a.b/c"]}}
    after = api.merge(f"{path}/status", wish).ok()
    assert (after["status"], after["spec"]) == (UNSEEN | {"votes": 3}, before["spec"])
    assert not {"labels", "finalizers"} & set(after["metadata"])
    again = api.put(f"{path}/status", after | {"spec": {"clusterName": "x"}, "status": {"votes": 4}}).ok()
    assert (again["status"], again["spec"]) == ({"votes": 4}, before["spec"])
    api.put(f"{path}/status", after).refused(409, "Conflict")
    assert api.get(f"{path}/status").ok() == again


def test_the_main_endpoint_does_not_change_the_status(api, namespace, unique):
    api.post(NODES, node(unique)).ok()
    api.merge(f"{NODES}/{unique}/status", {"status": {"votes": 3}}).ok()
    assert api.merge(f"{NODES}/{unique}", {"status": {"votes": 4}}).ok()["status"] == UNSEEN | {"votes": 3}
    api.post(pods(namespace), pod("web")).ok()
    assert api.merge(f"{pods(namespace)}/web", {"status": {"phase": "Running"}}).ok()["status"]["phase"] == "Pending"
    assert (
        api.merge(f"{pods(namespace)}/web/status", {"status": {"phase": "Running"}}).ok()["status"]["phase"]
        == "Running"
    )


def test_a_kubernetes_node_brings_its_status_along(api, unique):
    conditions = [{"type": "Ready", "status": "True"}]
    made = api.post(KUBE_NODES, {"metadata": {"name": unique}, "status": {"conditions": conditions}}).ok()
    assert made["status"]["conditions"][0]["status"] == "True"
    assert api.merge(f"{KUBE_NODES}/{unique}", {"status": {"conditions": []}}).ok()["status"]["conditions"]
    patch = {"status": {"nodeInfo": {"bootID": "b"}}, "spec": {"unschedulable": True}}
    found = api.merge(f"{KUBE_NODES}/{unique}/status", patch).ok()
    assert (found["status"]["nodeInfo"]["bootID"], found["spec"].get("unschedulable")) == ("b", None)


def test_kinds_without_the_subresource_have_no_status_endpoint(api, namespace):
    api.post(leases(namespace), {"metadata": {"name": "one"}, "spec": {}}).ok()
    assert api.get(f"{leases(namespace)}/one/status").code == 404
    assert api.get(f"{config_maps(namespace)}/one/status").code == 404


def test_the_status_endpoint_cannot_be_deleted(api, unique):
    api.post(CLUSTERS, cluster(unique)).ok()
    assert api.delete(f"{CLUSTERS}/{unique}/status").code == 405


def test_a_lease_is_taken_by_one_of_two(api, namespace):
    """The node's Lease is its lock: both have read the same version, one PUT wins."""
    seen = api.post(leases(namespace), {"metadata": {"name": "node1"}, "spec": {"holderIdentity": "boot"}}).ok()
    path = f"{leases(namespace)}/node1"
    first = api.put(path, seen | {"spec": {"holderIdentity": "fenced/i/boot"}})
    second = api.put(path, seen | {"spec": {"holderIdentity": "boot"}})
    assert first.ok()["spec"]["holderIdentity"] == "fenced/i/boot"
    second.refused(409, "Conflict")


def test_a_put_to_a_missing_lease_creates_it_whatever_version_it_names(api, namespace):
    """A renewal of a Lease that somebody deleted is no conflict, unless it names the uid."""
    made = api.post(leases(namespace), {"metadata": {"name": "node1"}, "spec": {"holderIdentity": "boot"}}).ok()
    path = f"{leases(namespace)}/node1"
    api.delete(path).ok()
    api.put(path, made).refused(409, "Conflict")
    made["metadata"].pop("uid")
    again = api.put(path, made)
    assert again.code == 201
    assert api.get(path).ok()["metadata"]["uid"] == again.body["metadata"]["uid"]


def test_micro_time_keeps_its_digits_and_is_asked_for(api, namespace):
    spec = {"holderIdentity": "a", "renewTime": "2026-11-22T17:50:58.692485Z", "leaseDurationSeconds": 5}
    assert api.post(leases(namespace), {"metadata": {"name": "a"}, "spec": spec}).ok()["spec"] == spec
    for wrong in ("2026-11-22T17:50:58Z", "2026-11-22T17:50:58.123Z", "never"):
        answer = api.post(leases(namespace), {"metadata": {"name": "b"}, "spec": {"renewTime": wrong}})
        assert answer.code in (400, 422)
        assert "renewTime" in answer.body["message"] or "cannot be handled as a Lease" in answer.body["message"]
    lasting = {"metadata": {"name": "b"}, "spec": {"leaseDurationSeconds": 0}}
    assert {cause[0] for cause in api.post(leases(namespace), lasting).causes()} == {"spec.leaseDurationSeconds"}


def test_a_controller_revision_keeps_its_data(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"
    api.post(path, {"metadata": {"name": "one"}, "revision": 1, "data": {"spec": {"a": 1}}}).ok()
    words = api.merge(f"{path}/one", {"data": {"spec": {"a": 2}}}).refused(422, "Invalid")
    assert (
        words == 'ControllerRevision.apps "one" is invalid: data: Invalid value: {"spec":{"a":2}}: field is immutable'
    )
    found = api.get(f"{path}/one").ok()
    found["metadata"]["labels"] = {"a": "b"}
    assert api.put(f"{path}/one", found).ok()["data"] == {"spec": {"a": 1}}


def test_a_dry_run_answers_and_stores_nothing(api, unique):
    made = api.post(CLUSTERS, cluster(unique), dryRun="All").ok()
    assert made["spec"]["timing"] == {"profile": "Auto"}
    api.get(f"{CLUSTERS}/{unique}").refused(404, "NotFound")
    kept = api.post(CLUSTERS, cluster(unique)).ok()
    path = f"{CLUSTERS}/{unique}"
    assert (
        api.merge(path, {"spec": {"timing": {"profile": "Fast"}}}, dryRun="All").ok()["spec"]["timing"]["profile"]
        == "Fast"
    )
    api.delete(path, dryRun="All").ok()
    api.delete(path, {"dryRun": ["All"]}).ok()
    assert api.get(path).ok() == kept

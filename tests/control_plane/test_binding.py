"""A Pod's node, given to it by pods/binding: once, and to the Pod that was meant."""

import pytest

from tests.control_plane.objects import pod, pods


def binding(name, node="node1", **metadata):
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **metadata}, "target": target}


def bind(api, namespace, name, **fields):
    return api.post(f"{pods(namespace)}/{name}/binding", binding(name, **fields))


@pytest.fixture
def unbound(api, namespace):
    return api.post(pods(namespace), pod("web", annotations={"a": "1"})).ok()


def test_it_gets_the_node_and_is_scheduled(api, namespace, unbound):
    answer = bind(api, namespace, "web", uid=unbound["metadata"]["uid"], annotations={"b": "2"})
    assert (answer.code, answer.ok()["kind"], answer.ok()["status"]) == (201, "Status", "Success")
    found = api.get(f"{pods(namespace)}/web").ok()
    assert found["spec"]["nodeName"] == "node1"
    assert found["metadata"]["annotations"] == {"a": "1", "b": "2"}
    assert [(one["type"], one["status"]) for one in found["status"]["conditions"]] == [("PodScheduled", "True")]


def test_a_pod_without_annotations_gets_none(api, namespace):
    api.post(pods(namespace), pod("web")).ok()
    bind(api, namespace, "web").ok()
    assert "annotations" not in api.get(f"{pods(namespace)}/web").ok()["metadata"]


def test_it_is_bound_once(api, namespace, unbound):
    bind(api, namespace, "web").ok()
    words = bind(api, namespace, "web", node="node2").refused(409, "Conflict")
    assert words.endswith('pods/binding "web": pod web is already assigned to node "node1"')
    assert api.get(f"{pods(namespace)}/web").ok()["spec"]["nodeName"] == "node1"


def test_another_pod_of_that_name_is_not_meant(api, namespace, unbound):
    words = bind(api, namespace, "web", uid="00000000-0000-0000-0000-000000000000").refused(409, "Conflict")
    assert "UID in precondition" in words
    assert "nodeName" not in api.get(f"{pods(namespace)}/web").ok()["spec"]


def test_one_that_goes_is_not_bound(api, namespace):
    api.post(pods(namespace), pod("web", finalizers=["example.org/held"])).ok()
    api.delete(f"{pods(namespace)}/web").ok()
    words = bind(api, namespace, "web").refused(409, "Conflict")
    assert "pod web is being deleted, cannot be assigned to a host" in words


def test_nor_one_that_is_not_there(api, namespace):
    bind(api, namespace, "web").refused(404, "NotFound")


@pytest.mark.parametrize(
    ("target", "said"),
    [({"name": ""}, "target.name: Required value"), ({"kind": "Pod"}, 'target.kind: Unsupported value: "Pod"')],
)
def test_nothing_else_is_a_target(api, namespace, unbound, target, said):
    body = binding("web")
    body["target"] |= target
    answer = api.post(f"{pods(namespace)}/web/binding", body)
    assert answer.code == 500  # the real server's own word for it
    assert said in answer.body["message"]
    assert "nodeName" not in api.get(f"{pods(namespace)}/web").ok()["spec"]

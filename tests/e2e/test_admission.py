"""What may be written, as the API server judges it: one's own Lease, one's own word, guests where Pods are allowed."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.cluster import KindCluster
from tests.e2e.play import refused

pytestmark = pytest.mark.kind

AGENT: Final = "system:serviceaccount:quorate-agents:quorate-agent"
LEASE: Final[dict[str, Any]] = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "another-node", "namespace": "quorate-agents"},
}
MEMBER: Final[dict[str, Any]] = {
    "apiVersion": "quorate.dev/v1alpha1",
    "kind": "Node",
    "metadata": {"name": "no-machine"},
    "spec": {"clusterName": "no-cluster"},
}
GUEST: Final[dict[str, Any]] = {
    "apiVersion": "quorate.dev/v1alpha1",
    "kind": "HAResource",
    "metadata": {"name": "from-outside", "namespace": "default"},
    "spec": {"state": "Stopped", "guest": {"container": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}},
}


def role(cluster: KindCluster, user: str, *resources: str) -> None:
    """That user may do everything with these resources."""
    rules = [
        {"apiGroups": ["", "quorate.dev"], "resources": list(resources), "verbs": ["get", "list", "create", "patch"]}
    ]
    kind, name = {"apiVersion": "rbac.authorization.k8s.io/v1"}, f"e2e-{user}"
    cluster.apply({**kind, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
    subjects = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]
    reference = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
    cluster.apply({**kind, **binding})


@pytest.fixture
def member(cluster: KindCluster) -> Iterator[str]:
    """A Node of a Cluster that does not exist."""
    cluster.apply(MEMBER)
    name = MEMBER["metadata"]["name"]
    yield name
    cluster.kubectl("delete", "nodes.quorate.dev", name)


def test_an_agent_cannot_write_the_lease_of_another_node(cluster: KindCluster) -> None:
    """Its token names its node; one that is bound to none may write none. The agents that run here prove the rest."""
    words = refused(lambda: cluster.apply(LEASE, "--as", AGENT))
    assert "of its own node only" in words


def test_a_person_vouches_under_their_own_name(cluster: KindCluster, member: str) -> None:
    def confirm(user: str) -> str:
        value = f"quorate.dev/fence-confirm=incident/nonce/{user}"
        return cluster.kubectl("annotate", "--overwrite", "nodes.quorate.dev", member, value)

    assert "must be <incident>/<nonce>/kubernetes-admin" in refused(lambda: confirm("somebody-else"))
    assert "annotated" in confirm("kubernetes-admin")


def test_to_vouch_takes_the_right_to_fence(cluster: KindCluster, member: str) -> None:
    annotate = ("annotate", "nodes.quorate.dev", member, "--as", "operator", "--overwrite")
    role(cluster, "operator", "nodes")
    # A role counts a moment after it was written.
    assert "annotated" in cluster.eventually("the role counts", lambda: cluster.kubectl(*annotate, "note=seen"))
    words = refused(lambda: cluster.kubectl(*annotate, "quorate.dev/fence-confirm=incident/nonce/operator"))
    assert "needs the verb fence" in words


def test_who_wants_a_guest_must_be_allowed_to_create_pods(cluster: KindCluster) -> None:
    get = ("get", "haresources", "-n", "default", "--as", "guest-writer")
    role(cluster, "guest-writer", "haresources")
    cluster.eventually("the role counts", lambda: cluster.kubectl(*get, "-o", "json"))
    words = refused(lambda: cluster.apply(GUEST, "--as", "guest-writer"))
    assert "may not create pods in namespace default" in words
    role(cluster, "guest-writer", "haresources", "pods")
    cluster.eventually("the larger role counts", lambda: cluster.apply(GUEST, "--as", "guest-writer") or True)
    cluster.kubectl("delete", "haresource", GUEST["metadata"]["name"], "-n", "default")

"""What is in manifests/base, applied to an API server that knows no nodes, and whoever it grants something to."""

from pathlib import Path
from typing import Any, Final

import yaml

from tests.control_plane.client import Api

Json = Any
BASE: Final = Path(__file__).parents[2] / "manifests" / "base"
DASHBOARD: Final = BASE.parent / "dashboard"
_PLURALS: Final = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
RBAC: Final = "rbac.authorization.k8s.io/v1"


def apply(api: Api, *files: str, folder: Path = BASE) -> None:
    """The objects of these files of manifests/base, or of another folder of them."""
    for file in files:
        for found in yaml.safe_load_all((folder / file).read_text()):
            create(api, found)


def create(api: Api, found: Json) -> None:
    """An object of a kind that manifests/base has; one that is there already is left as it is."""
    version, namespace = found["apiVersion"], found["metadata"].get("namespace")
    where = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    where += f"/namespaces/{namespace}" if namespace else ""
    answer = api.post(f"{where}/{_PLURALS[found['kind']]}", found)
    if answer.code != 409:
        answer.ok()


def grant(api: Api, user: str, *rules: Json) -> None:
    """That user may do this, everywhere."""
    create(api, {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": user}, "rules": list(rules)})
    binding = {
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    create(api, binding)


def rule(resources: str, verbs: str, group: str = "") -> Json:
    """A rule of a role, in words: rule("pods pods/eviction", "get create")."""
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


def token(api: Api, namespace: str, account: str, pod: Json = None) -> str:
    """A token of that ServiceAccount, as a kubelet asks for one: bound to a Pod, and so to its node."""
    spec: Json = {"expirationSeconds": 3600}
    if pod is not None:
        parts = {key: pod["metadata"][key] for key in ("name", "uid")}
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **parts}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    found: str = api.post(path, request).ok()["status"]["token"]
    return found

"""The objects that the contract is tried with."""

from typing import Any

Json = Any
OURS = "/apis/quorate.dev/v1alpha1"
CLUSTERS, NODES, STORAGES = f"{OURS}/clusters", f"{OURS}/nodes", f"{OURS}/storages"
KUBE_NODES = "/api/v1/nodes"


def guests(namespace: str) -> str:
    return f"{OURS}/namespaces/{namespace}/haresources"


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def custom(kind: str, name: str, spec: Json, **metadata: Json) -> Json:
    return {"apiVersion": "quorate.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def cluster(name: str, /, **spec: Json) -> Json:
    return custom("Cluster", name, spec)


def node(name: str, /, cluster_name: str = "prod", **metadata: Json) -> Json:
    return custom("Node", name, {"clusterName": cluster_name}, **metadata)


def guest(name: str, /, **spec: Json) -> Json:
    template = {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}
    return custom("HAResource", name, {"guest": {"container": template}} | spec)


def pod(name: str, /, *, node: str = "", spec: Json = None, **metadata: Json) -> Json:
    containers = {"containers": [{"name": "main", "image": "busybox"}]}
    bound = {"nodeName": node} if node else {}
    found = {"metadata": {"name": name, **metadata}, "spec": containers | bound if spec is None else spec}
    return {"apiVersion": "v1", "kind": "Pod"} | found


def owner(found: Json) -> Json:
    """A reference to it."""
    parts = {key: found["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], **parts}

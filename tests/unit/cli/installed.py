"""Quorate as it is installed somewhere, in the stub: two guests, three nodes, and a manager that does its part.

Every read moves the world on by a little: the manager's Lease is renewed, a guest that was deleted stops, a node without
guests disarms. What does not happen is said beforehand.
"""

import copy
from typing import Any

from quorate.api.attestation import encode
from quorate.core.types import ATTESTATION_ANNOTATION, GUEST_LABEL, Uid
from quorate.core.world import Attestation
from tests.unit.cli.stub import Stub
from tests.unit.view import pictures

Json = dict[str, Any]
LABELS = {"app.kubernetes.io/part-of": "quorate"}
OURS = "/apis/quorate.dev/v1alpha1"
CLUSTER = f"{OURS}/clusters/prod"
AGENTS = "/api/v1/namespaces/quorate-agents"
SYSTEM = "/api/v1/namespaces/quorate-system"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/quorate-agents/leases/"
DAEMON_SET = "/apis/apps/v1/namespaces/quorate-agents/daemonsets/quorate-agent"
DEPLOYMENT = "/apis/apps/v1/namespaces/quorate-system/deployments/quorate-manager"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusters.quorate.dev"
INSTALLED = (
    ("v1", "Namespace", "", "quorate-system"),
    ("v1", "Namespace", "", "quorate-agents"),
    ("apps/v1", "Deployment", "quorate-system", "quorate-manager"),
    ("apps/v1", "DaemonSet", "quorate-agents", "quorate-agent"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "", "quorate-manager"),
    ("rbac.authorization.k8s.io/v1", "Role", "default", "quorate-api-servers"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", "quorate-guests"),
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "", "quorate-heartbeats"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "clusters.quorate.dev"),
)


class Site:
    """`manager`: one leads. `stubborn`: guests that do not stop. `armed`: nodes that are, `faithful` those that follow."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.manager = True
        self.stubborn: set[str] = set()
        self.armed = {"n1", "n2"}
        self.faithful = {"n1", "n2", "n3"}
        self.fenced: set[str] = set()
        self.reads = 0
        self.gone: list[str] = []
        self._fill()
        stub.before_read = self._move

    def _fill(self) -> None:
        held = {"finalizers": ["quorate.dev/member"]}
        self.put(pictures.cluster(), **held)
        for name in ("n1", "n2", "n3"):
            self.put(pictures.node(name), **held)
            self.put(pictures.kube_node(name))
            self.put(pictures.as_object(pictures.lease(name, "boot", pictures.NOW), "quorate-agents"))
        self.put(pictures.as_object(pictures.leader()[0], "quorate-system"))
        for name in ("db", "web"):
            status = pictures.guest_status(guest=f"ct:shop/{name}", message="is being stopped")
            self.put(pictures.guest(status, name), finalizers=["quorate.dev/instance"])
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1"}}
            metadata = {"name": name, "namespace": "shop", "labels": {GUEST_LABEL: name}}
            self.put({**pod, "metadata": metadata}, finalizers=["quorate.dev/instance"])
            # Nobody collects garbage here: what belonged to the HAResource stays.
            template = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
            self.put({**template, "metadata": {**metadata, "name": f"{name}-abc"}})
        for api_version, kind, namespace, name in INSTALLED:
            metadata = {"name": name, "labels": LABELS, **({"namespace": namespace} if namespace else {})}
            self.put({"apiVersion": api_version, "kind": kind, "metadata": metadata})

    def put(self, raw: Json, **metadata: Any) -> None:
        raw = copy.deepcopy(dict(raw))
        name = raw["metadata"]["name"]
        raw["metadata"] |= {"uid": f"{raw['kind']}-{name}", "resourceVersion": "7", **metadata}
        self.stub.put(raw)

    def _move(self, stub: Stub, path: str) -> None:
        self.reads += 1
        self._renew()
        if self.manager and self.reads % 3 == 0:
            self._manage()
        self._collect()

    def _renew(self) -> None:
        for path, raw in self.stub.objects.items():
            if self.manager and path.endswith("/leases/manager-prod"):
                raw["spec"]["renewTime"] = f"{self.reads}"
            if path.startswith(LEASE):
                name = raw["metadata"]["name"]
                alive = name not in self.fenced
                raw["spec"]["holderIdentity"] = "boot" if alive else "fenced/i/boot"
                is_armed = name in self.armed
                said = Attestation(Uid("l"), self.reads if alive else 1, is_armed, "Hardware", 5, 1.5, 60, "m", 1, 1)
                raw["metadata"]["annotations"] = {ATTESTATION_ANNOTATION: encode(said)}

    def _manage(self) -> None:
        """Guests that were deleted have stopped; then nothing asks for armed nodes; then Nodes and Clusters are let go."""
        objects = self.stub.objects
        for path in [path for path in objects if "/haresources/" in path]:
            name = path.rpartition("/")[2]
            if objects[path]["metadata"].get("deletionTimestamp") and name not in self.stubborn:
                self._drop(path)
                self._drop(f"/api/v1/namespaces/shop/pods/{name}")
        if any("/haresources/" in path for path in objects):
            return
        self.armed -= self.faithful
        for path, raw in objects.items():
            if path.startswith((f"{OURS}/nodes/", f"{OURS}/clusters/")) and not self.fenced:
                raw["metadata"]["finalizers"] = []

    def _collect(self) -> None:
        """What has no finalizer and is being deleted goes."""
        for path in list(self.stub.objects):
            metadata = self.stub.objects[path]["metadata"]
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
                self._drop(path)

    def _drop(self, path: str) -> None:
        if self.stub.objects.pop(path, None) is not None:
            self.gone.append(path)

    # -- what a test looks at ---------------------------------------------------------------------------------------

    def deleted(self) -> list[str]:
        """What was asked to go, in order, each once."""
        return list(dict.fromkeys(write.path for write in self.stub.writes if write.method == "DELETE"))

    def left(self) -> list[str]:
        """What is there and is ours: all but the Kubernetes nodes."""
        return [path for path in self.stub.objects if not path.startswith("/api/v1/nodes/")]

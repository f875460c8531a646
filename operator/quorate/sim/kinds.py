"""The kinds of the simulated API server: the store's rules, without the schemas (what the simulator writes is valid)."""

from typing import Final

from quorate.api.schema import Cause, Json
from quorate.core.types import GROUP, VERSION
from quorate.sim.store import Resource

REFUSED: Final = "refused"
"""An image that this API server finds invalid: it stands for everything that may be wrong with a Pod."""


KUBEVIRT: Final = "kubevirt.io"


class Kind(Resource):
    """A kind. Nobody but its controller writes a status, and a Pod begins as Pending."""

    def admit(self, new: Json, old: Json | None) -> list[Cause]:
        if old is None and self.status and self.kind != "Node":
            new.pop("status", None)
        if self.kind != "Pod" or old is not None:
            return []
        new["status"] = {"phase": "Pending"}
        containers = new["spec"].get("containers") or []
        return [
            Cause(f"spec.containers[{at}].image", "Invalid", f"Invalid value: {REFUSED!r}: it is refused here")
            for at, one in enumerate(containers)
            if one.get("image") == REFUSED
        ]


KINDS: Final = (
    Kind("", "v1", "namespaces", "Namespace", namespaced=False, status=True),
    Kind("", "v1", "nodes", "Node", namespaced=False, status=True),
    Kind("", "v1", "pods", "Pod", namespaced=True, status=True),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True, status=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False, status=True),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False, status=False),
    Kind("apps", "v1", "statefulsets", "StatefulSet", namespaced=True, status=True),
    Kind("apps", "v1", "deployments", "Deployment", namespaced=True, status=True),
    Kind("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False, status=True),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision", namespaced=True, status=False),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True, status=False),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True, status=False),
    Kind("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", namespaced=False, status=False),
    Kind("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", namespaced=True, status=False),
    Kind(KUBEVIRT, "v1", "virtualmachines", "VirtualMachine", namespaced=True, status=True),
    Kind(KUBEVIRT, "v1", "virtualmachineinstances", "VirtualMachineInstance", namespaced=True, status=True),
    Kind(
        KUBEVIRT,
        "v1",
        "virtualmachineinstancemigrations",
        "VirtualMachineInstanceMigration",
        namespaced=True,
        status=True,
    ),
    Kind(GROUP, VERSION, "clusters", "Cluster", namespaced=False, status=True),
    Kind(GROUP, VERSION, "nodes", "Node", namespaced=False, status=True),
    Kind(GROUP, VERSION, "haresources", "HAResource", namespaced=True, status=True),
    Kind(GROUP, VERSION, "storages", "Storage", namespaced=False, status=True),
)

"""Where objects live in the API: one `Resource` for each kind that the manager touches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from quorate.core.types import GROUP, VERSION, Kind, Ref

Key: TypeAlias = tuple[str, str]
"""(namespace, name)"""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A kind's place. `group` is empty for core/v1."""

    group: str
    version: str
    plural: str
    namespaced: bool
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """The URL path of one object, or (no name) of the collection."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


CLUSTERS: Final = Resource(GROUP, VERSION, "clusters", namespaced=False, kind="Cluster")
NODES: Final = Resource(GROUP, VERSION, "nodes", namespaced=False, kind="Node")
HARESOURCES: Final = Resource(GROUP, VERSION, "haresources", namespaced=True, kind="HAResource")
STORAGES: Final = Resource(GROUP, VERSION, "storages", namespaced=False, kind="Storage")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", namespaced=True, kind="Lease")
PODS: Final = Resource("", "v1", "pods", namespaced=True, kind="Pod")
KUBE_NODES: Final = Resource("", "v1", "nodes", namespaced=False, kind="Node")
SECRETS: Final = Resource("", "v1", "secrets", namespaced=True, kind="Secret")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", namespaced=True, kind="PersistentVolumeClaim")
VOLUMES: Final = Resource("", "v1", "persistentvolumes", namespaced=False, kind="PersistentVolume")
STORAGE_CLASSES: Final = Resource("storage.k8s.io", "v1", "storageclasses", namespaced=False, kind="StorageClass")
NAMESPACES: Final = Resource("", "v1", "namespaces", namespaced=False, kind="Namespace")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", namespaced=True, kind="EndpointSlice")
STATEFUL_SETS: Final = Resource("apps", "v1", "statefulsets", namespaced=True, kind="StatefulSet")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", namespaced=True, kind="Deployment")
VOLUME_ATTACHMENTS: Final = Resource(
    "storage.k8s.io", "v1", "volumeattachments", namespaced=False, kind="VolumeAttachment"
)
MACHINES: Final = Resource("kubevirt.io", "v1", "virtualmachines", namespaced=True, kind="VirtualMachine")
MACHINE_RUNS: Final = Resource(
    "kubevirt.io", "v1", "virtualmachineinstances", namespaced=True, kind="VirtualMachineInstance"
)
MIGRATIONS: Final = Resource(
    "kubevirt.io", "v1", "virtualmachineinstancemigrations", namespaced=True, kind="VirtualMachineInstanceMigration"
)
REVISIONS: Final = Resource("apps", "v1", "controllerrevisions", namespaced=True, kind="ControllerRevision")
NODE_METRICS: Final = Resource("metrics.k8s.io", "v1beta1", "nodes", namespaced=False, kind="NodeMetrics")
POD_METRICS: Final = Resource("metrics.k8s.io", "v1beta1", "pods", namespaced=True, kind="PodMetrics")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", namespaced=True, kind="Event")

OURS: Final[dict[Kind, Resource]] = {
    Kind.CLUSTER: CLUSTERS,
    Kind.NODE: NODES,
    Kind.HARESOURCE: HARESOURCES,
    Kind.STORAGE: STORAGES,
}


def key_of(raw: Mapping[str, Any]) -> Key:
    """The place of an object."""
    metadata = raw["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(raw: Mapping[str, Any]) -> int:
    """The resourceVersion of an object or a list, 0 for one that is no number."""
    text = raw["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


def path_of(ref: Ref, subresource: str = "") -> str:
    """The URL path of one of our objects."""
    return OURS[ref.kind].path(ref.name, ref.namespace, subresource)

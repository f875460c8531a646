"""Which kinds are served: ours from their CRDs, and those of Kubernetes and KubeVirt that everybody of a lab uses."""

from dataclasses import dataclass, field, replace

from quorate.api.crd import KINDS, crd
from quorate.api.schema import OPEN, Cause, Json, Schema, settle
from quorate.lab.apiserver.core import FIELDS, RULES, STATUS
from quorate.sim.store import Resource

_ABOUT = "involvedObject.kind,involvedObject.name,involvedObject.namespace,involvedObject.uid"
_MIGRATION = "Phase:status.phase,VMI:spec.vmiName"
# API version, plural, kind, scope (and /status as a subresource), short name, fields to select by, columns of a table
_CORE = f"""
v1 namespaces Namespace Cluster/status ns status.phase Status:status.phase
v1 nodes Node Cluster/status no - Version:status.nodeInfo.kubeletVersion
v1 pods Pod Namespaced/status po spec.nodeName,status.phase Status:status.phase,Node:spec.nodeName
v1 events Event Namespaced ev {_ABOUT},reason,type Type:type,Reason:reason,Object:involvedObject.name,Message:message
v1 secrets Secret Namespaced - type Type:type
v1 configmaps ConfigMap Namespaced cm - -
v1 serviceaccounts ServiceAccount Namespaced sa - -
v1 services Service Namespaced svc - Type:spec.type
v1 persistentvolumeclaims PersistentVolumeClaim Namespaced/status pvc - Status:status.phase,Volume:spec.volumeName
v1 persistentvolumes PersistentVolume Cluster/status pv - Status:status.phase
storage.k8s.io/v1 storageclasses StorageClass Cluster sc - Provisioner:provisioner
apps/v1 statefulsets StatefulSet Namespaced/status sts - Replicas:spec.replicas
apps/v1 deployments Deployment Namespaced/status deploy - Replicas:spec.replicas
apps/v1 controllerrevisions ControllerRevision Namespaced - - Revision:revision
coordination.k8s.io/v1 leases Lease Namespaced - - Holder:spec.holderIdentity
discovery.k8s.io/v1 endpointslices EndpointSlice Namespaced - - AddressType:addressType
storage.k8s.io/v1 volumeattachments VolumeAttachment Cluster/status - - Node:spec.nodeName,Attached:status.attached
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition Cluster/status crd - -
kubevirt.io/v1 virtualmachines VirtualMachine Namespaced/status vm - Status:status.printableStatus,Ready:status.ready
kubevirt.io/v1 virtualmachineinstances VirtualMachineInstance Namespaced vmi - Phase:status.phase,Node:status.nodeName
kubevirt.io/v1 virtualmachineinstancemigrations VirtualMachineInstanceMigration Namespaced/status vmim - {_MIGRATION}
"""
_EVENTS = {"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent"}
_EVENTS |= {"deprecatedSource": "source", "deprecatedCount": "count"}
_EVENTS |= {"deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp"}


@dataclass(frozen=True, eq=False)
class Kind(Resource):
    """A kind as clients meet it: `served` under an API version in which its fields may have other names (`renamed`)."""

    served: str
    names: Json
    schema: Schema
    columns: list[Json]
    selectable: list[str]
    renamed: dict[str, str] = field(default_factory=dict)

    def admit(self, new: Json, old: Json | None) -> list[Cause]:
        if old is None and self.status and self.kind != "Node":
            new.pop("status", None)
            first = STATUS.get(self.kind) or self.schema.body["properties"].get("status", {}).get("default")
            new |= {"status": first} if first else {}
        return self.schema.check(new, old) or list(RULES[self.kind](new, old) if self.kind in RULES else ())

    def read(self, body: Json, unknown: list[str]) -> Json:
        """What a client sent, as it is stored: pruned (`unknown` is told of what), with defaults."""
        return dict(settle(self.schema.body, {self.renamed.get(key, key): one for key, one in body.items()}, unknown))

    def shown(self, found: Json) -> Json:
        """What is stored, as a client sees it."""
        names = {stored: name for name, stored in self.renamed.items()}
        return {names.get(key, key): one for key, one in found.items()} | {"apiVersion": self.served}


def served() -> list[Kind]:
    """Every kind; Events under both of their API versions."""
    core = [_core(*line.split()) for line in _CORE.strip().splitlines()]
    events = next(kind for kind in core if kind.kind == "Event")
    ours = [_ours(crd(kind)["spec"]) for kind in KINDS]
    return [*core, replace(events, served="events.k8s.io/v1", renamed=_EVENTS), *ours]


def _core(api_version: str, plural: str, kind: str, scope: str, short: str, fields: str, columns: str) -> Kind:
    group, _, version = api_version.rpartition("/")
    schema = Schema(OPEN | {"properties": FIELDS.get(kind, {})})
    heads = [one.partition(":") for one in columns.split(",") if one != "-"]
    shown: list[Json] = [{"name": name, "type": "string", "jsonPath": f".{path}"} for name, _, path in heads]
    shown.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    names = {"singular": kind.lower(), "shortNames": [short] if short != "-" else []}
    traits = (scope.startswith("Namespaced"), scope.endswith("status"))
    return Kind(group, version, plural, kind, *traits, api_version, names, schema, shown, fields.split(","))


def _ours(spec: Json) -> Kind:
    group, names, version = spec["group"], spec["names"], spec["versions"][0]
    named = (group, version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced", True)
    schema, columns = Schema(version["schema"]["openAPIV3Schema"]), version["additionalPrinterColumns"]
    fields = [one["jsonPath"].strip(".") for one in version.get("selectableFields", ())]
    return Kind(*named, f"{group}/{version['name']}", names, schema, columns, fields)

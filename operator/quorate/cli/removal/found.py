"""What is there of Quorate: its objects, what was installed (found by its label, never by guessing), its marks on others.

What is missing is fine everywhere: an uninstall that was interrupted finds the rest and goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from quorate.access.errors import ForbiddenError, NotFoundError, NotInstalledError
from quorate.core.types import (
    AGENT_NAMESPACE,
    FENCE_TAINT,
    GUEST_LABEL,
    PART_OF,
    PART_OF_LABEL,
    SYSTEM_NAMESPACE,
)
from quorate.kube.resources import (
    CLUSTERS,
    HARESOURCES,
    KUBE_NODES,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REVISIONS,
    STORAGES,
    Resource,
)

if TYPE_CHECKING:
    from quorate.access.client import Api

Raw = dict[str, Any]
RBAC: Final = "rbac.authorization.k8s.io"
ADMISSION: Final = "admissionregistration.k8s.io"
FLOW: Final = "flowcontrol.apiserver.k8s.io"
DAEMON_SETS: Final = Resource("apps", "v1", "daemonsets", namespaced=True, kind="DaemonSet")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", namespaced=True, kind="Deployment")
WORKLOADS: Final = (DAEMON_SETS, DEPLOYMENTS)
"""The agents end before the manager does."""
CRDS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False, kind="CustomResourceDefinition"
)
GUARDS: Final = Resource(
    ADMISSION, "v1", "validatingadmissionpolicybindings", namespaced=False, kind="ValidatingAdmissionPolicyBinding"
)
"""What puts admission policies into force: ours keep everybody but the manager off the marks of guests' Pods."""
REST: Final = (
    Resource("policy", "v1", "poddisruptionbudgets", namespaced=True, kind="PodDisruptionBudget"),
    Resource("", "v1", "services", namespaced=True, kind="Service"),
    Resource("", "v1", "configmaps", namespaced=True, kind="ConfigMap"),
    Resource("networking.k8s.io", "v1", "networkpolicies", namespaced=True, kind="NetworkPolicy"),
    Resource(RBAC, "v1", "rolebindings", namespaced=True, kind="RoleBinding"),
    Resource(RBAC, "v1", "roles", namespaced=True, kind="Role"),
    Resource(RBAC, "v1", "clusterrolebindings", namespaced=False, kind="ClusterRoleBinding"),
    Resource(RBAC, "v1", "clusterroles", namespaced=False, kind="ClusterRole"),
    Resource("", "v1", "serviceaccounts", namespaced=True, kind="ServiceAccount"),
    GUARDS,
    Resource(ADMISSION, "v1", "validatingadmissionpolicies", namespaced=False, kind="ValidatingAdmissionPolicy"),
    Resource(FLOW, "v1", "flowschemas", namespaced=False, kind="FlowSchema"),
    Resource(FLOW, "v1", "prioritylevelconfigurations", namespaced=False, kind="PriorityLevelConfiguration"),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", namespaced=False, kind="PriorityClass"),
)
"""In the order in which they go: what uses another before that other. CRDs and namespaces come last."""
OURS: Final = (HARESOURCES, STORAGES, CLUSTERS, NODES)
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
SELECTOR: Final = f"{PART_OF_LABEL}={PART_OF}"
LEADER: Final = "manager"
"""The Leases of managers are named so, or begin with it and a dash."""


def listed(api: "Api", resource: Resource, *, namespace: str = "", labels: str = "") -> list[Raw]:
    """The objects of a kind; none where the API server does not know the kind."""
    try:
        return api.items(resource.path(namespace=namespace), labels=labels)
    except (NotFoundError, NotInstalledError):
        return []


def path_of(resource: Resource, raw: Raw) -> str:
    metadata = raw["metadata"]
    return resource.path(metadata["name"], metadata.get("namespace", ""))


def named(resource: Resource, raw: Raw) -> str:
    """As people say it: Role default/quorate-api-servers."""
    metadata = raw["metadata"]
    namespace = metadata.get("namespace", "")
    return f"{resource.kind} {namespace + '/' if namespace else ''}{metadata['name']}"


def deleting(raw: Raw) -> bool:
    return bool(raw["metadata"].get("deletionTimestamp"))


def sid(raw: Mapping[str, Any]) -> str:
    """A guest's name, of its HAResource or of its Pod."""
    workload = ((raw.get("spec") or {}).get("guest") or {}).get("workload")
    return f"{'wl' if workload else 'ct'}:{raw['metadata']['namespace']}/{raw['metadata']['name']}"


@dataclass(frozen=True, slots=True)
class Found:
    """What was there at one moment. `installed` holds what carries our label, in the order in which it goes."""

    guests: list[Raw]
    pods: list[Raw]
    storages: list[Raw]
    clusters: list[Raw]
    nodes: list[Raw]
    leases: list[Raw]
    templates: list[Raw]
    tainted: list[Raw]
    installed: list[tuple[Resource, Raw]]

    @property
    def nothing(self) -> bool:
        return not any(getattr(self, one.name) for one in fields(self))


def look(api: "Api") -> Found:
    """Everything of ours. Raises CliError: what may not be read may not be left out either."""
    return Found(
        guests=listed(api, HARESOURCES),
        pods=guest_pods(api),
        storages=listed(api, STORAGES),
        clusters=listed(api, CLUSTERS),
        nodes=listed(api, NODES),
        leases=[*node_leases(api), *leader_leases(api)],
        templates=templates(api),
        tainted=[raw for raw in listed(api, KUBE_NODES) if tainted(raw)],
        installed=list(installed(api, (*WORKLOADS, *REST, CRDS, NAMESPACES))),
    )


def installed(api: "Api", resources: tuple[Resource, ...]) -> Iterator[tuple[Resource, Raw]]:
    for resource in resources:
        for raw in listed(api, resource, labels=SELECTOR):
            yield resource, raw


def guest_pods(api: "Api") -> list[Raw]:
    """The Pods of guests, in every namespace."""
    return listed(api, PODS, labels=GUEST_LABEL)


def templates(api: "Api") -> list[Raw]:
    """The guests' templates that the manager kept, in every namespace."""
    return listed(api, REVISIONS, labels=GUEST_LABEL)


def node_leases(api: "Api") -> list[Raw]:
    return listed(api, LEASES, namespace=AGENT_NAMESPACE)


def leader_leases(api: "Api") -> list[Raw]:
    """The managers' Leases. Who may not read them may not uninstall; the error says so."""
    try:
        found = listed(api, LEASES, namespace=SYSTEM_NAMESPACE)
    except ForbiddenError as error:
        raise ForbiddenError(f"Leases in {SYSTEM_NAMESPACE} tell whether a manager leads: {error}") from error
    return [raw for raw in found if raw["metadata"]["name"].partition("-")[0] == LEADER]


def tainted(raw: Raw) -> bool:
    return any(taint.get("key") == FENCE_TAINT for taint in (raw.get("spec") or {}).get("taints") or ())

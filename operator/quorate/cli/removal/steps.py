"""The order in which Quorate goes. Nothing that proves or guards goes before what depends on it.

    guests stop, as facts -> every node disarms -> Storages, Clusters, Nodes -> agents -> manager -> the rest

The namespace of the agents' Leases goes last: an armed node that cannot renew its Lease resets itself.
"""

from typing import TYPE_CHECKING, Any

from quorate.access.errors import ApiError, ConflictError, NotFoundError
from quorate.cli.output import note
from quorate.cli.removal import found
from quorate.cli.removal.facts import Leaders, Watchdogs, timing_of
from quorate.cli.removal.found import deleting, listed, named, path_of, sid
from quorate.cli.removal.waits import Wait
from quorate.core.types import FENCE_TAINT, MEMBER_FINALIZER
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
from quorate.kube.taints import foreign_taints

if TYPE_CHECKING:
    from quorate.access.client import Api

Raw = dict[str, Any]


class Steps:
    """One uninstall. Each step may be repeated, and finds what an earlier run has left."""

    def __init__(self, api: "Api", wait: Wait) -> None:
        self.api = api
        self.wait = wait
        self.leaders = Leaders(api)
        self.watchdogs = Watchdogs()

    # -- while a manager leads --------------------------------------------------------------------------------------

    def arm(self) -> None:
        """A disarm is taken back: with hands off a manager would stop no guest."""
        for raw in listed(self.api, CLUSTERS):
            if (raw.get("spec") or {}).get("disarm"):
                self.api.merge(path_of(CLUSTERS, raw), {"spec": {"disarm": None}})
                note(f"Cluster {raw['metadata']['name']} was disarmed: that is taken back, so that its guests can stop")

    def stop_guests(self) -> None:
        """Every HAResource is deleted; it is gone when its guest has stopped as a fact."""
        self.wait.until("all guests to stop and go", self._guests)

    def _guests(self) -> list[str]:
        self.leaders.look()
        guests, words = listed(self.api, HARESOURCES), []
        for raw in guests:
            if not deleting(raw):
                self.delete(HARESOURCES, raw)
            # What it said before it was told to stop is not what is awaited.
            words.append(f"{sid(raw)} ({(deleting(raw) and _message(raw)) or 'is told to stop'})")
        known = {sid(raw) for raw in guests}
        words += [
            f"Pod {raw['metadata']['namespace']}/{raw['metadata']['name']} of a guest that is gone"
            for raw in found.guest_pods(self.api)
            if sid(raw) not in known
        ]
        return words + self._leaderless() if words else []

    def _leaderless(self) -> list[str]:
        missing = self.leaders.missing(raw["metadata"]["name"] for raw in listed(self.api, CLUSTERS))
        return [f"no manager leads Cluster {name} any more" for name in missing]

    def disarm(self) -> None:
        """The manager withdraws arming from nodes without guests; their Leases attest that they have followed."""
        self.wait.until("all nodes to disarm", self.armed)

    def armed(self) -> list[str]:
        """What is awaited of nodes that are not disarmed yet."""
        self.leaders.look()
        clusters = listed(self.api, CLUSTERS)
        nodes = {raw["metadata"]["name"]: raw for raw in listed(self.api, NODES)}
        leases = {raw["metadata"]["name"]: raw for raw in found.node_leases(self.api)}
        words = []
        for name in sorted({*nodes, *leases}):
            timing = timing_of(clusters, nodes.get(name))
            words.append(self.watchdogs.obstacle(name, nodes.get(name), leases.get(name), timing))
        words = [word for word in words if word]
        return words + self._leaderless() if words else []

    def delete_members(self) -> None:
        """Storages and Clusters, then the Nodes: they go with their Cluster where somebody collects garbage."""
        self.wait.until(
            "Storages and Clusters to go", lambda: self._noise() or self._going(STORAGES) + self._going(CLUSTERS)
        )
        self.wait.until("Nodes to go", lambda: self._noise() or self._going(NODES))

    def _noise(self) -> list[str]:
        """Guests and armed nodes that are there again: somebody (GitOps, say) adds what was deleted."""
        return self._guests() or self.armed()

    def _going(self, resource: Resource) -> list[str]:
        words = []
        for raw in listed(self.api, resource):
            if not deleting(raw):
                self.delete(resource, raw)
            elif resource in {CLUSTERS, NODES}:
                # No guest is left and no watchdog armed: an incident that is still open has nothing left to prove.
                self.strip(resource, raw, MEMBER_FINALIZER)
            words.append(
                f"{named(resource, raw)} ({_held(raw) or (deleting(raw) and _message(raw)) or 'is told to go'})"
            )
        return words

    def untaint(self) -> None:
        """Our taints off the Kubernetes nodes; nobody else's."""
        self.wait.until("our taint to go", self._tainted)

    def _tainted(self) -> list[str]:
        words = []
        for raw in listed(self.api, KUBE_NODES):
            if not found.tainted(raw):
                continue
            taints = raw["spec"]["taints"]
            kept = foreign_taints(taints)
            path = path_of(KUBE_NODES, raw)
            try:
                self.api.patch(
                    path,
                    [
                        {"op": "test", "path": "/spec/taints", "value": taints},
                        {"op": "add", "path": "/spec/taints", "value": kept},
                    ],
                )
            except ApiError as error:
                words.append(f"node {raw['metadata']['name']}: its taint {FENCE_TAINT} ({error})")
        return words

    # -- when nothing runs under HA any more ------------------------------------------------------------------------

    def end_agents(self) -> None:
        self._end(found.DAEMON_SETS, "agent")

    def end_managers(self) -> None:
        self._end(found.DEPLOYMENTS, "manager")

    def _end(self, resource: Resource, component: str) -> None:
        """Those that carry our label, and their Pods. A Pod on a node that is dead does not end, and is not waited for."""

        def left() -> list[str]:
            words = []
            for raw in listed(self.api, resource, labels=found.SELECTOR):
                if not deleting(raw):
                    self.delete(resource, raw)
                words.append(named(resource, raw))
            pods = listed(self.api, PODS, labels=f"{found.SELECTOR},{found.COMPONENT_LABEL}={component}")
            dead = self.watchdogs.dead
            return words + [named(PODS, pod) for pod in pods if pod["spec"].get("nodeName") not in dead]

        self.wait.until(f"the {component}s to end", left)

    def delete_rest(self) -> None:
        """Leases, then what was installed; the CRDs, and the namespaces at the very last."""
        for raw in (*found.node_leases(self.api), *found.leader_leases(self.api)):
            self.delete(LEASES, raw)
        # They go with their HAResource, but once its CRD is gone Kubernetes can no longer tell that their owner is.
        for raw in found.templates(self.api):
            self.delete(REVISIONS, raw)
        self._clear("rights, policies and the like", found.REST)
        self._clear("the CRDs", (found.CRDS,))
        self._clear("our namespaces", (NAMESPACES,))

    def _clear(self, what: str, resources: tuple[Resource, ...]) -> None:
        def left() -> list[str]:
            words = []
            for resource, raw in list(found.installed(self.api, resources)):
                if not deleting(raw):
                    self.delete(resource, raw)
                words.append(f"{named(resource, raw)}{_namespace_waits(raw)}")
            return words

        self.wait.until(f"{what} to go", left)

    def lift_guards(self) -> None:
        """Admission policies that would refuse a person what only a manager does."""
        self._clear("admission policies", (found.GUARDS,))

    # -- single objects ---------------------------------------------------------------------------------------------

    def delete(self, resource: Resource, raw: Raw) -> None:
        """Exactly that object. Another one of its name is found by the next look."""
        try:
            self.api.delete(path_of(resource, raw), uid=str(raw["metadata"].get("uid") or ""))
        except ConflictError:
            return

    def strip(self, resource: Resource, raw: Raw, *finalizers: str) -> bool:
        """Take finalizers of ours off exactly that version of that object. False: it has changed, look again."""
        metadata = raw["metadata"]
        present = metadata.get("finalizers") or []
        kept = [one for one in present if one not in finalizers]
        if kept == present:
            return True
        held = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            self.api.merge(path_of(resource, raw), {"metadata": {**held, "finalizers": kept}})
        except ApiError as error:
            if not isinstance(error, ConflictError | NotFoundError):
                note(f"{named(resource, raw)}: its finalizer stays ({error})")
            return False
        return True


def _message(raw: Raw) -> str:
    return str((raw.get("status") or {}).get("message") or "")


def _held(raw: Raw) -> str:
    """Finalizers that are not ours: whoever put them there has to take them off."""
    foreign = [one for one in raw["metadata"].get("finalizers") or () if not one.startswith("quorate.dev/")]
    return f"held by the finalizer {', '.join(foreign)} of somebody else" if deleting(raw) and foreign else ""


def _namespace_waits(raw: Raw) -> str:
    """Why a namespace that is being deleted is still there, in Kubernetes' own words."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    said = [str(one.get("message")) for one in conditions if one.get("status") == "True" and one.get("message")]
    return f" ({said[-1]})" if deleting(raw) and said else ""

"""Deeds on the Pods of protected workloads, and what is read of their kubelets and volumes. Each is safe to repeat."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from quorate.core.actions import EvictPod, LookAtVolumes, ProbeKubelet, RemoveStuckPod
from quorate.core.types import IncidentId, NodeName
from quorate.core.workloads import KubeletLook, VolumesLook
from quorate.kube.calls import ApiError, Calls, Conflict, NotFound, Permanent
from quorate.kube.resources import CLAIMS, KUBE_NODES, LEASES, PODS, VOLUME_ATTACHMENTS
from quorate.kube.store import Store
from quorate.kube.workloads import WORKLOAD_PODS, marks_of

log = logging.getLogger(__name__)
Json = dict[str, Any]
KUBELETS: Final = "kube-node-lease"
"""The namespace of kubelets' own Leases."""


class WorkloadDeeds:
    """What the actions on workloads mean in API calls."""

    def __init__(self, api: Calls, store: Store) -> None:
        self.api = api
        self.store = store

    async def probe_kubelet(self, action: ProbeKubelet) -> None:
        """Read the kubelet's own Lease. No version says when it was written; another one says that it was written.

        One that cannot be read is not known: that must not keep its node from being fenced.
        """
        try:
            await self._lease(action.node, action.incident)
        except ApiError as error:
            log.warning("the kubelet's Lease of %s could not be read: %s", action.node, error)

    async def _lease(self, node: NodeName, incident: IncidentId) -> str:
        """Its uid and version, "" for none."""
        at_s = self.store.clock()
        try:
            metadata = (await self.api.get(LEASES.path(node, KUBELETS)))["metadata"]
            lease = f"{metadata.get('uid', '')}/{metadata.get('resourceVersion', '')}"
        except NotFound:
            lease = ""
        before = self.store.workloads.kubelets.get(node)
        same = before is not None and (before.incident, before.lease) == (incident, lease)
        since_s = before.since_s if same and before is not None else at_s
        self.store.workloads.looked(node, KubeletLook(incident, lease, since_s, at_s))
        return lease

    async def evict(self, action: EvictPod) -> None:
        """Delete it gracefully, exactly as it was judged. A kubelet that lists it after that does not start it."""
        path = PODS.path(action.pod, action.guest.namespace)
        try:
            raw = await self.api.delete(path, uid=action.uid, resource_version=action.resource_version)
        except (Conflict, NotFound):
            await self._see(action)
            raise
        self._keep(action, raw)

    async def remove(self, action: RemoveStuckPod) -> None:
        """Delete it with grace 0, if its kubelet is as silent as it was, just before and just after."""
        path = PODS.path(action.pod, action.guest.namespace)
        await self._still_silent(action)
        await self._same_containers(action, path)
        try:
            raw = await self.api.delete(path, uid=action.uid, resource_version=action.resource_version, grace_s=0)
        except (Conflict, NotFound):
            await self._see(action)
            raise
        self._keep(action, raw)
        await self._still_silent(action)

    async def _still_silent(self, action: RemoveStuckPod) -> None:
        """Raises Conflict at any difference: the next plan knows then that its kubelet lives."""
        lease = await self._lease(action.node, action.incident)
        node = await self.api.get(KUBE_NODES.path(action.node))
        self.store.put(KUBE_NODES, node)
        boot_id = ((node.get("status") or {}).get("nodeInfo") or {}).get("bootID", "")
        if (lease, boot_id) != (action.lease, action.boot_id):
            raise Conflict(
                f"Pod {action.pod}", 409, "Conflict", f"the kubelet of {action.node} has given a sign of life"
            )

    async def _same_containers(self, action: RemoveStuckPod, path: str) -> None:
        raw = await self.api.get(path)
        self.store.workloads.put(WORKLOAD_PODS, raw)
        if raw["metadata"].get("uid") != action.uid:
            raise NotFound(f"GET {path}", 404, "NotFound", "another Pod has this name now")
        if marks_of(raw) != action.marks:
            raise Conflict(f"GET {path}", 409, "Conflict", "its containers are not those that were known")

    async def _see(self, action: EvictPod | RemoveStuckPod) -> None:
        """What is there now, so that the next plan starts from it."""
        key = (action.guest.namespace, action.pod)
        try:
            self.store.workloads.put(WORKLOAD_PODS, await self.api.get(PODS.path(action.pod, action.guest.namespace)))
        except NotFound:
            self.store.workloads.gone(WORKLOAD_PODS, key, action.uid)

    def _keep(self, action: EvictPod | RemoveStuckPod, raw: Json) -> None:
        """The answer to a deletion: the object while something holds it, else a Status."""
        forced = isinstance(action, RemoveStuckPod)
        if raw.get("kind") == "Status" or (forced and not raw["metadata"].get("finalizers")):
            self.store.workloads.gone(WORKLOAD_PODS, (action.guest.namespace, action.pod), action.uid)
        else:
            self.store.workloads.put(WORKLOAD_PODS, raw)

    async def look_at_volumes(self, action: LookAtVolumes) -> None:
        """Which of the claims are attached to the lost node, and which elsewhere. Attachments are read, never deleted.

        Where they may not be read, nothing is known of them, and no Pod waits for that.
        """
        at_s = self.store.clock()
        try:
            here, elsewhere = await self._attached(action)
        except (Permanent, NotFound) as error:
            log.warning("where volumes are attached could not be read: %s", error)
            here = elsewhere = ()
        self.store.workloads.saw_volumes(action.guest, VolumesLook(action.incident, here, elsewhere, at_s))

    async def _attached(self, action: LookAtVolumes) -> tuple[tuple[str, ...], tuple[str, ...]]:
        volumes: dict[str, str] = {}
        for claim in action.claims:
            try:
                found = await self.api.get(CLAIMS.path(claim, action.guest.namespace))
            except NotFound:
                continue
            volumes[claim] = (found.get("spec") or {}).get("volumeName") or ""
        listed = await self.api.get(VOLUME_ATTACHMENTS.path())
        where = attached(listed.get("items") or [])
        here = tuple(claim for claim in action.claims if action.node in where.get(volumes.get(claim, ""), ()))
        elsewhere = tuple(
            claim
            for claim in action.claims
            if any(node != action.node for node in where.get(volumes.get(claim, ""), ()))
        )
        return here, elsewhere


def attached(attachments: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Name of a PersistentVolume -> the nodes that it is attached to."""
    found: dict[str, list[str]] = {}
    for one in attachments:
        spec, status = one.get("spec") or {}, one.get("status") or {}
        volume = (spec.get("source") or {}).get("persistentVolumeName")
        if volume and status.get("attached"):
            found.setdefault(volume, []).append(str(spec.get("nodeName")))
    return found

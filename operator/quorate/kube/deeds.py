"""The deeds, one method each: what an action of the plan means in API calls. Each is safe to repeat.

Where a deed cannot be undone it begins with a live GET and ends in a call with a precondition. Answers go to the store.
"""

import time
from collections.abc import Collection
from typing import Any, Final

from quorate.api.wire import from_wire
from quorate.core.actions import (
    AskDevice,
    CheckTemplate,
    CreateLease,
    CreatePod,
    Enroll,
    GiveLease,
    Note,
    ProbeLease,
    ProvideVolume,
    RemovePod,
    RemoveVolume,
    SetFinalizer,
    SetTaint,
    StopPod,
    TakeLease,
)
from quorate.core.sequence import Order, Purpose, Verb
from quorate.core.status import NodeStatus
from quorate.core.types import (
    AGENT_NAMESPACE,
    ATTESTATION_ANNOTATION,
    FENCE_TAINT,
    INSTANCE_FINALIZER,
    OUT_OF_SERVICE_TAINT,
    SYSTEM_NAMESPACE,
    NodeName,
    Uid,
)
from quorate.core.world import Refusal, StorageView, Verdict
from quorate.kube import volumes
from quorate.kube.calls import Calls, Conflict, NotFound, Permanent
from quorate.kube.guests.machine import MachineDeeds
from quorate.kube.guests.pod import Gate, UnrenderableError, bind, claims_of, render, template_of
from quorate.kube.guests.workload import WorkloadDeeds
from quorate.kube.host import THIS_HOST, Host
from quorate.kube.power import PowerRoom
from quorate.kube.resources import (
    CLAIMS,
    CLUSTERS,
    EVENTS,
    KUBE_NODES,
    LEASES,
    NODES,
    OURS,
    PODS,
    path_of,
)
from quorate.kube.revisions import Revisions
from quorate.kube.store import Store
from quorate.kube.taints import foreign_taints

Json = dict[str, Any]
QUOTA_WORDS: Final = "exceeded quota"
"""A dry run refused for want of room says nothing against the template: the guest itself may fill the quota now."""


class Deeds:
    """What the actions do, for one Cluster. `identity` names this manager in Events."""

    def __init__(
        self, api: Calls, store: Store, gate: Gate, cluster: str, identity: str, host: Host = THIS_HOST
    ) -> None:
        self.api = api
        self.store = store
        self.gate = gate
        self.cluster = cluster
        self.identity = identity
        self.host = host
        self.revisions = Revisions(api)
        self.workloads = WorkloadDeeds(api, store)
        self.machines = MachineDeeds(api, store)
        self.power: PowerRoom | None = None
        """Carries out what fence devices are asked, where there are any."""

    # -- nodes ------------------------------------------------------------------------------------------------------

    async def enroll(self, action: Enroll) -> None:
        """Make the Node CR; it goes with its Cluster."""
        owner = self.store.raw[CLUSTERS].get(("", action.cluster))
        metadata: Json = {"name": action.node}
        if owner is not None:
            metadata["ownerReferences"] = [_owner(CLUSTERS.api_version, "Cluster", owner)]
        body = {
            "apiVersion": NODES.api_version,
            "kind": NODES.kind,
            "metadata": metadata,
            "spec": {"clusterName": action.cluster},
        }
        self.store.put(NODES, await self.api.create(NODES.path(), body))

    async def create_lease(self, action: CreateLease) -> None:
        """An empty Lease, which the node's agent will take."""
        body = _lease(action.node, "")
        node = self.store.raw[NODES].get(("", action.node))
        if node is not None:
            body["metadata"]["ownerReferences"] = [_owner(NODES.api_version, "Node", node)]
        try:
            self.store.put(LEASES, await self.api.create(LEASES.path(namespace=AGENT_NAMESPACE), body))
        except Conflict:
            await self.probe_lease(ProbeLease(action.node))

    async def probe_lease(self, action: ProbeLease) -> None:
        """Read the Lease from the API server itself. What counts is when the question was asked."""
        began_s = self.store.clock()
        try:
            raw = await self.api.get(LEASES.path(action.node, AGENT_NAMESPACE))
        except NotFound:
            self.store.probed(action.node, began_s, None)
            return
        self.store.probed(action.node, began_s, raw)

    async def take_lease(self, action: TakeLease) -> None:
        """Take the Lease away, by compare-and-swap on exactly what was judged: its version, or else every word of it.

        Somebody who labels the Lease all the time must not keep a dead node from being fenced.
        """
        holder = f"fenced/{action.incident}/{action.nonce}"
        path = LEASES.path(action.node, AGENT_NAMESPACE)
        if action.resource_version is None:
            await self._make_fenced(action.node, holder)
            return
        known = self.store.raw[LEASES].get((AGENT_NAMESPACE, action.node), {})
        body = _handed(known, action, holder)
        try:
            self.store.put(LEASES, await self.api.replace(path, body))
        except Conflict:
            await self.probe_lease(ProbeLease(action.node))
            now = self.store.raw[LEASES].get((AGENT_NAMESPACE, action.node), {})
            judged = known.get("metadata", {}).get("resourceVersion") == action.resource_version
            if not judged or not _same_beat(known, now):
                raise
            await self._take_in_place(action.node, known, body["spec"])

    async def _take_in_place(self, node: NodeName, judged: Json, spec: Json) -> None:
        """Take it in whatever version it is, if nobody has renewed it: each renewal attests a new sequence."""
        path, key = LEASES.path(node, AGENT_NAMESPACE), ATTESTATION_ANNOTATION.replace("/", "~1")
        operations: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": judged["metadata"]["uid"]},
            {"op": "test", "path": f"/metadata/annotations/{key}", "value": _said(judged)},
            {"op": "test", "path": "/spec", "value": judged["spec"]},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        try:
            self.store.put(LEASES, await self.api.patch(path, operations))
        except Conflict:
            await self.probe_lease(ProbeLease(node))
            raise

    async def _make_fenced(self, node: NodeName, holder: str) -> None:
        """A missing Lease is made as fenced. One that is there again, by its agent, is looked at first."""
        try:
            body = _lease(node, holder)
            self.store.put(LEASES, await self.api.create(LEASES.path(namespace=AGENT_NAMESPACE), body))
        except Conflict:
            await self.probe_lease(ProbeLease(node))
            raise

    def keep_asking(self, orders: Collection[Order]) -> None:
        """Whatever else fence devices are at is stopped."""
        if self.power is not None:
            self.power.keep(orders)

    async def ask_device(self, action: AskDevice) -> None:
        """Begin to ask a fence device. Before `Off` three live GETs: do we lead, is it recorded, has the node renewed?"""
        if self.power is None or self.power.knows(action.order):
            return
        if action.order.verb is Verb.OFF:
            await self._still_leads(action)
            await self._still_recorded(action)
            await self._still_silent(action)
        self.power.begin(action.node, action.order, action.timeout_s)

    async def _still_leads(self, action: AskDevice) -> None:
        path = LEASES.path(f"manager-{self.cluster}", SYSTEM_NAMESPACE)
        spec = (await self.api.get(path)).get("spec") or {}
        if (spec.get("holderIdentity"), spec.get("leaseTransitions")) != (self.identity, action.order.term):
            raise Conflict(f"GET {path}", 409, "Conflict", "another manager leads by now")

    async def _still_recorded(self, action: AskDevice) -> None:
        path, asked = NODES.path(action.node), action.order
        raw = await self.api.get(path)
        status = from_wire(NodeStatus, raw.get("status"))
        sequence = status.sequence
        incident = status.incident.id if status.incident is not None else ""
        same = sequence is not None and (sequence.id, sequence.term) == (asked.sequence, asked.term)
        if sequence is None or not same or (sequence.purpose is Purpose.INCIDENT and incident != asked.subject):
            self.store.put(NODES, raw)
            raise Conflict(f"GET {path}", 409, "Conflict", "what asks for its power to be switched off is over")

    async def _still_silent(self, action: AskDevice) -> None:
        """A drill switches off a node that renews (`heard` below 0)."""
        if action.heard < 0:
            return
        await self.probe_lease(ProbeLease(action.node))
        beat = self.store.beats.get(action.node)
        if beat is None or beat.nonce is None:
            return
        said = beat.attestation
        if beat.nonce != action.order.nonce or (said is not None and said.sequence > action.heard):
            raise Conflict(f"Lease {action.node}", 409, "Conflict", "the node has renewed since")

    async def give_lease(self, action: GiveLease) -> None:
        """Empty its holder, so that the boot that was fenced may take it again: in the version that was judged."""
        known = self.store.raw[LEASES].get((AGENT_NAMESPACE, action.node), {})
        body = _handed(known, action, "")
        try:
            self.store.put(LEASES, await self.api.replace(LEASES.path(action.node, AGENT_NAMESPACE), body))
        except Conflict:
            await self.probe_lease(ProbeLease(action.node))
            raise

    async def set_taint(self, action: SetTaint) -> None:
        """Our taints on or off. Taints are one list: replaced only if it is still the one that was read.

        Kubernetes' own out-of-service is ours only where it names the incident that our other taints name.
        """
        path = KUBE_NODES.path(action.node)
        node = await self.api.get(path)
        taints = (node.get("spec") or {}).get("taints")
        wanted = foreign_taints(taints or [])
        if action.incident is not None:
            wanted.extend(_our_taints(action, wanted))
        if wanted != (taints or []):
            test: list[Json] = [{"op": "test", "path": "/spec/taints", "value": taints}] if taints else []
            version = node["metadata"]["resourceVersion"]
            test.append({"op": "test", "path": "/metadata/resourceVersion", "value": version})
            node = await self.api.patch(path, [*test, {"op": "add", "path": "/spec/taints", "value": wanted}])
        self.store.put(KUBE_NODES, node)

    # -- our own objects --------------------------------------------------------------------------------------------

    async def set_finalizer(self, action: SetFinalizer) -> None:
        """Our finalizer on or off; others' are left alone."""
        resource, ref = OURS[action.subject.kind], action.subject
        try:
            raw = await self.api.get(path_of(ref))
        except NotFound:
            if action.present:
                raise
            return
        present = raw["metadata"].get("finalizers") or []
        wanted = [one for one in present if one != action.finalizer]
        if action.present:
            wanted.append(action.finalizer)
        if wanted != present:
            version = raw["metadata"]["resourceVersion"]
            patch = {"metadata": {"finalizers": wanted, "resourceVersion": version}}
            raw = await self.api.merge(path_of(ref), patch)
        if raw["metadata"].get("deletionTimestamp") and not wanted:
            self.store.gone(resource, (ref.namespace, ref.name), raw["metadata"]["uid"])
        else:
            self.store.put(resource, raw)

    async def volume(self, action: ProvideVolume | RemoveVolume) -> None:
        """Make what an NFS Storage needs in a namespace, or take it away."""
        if isinstance(action, RemoveVolume):
            await volumes.remove(self.api, action)
            return
        storage = self._storages().get(action.subject.name)
        if storage is not None:
            await volumes.provide(self.api, storage, action)

    # -- guests -----------------------------------------------------------------------------------------------------

    async def check_template(self, action: CheckTemplate) -> None:
        """A dry run of the Pod; a template that passes is kept as a revision, for when a later one does not."""
        guest = self.store.guest_raw(action.guest)
        if guest is None:
            return
        uid, template = Uid(guest["metadata"]["uid"]), template_of(guest)
        try:
            pod = self._render(guest, template)
            del pod["metadata"]["name"]
            pod["metadata"]["generateName"] = f"{action.guest.name[:40]}-"
            await self.api.create(PODS.path(namespace=action.guest.namespace), pod, query={"dryRun": "All"})
        except Permanent as error:
            if QUOTA_WORDS not in error.words:
                self.store.judge(uid, Verdict(action.template_hash, accepted=False, message=error.words))
                return
        await self.revisions.keep(guest, action.template_hash, template)
        self.store.judge(uid, Verdict(action.template_hash, accepted=True))

    async def create_pod(self, action: CreatePod) -> None:
        """Start the instance that the status names. A Pod that stands there already is looked at, not replaced."""
        guest, instance = self.store.guest_raw(action.guest), action.instance
        if guest is None:
            return
        template = await self.revisions.find(guest, instance.template_hash)
        pod = self._render(guest, template)
        mounted = {mount["name"] for mount in template.get("storage") or []}
        own = [one for name, one in self._storages().items() if name in mounted]
        await volumes.own_claims(self.api, action.guest, own, instance.node)
        scheduler = await self._unbound(action.guest.namespace, claims_of(pod), instance.node)
        pod = bind(pod, instance, shared_kernel=self._shares_kernel(instance.node), scheduler=scheduler)
        try:
            made = await self.api.create(PODS.path(namespace=action.guest.namespace), pod)
        except Conflict:
            self.store.found(PODS, await self.api.get(PODS.path(action.guest.name, action.guest.namespace)))
            return
        except Permanent as error:
            permanent = error.code in {400, 422}
            self.store.refuse(Refusal(instance.id, permanent, error.words))
            return
        self.store.put(PODS, made)

    async def stop_pod(self, action: StopPod) -> None:
        """Delete gracefully. Our finalizer keeps the object until it has stopped as a fact."""
        path = PODS.path(action.guest.name, action.guest.namespace)
        self.store.put(PODS, await self.api.delete(path, uid=action.uid, resource_version=action.resource_version))

    async def remove_pod(self, action: RemovePod) -> None:
        """The instance has stopped: delete exactly that Pod, take our finalizer off, see it gone."""
        path = PODS.path(action.guest.name, action.guest.namespace)
        try:
            raw = await self.api.get(path)
            if raw["metadata"]["uid"] != action.uid:
                raise NotFound(f"GET {path}", 404, "NotFound", "another Pod has this name now")
            if raw["metadata"]["resourceVersion"] != action.resource_version:
                self.store.put(PODS, raw)
                raise Conflict(f"GET {path}", 409, "Conflict", "the Pod has changed since it was judged")
            if not raw["metadata"].get("deletionTimestamp") or action.forced:
                raw = await self.api.delete(
                    path,
                    uid=action.uid,
                    resource_version=action.resource_version,
                    grace_s=0 if action.forced else None,
                )
            if raw.get("kind") != "Status":  # a Status says that nothing is left
                await self._let_go(path, raw)
            left = await self.api.get(path)
        except NotFound:
            self.store.gone(PODS, (action.guest.namespace, action.guest.name), action.uid)
            return
        if left["metadata"]["uid"] != action.uid:
            self.store.gone(PODS, (action.guest.namespace, action.guest.name), action.uid)
        self.store.put(PODS, left)

    async def _let_go(self, path: str, raw: Json) -> None:
        present = raw["metadata"].get("finalizers") or []
        wanted = [one for one in present if one != INSTANCE_FINALIZER]
        if wanted != present:
            metadata = raw["metadata"]
            patch = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "finalizers": wanted}
            await self.api.merge(path, {"metadata": patch})

    def _render(self, guest: Json, template: Json) -> Json:
        """The Pod of a template that anybody may have written. Raises Permanent with what is wrong with it."""
        try:
            return render(guest, template, self._storages(), self.gate, self.cluster)
        except UnrenderableError as error:
            raise Permanent("render", 422, "Invalid", str(error)) from error

    def _storages(self) -> dict[str, StorageView]:
        return {view.name: view for view in self.store.storages(())}

    def _shares_kernel(self, node: NodeName) -> bool:
        """What the agent attested; until then the careful answer, which asks the agent."""
        beat = self.store.beats.get(node)
        return beat is None or beat.attestation is None or beat.attestation.shared_kernel

    async def _unbound(self, namespace: str, claims: list[str], node: NodeName) -> bool:
        """Is there a claim that only the scheduler can bind, where the guest goes? Some provisioners know where that is."""
        for name in claims:
            try:
                claim = await self.api.get(CLAIMS.path(name, namespace))
            except NotFound:
                return True
            if (claim.get("status") or {}).get("phase") != "Bound" and not volumes.planned_for(claim, node):
                return True
        return False

    # -- words ------------------------------------------------------------------------------------------------------

    async def event(self, note: Note) -> None:
        """An Event on one of our objects; those about cluster-scoped ones live in namespace default."""
        resource, ref = OURS[note.ref.kind], note.ref
        namespace = ref.namespace or "default"
        known = self.store.raw[resource].get((ref.namespace, ref.name), {})
        regarding = {"apiVersion": resource.api_version, "kind": resource.kind, "name": ref.name}
        if ref.namespace:
            regarding["namespace"] = ref.namespace
        if known:
            regarding["uid"] = known["metadata"].get("uid", "")
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{ref.name[:200]}.{self.host.wall_ns():x}", "namespace": namespace},
            "eventTime": _micro_time(self.host.wall_ns()),
            "reportingController": "quorate.dev/manager",
            "reportingInstance": self.identity[:128],
            "action": note.reason,
            "reason": note.reason,
            "note": note.message[:1024],
            "type": "Warning" if note.warning else "Normal",
            "regarding": regarding,
        }
        await self.api.create(EVENTS.path(namespace=namespace), body)


def _our_taints(action: SetTaint, others: list[Json]) -> list[Json]:
    keys = [(FENCE_TAINT, "NoSchedule")]
    if action.evict:
        keys.append((FENCE_TAINT, "NoExecute"))
    taken = {(taint.get("key"), taint.get("effect")) for taint in others}
    if action.out_of_service and (OUT_OF_SERVICE_TAINT, "NoExecute") not in taken:
        keys.append((OUT_OF_SERVICE_TAINT, "NoExecute"))
    return [{"key": key, "value": action.incident, "effect": effect} for key, effect in keys]


def _micro_time(wall_ns: int) -> str:
    """A MicroTime, UTC."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest_ns // 1000:06d}Z"


def _owner(api_version: str, kind: str, raw: Json) -> Json:
    metadata = raw["metadata"]
    return {"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}


def _said(lease: Json) -> str:
    """The attestation, as it is written; empty: none."""
    return str((lease.get("metadata", {}).get("annotations") or {}).get(ATTESTATION_ANNOTATION, ""))


def _same_beat(judged: Json, now: Json) -> bool:
    """Has nothing happened to the Lease but that somebody labelled it?"""
    same = judged.get("metadata", {}).get("uid") == now.get("metadata", {}).get("uid")
    return same and bool(_said(judged)) and _said(judged) == _said(now) and judged.get("spec") == now.get("spec")


def _handed(known: Json, action: TakeLease | GiveLease, holder: str) -> Json:
    """The Lease with another holder, in the version that was judged. What was attested last stays in it."""
    body = _lease(action.node, holder)
    body["metadata"] |= {
        "uid": action.uid,
        "resourceVersion": action.resource_version,
        "annotations": {ATTESTATION_ANNOTATION: _said(known)},
        "ownerReferences": known.get("metadata", {}).get("ownerReferences", []),
    }
    return body


def _lease(node: NodeName, holder: str) -> Json:
    spec = {"holderIdentity": holder} if holder else {}
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": node, "namespace": AGENT_NAMESPACE},
        "spec": spec,
    }

"""The Pods of protected workloads: which boot of which node each belongs to, and whether its end can be proven.

A Pod is bound to a node by the scheduler and started by that node's kubelet, so it belongs to the boot that its node is in
when it is first seen there. When another boot renews, that kubelet has the Pod in hand: one that it may start is adopted as
an instance of the new boot, and evidence of the old one says nothing of it any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from quorate.core.changes import updated
from quorate.core.draft import Room
from quorate.core.fencing import covers
from quorate.core.guard import guarded_by_devices, watchdog_problem
from quorate.core.liveness import armed_now, valid
from quorate.core.quick import replace
from quorate.core.status import Incident, Instance
from quorate.core.stuck import NOBODY, Stuck, taken_over
from quorate.core.types import HEARD, GuestState, InstanceId, NodeName, Nonce, Uid, Wanted
from quorate.core.workloads import MAX_PODS, PodRecord, WorkloadPod
from quorate.core.world import GuestView, NodeView, WorkloadView, World


def instance_of(world: World, record: PodRecord) -> Instance:
    """A Pod as an instance, so that evidence is held against it as against any other."""
    return Instance(InstanceId(record.name), record.node, record.nonce, "", world.wall, uid=record.uid, started=True)


def stuck(world: World) -> dict[NodeName, Stuck]:
    """Every node's Pods of protected workloads, and launchers, that still exist, by what the statuses record."""
    found: dict[NodeName, Stuck] = {}
    boots = {node.name: node.kube.boot_id for node in world.nodes if node.kube is not None}
    for guest, pods in _in_our_hands(world):
        for record in guest.status.pods:
            pod = pods.get(record.uid)
            if pod is not None:
                before = found.get(record.node, NOBODY)
                instances = (*before.instances, instance_of(world, record))
                same = record.boot_id and (pod.marks, boots.get(record.node)) == (record.marks, record.boot_id)
                changed = before.changed or not same
                found[record.node] = Stuck(instances, before.volumes or bool(pod.claims), changed)
    return found


def _in_our_hands(world: World) -> Iterator[tuple[GuestView, dict[Uid, WorkloadPod]]]:
    """Who has Pods that others made and we may have to remove, and those Pods."""
    for view in world.workloads:
        if protects(view) and view.matched is not None:
            yield view.guest, {pod.uid: pod for pod in view.matched.pods}
    for guest in world.guests:
        hands_off = guest.spec.wanted is Wanted.IGNORED or guest.status.state is GuestState.ERROR
        if guest.machine is not None and not hands_off:
            yield guest, {one.made.uid: one.made for one in guest.machine.launchers}


def protects(view: WorkloadView) -> bool:
    """Is it to be protected at all?"""
    return view.guest.spec.wanted is Wanted.STARTED and not view.guest.deleting


@dataclass(frozen=True, slots=True)
class Followed:
    """The Pods as they are to be recorded. `beyond`: how many more there are; `adopted`: by another boot of their node."""

    records: tuple[PodRecord, ...]
    beyond: int = 0
    adopted: tuple[PodRecord, ...] = ()


def follow(room: Room, view: WorkloadView) -> Followed:
    """Bring the recorded Pods up to date. Status only: this is right in every state, with and without quorum."""
    before = {record.uid: record for record in view.guest.status.pods}
    nodes = {node.name: node for node in room.world.nodes}
    records, adopted = [], []
    for pod in view.matched.pods if view.matched is not None else ():
        if pod.node is None:
            continue
        known = before.get(pod.uid)
        record = record_of(room, nodes.get(pod.node), pod, known)
        if record is None:
            continue
        if known is not None and known.nonce and record.nonce != known.nonce:
            adopted.append(record)
        records.append(record)
    records.sort(key=lambda one: (one.uid not in before, one.name, one.uid))
    kept = sorted(records[:MAX_PODS], key=lambda one: (one.name, one.uid))
    return Followed(tuple(kept), max(0, len(records) - MAX_PODS), tuple(adopted))


def record_of(room: Room, node: NodeView | None, pod: WorkloadPod, known: PodRecord | None) -> PodRecord | None:
    """None: nothing of it runs any more, and nothing more will."""
    status = room.statuses.get(node.name) if node is not None else None
    incident = status.incident if status is not None else None
    if node is not None and incident is not None and _hands_over(node, incident, known):
        return _inherited(room, node, pod, known, incident)
    if known is None or not known.nonce or node is None or status is None:
        return _first(room, node, pod)
    if incident is not None and incident.nonce == known.nonce:
        return updated(known, ready=False)
    ready = pod.ready and not pod.deleting
    if status.nonce != known.nonce:  # no evidence will ever speak of that boot: its Node was made anew, say
        return _first(room, node, pod) if status.state in HEARD else updated(known, ready=ready)
    if _confirmed(node, pod, known.nonce):
        boot_id = node.kube.boot_id if node.kube is not None else ""
        return updated(known, ready=ready, boot_id=boot_id, marks=pod.marks)
    return updated(known, ready=ready)


def _hands_over(node: NodeView, incident: Incident, known: PodRecord | None) -> bool:
    """Has another boot the node, and is the Pod recorded of none yet, or of the lost one?"""
    return taken_over(node, incident) and (known is None or known.nonce in {"", incident.nonce})


def _inherited(
    room: Room, node: NodeView, pod: WorkloadPod, known: PodRecord | None, incident: Incident
) -> PodRecord | None:
    """A Pod of a lost boot, or of none that is known, on a node that another boot has by now: it is that one's to end.

    Should that be lost as well, what proves the boot before dead says nothing of it.
    """
    if pod.over or (pod.deleting and not pod.running):
        return None  # also one that is not recorded any more: it would come and go, and the node never return
    if known is not None and known.nonce and covers(incident, instance_of(room.world, known)) is None:
        return updated(known, ready=False)
    return _first(room, node, pod, node.beat.nonce if node.beat is not None else None)


def _first(room: Room, node: NodeView | None, pod: WorkloadPod, nonce: Nonce | None = None) -> PodRecord:
    """As of now: of the boot that its node is known to be in."""
    status = room.statuses.get(node.name) if node is not None else None
    if nonce is None and status is not None:
        nonce = status.nonce
    lost = status is not None and status.incident is not None and status.incident.nonce == nonce
    boot_id = node.kube.boot_id if node is not None and node.kube is not None else ""
    if node is None or status is None or (status.state not in HEARD and not _confirmed(node, pod, nonce)):
        # What is seen of it now may be another boot's, whose kubelet runs it while its agent is not up yet.
        boot_id = ""
    ready = pod.ready and not pod.deleting and not lost
    return PodRecord(pod.name, pod.uid, pod.node or NodeName(""), nonce or Nonce(""), ready, boot_id, pod.marks)


def _confirmed(node: NodeView, pod: WorkloadPod, nonce: Nonce | None) -> bool:
    """Has that boot renewed after this version of the Pod was seen? Then it was that boot's kubelet that reported it."""
    beat = node.beat
    return beat is not None and beat.nonce == nonce and valid(beat) and beat.moved and beat.seen_s >= pod.seen_s


def incident_of(room: Room, record: PodRecord | Instance) -> Incident | None:
    """The open incident of the boot that the Pod or instance belongs to."""
    status = room.statuses.get(record.node)
    incident = status.incident if status is not None else None
    return incident if incident is not None and record.nonce and incident.nonce == record.nonce else None


def unproven(room: Room, node: NodeView | None, record: PodRecord) -> str:
    """Why nothing would prove its end if its node were lost; empty: something would."""
    if node is None:
        return f"{record.node} is no node of Cluster {room.world.cluster.name}"
    status = room.statuses[node.name]
    if not record.nonce or status.nonce is None:
        return f"no agent of {node.name} has been heard yet"
    spec, view = room.world.cluster.spec, replace(node, status=status)
    if armed_now(view, spec.accepted_watchdogs) or guarded_by_devices(view, spec):
        return ""
    problem = watchdog_problem(view, spec.accepted_watchdogs)
    return f"{node.name}: {problem}" if problem else f"{node.name} has not armed its watchdog yet"

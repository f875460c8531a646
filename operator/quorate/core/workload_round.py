"""One protected workload's round: record its Pods, remove those that are stuck on a lost node, follow their volumes.

incident of the node -> evidence, and its Lease taken -> our NoExecute taint, and out-of-service where a Pod has claims ->
a graceful deletion -> the Pod removed by force, if its kubelet has shown no life -> its own controller makes it anew
elsewhere -> volumes detached, attached there -> Ready. Nothing is ever moved, stopped or started here.
"""

from typing import Final

from quorate.core import commands
from quorate.core.actions import LookAtVolumes
from quorate.core.disarm import Hold
from quorate.core.draft import Draft, Room
from quorate.core.fencing import covers
from quorate.core.quick import replace
from quorate.core.removal import Removal
from quorate.core.status import Incident, Timeline
from quorate.core.stuck import taken_over
from quorate.core.types import GuestKey, GuestState, Instant, NodeName, NodeState, Wanted, clock
from quorate.core.workload_pods import follow, incident_of, instance_of
from quorate.core.workload_words import describe
from quorate.core.workloads import PodRecord, VolumesLook, WorkloadPod, sid_of
from quorate.core.world import NodeView, WorkloadView

LOOK_AGAIN_S: Final = 1.0
ATTACHED_WITHIN_MS: Final = 10_000
"""So long after a workload is whole it is still asked where its volumes are."""
CLAIMS: Final = 64
"""So many claims are followed."""
REFUSED: Final = (
    "its own controller makes and places its Pods: use kubectl (scale, rollout restart, drain) on the workload"
)


def workload_round(room: Room, view: WorkloadView) -> Draft:
    """What to record, do and say about one workload."""
    return _Round(room, view).draft()


class _Round:
    def __init__(self, room: Room, view: WorkloadView) -> None:
        self.room = room
        self.view = view
        self.made = Draft(room, view.guest, view.guest.status)
        self.nodes = {node.name: node for node in room.world.nodes}
        self.pods = {pod.uid: pod for pod in view.matched.pods} if view.matched is not None else {}
        self.removal = Removal(self.made)
        self.awaited = self.removal.awaited
        """What is awaited, most urgent first."""

    def draft(self) -> Draft:
        draft, view = self.made, self.view
        commands.refuse(draft, REFUSED)
        if draft.guest.deleting:
            return draft  # nothing holds it, and nothing of the workload is touched
        if draft.guest.spec.wanted is Wanted.IGNORED:
            draft.status = replace(draft.status, pods=(), ready=False, node=None)
            self._goes_to(GuestState.IGNORED, "ignored: Quorate keeps its hands off")
        elif draft.guest.spec.wanted is not Wanted.STARTED:
            draft.stall(
                f"spec.state {draft.guest.spec.wanted} means nothing for a workload, which its own controller runs: set "
                "it to Started or Ignored, and scale the workload with kubectl"
            )
        elif view.matched is None:
            draft.say("waiting for the first list of the Pods in its namespace")
        else:
            followed = follow(self.room, view)
            for record in followed.adopted:
                draft.note(
                    "PodAdopted", f"Pod {record.name} goes on in another boot of {record.node}: it was not moved"
                )
            if followed.records != draft.status.pods:
                draft.status = replace(draft.status, pods=followed.records)
            lost = [
                (one, incident) for one in followed.records if (incident := incident_of(self.room, one)) is not None
            ]
            self._recover(lost)
            self._settle(followed.beyond, lost)
        return draft

    # -- recovery ---------------------------------------------------------------------------------------------------

    def _recover(self, lost: list[tuple[PodRecord, Incident]]) -> None:
        for record, incident in lost:
            self._begin(record, incident)
            node, pod = self.nodes[record.node], self.pods[record.uid]
            if covers(incident, instance_of(self.room.world, record)) is None:
                self.awaited.append(self._proof(record, incident))
            elif taken_over(node, incident):
                self.awaited.append(f"{record.node} has booted again: waiting for its kubelet to end Pod {record.name}")
            elif self.room.brake.hold is Hold.ALL:
                self.awaited.append(f"Pod {record.name} is stuck on {record.node}: {self.room.brake.sentence}")
            elif self.room.quorate:
                self._released(incident)
                self._remove(node, pod, record, incident)
            else:
                self.awaited.append(f"nothing is done without quorum ({self.room.quorum.sentence})")
        self._follow_volumes(bool(lost))

    def _begin(self, record: PodRecord, incident: Incident) -> None:
        known = self.made.status.recovery
        if known is None or (known.incident != incident.id and known.ready is not None):
            self._timeline(Timeline(incident.id, record.node, incident.opened))

    def _timeline(self, recovery: Timeline | None) -> None:
        self.made.status = replace(self.made.status, recovery=recovery)

    def _proof(self, record: PodRecord, incident: Incident) -> str:
        """What would release it, as the Node says at length."""
        until = f", at the latest {clock(incident.release_by)} UTC" if incident.release_by else ""
        return f"Pod {record.name} is on {record.node}, which is lost: waiting for proof that it is off{until}"

    def _released(self, incident: Incident) -> None:
        known, now = self.made.status.recovery, self.room.world.wall
        if known is not None and known.incident == incident.id and known.released is None:
            proof = incident.evidence[0]
            text = f"{proof.kind} of {known.node} in incident {incident.id}"
            self._timeline(replace(known, evidence=text, fenced=proof.at, released=now))

    def _remove(self, node: NodeView, pod: WorkloadPod, record: PodRecord, incident: Incident) -> None:
        self.removal.step(node, pod, record, incident, looked=self._looked(incident))

    @property
    def _key(self) -> GuestKey:
        return self.view.guest.key

    # -- volumes ----------------------------------------------------------------------------------------------------

    def _looked(self, incident: Incident) -> bool:
        """Is it known what of the stuck Pods' claims is attached there? It is asked before anything is removed."""
        known, look = self.made.status.recovery, self.view.volumes
        if known is None or known.incident != incident.id:
            return True  # of two nodes that were lost together the volumes of the first are followed
        return look is not None and look.incident == incident.id

    def _follow_volumes(self, any_lost: bool) -> None:
        """Ask where volumes are attached while that is of interest, and record what becomes of them."""
        known, now = self.made.status.recovery, self.room.world.wall
        if known is None or known.released is None or not self.room.quorate:
            return
        if known.ready is not None and (known.attached is not None or now - known.ready > ATTACHED_WITHIN_MS):
            return
        if known.removed is None and not any_lost:
            known = replace(known, removed=now)
            self.made.note("PodsRemoved", f"no Pod is stuck on {known.node} any more")
        look = self.view.volumes
        if look is not None and look.incident == known.incident:
            known = _volumes(known, look, now)
        claims = known.volumes or self._claims(known.node)
        if claims and known.attached is None:
            self.made.actions.append(LookAtVolumes(self._key, known.node, known.incident, claims))
            self.made.wakes.append(self.room.world.now_s + LOOK_AGAIN_S)
        if known != self.made.status.recovery:
            self._timeline(known)

    def _claims(self, node: NodeName) -> tuple[str, ...]:
        stuck = (self.pods[one.uid] for one in self.made.status.pods if one.node == node)
        return tuple(sorted({claim for pod in stuck for claim in pod.claims}))[:CLAIMS]

    # -- what follows -----------------------------------------------------------------------------------------------

    def _settle(self, beyond: int, lost: list[tuple[PodRecord, Incident]]) -> None:
        """State, readiness and words."""
        draft = self.made
        ready = describe(draft, self.view, beyond, self.awaited)
        known = draft.status.recovery
        if lost:
            released = known is not None and known.released is not None
            self._goes_to(GuestState.RECOVERY if released else GuestState.FENCE, "")
        elif known is not None and known.ready is None and known.released is None:
            self._not_moved(known, ready=ready)
        elif known is not None and known.ready is None and ready:
            duration_s = (draft.world.wall - known.suspected) / 1000
            self._timeline(replace(known, ready=draft.world.wall, duration_s=duration_s))
            draft.note("WorkloadRecovered", f"it is whole again {duration_s:.1f}s after {known.node} was suspected")
            self._goes_to(GuestState.STARTED, "")
        elif known is not None and known.ready is None:
            self._goes_to(GuestState.RECOVERY, "")
        else:
            self._goes_to(GuestState.STARTED if ready else GuestState.STARTING, "")
        if draft.status.ready != ready:
            draft.status = replace(draft.status, ready=ready, ready_since=draft.world.wall if ready else None)
        where = sorted({one.node for one in draft.status.pods})
        for name in where:
            status = self.room.statuses.get(name)
            if status is not None and status.state is NodeState.MAINTENANCE:
                said = f"Quorate does not move a workload: run kubectl drain {name}"
                self.room.staying.setdefault(name, {})[sid_of(self._key)] = said
        node = where[0] if len(where) == 1 else None
        if draft.status.node != node:
            draft.status = replace(draft.status, node=node)

    def _not_moved(self, known: Timeline, *, ready: bool) -> None:
        """Its node is back before anything was removed: in the same boot, or in another that has its Pods in hand."""
        if ready:
            self._timeline(None)
            self.made.note("WorkloadStayed", f"{known.node} is back: nothing was removed")
        self._goes_to(GuestState.STARTED if ready else GuestState.STARTING, "")

    def _goes_to(self, state: GuestState, message: str) -> None:
        draft = self.made
        if message:
            draft.say(message)
        if draft.status.state is not state or draft.status.since is None:
            before = draft.status.state
            draft.status = replace(draft.status, state=state, since=draft.world.wall)
            draft.note(f"Workload{state}", f"{before} -> {state}: {draft.status.message}")


def _volumes(known: Timeline, look: VolumesLook, now: Instant) -> Timeline:
    if known.removed is None:
        return known if known.volumes else replace(known, volumes=look.here)
    if not known.volumes:
        return known
    if known.detached is None and not set(known.volumes) & set(look.here):
        known = replace(known, detached=now)
    if known.detached is not None and known.attached is None and set(known.volumes) <= set(look.elsewhere):
        known = replace(known, attached=now)
    return known

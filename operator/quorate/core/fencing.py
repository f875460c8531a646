"""A node's incident, from the first suspicion to its return.

suspect (S, confirmed by a live GET) -> incident in Node.status -> quorum -> NoSchedule taint -> evidence stored -> the
Lease taken by compare-and-swap -> instances of that boot are released (`guests.py`) -> a new boot renews, no old
instance is left -> taint off, incident closed. One that flaps is held back before that (`flapping.py`).

Fencing means taking the Lease away. A manager never guesses: without evidence the incident stays, and its message names
what would end it. Until the Lease is taken, a new sequence of the same boot is a sign of life and ends the incident.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core import arming, drill
from quorate.core import evidence as proofs
from quorate.core.actions import Action, AskDevice, GiveLease, Note, ProbeLease, SetTaint, TakeLease
from quorate.core.brakes import Brakes
from quorate.core.changes import updated
from quorate.core.devices import Switch
from quorate.core.flapping import came_back, held_until, lately
from quorate.core.liveness import Pulse, valid
from quorate.core.quick import quick, replace
from quorate.core.sequence import Purpose
from quorate.core.status import Evidence, Incident, Instance, NodeStatus, WatchdogStatus
from quorate.core.stuck import NOBODY, Stuck, see_kubelet, showed_life, taint, taken_over
from quorate.core.types import (
    FENCE_TAINT,
    HEARD,
    TAKEN,
    Answer,
    EvidenceKind,
    Going,
    IncidentId,
    Instant,
    NodeState,
    Nonce,
    Stage,
    clock,
    node_ref,
)
from quorate.core.world import NodeView, World

_QUIET = HEARD | {NodeState.UNKNOWN}
NO_BRAKES = Brakes()


@quick
@dataclass(frozen=True, slots=True)
class Outcome:
    """One node's round: what to record, do and say, and when to look again (manager's clock)."""

    status: NodeStatus
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at_s: float | None = None


def covers(incident: Incident | None, instance: Instance) -> Evidence | None:
    """The evidence that releases this instance, None while nothing does.

    Only after the Lease was taken, only for instances of the incident's boot; and Drained only for the Pods that the
    agent named, whose containers had been started before it looked: any other could still start in this boot.
    """
    if incident is None or incident.stage is not Stage.FENCED or incident.nonce != instance.nonce:
        return None
    for found in incident.evidence:
        if found.kind is not EvidenceKind.DRAINED or instance.uid in found.pods:
            return found
    return None


def node_round(
    world: World,
    node: NodeView,
    pulse: Pulse,
    instances: Sequence[Instance],
    *,
    quorate: bool,
    hands_off: bool = False,
    brakes: Brakes = NO_BRAKES,
    stuck: Stuck = NOBODY,
) -> Outcome:
    """Judge one node. `instances` are all recorded on it, of any boot. Without quorum nothing but records changes.
    `stuck`: those of protected workloads, which have Pods there.

    `hands_off`: HA is disarmed. What proves a boot dead is recorded, because its signs may fade, and nothing is done.
    """
    return _Round(world, node, pulse, (*instances, *stuck.instances), quorate, hands_off, brakes, stuck).outcome()


class _Round:
    """The steps of one node's round, each reading the status that the one before left."""

    def __init__(
        self,
        world: World,
        node: NodeView,
        pulse: Pulse,
        instances: tuple[Instance, ...],
        quorate: bool,
        hands_off: bool,
        brakes: Brakes,
        stuck: Stuck,
    ) -> None:
        self.world = world
        self.node = node
        self.pulse = pulse
        self.instances = instances
        self.quorate = quorate
        self.acts = quorate and not hands_off
        self.brakes = brakes
        self.stuck = stuck
        self.status = node.status
        self.actions: list[Action] = []
        self.asks: list[AskDevice] = []
        self.notes: list[Note] = []
        self.wakes: list[float] = []

    def outcome(self) -> Outcome:
        self._remember_attestation()
        if self.status.incident is None:
            self._watch()
        self._switch()
        if self.status.incident is not None:
            self._pursue()
        self.actions.extend(one for one in self.asks if self._still_asked(one))
        self._taint()
        self._settle_state()
        return Outcome(self.status, tuple(self.actions), tuple(self.notes), min(self.wakes, default=None))

    def _switch(self) -> None:
        """The node's fence devices, if it has any, and whoever asks for a drill of them."""
        if not self.node.devices and self.status.power is None and not self.node.drill:
            return
        switch = Switch(self.world, self.node, self.status, self.pulse, self.instances, self.brakes, self.acts)
        self.status = updated(self.status, power=switch.run())
        self.asks = switch.actions
        self.notes.extend(switch.notes)
        self.wakes.extend(switch.wakes)

    def _still_asked(self, ask: AskDevice) -> bool:
        """Nothing is switched off for an incident that is over, or whose guests are released, since this round."""
        incident, sequence = self.status.incident, self.status.sequence
        if sequence is None or sequence.purpose is not Purpose.INCIDENT:
            return True
        return incident is not None and incident.id == ask.order.subject and incident.stage not in TAKEN

    # -- no incident ------------------------------------------------------------------------------------------------

    def _remember_attestation(self) -> None:
        """Keep what the current boot attested: a new boot will overwrite the Lease."""
        beat = self.node.beat
        if beat is None or beat.attestation is None or not valid(beat) or beat.nonce != self.status.nonce:
            return
        said = beat.attestation
        watchdog = None
        if said.watchdog:
            watchdog = WatchdogStatus(
                said.watchdog, said.armed, said.watchdog_s, said.timeout_s, said.shared_kernel, said.generation
            )
        going = next((one for one in Going if one == said.going), None) if said.going else None
        self.status = updated(self.status, watchdog=watchdog, agent_protocol=said.protocol, going=going)

    def _watch(self) -> None:
        """Adopt a boot, or open an incident for the one we know."""
        beat, status = self.node.beat, self.status
        if status.nonce is None and (nonce := self._boot_of_guests()) is not None:
            self._adopt(nonce)
            return
        if beat is not None and beat.nonce is not None and valid(beat) and beat.nonce != status.nonce:
            if self.pulse.alive is Answer.YES:
                if self._old_instances():
                    self._open("another boot of the node renews its Lease")
                else:
                    self._adopt(beat.nonce)
            return
        if status.nonce is None or not self._old_instances():
            return
        if beat is not None and beat.attestation is not None and beat.attestation.drained and beat.nonce:
            self._open("its agent attested that no guest runs there any more and left")
        elif self.pulse.alive is Answer.NO:
            self._suspect()

    def _old_instances(self) -> list[Instance]:
        """Instances of the boot that the status knows, still without proof of their end."""
        return [instance for instance in self.instances if instance.nonce == self.status.nonce]

    def _boot_of_guests(self) -> Nonce | None:
        """Its Node was deleted by force and made anew: the boot that the Lease names, if guests of it are recorded here.

        Nobody may renew that Lease any more; without this the loss of their node would go unnoticed.
        """
        beat = self.node.beat
        if beat is None or not valid(beat):
            return None
        named = beat.fenced[1] if beat.fenced is not None else beat.nonce
        return named if any(instance.nonce == named for instance in self.instances) else None

    def _adopt(self, nonce: Nonce | None) -> None:
        """Take this boot as the node's. Only when nothing hangs on the one before."""
        beat = self.node.beat
        if beat is None or beat.attestation is None:
            return
        said = beat.attestation
        if self.status.system_uuid and said.system_uuid != self.status.system_uuid:
            self._note("MachineReplaced", f"another machine renews under this name (system UUID {said.system_uuid})")
            if self.status.power is not None:
                self.status = replace(self.status, power=drill.of_another_machine(self.status.power))
        # Another boot is another chance: that the one before did not arm in time says nothing of this one.
        asked = arming.succeeded(self.status.arming)
        self.status = replace(self.status, nonce=nonce, system_uuid=said.system_uuid, arming=asked)
        self._remember_attestation()

    def _suspect(self) -> None:
        """Open the incident, but only after a live GET made later than the suspicion still shows no beat."""
        suspect_at = self.pulse.suspect_at_s
        if suspect_at is None or self.world.now_s < suspect_at:
            if suspect_at is not None:
                self.wakes.append(suspect_at + 0.001)
            return
        beat = self.node.beat
        probed = beat.probed_s if beat is not None else self.node.lease_missing_s
        if beat is not None and (probed is None or probed < suspect_at):
            self.actions.append(ProbeLease(self.node.name))
            self.wakes.append(self.world.now_s + 1.0)
            return
        age = self.pulse.age_s or 0.0
        self._open(f"no heartbeat for {age:.1f}s")

    def _open(self, reason: str) -> None:
        nonce = self.status.nonce
        if nonce is None:
            return
        beat = self.node.beat
        said = beat.attestation if beat is not None and beat.nonce == nonce else None
        sequence = said.sequence if said is not None else 0
        incident_id = IncidentId(f"{self.node.name}-{self.world.entropy[:8]}")
        self.status = replace(
            self.status,
            incident=Incident(
                id=incident_id,
                nonce=nonce,
                opened=self.world.wall,
                reason=reason,
                stage=Stage.SUSPECTED,
                sequence=sequence,
                term=self.world.term,
                release_by=self._release_by(),
            ),
        )
        self._note("NodeSuspected", f"{reason}: incident {incident_id} is open", warning=True)

    def _release_by(self) -> Instant | None:
        """The latest moment at which an armed node is released, on the wall clock, for people."""
        nonce, spec = self.status.nonce, self.world.cluster.spec
        if nonce is None or not proofs.expiry_proves(self.node, nonce, spec) or self.pulse.release_at_s is None:
            return None
        if EvidenceKind.LEASE_EXPIRED not in spec.accepted_evidence:
            return None
        return Instant(self.world.wall + max(0, round((self.pulse.release_at_s - self.world.now_s) * 1000)))

    # -- an incident ------------------------------------------------------------------------------------------------

    def _pursue(self) -> None:
        incident = self.status.incident
        if incident is None:
            return
        if incident.stage not in TAKEN and proofs.sign_of_life(self.node, incident):
            self.status = replace(self.status, incident=None)
            self._note("NodeBack", f"it renews again in the same boot: incident {incident.id} is over")
            return
        if self._old_pods():
            self._see_kubelet(incident)
            incident = self.status.incident or incident
        if incident.stage not in TAKEN:
            if not incident.in_service and self.node.kube is not None and proofs.out_of_service(self.node) is None:
                self.status = replace(self.status, incident=replace(incident, in_service=True))
            if self.quorate:
                self._prove()
        if self.acts:
            self._take()
        self._take_again()
        self._gather_more()
        self._let_back()
        self._count_return()
        self._return()

    def _old_pods(self) -> list[Instance]:
        """Pods of protected workloads that belong to the boot that the incident is about."""
        incident = self.status.incident
        return [one for one in self.stuck.instances if incident is not None and one.nonce == incident.nonce]

    def _see_kubelet(self, incident: Incident) -> None:
        incident, asked, again_s = see_kubelet(self.node, incident, self.stuck, self.world.now_s, self.world.wall)
        self.status = updated(self.status, incident=incident)
        if asked is not None:
            self.actions.append(asked)
        if again_s is not None:
            self.wakes.append(again_s)

    def _prove(self) -> None:
        incident = self.status.incident
        if incident is None:
            return
        gathered = proofs.gather(self.world, self.node, self.pulse, incident)
        if gathered.wake_at_s is not None:
            self.wakes.append(gathered.wake_at_s + 0.001)
        incident = replace(incident, tried=gathered.tried, evidence=(*incident.evidence, *gathered.found))
        if gathered.found:
            incident = replace(incident, stage=Stage.PROVEN)
        self.status = replace(self.status, incident=incident)
        for one in gathered.found:
            self._note("NodeProvenDead", f"{one.kind}: {one.detail}", warning=True)

    def _gather_more(self) -> None:
        """After the Lease is taken on Drained, a stronger proof may still be needed for what never started.

        And beside any other where a kubelet that has Pods of workloads in hand gave signs of life after it was lost.
        """
        incident = self.status.incident
        if incident is None or incident.stage is not Stage.FENCED or not self.quorate:
            return
        left = any(one.nonce == incident.nonce and covers(incident, one) is None for one in self.instances)
        if left or (self._old_pods() and (self.stuck.changed or showed_life(self.node, incident))):
            found = proofs.gather(self.world, self.node, self.pulse, incident).found
            if found:
                self.status = replace(self.status, incident=replace(incident, evidence=(*incident.evidence, *found)))

    def _take(self) -> None:
        """Take the Lease, or see that the old boot has lost it already."""
        incident = self.status.incident
        if incident is None or incident.stage is not Stage.PROVEN:
            return
        beat = self.node.beat
        if beat is None:
            self.actions.append(TakeLease(self.node.name, incident.id, incident.nonce, None, None))
        elif proofs.lock_lost(beat, incident):
            self.status = replace(self.status, incident=replace(incident, stage=Stage.FENCED))
            self._note("NodeFenced", "its Lease is no longer held by the lost boot: its guests are released")
        else:
            self.actions.append(TakeLease(self.node.name, incident.id, incident.nonce, beat.uid, beat.resource_version))

    def _take_again(self) -> None:
        """The fenced boot holds a Lease again: somebody deleted the fenced one, and its guests have been released."""
        incident, beat = self.status.incident, self.node.beat
        if incident is None or incident.stage is not Stage.FENCED or not self.acts:
            return
        if beat is not None and beat.nonce == incident.nonce:
            self.actions.append(TakeLease(self.node.name, incident.id, incident.nonce, beat.uid, beat.resource_version))

    def _let_back(self) -> None:
        """A person lets the fenced boot have its Lease again: it never ended, and none of its guests is left."""
        incident, beat = self.status.incident, self.node.beat
        if incident is None or beat is None or not self.acts or beat.fenced is None or beat.fenced[1] != incident.nonce:
            return
        if incident.stage is Stage.FENCED and not self._old_instances():
            user = proofs.confirmed_by(self.node.release, incident.id, incident.nonce)
            if user is not None:
                incident = replace(incident, stage=Stage.RELEASED)
                self.status = replace(self.status, incident=incident)
                self._note("NodeReleased", f"{user} lets it come back without a reboot: it gets its Lease back")
        if incident.stage is Stage.RELEASED:
            self.actions.append(GiveLease(self.node.name, incident.id, incident.nonce, beat.uid, beat.resource_version))

    def _count_return(self) -> None:
        """Another boot is back: is it held back, because the node flaps?"""
        incident, beat = self.status.incident, self.node.beat
        if incident is None or beat is None or beat.nonce is None or not beat.held_by_another(incident.nonce):
            return
        if not self._ready_to_return():
            return
        before = self.status.returns
        returns = came_back(before, incident, beat.nonce, self.world.wall, self.world.cluster.spec.hold_back_s)
        self.status = updated(self.status, returns=returns)
        until = self._held_until()
        if until is None:
            return
        self.wakes.append(self.world.after(until))
        if returns is not before:
            self._note(
                "NodeHeldBack",
                f"it has come back {lately(returns, self.world.wall)} times lately: no guest starts there until "
                f"{clock(until)} UTC",
                warning=True,
            )

    def _held_until(self) -> Instant | None:
        """Until when a boot that is back is held back; None: it is not, or a person lets it go.

        One whose kubelet goes on with Pods of protected workloads is not: they are protected only on a member.
        """
        incident, beat = self.status.incident, self.node.beat
        if incident is None or beat is None or beat.nonce is None:
            return None
        if any(one.nonce == beat.nonce for one in self.stuck.instances):
            return None
        if proofs.confirmed_by(self.node.release, incident.id, beat.nonce) is not None:
            return None
        if not any(node.name != self.node.name and node.status.state in HEARD for node in self.world.nodes):
            return None  # all went down together: that was not this node, and there is nowhere else
        return held_until(self.status.returns, beat.nonce, self.world.wall)

    def _return(self) -> None:
        """Close the incident once nothing hangs on the lost boot and `_taint` has taken our taint off."""
        incident = self.status.incident
        if incident is None or self._lost_again(incident) or self._tainted():
            return
        if self._returning():
            self.status = replace(self.status, incident=None)
            boot = self.node.beat.nonce if self.node.beat is not None else None
            which = "the same" if boot == incident.nonce else "a new"
            self._note("NodeReturned", f"it renews in {which} boot: incident {incident.id} is over")
            self._adopt(boot)
        elif self._leaving():
            self.status = replace(self.status, incident=None)
            self._note("NodeLeft", f"it is deleted, fenced and without guests: incident {incident.id} is over")

    def _lost_again(self, incident: Incident) -> bool:
        """Another boot took the Pods of workloads over, and is silent before it was let back: an incident of its own.

        The one before would never end, and proves nothing of that boot. Our taints stay.
        """
        beat, before = self.node.beat, self.status
        if beat is None or not taken_over(self.node, incident):
            return False
        here = any(one.nonce == beat.nonce for one in self.stuck.instances)
        if not here or self._old_instances() or self.pulse.alive is not Answer.NO or not valid(beat):
            return False
        self.status = replace(before, incident=None)
        self._adopt(beat.nonce)
        if self.status.nonce == beat.nonce:
            self._suspect()
        if self.status.incident is None:
            self.status = before  # not probed yet
            return False
        return True

    # -- taint and state --------------------------------------------------------------------------------------------

    def _tainted(self) -> bool:
        return any(taint.key == FENCE_TAINT for taint in self.node.taints)

    def _returning(self) -> bool:
        """All that remains is our taint."""
        return self._ready_to_return() and self._held_until() is None

    def _ready_to_return(self) -> bool:
        """Another boot renews, or the one that was let back, and no instance of the lost one is left to be proven."""
        incident, beat = self.status.incident, self.node.beat
        if incident is None or beat is None or beat.nonce is None:
            return False
        if beat.nonce == incident.nonce and incident.stage is not Stage.RELEASED:
            return False
        return self.pulse.alive is Answer.YES and not self._old_instances()

    def _leaving(self) -> bool:
        """A person deletes it, or its Cluster: dead for good. It was proven dead, and nothing is left to be released."""
        incident = self.status.incident
        gone = self.node.deleting or self.world.cluster.deleting
        return gone and incident is not None and incident.stage in TAKEN and not self._old_instances()

    def _taint(self) -> None:
        if self.node.kube is None or not self.acts:
            return
        incident = self.status.incident
        if incident is None or self._returning() or self._leaving():
            if self._tainted():
                self.actions.append(SetTaint(self.node.name, None))
        else:
            proven = any(covers(incident, one) is not None for one in self._old_pods())
            released = proven and not taken_over(self.node, incident)
            missing = taint(self.node, incident, self.stuck, released=released, back=self._ready_to_return())
            if missing is not None:
                self.actions.append(missing)

    def _settle_state(self) -> None:
        status = self.status
        if status.incident is not None:
            state = NodeState.FENCE
        elif self.node.kube is None:
            state = NodeState.GONE
        elif drill.under_way(status.power):
            state = NodeState.MAINTENANCE
        elif self.pulse.alive is Answer.YES and self.node.beat is not None and self.node.beat.nonce == status.nonce:
            state = NodeState.ONLINE if self.node.maintenance is None else NodeState.MAINTENANCE
        elif self.pulse.alive is Answer.NOT_YET and status.state in _QUIET:
            state = status.state
        else:
            state = NodeState.UNKNOWN
        if state is not status.state or status.since is None:
            status = replace(status, state=state, since=self.world.wall)
        self.status = status

    def _note(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.notes.append(Note(node_ref(self.node.name), reason, message, warning))

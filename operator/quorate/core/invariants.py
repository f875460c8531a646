"""What must hold of every plan, whatever the world. Checked in property tests and, cheaply, by the manager itself.

A breach is a bug. The manager does not stop for it: it sets aside the guest or node concerned and leaves a condition.
The numbers are those of the safety document; 1, 5, 6 and 7 speak of runs and are checked by the tests that play them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from quorate.core import brakes, disarm, history
from quorate.core.actions import (
    Action,
    AskDevice,
    BeginMigration,
    BindLauncher,
    CreatePod,
    EvictPod,
    GiveLease,
    HaltMachine,
    Plan,
    RemovePod,
    RemoveStuckPod,
    ReturnMachine,
    RunMachine,
    SetTaint,
    StatusWrite,
    StopPod,
    TakeLease,
    TakeMachine,
)
from quorate.core.board import rulebook, zones
from quorate.core.cluster import resolved_timing
from quorate.core.counting import count_votes
from quorate.core.disarm import Hold
from quorate.core.fencing import covers
from quorate.core.guard import ready_for_guests
from quorate.core.liveness import Pulse, read
from quorate.core.machine_invariants import MachineChecks
from quorate.core.migration import sides
from quorate.core.place import Candidate, rejection
from quorate.core.rulebook import Rulebook
from quorate.core.sequence import Purpose, Verb
from quorate.core.status import GuestStatus, Instance, NodeStatus
from quorate.core.stopped import from_pod
from quorate.core.stuck import evicts, taken_over
from quorate.core.timing import Timing
from quorate.core.types import (
    HEARD,
    TAKEN,
    Answer,
    DisarmMode,
    GuestKey,
    NodeName,
    NodeState,
    Ref,
    Stage,
    StopTimeoutPolicy,
    Wanted,
)
from quorate.core.workload_pods import instance_of
from quorate.core.workloads import WorkloadPod
from quorate.core.world import GuestView, WorkloadView, World


@dataclass(frozen=True, slots=True)
class Breach:
    """Which invariant is broken, by what, on which object."""

    invariant: int
    subject: Ref
    text: str


def check(world: World, plan: Plan) -> tuple[Breach, ...]:
    """Every breach that this plan would commit."""
    return _Checker(world, plan).breaches()


class _Checker(MachineChecks):
    def breaches(self) -> tuple[Breach, ...]:
        found = []
        for action in self.plan.actions:
            text = self._judge(action)
            if text is not None:
                found.append(Breach(text[0], action.subject, text[1]))
        for write in self.plan.statuses:
            against = self._against_rules(write)
            if against:
                found.append(Breach(8, write.ref, against))
            if (reset := self._reset(write)) is not None:
                found.append(Breach(reset[0], write.ref, reset[1]))
        return tuple(found)

    def _judge(self, action: Action) -> tuple[int, str] | None:
        match action:
            case CreatePod():
                return self._no_majority(action) or self._create(action)
            case StopPod():
                return self._no_majority(action) or self._hands_off(action.guest, "stopped")
            case RemovePod():
                return self._no_majority(action) or self._remove(action)
            case TakeLease():
                return self._no_majority(action) or self._take(action)
            case AskDevice():
                return self._no_power(action) or self._ask(action)
            case GiveLease():
                return self._no_majority(action) or self._give(action)
            case SetTaint():
                return self._taint(action)
            case RunMachine() | BindLauncher() | HaltMachine() | TakeMachine() | ReturnMachine() | BeginMigration():
                return self._no_majority(action) or self._judge_machine(action)
            case EvictPod() | RemoveStuckPod():
                return self._no_majority(action) or self._stuck(action)
        return None

    def _reset(self, write: StatusWrite) -> tuple[int, str] | None:
        """2 and 9. A node is asked to reset itself only for a guest that wants it, with quorum, and one at a time."""
        status = write.status
        node = self.nodes.get(NodeName(write.ref.name))
        if node is None or not isinstance(status, NodeStatus) or status.reset_request is None:
            return None
        before = node.status.reset_request
        if before is not None and before.id == status.reset_request.id:
            return None
        if self.brake or self.disarmed is not None:
            return 2, f"{node.name} would be reset {self.brake or 'while HA is disarmed'}"
        wanted = any(
            guest.key.sid == status.reset_request.guest and guest.spec.stop_timeout_policy is StopTimeoutPolicy.FENCE
            for guest in self.guests.values()
        )
        if not wanted:
            return 9, f"{node.name} would be reset for {status.reset_request.guest}, which does not ask for that"
        for other in self.nodes.values():
            after = self._node_status(other)
            if other.name != node.name and (after.incident is not None or after.resets):
                return 9, f"{node.name} would be reset, and {other.name} is lost"
        return None

    def _no_majority(self, action: Action) -> tuple[int, str] | None:
        """2. Without quorum, a valid term and a history in order nothing is fenced, recovered, started or moved."""
        if self.brake:
            return 2, f"{type(action).__name__} {self.brake}"
        if self.disarmed is None or self._by_hand(action):
            return None
        return 2, f"{type(action).__name__} while HA is disarmed"

    def _no_power(self, action: AskDevice) -> tuple[int, str] | None:
        """2. Power is given back also without quorum or while HA is disarmed: that takes nothing from anybody."""
        return self._no_majority(action) if action.order.verb is not Verb.ON or self.world.term <= 0 else None

    def _by_hand(self, action: Action) -> bool:
        """Only let go: somebody deleted it, who has it in hand by mode Ignore, or by the guest's own wish."""
        if not isinstance(action, RemovePod) or action.forced:
            return False
        guest = self.guests.get(action.guest)
        return self.disarmed is DisarmMode.IGNORE or (guest is not None and guest.spec.wanted is Wanted.IGNORED)

    @cached_property
    def disarmed(self) -> DisarmMode | None:
        """Hands are off, with this mode. Only asked with quorum: without it nothing is done anyway."""
        brake = disarm.judge(self.world, quorate=True)
        return brake.wish.mode if brake.wish is not None and brake.hold is Hold.ALL else None

    @cached_property
    def brake(self) -> str:
        """What forbids every deed. Counted once more, from the heartbeats themselves; once for all actions of a plan."""
        if self.world.term <= 0:
            return "without a term"
        if count_votes(self.world, self.pulses, self.timing.suspect_after_s).quorum.answer is not Answer.YES:
            return "without quorum"
        return "while history runs backwards" if history.judge(self.world, self.pulses).waiting else ""

    @cached_property
    def timing(self) -> Timing:
        return resolved_timing(self.world).timing

    @cached_property
    def pulses(self) -> dict[NodeName, Pulse]:
        return {node.name: read(node, self.timing, self.world.now_s) for node in self.world.nodes}

    def _create(self, action: CreatePod) -> tuple[int, str] | None:
        """3 and 8. Made only under a recorded instance, with nothing else of that name, on an allowed node."""
        guest = self.guests.get(action.guest)
        if guest is None:
            return 3, "a Pod for an unknown guest"
        status = self._guest_status(guest)
        if status.instance is None or status.instance.id != action.instance.id:
            return 3, f"instance {action.instance.id} is not in the status that is written before it"
        if guest.pod is not None:
            return 3, f"a Pod of instance {guest.pod.instance} still stands under that name"
        return self._begins(guest, action.instance)

    def _begins(self, guest: GuestView, instance: Instance) -> tuple[int, str] | None:
        """The instance before has ended as a fact, and this one goes where it may, in the boot it was drawn for."""
        before = guest.status.instance
        if before is not None and before.id != instance.id and not self._proven(guest):
            return 3, f"instance {before.id} is replaced without proof of its end"
        node = self.nodes.get(instance.node)
        if node is None or self._node_status(node).state not in HEARD:
            return 3, f"{instance.node} is not online"
        if self._node_status(node).nonce != instance.nonce:
            return 3, f"the boot of {node.name} is not the one that the instance was drawn for"
        storages = {storage.name: storage for storage in self.world.storages}
        cluster = self.world.cluster.spec
        if not ready_for_guests(replace(node, status=self._node_status(node)), cluster):
            return 3, f"nothing would prove the death of {node.name}: its watchdog is not armed"
        if before is not None and before.id == instance.id:
            node = replace(node, reach=())  # drawn by an earlier plan: the agent may have looked since
        reason = rejection(guest.spec, Candidate(node, NodeState.ONLINE, 0), storages, cluster)
        return (8, f"{node.name}: {reason}") if reason is not None else None

    def _against_rules(self, write: StatusWrite) -> str:
        """8. An instance is drawn where the guest may run: among the nodes of a strict rule, away from Apart peers."""
        guest = self.guests.get(GuestKey(write.ref.namespace, write.ref.name))
        if guest is None or not isinstance(write.status, GuestStatus):
            return ""
        instance = self._drawn(guest)
        terms = self.rulebook.terms.get(guest.key) if instance is not None else None
        if instance is None or terms is None:
            return ""
        node, where = instance.node, zones(self.world)
        if terms.strict and terms.nodes is not None and node not in terms.nodes:
            return f"{node}: rule {terms.node_rule} allows only {', '.join(sorted(terms.nodes))}"
        for peer in (*terms.apart, *terms.zone_apart):
            place = self._place(peer)
            near = place == node or (peer in terms.zone_apart and place is not None and where.get(place) == where[node])
            if near:
                return f"{node}: {peer.sid}, from which it is to be apart, is on {place}"
        return ""

    @cached_property
    def rulebook(self) -> Rulebook:
        return rulebook(self.world)

    def _drawn(self, guest: GuestView) -> Instance | None:
        """The instance that this plan draws for a guest; one that was found under its name was not drawn by us."""
        before, after = guest.status.instance, self._guest_status(guest).instance
        new = after is not None and after.uid is None and (before is None or before.id != after.id)
        return after if new else None

    def _place(self, key: GuestKey) -> NodeName | None:
        """Where a guest may run, as was known before this plan or is drawn by it."""
        guest = self.guests.get(key)
        if guest is None:
            return None
        after, before = self._guest_status(guest).instance, guest.status.instance
        known = after is not None and before is not None and after.id == before.id
        instance = after if known else self._drawn(guest)
        return instance.node if instance is not None and not instance.ended else None

    def _proven(self, guest: GuestView) -> bool:
        """Ended as was recorded before, never made, or proven now: by evidence, or attested by the agent of its boot."""
        instance = guest.status.instance
        if instance is None or instance.ended or instance.uid is None:
            return True
        node = self.nodes.get(instance.node)
        if node is None:
            return False
        if covers(self._node_status(node).incident, instance) is not None:
            return True
        beat = node.beat
        return (
            beat is not None
            and beat.attestation is not None
            and beat.nonce == instance.nonce
            and instance.uid in beat.attestation.gone
        )

    def _remove(self, action: RemovePod) -> tuple[int, str] | None:
        """3. Removed only on a fact; by force only on evidence for that boot, after the Lease was lost."""
        guest = self.guests.get(action.guest)
        pod = guest.pod if guest is not None else None
        if guest is None or pod is None or pod.uid != action.uid:
            return 3, "a Pod would be removed that was not judged"
        let_go = guest.spec.wanted is Wanted.IGNORED and pod.deleting and not action.forced
        hands_off = self._hands_off(action.guest, "removed")
        if hands_off is not None and not let_go:
            return hands_off
        status = self._guest_status(guest)
        instance = status.instance
        if action.forced:
            node = self.nodes.get(pod.node)
            incident = self._node_status(node).incident if node is not None else None
            if incident is None or incident.stage is not Stage.FENCED or not incident.evidence:
                return 3, f"removed by force, but {pod.node} is not fenced"
            if instance is None or instance.nonce != incident.nonce:
                return 3, "evidence of another boot or incident"
            return None
        if instance is not None and instance.uid == pod.uid:
            return None if instance.ended else (3, "removed without a fact")
        started = any(container.started for container in pod.containers)
        return None if from_pod(pod, began=False, started=started) is not None else (3, "removed without a fact")

    def _stuck(self, action: EvictPod | RemoveStuckPod) -> tuple[int, str] | None:
        """3 and 4. A workload's Pod is deleted on evidence for its boot alone, after that has lost its Lease."""
        guest, pods = self._others_pods(action.guest)
        pod = next((one for one in pods if one.uid == action.uid), None)
        if guest is None or pod is None or pod.node != action.node:
            return 3, f"Pod {action.pod} would be removed, and it was not judged"
        if guest.machine is not None:
            hands_off = self._hands_off(action.guest, "removed")
            if hands_off is not None:
                return hands_off
        elif guest.spec.wanted is not Wanted.STARTED or guest.deleting:
            return 4, f"Pod {action.pod} would be removed, and its workload is none of ours"
        records = self._guest_status(guest).pods
        record = next((one for one in records if one.uid == action.uid), None)
        node = self.nodes.get(action.node)
        incident = self._node_status(node).incident if node is not None else None
        if record is None or incident is None or covers(incident, instance_of(self.world, record)) is None:
            return 3, f"Pod {action.pod} would be removed, and nothing proves that {action.node} does not run it"
        if node is not None and taken_over(node, incident):
            return 3, f"Pod {action.pod} would be removed, and another boot of {action.node} has it in hand"
        if isinstance(action, RemoveStuckPod) and not (pod.deleting and node is not None and evicts(node)):
            return 3, f"Pod {action.pod} would be removed by force, and nothing keeps its kubelet from starting it"
        return None

    def _others_pods(self, key: GuestKey) -> tuple[GuestView | None, tuple[WorkloadPod, ...]]:
        """A protected workload or a machine, and its Pods, which others made."""
        guest = self.guests.get(key)
        if guest is not None and guest.machine is not None:
            return guest, tuple(one.made for one in guest.machine.launchers)
        view = next((one for one in self.world.workloads if one.guest.key == key), None)
        if view is None:
            return None, ()
        return view.guest, view.matched.pods if view.matched is not None else ()

    def _taint(self, action: SetTaint) -> tuple[int, str] | None:
        """9. What runs on a node is evicted only after the node has lost its Lease."""
        node = self.nodes.get(action.node)
        incident = self._node_status(node).incident if node is not None else None
        if not action.evict and not action.out_of_service:
            return None
        fenced = incident is not None and incident.stage in TAKEN
        return None if fenced else (9, f"{action.node} would be emptied, and it has not lost its Lease")

    def _take(self, action: TakeLease) -> tuple[int, str] | None:
        """3 and 9. Only on stored evidence, and never from a node that renews in time."""
        node = self.nodes.get(action.node)
        if node is None:
            return 3, "an unknown node would be fenced"
        incident = self._node_status(node).incident
        if incident is None or not incident.evidence or incident.id != action.incident:
            return 3, f"{node.name} would be fenced without evidence"
        alive = node.beat is not None and node.beat.lives(incident)
        if alive and node.status.incident is not None and node.status.incident.stage not in TAKEN:
            return 9, f"{node.name} renewed after the incident opened"
        return None

    def _ask(self, action: AskDevice) -> tuple[int, str] | None:
        """3 and 9. A device is asked only by the sequence that is recorded, and off only a lost node or one that drills."""
        node = self.nodes.get(action.node)
        status = self._node_status(node) if node is not None else None
        sequence = status.sequence if status is not None else None
        asked = action.order
        if node is None or status is None or sequence is None or sequence.id != asked.sequence:
            return 3, f"a fence device of {action.node} would be asked by no recorded sequence"
        if (sequence.term, asked.term, asked.nonce) != (self.world.term, self.world.term, sequence.nonce):
            return 3, f"a fence device of {action.node} would be asked for another term or boot"
        if asked.verb is Verb.ON:
            on = sequence.purpose is not Purpose.INCIDENT
            return None if on else (3, f"{action.node} would be switched on while it is to be proven dead")
        if sequence.purpose is Purpose.DRILL:
            guests = [one for one in self.guests.values() if self._place(one.key) == action.node]
            guests += [view.guest for view in self.world.workloads if self._has_pods(view, action.node)]
            return (
                (9, f"{action.node} would be switched off by a drill with {guests[0].key.sid} on it")
                if guests
                else None
            )
        incident = status.incident
        if incident is None or (incident.id, incident.nonce) != (asked.subject, asked.nonce) or incident.stage in TAKEN:
            return 9, f"{action.node} would be switched off without an incident that asks for it"
        beat = node.beat
        if beat is not None and beat.lives(incident):
            return 9, f"{action.node} would be switched off, and it renews"
        if beat is not None and beat.held_by_another(incident.nonce):
            return 9, f"{action.node} would be switched off, and another boot of it renews"
        return self._too_many(action)

    def _has_pods(self, view: WorkloadView, node: NodeName) -> bool:
        return any(one.node == node for one in self._guest_status(view.guest).pods)

    def _too_many(self, action: AskDevice) -> tuple[int, str] | None:
        """9. No more devices at a time than are allowed, and none of a node that vanished with too many others."""
        asked = [one for one in self.plan.actions if isinstance(one, AskDevice)]
        limit = self.world.cluster.spec.max_concurrent
        if len(asked) > limit and len({one.node for one in asked}) > 1:
            return 9, f"{len(asked)} fence devices would be asked at a time, and {limit} may be"
        found = brakes.judge(self.world, self.pulses)
        storm = found.storms.get(action.node, "")
        before = self.nodes[action.node].status.sequence
        if not storm and (before is None or before.id != action.order.sequence):
            storm = found.doubts.get(action.node, "")
        return (9, f"{action.node} would be switched off in a storm: {storm}") if storm else None

    def _give(self, action: GiveLease) -> tuple[int, str] | None:
        """3. A boot has its Lease again only by a person's word for it, and with none of its guests left."""
        node = self.nodes.get(action.node)
        incident = self._node_status(node).incident if node is not None else None
        if incident is None or incident.id != action.incident or incident.stage is not Stage.RELEASED:
            return 3, f"{action.node} would have its Lease again, and nobody has released it"
        for guest in self.guests.values():
            for status in (guest.status, self._guest_status(guest)):
                if any(one.nonce == action.nonce and not one.ended for one in sides(status)):
                    return 3, f"{action.node} would have its Lease again with {guest.key.sid} recorded on it"
        for view in self.world.workloads:
            if any(one.nonce == action.nonce for one in self._guest_status(view.guest).pods):
                return 3, f"{action.node} would have its Lease again with a Pod of {view.guest.key} recorded on it"
        return None

"""The set of nodes that vote together: who joins, what each is asked for, and what its status says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quorate.core import arming, drill
from quorate.core.actions import Action, CreateLease, Enroll
from quorate.core.changes import updated
from quorate.core.conditions import Finding, merge, plural, summary
from quorate.core.device_findings import device_findings
from quorate.core.disarm import Hold
from quorate.core.draft import Room
from quorate.core.evidence import confirmed_by, was_armed
from quorate.core.fencing import covers
from quorate.core.flapping import held_until, lately
from quorate.core.guard import guarded_by_devices, watchdog_problem
from quorate.core.migration import sides
from quorate.core.overdue import reset_request
from quorate.core.quick import quick, replace
from quorate.core.sequence import Power, Step
from quorate.core.status import Condition, Incident, NodeStatus, Orders
from quorate.core.storage import MAX_PROBES, NfsExport, Probe
from quorate.core.timing import Timing, seconds
from quorate.core.types import MAX_NODES, PROTOCOL, TAKEN, EvidenceKind, NodeName, NodeState, Stage, clock
from quorate.core.workload_pods import instance_of
from quorate.core.world import KubeNode, NodeView, StorageView, World

NAMED: Final = 3
"""So many guests are named in a sentence."""
GONE_KEEPS_VOTE_MS: Final = 3_600_000
"""A node whose Kubernetes node was deleted keeps its vote for an hour (Proxmox: gone nodes)."""


@quick
@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who joins now, and who cannot: names with the Cluster they belong to, and those beyond the limit."""

    actions: tuple[Action, ...] = ()
    claimed: tuple[tuple[NodeName, str], ...] = ()
    beyond: tuple[NodeName, ...] = ()


def selected(world: World) -> list[NodeName]:
    """The Kubernetes nodes this Cluster is about: its nodeSelector, or every one that is no control plane."""
    selector = world.cluster.spec.node_selector
    return [
        kube.name
        for kube in world.kube_nodes
        if (not kube.control_plane if selector is None else selector.matches(kube.labels))
    ]


def enrol(world: World, *, quorate: bool) -> Enrolment:
    """Joining is sticky and needs quorum, except before the Cluster was ever quorate: a minority must not vote itself
    into a majority.
    """
    taken = dict(world.claimed)
    known = {node.name for node in world.nodes}
    actions: list[Action] = [
        CreateLease(node.name)
        for node in world.nodes
        if node.beat is None and node.lease_missing_s is not None and node.status.nonce is None and not node.deleting
    ]
    claimed, beyond, room = [], [], MAX_NODES - len(known)
    for name in selected(world):
        if name in known:
            continue
        if name in taken:
            claimed.append((name, taken[name]))
        elif room <= 0:
            beyond.append(name)
        elif (quorate or not world.cluster.status.ever_quorate) and not world.cluster.deleting:
            actions.append(Enroll(name, world.cluster.name))
            room -= 1
    return Enrolment(tuple(actions), tuple(claimed), tuple(beyond))


def effective_votes(world: World, node: NodeView) -> int:
    """A node's weight now: a Gone one loses it after an hour, but only without guests and incident."""
    status = node.status
    if node.kube is not None or status.state is not NodeState.GONE or status.since is None:
        return node.votes
    if status.incident is not None or status.guests or world.wall - status.since < GONE_KEEPS_VOTE_MS:
        return node.votes
    return 0


def newest_term(world: World) -> int:
    """The largest term in any status: one above ours was written by a newer leader."""
    return max(
        world.cluster.status.term,
        max((node.status.term for node in world.nodes), default=0),
        max((guest.status.term for guest in world.guests), default=0),
        max((view.guest.status.term for view in world.workloads), default=0),
    )


def finish(
    world: World,
    nodes: Mapping[NodeName, NodeStatus],
    room: Room,
    timing: Timing,
) -> dict[NodeName, NodeStatus]:
    """What follows for each node from where the guests are and go: arming, orders, questions, words."""
    orders = Orders(timing.renew_s, timing.timeout_s, timing.watchdog_s)
    finished = {}
    for node in world.nodes:
        status = nodes[node.name]
        guests = room.counts.get(node.name, 0)
        asked = status.arming
        if node.name in room.armed:
            asked = arming.succeeded(asked)
        elif room.slow_to_arm(node.name):
            asked = arming.failed(asked, world.wall)
        released = room.brake.release
        wanted = guests > 0 and not released
        if (wanted, released) != (asked.wanted, asked.released):
            asked = replace(asked, generation=asked.generation + 1, wanted=wanted, since=world.wall, released=released)
        after = updated(
            status,
            votes=effective_votes(world, node),
            arming=asked,
            orders=orders,
            asks=tuple(sorted(room.asks.get(node.name, ()))),
            probes=probes(world.storages, node.kube),
            guests=guests,
            watchdog_text=_watchdog_text(status),
            observed_generation=node.generation,
        )
        after = reset_request(world, after, room.resets, node)
        after = updated(after, message=_message(node, after, room))
        finished[node.name] = updated(after, conditions=_conditions(world, node, after, room))
    return finished


def probes(storages: Sequence[StorageView], kube: KubeNode | None) -> tuple[Probe, ...]:
    """What its agent is to look at: the NFS Storages that it is to reach."""
    labels = kube.labels if kube is not None else {}
    found = [one for one in storages if one.nfs is not None and (one.nodes is None or one.nodes.matches(labels))]
    return tuple(_probe(one, one.nfs) for one in found[:MAX_PROBES] if one.nfs is not None)


def _probe(storage: StorageView, nfs: NfsExport) -> Probe:
    return Probe(storage.uid, storage.name, nfs.server, nfs.export, nfs.port, nfs.mount_port, nfs.versions)


def _watchdog_text(status: NodeStatus) -> str:
    watchdog = status.watchdog
    if watchdog is None:
        return "none"
    if not watchdog.armed:
        return f"{watchdog.kind} standby"
    return f"{watchdog.kind} {watchdog.timeout_s:g}s armed"


def _message(node: NodeView, status: NodeStatus, room: Room) -> str:
    """What the node is waiting for, and the latest moment at which its guests are released."""
    if node.trouble:
        return node.trouble
    incident = status.incident
    if incident is None:
        return _quiet_message(node, status, room)
    if incident.stage in TAKEN:
        return _fenced_message(node, status, incident, room)
    lost = f"lost ({incident.reason})"
    devices = devices_in_words(status.power)
    if room.brake.hold is Hold.ALL:
        return f"{lost}; nothing is done: {room.brake.sentence}"
    if not room.quorate:
        return f"{lost}; nothing is done without quorum ({room.quorum.sentence})"
    if incident.release_by is not None:
        return f"{lost}; proven dead no later than {clock(incident.release_by)} UTC, then its guests recover{devices}"
    renews = node.beat.nonce if node.beat is not None else None
    if renews is not None and renews != incident.nonce and not status.system_uuid:
        return (
            f"{lost}; it has no system UUID, so its new boot cannot be told from another machine of its name: if it is "
            f"the same machine, run quorate fence confirm {node.name}"
        )
    tried = "; ".join(f"{one.kind}: {one.why}" for one in incident.tried if one.kind is not EvidenceKind.HUMAN_ACK)
    return (
        f"{lost}; only a new boot of it or a person can release its guests: if it is certainly off, run "
        f"quorate fence confirm {node.name} (tried so far: {tried})"
    )


def _not_spoken_of(room: Room, incident: Incident) -> list[str]:
    """The guests of the lost boot that no evidence releases: Drained names those that it speaks of."""
    if incident.stage is not Stage.FENCED:
        return []
    guests = [
        guest.key.sid
        for guest in room.world.guests
        for instance in sides(guest.status)
        if instance.nonce == incident.nonce and not instance.ended and covers(incident, instance) is None
    ]
    pods = [
        f"Pod {view.guest.key.namespace}/{record.name}"
        for view in room.world.workloads
        for record in view.guest.status.pods
        if record.nonce == incident.nonce and covers(incident, instance_of(room.world, record)) is None
    ]
    return guests + pods


def _fenced_message(node: NodeView, status: NodeStatus, incident: Incident, room: Room) -> str:
    unproven = _not_spoken_of(room, incident)
    if unproven:
        kinds = ", ".join(dict.fromkeys(str(one.kind) for one in incident.evidence))
        return (
            f"fenced ({kinds}), which does not speak of {', '.join(unproven[:NAMED])}: only a new boot of it or a person "
            f"can release that: if it is certainly off, run quorate fence confirm {node.name}"
        )
    if status.guests:
        return f"fenced ({_kinds(incident.evidence[-1].kind if incident.evidence else None)}): guests are released"
    renews = node.beat.nonce if node.beat is not None else None
    until = held_until(status.returns, renews, room.world.wall) if renews is not None else None
    if until is not None and status.returns is not None:
        return (
            f"held back until {clock(until)} UTC: it was lost and came back {lately(status.returns, room.world.wall)} "
            f"times lately; to let guests start there at once run quorate fence release {node.name}"
        )
    if incident.stage is Stage.RELEASED:
        return "released without a reboot: it is back when its agent renews"
    return (
        "fenced: it comes back by itself when it has booted again; if it cannot reboot and none of its guests is left on "
        f"it, run quorate fence release {node.name}"
    )


def devices_in_words(power: Power | None) -> str:
    """What the fence devices are at, to be added to a message; empty when it is nothing."""
    if power is None:
        return ""
    if power.blocked:
        return f"; its fence devices wait: {power.blocked}"
    sequence = power.sequence
    if sequence is None or sequence.step is Step.OVER:
        return ""
    failures = f"; so far {'; '.join(sequence.failures)}" if sequence.failures else ""
    if sequence.step is Step.PAUSED:
        return f"; its fence devices have failed and are tried again{failures}"
    return f"; fence level {sequence.level}, try {sequence.attempt}, step {sequence.step}{failures}"


def _kinds(kind: EvidenceKind | None) -> str:
    return str(kind) if kind is not None else "no evidence"


def _quiet_message(node: NodeView, status: NodeStatus, room: Room) -> str:
    if drill.under_way(status.power):
        return f"a drill switches it off and on again{devices_in_words(status.power)}"
    match status.state:
        case NodeState.GONE:
            return "Kubernetes no longer knows it; it keeps its vote for an hour, or until this Node is deleted"
        case NodeState.UNKNOWN if status.nonce is None:
            return "waiting for the first heartbeat of its agent"
        case NodeState.UNKNOWN:
            return "no heartbeat; no guest runs there, so nothing waits for it"
    asked = status.reset_request
    if asked is not None:
        why = f"{asked.guest} does not stop there"
        return (
            f"did not reset itself when it was asked to: {why}" if asked.failed else f"is asked to reset itself: {why}"
        )
    if status.state is NodeState.MAINTENANCE and not node.deleting:
        return _maintenance_message(node, status, room)
    if node.deleting:
        if status.guests:
            return (
                "leaving the cluster: waiting for its guests to leave it (quorate relocate GUEST NODE, or remove GUEST)"
            )
        return "leaving the cluster"
    return "renews its Lease"


def _maintenance_message(node: NodeView, status: NodeStatus, room: Room) -> str:
    """What is left on it, and why it cannot leave."""
    why = f" ({node.maintenance})" if node.maintenance else ""
    if not status.guests:
        return f"in maintenance{why}: no guest is left"
    staying = room.staying.get(node.name, {})
    held = f"; nothing is done: {room.brake.sentence}" if room.brake.hold is Hold.ALL else ""
    guests = plural(status.guests, "guest")
    if not staying:
        return f"in maintenance{why}: {guests} to leave it{held}"
    named = "; ".join(f"{sid} has nowhere to go: {reasons}" for sid, reasons in sorted(staying.items())[:NAMED])
    more = f"; and {len(staying) - NAMED} more" if len(staying) > NAMED else ""
    return f"in maintenance{why}: {guests} left: {named}{more}"


def _drained_finding(node: NodeView, status: NodeStatus, room: Room) -> Finding:
    if not status.guests:
        return Finding("Drained", True, "Drained", "no guest is left: it can be worked on")
    reason = "NowhereToGo" if room.staying.get(node.name) else "Draining"
    return Finding("Drained", False, reason, status.message)


def _conditions(world: World, node: NodeView, status: NodeStatus, room: Room) -> tuple[Condition, ...]:
    drains = status.state is NodeState.MAINTENANCE
    ready = status.state is NodeState.ONLINE or (drains and not status.guests)
    stalled = drains and bool(room.staying.get(node.name))
    findings = [*summary(ready=ready, reason=str(status.state), message=status.message, stalled=stalled)]
    if drains:
        findings.append(_drained_finding(node, status, room))
    findings.append(_watchdog_finding(world, node, status))
    findings.extend(device_findings(node, status))
    if node.confirm:
        findings.append(_confirm_finding(node, status))
    if status.agent_protocol not in {0, PROTOCOL}:
        findings.append(
            Finding(
                "AgentCurrent",
                False,
                "ProtocolSkew",
                f"its agent speaks protocol {status.agent_protocol}, this manager {PROTOCOL}: "
                "run the same version on all nodes",
            )
        )
    return merge(status.conditions, findings, now=world.wall, generation=node.generation)


def _unguarded(world: World, node: NodeView, status: NodeStatus) -> Finding | None:
    """Of one without an accepted watchdog where guests start all the same."""
    view, spec = replace(node, status=status), world.cluster.spec
    problem = watchdog_problem(view, spec.accepted_watchdogs) or "its agent attests no watchdog"
    if guarded_by_devices(view, spec):
        text = f"{problem}; guests start here because its fence devices are proven: they alone release them when it is lost"
        return Finding("WatchdogAccepted", False, "GuardedByDevices", text)
    if spec.start_without_proof:
        text = (
            f"{problem}, and Cluster {world.cluster.name} says startWithoutProof: guests start here, and when it is lost "
            "nothing proves its death: they wait until it drains or boots again, or somebody says that it is off"
        )
        return Finding("WatchdogAccepted", False, "StartsWithoutProof", text)
    return None


def _watchdog_finding(world: World, node: NodeView, status: NodeStatus) -> Finding:
    accepted = world.cluster.spec.accepted_watchdogs
    watchdog = status.watchdog
    said = node.beat.attestation if node.beat is not None else None
    trouble = said.trouble if said is not None else ""
    if (watchdog is None or watchdog.kind not in accepted) and (found := _unguarded(world, node, status)):
        return found
    if watchdog is None:
        why = trouble or "its agent attests no watchdog"
        return Finding("WatchdogAccepted", False, "NoWatchdog", f"{why}: no guest starts here")
    if watchdog.kind not in accepted:
        return Finding(
            "WatchdogAccepted",
            False,
            "KindNotAccepted",
            f"its watchdog is of kind {watchdog.kind}, which Cluster {world.cluster.name} does not accept (accepted: "
            f"{', '.join(accepted) or 'none'}): no guest starts here; add it to spec.fencing.acceptedWatchdogs if it "
            "really resets this node",
        )
    if status.arming.failed:
        failed = arming.in_words(status.arming)
        why = trouble or "the log of its agent says why"
        text = f"{watchdog.kind}, but {failed}: it is the last choice for guests; {why}"
        return Finding("WatchdogAccepted", False, "DoesNotArm", text)
    armed = was_armed(node, status, world.cluster.spec)
    text = f"{watchdog.kind}, {'armed' if armed else 'on standby'}"
    if armed and status.orders is not None and watchdog.timeout_s > status.orders.watchdog_s:
        text += (
            f": {seconds(watchdog.timeout_s)}, longer than the {seconds(status.orders.watchdog_s)} that were asked for"
        )
        return Finding("WatchdogAccepted", True, "LongerThanAsked", f"{text}{_at_length(trouble)}")
    return Finding("WatchdogAccepted", True, "Accepted", f"{text}{_at_length(trouble)}")


def _at_length(trouble: str) -> str:
    return f"; {trouble}" if trouble else ""


def _confirm_finding(node: NodeView, status: NodeStatus) -> Finding:
    """What an acknowledgement is worth: one for another incident or boot is ignored, aloud."""
    incident = status.incident
    if incident is None:
        return Finding(
            "FenceConfirmed", False, "NoIncident", "fence-confirm is set but no incident is open: it means nothing"
        )
    if confirmed_by(node.confirm, incident.id, incident.nonce) is None:
        return Finding(
            "FenceConfirmed",
            False,
            "OtherIncident",
            f"fence-confirm does not name the open incident {incident.id} and boot {incident.nonce}: run quorate fence "
            f"confirm {node.name} again if the node is certainly off",
        )
    used = any(one.kind is EvidenceKind.HUMAN_ACK for one in incident.evidence)
    message = "accepted" if used else "accepted, but an armed node is not released before its Lease expires"
    return Finding("FenceConfirmed", True, "Accepted", message)

"""Evidence: what proves that one boot of a node runs no guests any more. Gathered in parallel; the first releases.

| evidence | counts when |
|---|---|
| Drained | the agent attested "none run here" for this boot; only for the Pods that it names |
| NewBoot | another boot of the same machine renews; see `_new_boot` |
| LeaseExpired | T has passed since the last new sequence, attested armed, watchdog of an accepted kind |
| OutOfService | the taint of that name was set on its Kubernetes node after the incident opened, and not by us |
| PowerOff | all devices of a level said off twice, and a drill has proven that level; else beside T of an armed node |
| HumanAck | a person confirmed this incident and this boot; on an armed node it does not shorten T |

Another machine under the same name releases nothing. None of them: the node stays in Fence, and `Incident.tried`
says of each kind that has not proven it what it waits for, or why it does not count.
"""

from dataclasses import dataclass

from quorate.core.devices import is_off, proven
from quorate.core.liveness import Pulse, valid
from quorate.core.quick import quick
from quorate.core.sequence import Power, Sequence, Step, level_of, usable
from quorate.core.status import Attempt, Evidence, Incident, NodeStatus
from quorate.core.types import MAX_LEFT, OUT_OF_SERVICE_TAINT, EvidenceKind, Nonce, clock
from quorate.core.world import Attestation, Beat, ClusterSpec, NodeView, World


def sign_of_life(node: NodeView, incident: Incident) -> bool:
    """Has the incident's own boot renewed since the incident opened, in a Lease whose word counts?"""
    return node.beat is not None and valid(node.beat) and node.beat.lives(incident)


def lock_lost(beat: Beat, incident: Incident) -> bool:
    """Does the incident's boot no longer hold the Lease: fenced by a manager, or taken over by a new boot?

    A boot that has held the Lease and finds another holder never takes it back, so a new boot's name on it is as final
    as a manager's.
    """
    if beat.fenced is not None:
        return beat.fenced[1] == incident.nonce
    return beat.nonce is not None and beat.nonce != incident.nonce


def was_armed(node: NodeView, status: NodeStatus, spec: ClusterSpec) -> bool:
    """Did the boot in the status last attest an armed watchdog of an accepted kind?"""
    said = _attested_by(node.beat, status.nonce)
    if said is not None:
        return said.armed and said.watchdog in spec.accepted_watchdogs
    known = status.watchdog
    return known is not None and known.armed and known.kind in spec.accepted_watchdogs


def expiry_proves(node: NodeView, nonce: Nonce, spec: ClusterSpec) -> bool:
    """Would T of silence prove that this boot was reset: was the last word of it that it is armed?

    Of a missing Lease only the last version that this very manager saw counts, never what the status remembers: the
    agent may have disarmed over its guests and the Lease have gone with it while nobody looked (a reinstallation). And
    only if it answers the order that stands: since an older one HA may have been disarmed, and that seen by nobody.
    """
    said = _attested_by(node.beat if node.beat is not None else node.missed, nonce)
    if said is None or not said.armed or said.watchdog not in spec.accepted_watchdogs:
        return False
    return node.beat is not None or said.generation == node.status.arming.generation


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is new against a boot, the kinds that have not proven it, and when waiting alone would bring some.

    `wake_at_s` is on the manager's clock.
    """

    found: tuple[Evidence, ...]
    tried: tuple[Attempt, ...]
    wake_at_s: float | None


def gather(world: World, node: NodeView, pulse: Pulse, incident: Incident) -> Gathered:
    """Every kind of evidence against the incident's boot, judged side by side: the first that holds releases."""
    case = Case(world, node, pulse, incident)
    known = {one.kind for one in incident.evidence}
    found, tried, wakes = [], [], []
    for kind in EvidenceKind:
        if kind in known or (kind is EvidenceKind.POWER_OFF and not node.devices):
            continue
        if kind not in world.cluster.spec.accepted_evidence:
            tried.append(Attempt(kind, "the Cluster does not accept it (spec.fencing.acceptedEvidence)"))
            continue
        finding = _JUDGES[kind](case)
        if finding.proof:
            said = _attested_by(node.beat, incident.nonce)
            pods = said.left[:MAX_LEFT] if said is not None and kind is EvidenceKind.DRAINED else ()
            sequence = said.sequence if said is not None else 0
            found.append(Evidence(kind, world.wall, sequence, finding.proof, pods))
            continue
        tried.append(Attempt(kind, finding.why))
        if finding.wake_at_s is not None:
            wakes.append(finding.wake_at_s)
    return Gathered(tuple(found), tuple(tried), min(wakes, default=None))


@dataclass(frozen=True, slots=True)
class Case:
    """One incident and what may speak against its boot."""

    world: World
    node: NodeView
    pulse: Pulse
    incident: Incident


@quick
@dataclass(frozen=True, slots=True)
class Finding:
    """`proof`: what proves it; else `why` not, and the manager's time at which waiting alone would.

    `why` is written into the status: it must not change by itself.
    """

    proof: str = ""
    why: str = ""
    wake_at_s: float | None = None


def _drained(case: Case) -> Finding:
    said = _attested_by(case.node.beat, case.incident.nonce)
    if said is not None and said.drained:
        return Finding("the agent attested that no guest runs there")
    return Finding(why="its agent has not said that none of its guests runs")


def _lease_expired(case: Case) -> Finding:
    """T since the last new sequence. A missing Lease counts from when it was missed; a new boot's is `_new_boot`'s."""
    if not expiry_proves(case.node, case.incident.nonce, case.world.cluster.spec):
        return Finding(why=_why_silence_proves_nothing(case))
    release_at = case.pulse.release_at_s
    if release_at is None or case.world.now_s < release_at:
        by = case.incident.release_by
        return Finding(why=f"not before {clock(by)} UTC" if by is not None else "not yet", wake_at_s=release_at)
    return Finding(f"armed and silent for {case.pulse.timing.release_after_s:g}s")


def _why_silence_proves_nothing(case: Case) -> str:
    said = _attested_by(case.node.beat if case.node.beat is not None else case.node.missed, case.incident.nonce)
    if said is None:
        return "its Lease does not hold the last word of the lost boot"
    if not said.armed:
        return "the lost boot had no watchdog armed"
    if said.watchdog not in case.world.cluster.spec.accepted_watchdogs:
        return f"its watchdog is of kind {said.watchdog}, which the Cluster does not accept"
    return "its Lease is gone, and its last word was no answer to the order that stands"


def _new_boot(case: Case) -> Finding:
    """Another boot of the same machine holds the Lease.

    At once when it began after the last sequence of the old one that this manager saw (its uptime is shorter than
    that); else, if the old one was armed, T after the new one was first seen; else a person must say so.
    """
    beat = case.node.beat
    if beat is None or beat.nonce is None or beat.nonce == case.incident.nonce or not valid(beat):
        return Finding(why="it has not booted again")
    said, status = beat.attestation, case.node.status
    if said is None or not status.system_uuid or said.system_uuid != status.system_uuid:
        known = status.system_uuid
        return Finding(why="another machine renews under its name" if known else "it has no system UUID to tell it by")
    new, old = beat.sighting(beat.holder), beat.sighting(case.incident.nonce)
    if new is None:
        return Finding(why="its new boot has not been seen to renew")
    if old is not None and new.uptime_s < new.first_s - old.last_s:
        return Finding(f"boot {beat.nonce} began after the last heartbeat of {case.incident.nonce}")
    dog, spec = status.watchdog, case.world.cluster.spec
    if dog is None or not dog.armed or dog.kind not in spec.accepted_watchdogs:
        return Finding(why="nobody saw the lost boot end, and it had no accepted watchdog armed")
    if dog.generation != status.arming.generation:
        # it was asked for something else since, and may have obeyed while nobody looked
        return Finding(why="nobody saw the lost boot end, and it may have disarmed")
    release_at = new.first_s + case.pulse.timing.release_after_s
    waited = case.pulse.timing.release_after_s
    if case.world.now_s < release_at:
        return Finding(why=f"it counts {waited:g}s after the new boot was seen first", wake_at_s=release_at)
    return Finding(f"boot {beat.nonce} has been there for {waited:g}s and the old one was armed")


def _human_ack(case: Case) -> Finding:
    user = confirmed_by(case.node.confirm, case.incident.id, case.incident.nonce)
    if user is None:
        return Finding(why="nobody has confirmed that it is off")
    if was_armed(case.node, case.node.status, case.world.cluster.spec):
        release_at = _armed_until(case)
        if release_at is None or case.world.now_s < release_at:
            return Finding(
                why=f"{user} confirmed it, which does not shorten the time of an armed node", wake_at_s=release_at
            )
    return Finding(f"{user} confirmed that the node is off")


def out_of_service(node: NodeView) -> str | None:
    """The value of the taint that says so; None without it."""
    return next((taint.value for taint in node.taints if taint.key == OUT_OF_SERVICE_TAINT), None)


def _out_of_service(case: Case) -> Finding:
    """Whoever sets it says that the machine is off. One that was there before says nothing of this loss."""
    value = out_of_service(case.node)
    if value is None:
        return Finding(why=f"nobody has set the taint {OUT_OF_SERVICE_TAINT} on its Kubernetes node")
    if value.startswith(f"{case.node.name}-"):
        return Finding(why=f"the taint {OUT_OF_SERVICE_TAINT}={value} names an incident of ours: that is nobody's word")
    if not case.incident.in_service:
        return Finding(why=f"the taint {OUT_OF_SERVICE_TAINT} was there before it was lost: set it anew if it is off")
    return Finding(f"the taint {OUT_OF_SERVICE_TAINT} was set after it was lost")


def _armed_until(case: Case) -> float | None:
    """When T of an armed node is over, on the manager's clock."""
    beat = case.node.beat
    if beat is not None and beat.held_by_another(case.incident.nonce):
        # Another boot renews, and the pulse counts its beats: the old one's time runs from when it lost the Lease.
        new = beat.sighting(beat.holder)
        return new.first_s + case.pulse.timing.release_after_s if new is not None else None
    return case.pulse.release_at_s


def _power_off(case: Case) -> Finding:
    """By what was recorded before this round, so that no answer counts before its sequence was written."""
    node, power = case.node, case.node.status.power or Power()
    sequence = is_off(node, case.incident, case.world.term)
    if sequence is None:
        return Finding(why=power.blocked or _how_far(power.sequence))
    names = " and ".join(one.name for one in level_of(node.devices, sequence.level))
    if sequence.level not in usable(node.devices, power):
        return Finding(why=f"{names} said off twice, but are distrusted")
    if proven(node, sequence.level):
        return Finding(f"{names} said off twice, as proven by a drill")
    if not expiry_proves(node, case.incident.nonce, case.world.cluster.spec):
        return Finding(why=f"{names} said off twice, but no drill has proven that, and the node was not armed")
    release_at = _armed_until(case)
    if release_at is None or case.world.now_s < release_at:
        return Finding(
            why=f"{names} said off twice, but no drill has proven that: it counts beside T", wake_at_s=release_at
        )
    return Finding(f"{names} said off twice, and it was armed and silent for {case.pulse.timing.release_after_s:g}s")


def _how_far(sequence: Sequence | None) -> str:
    if sequence is None:
        return "its fence devices have not been asked yet"
    failures = f" ({'; '.join(sequence.failures)})" if sequence.failures else ""
    if sequence.step is Step.PAUSED:
        return f"its fence devices have failed and are tried again later{failures}"
    return f"its fence devices are asked: level {sequence.level}, try {sequence.attempt}{failures}"


_JUDGES = {
    EvidenceKind.DRAINED: _drained,
    EvidenceKind.LEASE_EXPIRED: _lease_expired,
    EvidenceKind.NEW_BOOT: _new_boot,
    EvidenceKind.HUMAN_ACK: _human_ack,
    EvidenceKind.OUT_OF_SERVICE: _out_of_service,
    EvidenceKind.POWER_OFF: _power_off,
}


def confirmed_by(confirm: str, incident: str, nonce: Nonce) -> str | None:
    """The user of `<incident>/<nonce>/<user>` when it names exactly this incident and this boot."""
    named, _, rest = confirm.partition("/")
    boot, _, user = rest.partition("/")
    return user if user and named == incident and boot == nonce else None


def _attested_by(beat: Beat | None, nonce: Nonce | None) -> Attestation | None:
    """The attestation in the Lease if that boot holds it."""
    if beat is None or beat.nonce is None or beat.nonce != nonce or not valid(beat):
        return None
    return beat.attestation

"""Evidence: what proves that one boot of a node runs no guests any more. Gathered in parallel; the first releases.

| evidence | counts when |
|---|---|
| Drained | the agent attested "none run here" for this boot; only for the Pods that it names |
| NewBoot | another boot of the same machine renews; see `_new_boot` |
| LeaseExpired | T has passed since the last new sequence, attested armed, watchdog of an accepted kind |
| HumanAck | a person confirmed this incident and this boot; on an armed node it does not shorten T |

Another machine under the same name releases nothing. None of them: the node stays in Fence.
"""

from dataclasses import dataclass

from quorate.core.liveness import Pulse, valid
from quorate.core.status import Evidence, Incident, NodeStatus
from quorate.core.types import MAX_LEFT, EvidenceKind, Nonce
from quorate.core.world import Attestation, Beat, ClusterSpec, NodeView, World


def sign_of_life(node: NodeView, incident: Incident) -> bool:
    """Has the incident's own boot renewed since the incident opened? (A drained one has said farewell instead.)"""
    said = _attested_by(node.beat, incident.nonce)
    return said is not None and said.sequence > incident.sequence and not said.drained


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


def gather(world: World, node: NodeView, pulse: Pulse, incident: Incident) -> tuple[tuple[Evidence, ...], float | None]:
    """New evidence against the incident's boot, and the manager's time at which waiting alone would bring some."""
    case = Case(world, node, pulse, incident)
    known = {one.kind for one in incident.evidence}
    accepted = [kind for kind in world.cluster.spec.accepted_evidence if kind not in known]
    found = []
    wakes = []
    for kind in accepted:
        detail, wake_at = _JUDGES[kind](case)
        if detail is not None:
            said = _attested_by(node.beat, incident.nonce)
            pods = said.left[:MAX_LEFT] if said is not None and kind is EvidenceKind.DRAINED else ()
            found.append(Evidence(kind, world.wall, said.sequence if said is not None else 0, detail, pods))
        elif wake_at is not None:
            wakes.append(wake_at)
    return tuple(found), min(wakes, default=None)


@dataclass(frozen=True, slots=True)
class Case:
    """One incident and what may speak against its boot."""

    world: World
    node: NodeView
    pulse: Pulse
    incident: Incident


_Finding = tuple[str | None, float | None]
"""What proves it (None: nothing yet), else the manager's time at which waiting alone would."""


def _drained(case: Case) -> _Finding:
    said = _attested_by(case.node.beat, case.incident.nonce)
    if said is not None and said.drained:
        return "the agent attested that no guest runs there", None
    return None, None


def _lease_expired(case: Case) -> _Finding:
    """T since the last new sequence. A missing Lease counts from when it was missed; a new boot's is `_new_boot`'s."""
    if not expiry_proves(case.node, case.incident.nonce, case.world.cluster.spec):
        return None, None
    release_at = case.pulse.release_at_s
    if release_at is None or case.world.now_s < release_at:
        return None, release_at
    return f"armed and silent for {case.pulse.timing.release_after_s:g}s", None


def _new_boot(case: Case) -> _Finding:
    """Another boot of the same machine holds the Lease.

    At once when it began after the last sequence of the old one that this manager saw (its uptime is shorter than
    that); else, if the old one was armed, T after the new one was first seen; else a person must say so.
    """
    beat = case.node.beat
    if beat is None or beat.nonce is None or beat.nonce == case.incident.nonce or not valid(beat):
        return None, None
    said = beat.attestation
    if said is None or not case.node.status.system_uuid or said.system_uuid != case.node.status.system_uuid:
        return None, None
    new, old = beat.sighting(beat.holder), beat.sighting(case.incident.nonce)
    if new is None:
        return None, None
    if old is not None and new.uptime_s < new.first_s - old.last_s:
        return f"boot {beat.nonce} began after the last heartbeat of {case.incident.nonce}", None
    known, status = case.node.status.watchdog, case.node.status
    if known is None or not known.armed or known.kind not in case.world.cluster.spec.accepted_watchdogs:
        return None, None
    if known.generation != status.arming.generation:
        return None, None  # it was asked for something else since, and may have obeyed while nobody looked
    release_at = new.first_s + case.pulse.timing.release_after_s
    if case.world.now_s < release_at:
        return None, release_at
    waited = case.pulse.timing.release_after_s
    return f"boot {beat.nonce} has been there for {waited:g}s and the old one was armed", None


def _human_ack(case: Case) -> _Finding:
    user = confirmed_by(case.node.confirm, case.incident.id, case.incident.nonce)
    if user is None:
        return None, None
    if was_armed(case.node, case.node.status, case.world.cluster.spec):
        release_at = case.pulse.release_at_s
        beat = case.node.beat
        if beat is not None and beat.nonce not in {None, case.incident.nonce}:
            # Another boot renews, and the pulse counts its beats: the old one's time runs from when it lost the Lease.
            new = beat.sighting(beat.holder)
            release_at = new.first_s + case.pulse.timing.release_after_s if new is not None else None
        if release_at is None or case.world.now_s < release_at:
            return None, release_at
    return f"{user} confirmed that the node is off", None


_JUDGES = {
    EvidenceKind.DRAINED: _drained,
    EvidenceKind.LEASE_EXPIRED: _lease_expired,
    EvidenceKind.NEW_BOOT: _new_boot,
    EvidenceKind.HUMAN_ACK: _human_ack,
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

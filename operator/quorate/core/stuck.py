"""Pods of protected workloads on a lost node: what its kubelet was last known to do, and the taints that keep it from more.

Such a Pod has no start gate: a kubelet that comes back starts it, unless it is refused (our NoExecute taint) or is being
deleted when the kubelet lists it first. So a Pod is removed by force only if the kubelet has given no sign of life at all
since its node was lost: its own Lease, the kernel's boot and the Pod's containers are as they were (never times). One that
has shown any is alive, and only what it confirms itself counts. Should it have died after that, more is needed than the
evidence for the boot: the word of a device or a person that the node is off, and a kubelet that has renewed nothing since
that word and stays silent for as long as its own Lease lasts.
"""

from dataclasses import dataclass
from typing import Final

from quorate.core.actions import ProbeKubelet, SetTaint
from quorate.core.changes import updated
from quorate.core.quick import replace
from quorate.core.selectors import Taint
from quorate.core.status import Incident, Instance
from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT, TAKEN, EvidenceKind, Instant, NodeName, Stage
from quorate.core.workloads import KubeletLook, KubeletSeen
from quorate.core.world import NodeView

SILENT_S: Final = 40.0
"""How long a kubelet's Lease lasts: after that Kubernetes itself calls the node lost."""
LOOK_EVERY_S: Final = 5.0
AT_ONCE_S: Final = 0.5
"""Between two looks for the first after a word: a wall clock that was set back may call each too early."""
NEVER_SEEN: Final = "?"
"""No version of a Lease: one that was never looked at is another than any."""
OFF: Final = frozenset({EvidenceKind.POWER_OFF, EvidenceKind.HUMAN_ACK, EvidenceKind.OUT_OF_SERVICE})
"""Evidence that says that the machine is off, not only that one boot of it has ended."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """What is on a node: Pods of protected workloads, of any boot.

    `volumes`: some have claims. `changed`: the kubelet has another boot, or restarted containers, than was recorded.
    """

    instances: tuple[Instance, ...] = ()
    volumes: bool = False
    changed: bool = False


NOBODY: Final = Stuck()


def look_at(node: NodeView, incident: Incident) -> KubeletLook | None:
    """What was found of its kubelet's Lease for this incident."""
    look = node.kubelet
    return look if look is not None and look.incident == incident.id else None


def showed_life(node: NodeView, incident: Incident) -> bool:
    """Has its kubelet renewed its Lease since the node was lost, as far as anybody has looked? Not knowing is a yes."""
    seen, look = incident.kubelet, look_at(node, incident)
    return seen is None or seen.lease == NEVER_SEEN or (look is not None and look.lease != seen.lease)


def doubted(node: NodeView, incident: Incident, stuck: Stuck) -> bool:
    """May its kubelet live, and none of what has been said of it since show the contrary?"""
    again = incident.kubelet is not None and incident.kubelet.again
    return showed_life(node, incident) or (stuck.changed and not again)


def see_kubelet(
    node: NodeView, incident: Incident, stuck: Stuck, now_s: float, wall: Instant
) -> tuple[Incident, ProbeKubelet | None, float | None]:
    """Record what the kubelet was last known to do; the incident, what to ask, and when to look again."""
    look = look_at(node, incident)
    if incident.kubelet is None and incident.stage not in TAKEN:
        if look is None:
            return incident, ProbeKubelet(node.name, incident.id), None
        return updated(incident, kubelet=KubeletSeen(look.lease)), None, None
    if incident.stage is not Stage.FENCED or not doubted(node, incident, stuck):
        return incident, None, None
    if not words(incident) or refuted(node, incident):
        return incident, None, None
    boot_id = node.kube.boot_id if node.kube is not None else ""
    return _await_silence(node.name, incident, look, _said_s(incident, now_s, wall), now_s, boot_id)


def _await_silence(
    node: NodeName, incident: Incident, look: KubeletLook | None, said_s: float, now_s: float, boot_id: str
) -> tuple[Incident, ProbeKubelet | None, float | None]:
    """What its Lease is after the last word of its being off, and whether it stays so for long enough."""
    seen = incident.kubelet or KubeletSeen(NEVER_SEEN)
    fresh = look is not None and look.at_s >= said_s
    if look is not None and fresh and seen.words != words(incident):
        incident = updated(incident, kubelet=replace(seen, words=words(incident), found=look.lease))
    elif look is not None and fresh and look.at_s - look.since_s >= SILENT_S:
        again = KubeletSeen(look.lease, boot_id, again=True, words=seen.words, found=seen.found)
        return updated(incident, kubelet=again), None, None
    due = look is None or now_s - look.at_s >= (LOOK_EVERY_S if fresh else AT_ONCE_S)
    return incident, ProbeKubelet(node, incident.id) if due else None, now_s + LOOK_EVERY_S


def words(incident: Incident) -> int:
    """How many proofs say that the machine is off."""
    return sum(one.kind in OFF for one in incident.evidence)


def refuted(node: NodeView, incident: Incident) -> bool:
    """Has its kubelet renewed its Lease after all of them? Then the machine is on again, and its silence may be a cut."""
    seen, look = incident.kubelet, look_at(node, incident)
    if seen is None or look is None or seen.words == 0 or seen.words != words(incident):
        return False
    return look.lease != seen.found


def _said_s(incident: Incident, now_s: float, wall: Instant) -> float:
    """When the last of them was recorded, on this manager's clock."""
    return now_s - (wall - max(one.at for one in incident.evidence if one.kind in OFF)) / 1000


def taken_over(node: NodeView, incident: Incident) -> bool:
    """Has another boot of the node taken the Lease that the lost one has lost? Its kubelet has the Pods in hand.

    Whether it still renews is another question, and whether this manager has seen it renew: it ran them in any case.
    """
    beat = node.beat
    return incident.stage in TAKEN and beat is not None and beat.held_by_another(incident.nonce)


def _incident_named(taints: tuple[Taint, ...]) -> str:
    """The incident that our own taint names; "" without one."""
    return next((one.value for one in taints if one.key == FENCE_TAINT), "")


def evicts(node: NodeView) -> bool:
    """Is our NoExecute taint on it?"""
    return any(one.key == FENCE_TAINT and one.effect == "NoExecute" for one in node.taints)


def out_of_service(node: NodeView) -> bool:
    """Does Kubernetes' own taint say that it is off, whoever set it?"""
    return any(one.key == OUT_OF_SERVICE_TAINT and one.effect == "NoExecute" for one in node.taints)


def taint(node: NodeView, incident: Incident, stuck: Stuck, *, released: bool, back: bool = False) -> SetTaint | None:
    """What is missing of our taints; None: nothing. Those that are there stay until the node comes back.

    `back`: it is, and held back only because it flaps: nothing is to start there, and nothing is driven away.

    `released`: evidence releases Pods that are stuck there, and no other boot has them in hand. Out-of-service has
    Kubernetes itself remove by force what is being deleted there once the node is not Ready, and detach what is mounted:
    so it is not set while the kubelet may live, and taken back when it is found to.
    """
    ours = _incident_named(node.taints)
    evict, off = evicts(node), any(one.key == OUT_OF_SERVICE_TAINT and one.value == ours for one in node.taints if ours)
    silent = not doubted(node, incident, stuck)
    if back:
        return SetTaint(node.name, incident.id) if not ours or evict or off else None
    wanted = SetTaint(node.name, incident.id, evict or released, silent and (off or (released and stuck.volumes)))
    if wanted.out_of_service and not off and out_of_service(node):
        wanted = replace(wanted, out_of_service=False)  # somebody else has said so already
    return None if ours and (evict, off) == (wanted.evict, wanted.out_of_service) else wanted

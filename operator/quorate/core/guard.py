"""What would prove a node's death when it is lost: an armed watchdog, or else fence devices that a drill has proven.

A node with neither gets no guests, unless the Cluster says startWithoutProof (managed clouds): then a guest of a lost node
waits for Drained, NewBoot, PowerOff, OutOfService or a person, however long that takes.
"""

from collections.abc import Iterable
from typing import Final

from quorate.core.conditions import Finding, some
from quorate.core.devices import proven
from quorate.core.liveness import armed_now, valid
from quorate.core.sequence import Power, usable
from quorate.core.types import EvidenceKind, WatchdogKind
from quorate.core.world import ClusterSpec, NodeView

NAMED: Final = 8


def ready_for_guests(view: NodeView, spec: ClusterSpec) -> bool:
    """May a Pod be made there now: is its watchdog armed, or is it one that needs none?"""
    if armed_now(view, spec.accepted_watchdogs):
        return True
    beat = view.beat
    heard = beat is not None and valid(beat) and beat.nonce == view.status.nonce
    return heard and bool(watchdog_problem(view, spec.accepted_watchdogs)) and bool(without_watchdog(view, spec))


def watchdog_problem(view: NodeView, accepted: tuple[WatchdogKind, ...]) -> str:
    """Why its watchdog cannot prove its death; empty: it can, once it is armed."""
    attestation = view.beat.attestation if view.beat is not None else None
    if attestation is None or not attestation.watchdog:
        why = attestation.trouble if attestation is not None else ""
        return f"its agent has no watchdog{f': {why}' if why else ''}"
    if attestation.watchdog not in accepted:
        return f"its watchdog is of kind {attestation.watchdog}, accepted are {', '.join(accepted) or 'none'}"
    return ""


def without_watchdog(view: NodeView, spec: ClusterSpec) -> str:
    """Why guests start there all the same; empty: they do not."""
    if guarded_by_devices(view, spec):
        return "its fence devices are proven"
    if spec.start_without_proof:
        return "the Cluster says startWithoutProof"
    return ""


def guarded_by_devices(view: NodeView, spec: ClusterSpec) -> bool:
    """Would its fence devices prove it by themselves? By the level that is asked first: once that says off, no other is."""
    if view.remediator:
        return False  # they are not used beside another remediator
    levels = usable(view.devices, view.status.power or Power())
    return EvidenceKind.POWER_OFF in spec.accepted_evidence and bool(levels) and proven(view, levels[0])


def finding(nodes: Iterable[NodeView], spec: ClusterSpec) -> Finding | None:
    """Of the Cluster, where it takes the risk: which nodes could not prove their death."""
    if not spec.start_without_proof:
        return None
    bare = sorted(
        node.name
        for node in nodes
        if watchdog_problem(node, spec.accepted_watchdogs) and not guarded_by_devices(node, spec)
    )
    if not bare:
        return Finding("NodesGuarded", True, "AllGuarded", "each node has a watchdog, or fence devices that are proven")
    text = (
        f"startWithoutProof: guests start on {some(bare, NAMED)}, and when such a node is lost nothing proves its death: "
        "they wait until it drains or boots again, or somebody says that it is off"
    )
    return Finding("NodesGuarded", False, "StartsWithoutProof", text)

"""What must be known before the next thing may go: does a manager lead, and has every node let go of its watchdog?

Both are judged by what changes while we look, on our own clock: no clock of another machine enters.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from quorate.agent.orders import UNTIL_TOLD
from quorate.api import attestation
from quorate.api.wire import from_wire
from quorate.cli.removal.found import LEADER, leader_leases
from quorate.core.status import ClusterStatus
from quorate.core.timing import Timing
from quorate.core.types import ATTESTATION_ANNOTATION
from quorate.core.world import Attestation

if TYPE_CHECKING:
    from quorate.access.client import Api

Raw = dict[str, Any]
LEADS_WITHIN_S: Final = 10.0
"""A leader renews every second, and a standby takes over within a few: who is not seen by then does not lead."""


@dataclass(slots=True)
class Leaders:
    """The managers' Leases as they move."""

    api: "Api"
    _seen: dict[str, tuple[Any, float, bool]] = field(default_factory=dict)

    def look(self) -> None:
        now_s = monotonic()
        for raw in leader_leases(self.api):
            spec = raw.get("spec") or {}
            name = raw["metadata"]["name"]
            key = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
            before = self._seen.get(name)
            if before is None:
                self._seen[name] = (key, now_s, False)
            elif before[0] != key:
                self._seen[name] = (key, now_s, bool(spec.get("holderIdentity")))

    def missing(self, clusters: Iterable[str]) -> list[str]:
        """The Clusters that nobody leads."""
        return [cluster for cluster in clusters if not self._moves(f"{LEADER}-{cluster}")]

    def house(self) -> bool:
        """Does anybody tidy what belongs to no Cluster?"""
        return self._moves(LEADER)

    def _moves(self, name: str) -> bool:
        """Is that Lease held, and was it renewed under our eyes a moment ago?"""
        _, changed_s, held = self._seen.get(name, (None, 0.0, False))
        return held and monotonic() - changed_s <= LEADS_WITHIN_S


def timing_of(clusters: Iterable[Raw], node: Raw | None) -> Timing | None:
    """The times in force for a node, None when its Cluster cannot tell."""
    wanted = ((node or {}).get("spec") or {}).get("clusterName")
    for raw in clusters:
        if raw["metadata"]["name"] == wanted:
            found = from_wire(ClusterStatus, raw.get("status")).timing
            if found is not None:
                return Timing(found.renew_every_s, found.timeout_s, found.watchdog_s)
    return None


def attested(lease: Raw | None) -> Attestation | None:
    if lease is None:
        return None
    return attestation.decode((lease["metadata"].get("annotations") or {}).get(ATTESTATION_ANNOTATION))


def holder_of(lease: Raw | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def armed(lease: Raw | None) -> bool:
    """Does the last word of the node's agent say armed, and has nobody taken its Lease since?"""
    said = attested(lease)
    return said is not None and said.armed and not holder_of(lease).startswith("fenced/")


@dataclass(slots=True)
class Watchdogs:
    """Which nodes have let go of their watchdog, by their Leases as they move.

    Disarmed is attested just before the device is closed, so it counts from the next renewal on. A node that is silent
    for so long that an armed watchdog must have reset it (T) cannot be reset by us any more.
    """

    _seen: dict[str, tuple[Any, float]] = field(default_factory=dict)
    _disarmed_at: dict[str, int] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    """Nodes that count because they are silent or fenced: Kubernetes will not see their Pods end."""

    def obstacle(self, name: str, node: Raw | None, lease: Raw | None, timing: Timing | None) -> str:
        """What is awaited of that node, in words; empty: it is disarmed."""
        said = attested(lease)
        key = (holder_of(lease), said.sequence if said is not None else -1)
        now_s = monotonic()
        before = self._seen.get(name)
        if before is None or before[0] != key:
            self._seen[name] = before = (key, now_s)
        silent_s = now_s - before[1]
        if key[0].startswith("fenced/"):
            self.dead.add(name)
            return ""
        if said is None:  # never attested, or somebody deleted the Lease under an agent that makes it again
            return self._armed(name, silent_s, timing or UNTIL_TOLD) if _was_armed(node) else ""
        own = timing or Timing(UNTIL_TOLD.renew_s, said.timeout_s, said.watchdog_s)
        held = own.widened(timeout_s=said.timeout_s, watchdog_s=said.watchdog_s)
        if said.armed:
            self._disarmed_at.pop(name, None)
            return self._armed(name, silent_s, held)
        first = self._disarmed_at.setdefault(name, said.sequence)
        if said.sequence > first:
            self.dead.discard(name)
            return ""
        if silent_s >= held.suspect_after_s:
            self.dead.add(name)
            return ""
        return f"{name} has said that it disarms, its next heartbeat confirms it"

    def _armed(self, name: str, silent_s: float, timing: Timing) -> str:
        if silent_s >= timing.release_after_s:
            self.dead.add(name)
            return ""
        if silent_s <= 3 * timing.renew_s + timing.timeout_s:
            return f"{name} is still armed, and disarms when its manager no longer asks for it"
        left = timing.release_after_s - silent_s
        return f"{name} is armed and silent: in {left:.0f}s it has reset itself for certain"


def _was_armed(node: Raw | None) -> bool:
    """Does the Node remember an armed watchdog?"""
    watchdog = ((node or {}).get("status") or {}).get("watchdog") or {}
    return bool(watchdog.get("armed"))

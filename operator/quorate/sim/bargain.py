"""What agents and managers promise each other, judged at each moment: on it rests that a lost node's guests may run again.

* A watchdog that is attested is petted only while the renewal that allows it is younger than d; one that came late is
  followed by a reset.
* Armed is attested only while the watchdog is open, with no shorter a time-out than it has; it is closed only after that it
  will be has been attested.
* A boot that has lost its Lease never holds it again, unless a person let it.
* A Lease is taken because it expired only when its boot is over.
* Every leader has a larger term than the ones before it.
* A Pod is made only for an instance that was recorded before; nothing is deleted or taken but what was judged.
"""

from typing import TYPE_CHECKING, Any

from quorate.api import attestation
from quorate.api.schema import Json
from quorate.core.types import (
    AGENT_NAMESPACE,
    ATTESTATION_ANNOTATION,
    GUEST_LABEL,
    INSTANCE_ANNOTATION,
    NONCE_ANNOTATION,
    RELEASE_ANNOTATION,
    EvidenceKind,
)
from quorate.core.world import Attestation
from quorate.sim.server import LEASES, PODS
from quorate.sim.store import Event, status_of

if TYPE_CHECKING:
    from quorate.sim.machine import Machine
    from quorate.sim.world import Simulation

ROUNDING_S = 1e-6


class Bargain:
    """Listens to the store and to the watchdogs of one simulation."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self._lost: dict[str, set[str]] = {}
        """uid of a Lease -> the boots that have lost it."""
        self._recorded: set[str] = set()
        simulation.server.store.listeners.append(self._hear)

    def _hear(self, event: Event) -> None:
        kind, new = event.resource.kind, event.new
        if new is None:
            return
        if kind == "Lease" and new["metadata"]["namespace"] == AGENT_NAMESPACE:
            self._lease(event.old, new)
        elif kind == "Lease" and _holder(new) not in {"", _holder(event.old)}:
            self._leads(new)
        elif kind == "HAResource":
            self._recorded.add(((new.get("status") or {}).get("instance") or {}).get("id", ""))
        elif kind == "Pod" and event.old is None and GUEST_LABEL in (new["metadata"].get("labels") or {}):
            instance = (new["metadata"].get("annotations") or {}).get(INSTANCE_ANNOTATION, "")
            if instance not in self._recorded:
                self._broken(f"Pod {new['metadata']['name']} is of instance {instance}, which no status has named")

    # -- Leases -----------------------------------------------------------------------------------------------------

    def _lease(self, old: Json | None, new: Json) -> None:
        name, holder = new["metadata"]["name"], _holder(new)
        machine = self.simulation.machines.get(name)
        if machine is None:
            return
        if not holder:
            self._let_back(old, new)
            return
        if holder == machine.nonce and machine.on:
            self._attested(machine, new)
        before = _holder(old) if old is not None else ""
        if before in {"", holder}:
            return
        lost = self._lost.setdefault(new["metadata"]["uid"], set())
        lost.add(before)
        if holder in lost and holder == machine.nonce:
            self._broken(f"{holder} holds the Lease of {name} again, which it had lost")
        if holder.startswith("fenced/") and machine.on and before == machine.nonce and self._expired(name):
            self._broken(f"the Lease of {name} was taken because it had expired, and {before} is not over")

    def _let_back(self, old: Json | None, new: Json) -> None:
        """The manager has emptied the holder of a fenced Lease, so that the fenced boot may take it again."""
        name, before = new["metadata"]["name"], _holder(old).split("/")
        if before[0] != "fenced":
            return
        node: Json = self.simulation.node(name) or {}
        said = (node.get("metadata", {}).get("annotations") or {}).get(RELEASE_ANNOTATION, "")
        if said.split("/")[1:2] != before[2:]:
            self._broken(f"{before[2]} gets the Lease of {name} back, and nobody has released it")
        self._lost.get(new["metadata"]["uid"], set()).discard(before[2])

    def _expired(self, node: str) -> bool:
        """Is that all that speaks against its boot?"""
        incident = status_of(self.simulation.node(node)).get("incident") or {}
        return {one["kind"] for one in incident.get("evidence") or []} == {str(EvidenceKind.LEASE_EXPIRED)}

    def _attested(self, machine: "Machine", lease: Json) -> None:
        said = _attestation(lease)
        if said is None or not said.armed:
            return
        if machine.dog.petted_s is None:
            self._broken(f"{machine.nonce} attests that it is armed, and its watchdog is not open")
        elif machine.dog.timeout_s > said.watchdog_s:
            self._broken(
                f"{machine.nonce} attests a watchdog of {said.watchdog_s:g}s and has one of {machine.dog.timeout_s:g}s"
            )

    def _leads(self, lease: Json) -> None:
        """A replica has taken a leader's Lease: its term must be larger than any under which something was written."""
        cluster = self.simulation.cluster() or {}
        if not lease["metadata"]["name"].endswith(f"-{cluster['metadata']['name']}"):
            return
        term, before = lease["spec"]["leaseTransitions"], (cluster.get("status") or {}).get("term", 0)
        if term <= before:
            self._broken(f"{_holder(lease)} leads under term {term}, and a status was written under {before}")

    # -- watchdogs --------------------------------------------------------------------------------------------------

    def petted(self, machine: "Machine", age_s: float, allowed_s: float) -> None:
        """Its watchdog was petted, so long after the renewal was sent; d is `allowed_s`. Both by its own clock.

        Nobody counts on one that is attested as not armed: it may be petted at any time, where it cannot be closed.
        """
        said = self._said(machine)
        if said is not None and not said.armed:
            return
        if age_s > allowed_s + ROUNDING_S:
            # at this moment, but after what is due now: the reset that must follow at once
            self.simulation.engine.after(0.0, self._petted_late, machine, machine.boots, age_s)

    def _petted_late(self, machine: "Machine", boots: int, age_s: float) -> None:
        if machine.on and machine.boots == boots:
            self._broken(f"{machine.nonce} petted its watchdog {age_s:.1f}s after its renewal, and goes on")

    def opens(self, machine: "Machine") -> None:
        """Its agent opens the watchdog, or sets its time-out: what it has is judged once that was read back."""
        self.simulation.engine.after(0.0, self._opened, machine, machine.boots)

    def _opened(self, machine: "Machine", boots: int) -> None:
        said, dog = self._said(machine), machine.dog
        if said is None or not said.armed or not machine.on or machine.boots != boots or dog.petted_s is None:
            return
        if said.watchdog_s < dog.timeout_s:
            self._broken(
                f"{machine.nonce} has set its watchdog to {dog.timeout_s:g}s, and its Lease says {said.watchdog_s:g}s"
            )

    def closes(self, machine: "Machine") -> None:
        """Its agent closes the watchdog of a node that goes on."""
        said = self._said(machine)
        if said is not None and said.armed:
            self._broken(f"{machine.nonce} closes its watchdog, and its Lease says that it is armed")

    def _said(self, machine: "Machine") -> Attestation | None:
        """What its Lease says, if it holds it."""
        lease = self.simulation.find(LEASES, AGENT_NAMESPACE, machine.name)
        return _attestation(lease) if lease is not None and _holder(lease) == machine.nonce else None

    # -- calls ------------------------------------------------------------------------------------------------------

    def called(self, who: str, method: str, path: str, body: Any) -> None:
        """A manager is about to make this call."""
        if method not in {"DELETE", "PUT"}:
            return
        what = path.rstrip("/").split("/")
        if method == "DELETE" and "pods" in what:
            held = (body or {}).get("preconditions") or {}
            if not held.get("uid") or not held.get("resourceVersion"):
                self._broken(f"{who} deletes {path} without naming uid and version")
            if (body or {}).get("gracePeriodSeconds") == 0:
                self._by_force(who, what[-3], what[-1], held.get("uid", ""))
        elif method == "PUT" and AGENT_NAMESPACE in what:
            meta = body["metadata"]
            if not meta.get("uid") or not meta.get("resourceVersion"):
                self._broken(f"{who} writes {path} without naming uid and version")

    def _by_force(self, who: str, namespace: str, name: str, uid: str) -> None:
        """Only what ran in a boot that has lost its Lease is deleted by force. Of another uid nothing is deleted at all."""
        pod = self.simulation.find(PODS, namespace, name)
        if pod is None or pod["metadata"]["uid"] != uid:
            return
        node, nonce = pod["spec"].get("nodeName", ""), (pod["metadata"].get("annotations") or {}).get(NONCE_ANNOTATION)
        holder = _holder(self.simulation.find(LEASES, AGENT_NAMESPACE, node))
        if GUEST_LABEL not in (pod["metadata"].get("labels") or {}):
            if not holder.startswith("fenced/"):
                self._broken(
                    f"{who} deletes Pod {name} by force, and the Lease of {node} is held by {holder or 'nobody'}"
                )
        elif holder == nonce:
            self._broken(f"{who} deletes Pod {name} by force, and {nonce} still holds the Lease of {node}")

    def _broken(self, text: str) -> None:
        self.simulation.broken(text)


def _attestation(lease: Json) -> Attestation | None:
    return attestation.decode((lease["metadata"].get("annotations") or {}).get(ATTESTATION_ANNOTATION))


def _holder(lease: Json | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

"""The node's Lease, as the agent renews it: one PUT with the version it knows, and no doubt left over.

A time-out, a conflict or any doubt is a renewal that failed. But a PUT that timed out may still have been carried out, so
a conflict is normal: look, and if the Lease is still our own, PUT again; age counts from before *that* PUT.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from quorate.agent.api import Refused, Unanswered
from quorate.agent.steps import Connection, Request, Steps, carry_out
from quorate.api import attestation
from quorate.core.quick import quick, replace
from quorate.core.selffence import Guard, LeaseSeen, Verdict, judge, looked, next_sequence, renewed
from quorate.core.timing import Timing
from quorate.core.types import AGENT_NAMESPACE, ATTESTATION_ANNOTATION, REACH_ANNOTATION, Uid
from quorate.core.world import Attestation

log = logging.getLogger(__name__)
Json = dict[str, Any]


class Outcome(Enum):
    RENEWED = "renewed"
    FAILED = "failed"
    LOST = "lost"
    RESET = "reset"
    IDLE = "idle"


@quick
@dataclass(frozen=True, slots=True)
class Renewal:
    """How it went. `started_s`: before the PUT that was confirmed; None when none was."""

    outcome: Outcome
    started_s: float | None = None
    said: Attestation | None = None
    why: str = ""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class NodeLease:
    """Renews the Lease of one node for one boot. `guard` is what must be remembered over a restart of the agent."""

    def __init__(
        self,
        api: Connection,
        node: str,
        guard: Guard,
        clock: Callable[[], float],
        wall: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.api = api
        self.node = node
        self.guard = guard
        self.clock = clock
        self.wall = wall
        """Only written down, for people."""
        self.beside: Callable[[], str | None] = lambda: None
        """Which Storages the node reaches, ready to be said; None: what stands there may stand."""
        self._known: Json | None = None
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{AGENT_NAMESPACE}/leases"

    @property
    def known(self) -> Json | None:
        """The Lease as it was confirmed last; None while that is in doubt."""
        return self._known

    def inherit(self, known: Json | None) -> None:
        """Go on from what another agent of this boot knew."""
        self._known = known

    def renew(
        self, attest: Callable[[Uid, int], Attestation], timing: Timing, *, danger: bool, member: bool
    ) -> Renewal:
        """One renewal. `attest` makes the attestation for a Lease uid and a sequence; `danger`: armed or with guests."""
        return carry_out(self.api, self.steps(attest, timing, danger=danger, member=member))

    def steps(
        self, attest: Callable[[Uid, int], Attestation], timing: Timing, *, danger: bool, member: bool
    ) -> Steps[Renewal]:
        """The same, step by step."""
        try:
            if self._known is None:
                stop = yield from self._look(timing, danger=danger, member=member)
                if stop is not None:
                    return stop
            return (yield from self._put(attest, timing))
        except Refused as error:
            if error.code not in {404, 409}:
                return Renewal(Outcome.FAILED, why=str(error))
            self._known = None
        except Unanswered as error:
            return Renewal(Outcome.FAILED, why=str(error))
        return (yield from self._once_more(attest, timing, danger=danger, member=member))

    def _once_more(
        self, attest: Callable[[Uid, int], Attestation], timing: Timing, *, danger: bool, member: bool
    ) -> Steps[Renewal]:
        try:
            stop = yield from self._look(timing, danger=danger, member=member)
            return stop if stop is not None else (yield from self._put(attest, timing))
        except (Unanswered, Refused) as error:
            self._known = None
            return Renewal(Outcome.FAILED, why=str(error))

    def _look(self, timing: Timing, *, danger: bool, member: bool) -> Steps[Renewal | None]:
        """Read the Lease and judge it; None: go on and PUT. Raises Unanswered, Refused."""
        try:
            found: Json | None = yield Request("GET", f"{self._path}/{self.node}", timing.timeout_s)
        except Refused as error:
            if error.code != 404:
                raise
            found = None
        self.guard = looked(self.guard, _seen(found))
        namespace_ends = yield from self._namespace_ends(found, timing)
        verdict = judge(_seen(found), self.guard, danger=danger, namespace_ends=namespace_ends)
        match verdict:
            case Verdict.RESET:
                return Renewal(Outcome.RESET, why=f"the Lease is held by {_holder(found)}")
            case Verdict.LOST:
                return Renewal(Outcome.LOST, why=f"the Lease is held by {_holder(found) or 'nobody: it is gone'}")
            # Its Node was deleted, and its Lease with it. Armed or with guests it makes the Lease again all the same: a
            # healthy node is not reset for that, and what it does about its watchdog stays attested.
            case Verdict.CREATE if not member and not danger:
                return Renewal(Outcome.IDLE, why=f"no Node {self.node} of Quorate: not a member")
            case Verdict.CREATE:
                found = yield from self._create(timing)
        self._known = found
        return None

    def _namespace_ends(self, found: Json | None, timing: Timing) -> Steps[bool]:
        """Only asked when the Lease is missing: an uninstall is no reason to create anything."""
        if found is not None:
            return False
        try:
            namespace = yield Request("GET", f"/api/v1/namespaces/{AGENT_NAMESPACE}", timing.timeout_s)
        except Refused as error:
            return error.code == 404
        return bool(namespace["metadata"].get("deletionTimestamp"))

    def _create(self, timing: Timing) -> Steps[Json]:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.node, "namespace": AGENT_NAMESPACE},
            "spec": {},
        }
        return (yield Request("POST", self._path, timing.timeout_s, body))

    def _put(self, attest: Callable[[Uid, int], Attestation], timing: Timing) -> Steps[Renewal]:
        known = self._known
        seen = _seen(known)
        if known is None or seen is None:
            return Renewal(Outcome.FAILED, why="there is no Lease")
        sequence = next_sequence(self.guard, seen)
        said = attest(seen.uid, sequence)
        metadata = known["metadata"]
        annotations = {**(metadata.get("annotations") or {}), ATTESTATION_ANNOTATION: attestation.encode(said)}
        self._say_beside(annotations)
        # Remembered before it is sent: a PUT without an answer may have been carried out, and a sequence only grows.
        self.guard = replace(self.guard, sequence=sequence)
        started_s = self.clock()
        body = {
            **known,
            "metadata": {**metadata, "annotations": annotations},
            "spec": {
                **(known.get("spec") or {}),
                "holderIdentity": self.guard.nonce,
                "renewTime": f"{self.wall().replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
                "leaseDurationSeconds": max(1, round(timing.release_after_s)),
            },
        }
        answer = yield Request("PUT", f"{self._path}/{self.node}", timing.timeout_s, body)
        confirmed = _seen(answer)
        if confirmed is None or confirmed.holder != self.guard.nonce:
            self._known = None
            return Renewal(Outcome.FAILED, why="the answer does not name this boot")
        self._known = answer
        self.guard = renewed(self.guard, confirmed)
        return Renewal(Outcome.RENEWED, started_s, said)

    def _say_beside(self, annotations: Json) -> None:
        text = self.beside()
        if text:
            annotations[REACH_ANNOTATION] = text
        elif text is not None:
            annotations.pop(REACH_ANNOTATION, None)


def _holder(found: Json | None) -> str:
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


def _seen(found: Json | None) -> LeaseSeen | None:
    if found is None:
        return None
    metadata = found["metadata"]
    said = attestation.decode((metadata.get("annotations") or {}).get(ATTESTATION_ANNOTATION))
    return LeaseSeen(
        uid=Uid(metadata["uid"]),
        resource_version=metadata["resourceVersion"],
        holder=_holder(found),
        sequence=said.sequence if said is not None else 0,
    )

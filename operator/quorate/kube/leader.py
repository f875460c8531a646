"""Who acts: one Lease, renewed by compare-and-swap, judged by this process's own clock.

A replica that finds the Lease unchanged for its whole duration takes it. The holder acts only while its own last renewal,
counted from before it was sent, is younger than the duration less a margin; so two leaders at once need a clock that
stops, and even those cannot start a guest twice (every status is a compare-and-swap, every guest has one name).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from quorate.core.types import SYSTEM_NAMESPACE
from quorate.kube.calls import ApiError, Calls, Conflict, NotFound
from quorate.kube.host import THIS_HOST, Host
from quorate.kube.resources import LEASES

log = logging.getLogger(__name__)
DURATION_S: Final = 4.0
RENEW_S: Final = 1.0
MARGIN_S: Final = 1.0
"""A leader begins nothing this shortly before another one may. What it began before may still land: hence preconditions."""
Json = dict[str, Any]


class Elector:
    """Competes for one leader Lease. `floor` gives the highest term in any status: ours will be larger.

    `has_listed`: has everything been listed by a look that began after that moment? If not, it asks for one.
    """

    def __init__(
        self,
        api: Calls,
        name: str,
        identity: str,
        floor: Callable[[], int],
        changed: Callable[[], None],
        host: Host = THIS_HOST,
        has_listed: Callable[[float], bool] = lambda _: True,
    ) -> None:
        self.api = api
        self.name = name
        self.identity = identity
        self.floor = floor
        self.changed = changed
        self.host = host
        self.has_listed = has_listed
        self.clock = host.monotonic
        self.term = 0
        self.elected_s = float("-inf")
        """When this replica last became the leader: what it read before may be older than what its predecessor wrote."""
        self._lease: Json | None = None
        self._known = 0
        """The largest term of anybody that was seen in the Lease."""
        self._missing_s: float | None = None
        """Since when a Lease that had been there is missing."""
        self._seen_s = 0.0
        self._renewed_s = float("-inf")

    def valid(self) -> bool:
        """May this replica act now?"""
        return self.term > 0 and self.clock() - self._renewed_s < DURATION_S - MARGIN_S

    def renewal_age_s(self) -> float:
        """How long ago its last confirmed renewal was sent; infinite without one."""
        return self.clock() - self._renewed_s

    async def run(self) -> None:
        """Compete until cancelled."""
        while True:
            began_s = self.clock()
            try:
                await self._round()
            except ApiError as error:
                log.debug("leader Lease %s: %s", self.name, error)
            if self.term and self.clock() - self._renewed_s >= DURATION_S:
                self._lose("it could not be renewed in time")
            await asyncio.sleep(max(0.05, RENEW_S - (self.clock() - began_s)))

    async def _round(self) -> None:
        if self.term and self.floor() > self.term:
            # Its Lease was made anew before all statuses had been read: nobody would act under this term, ever.
            self._lose("a status was written under a later term")
        if self.term and self._lease is not None:
            try:
                await self._write(self._lease, self.term)
            except (Conflict, NotFound):
                self._lose("another replica has taken it")
                self._lease = None
            return
        await self._watch_and_take()

    async def _watch_and_take(self) -> None:
        now_s = self.clock()
        try:
            found = await self.api.get(LEASES.path(self.name, SYSTEM_NAMESPACE))
        except NotFound:
            # Somebody may have led since the last look, under a term that only statuses tell of by now. Where neither a
            # Lease nor a status tells of anybody, it is the first one of a new Cluster.
            self._missing_s = now_s if self._missing_s is None else self._missing_s
            new = not self._known and not self.floor()
            if new or self.has_listed(self._missing_s):
                await self._create()
            return
        self._missing_s = None
        self._known = max(self._known, _term(found))
        if self._lease is None or _version(found) != _version(self._lease):
            self._lease, self._seen_s = found, now_s
        spec = found.get("spec") or {}
        duration_s = max(DURATION_S, float(spec.get("leaseDurationSeconds") or 0))
        if spec.get("holderIdentity") and now_s - self._seen_s < duration_s:
            return
        try:
            await self._write(found, max(self.floor(), _term(found)) + 1)
        except (Conflict, NotFound):
            return  # another replica was faster

    async def _create(self) -> None:
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self.name, "namespace": SYSTEM_NAMESPACE},
        }
        began_s, term = self.clock(), max(self.floor(), self._known) + 1
        body["spec"] = self._spec(term)
        self._won(await self.api.create(LEASES.path(namespace=SYSTEM_NAMESPACE), body), began_s, term)

    async def _write(self, lease: Json, term: int) -> None:
        body = {**lease, "spec": {**(lease.get("spec") or {}), **self._spec(term)}}
        began_s = self.clock()
        path = LEASES.path(self.name, SYSTEM_NAMESPACE)
        written = await self.api.request("PUT", path, body, budget_s=DURATION_S - MARGIN_S)
        self._won(written, began_s, term)

    def _spec(self, term: int) -> Json:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(DURATION_S),
            "leaseTransitions": term,
            # For people, and because a PUT that changes nothing leaves the resourceVersion as it is: a standby would
            # take that for silence. Nobody compares this clock with another.
            "renewTime": f"{self._wall().isoformat(timespec='microseconds')}Z",
        }

    def _wall(self) -> datetime:
        return datetime.fromtimestamp(self.host.wall_ns() / 1e9, UTC).replace(tzinfo=None)

    def _won(self, lease: Json, began_s: float, term: int) -> None:
        self._lease, self._renewed_s, self._known, self._missing_s = lease, began_s, max(self._known, term), None
        if self.term != term:
            self.term, self.elected_s = term, self.clock()
            log.info("leading %s, term %s", self.name, term, extra={"term": term})
            self.changed()

    def _lose(self, why: str) -> None:
        log.warning("no longer leading %s (term %s): %s", self.name, self.term, why)
        self.term = 0
        self._renewed_s = float("-inf")

    async def release(self) -> None:
        """Give the Lease back, so that a standby need not wait for it."""
        if not self.term or self._lease is None:
            return
        body = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": ""}}
        self.term = 0
        try:
            await self.api.request("PUT", LEASES.path(self.name, SYSTEM_NAMESPACE), body, budget_s=1.0)
        except ApiError as error:
            log.info("leader Lease %s was not given back: %s", self.name, error)


def _term(lease: Json) -> int:
    return int((lease.get("spec") or {}).get("leaseTransitions") or 0)


def _version(lease: Json) -> str:
    return str(lease["metadata"].get("resourceVersion", ""))

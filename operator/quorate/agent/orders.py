"""What the manager asks of this node, and which guests are here: read beside the heartbeat, never in its way.

A thread of its own asks every r seconds with a connection of its own. When it gets no answer the last orders stand.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from quorate.agent.api import Refused, Unanswered
from quorate.agent.steps import Connection, Request, Steps, carry_out
from quorate.core.selffence import Orders
from quorate.core.storage import MAX_PROBES, Probe
from quorate.core.timing import PROFILES, Profile, Timing, parse_duration
from quorate.core.types import GROUP, GUEST_LABEL, VERSION, Uid

log = logging.getLogger(__name__)
ADDRESSES_EVERY_S: Final = 30.0
UNTIL_TOLD: Final = PROFILES[Profile.RELAXED]
"""The pace before the first orders: an agent that has no orders guards nothing."""


def parse(node: dict[str, Any]) -> Orders:
    """The orders in a Node's status. Raises ValueError when they make no sense."""
    status = node.get("status") or {}
    arming, orders, reset = status.get("arming") or {}, status.get("orders"), status.get("resetRequest") or {}
    timing = None
    if orders:
        timing = Timing(
            parse_duration(orders["renewEvery"]), parse_duration(orders["timeout"]), parse_duration(orders["watchdog"])
        )
        problems = timing.problems()
        if problems:
            raise ValueError("; ".join(problems))
    return Orders(
        member=True,
        generation=int(arming.get("generation", 0)),
        armed=bool(arming.get("wanted", False)),
        released=bool(arming.get("released", False)),
        reset=None if reset.get("failed", False) else reset.get("nonce"),
        timing=timing,
        asks=tuple(Uid(uid) for uid in status.get("asks") or ()),
        uid=(node.get("metadata") or {}).get("uid"),
        highest_term=int(status.get("term", 0)),
    )


def parse_probes(node: dict[str, Any]) -> tuple[Probe, ...]:
    """The Storages that the agent is to look at. What cannot be read asks for nothing: it is no order to be afraid of."""
    asked = (node.get("status") or {}).get("probes") or []
    try:
        return tuple(
            Probe(
                Uid(str(one["id"])),
                str(one["storage"]),
                str(one["server"]),
                str(one["export"]),
                int(one["port"]),
                int(one.get("mountPort", 0)),
                tuple(int(version) for version in one.get("versions") or ()),
            )
            for one in asked[:MAX_PROBES]
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        log.warning("status.probes cannot be read, so no Storage is looked at: %s", error)
        return ()


@dataclass(frozen=True, slots=True)
class Guests:
    """The guest Pods that are bound to a node."""

    pods: Mapping[Uid, dict[str, Any]]

    @property
    def bound(self) -> frozenset[Uid]:
        return frozenset(self.pods)

    @property
    def ran(self) -> frozenset[Uid]:
        """Those of which the kubelet has reported every container as started."""
        return frozenset(uid for uid, pod in self.pods.items() if _ran(pod))


def list_guests(node: str, timeout_s: float) -> Steps[Guests]:
    """Ask which Pods are guests here. Raises Unanswered, Refused."""
    query = {"labelSelector": GUEST_LABEL, "fieldSelector": f"spec.nodeName={node}"}
    listed = yield Request("GET", "/api/v1/pods", timeout_s, query=query)
    return Guests({Uid(pod["metadata"]["uid"]): pod for pod in listed.get("items", [])})


def _ran(pod: dict[str, Any]) -> bool:
    """Has each of its containers been reported started? Of a Pod that is never restarted nothing starts any more then."""
    reported = {one.get("name"): one for one in (pod.get("status") or {}).get("containerStatuses") or []}
    declared = (pod.get("spec") or {}).get("containers") or []
    return bool(declared) and all(_started(reported.get(container["name"]) or {}) for container in declared)


def _started(reported: dict[str, Any]) -> bool:
    state = reported.get("state") or {}
    return bool(state.get("running") or (state.get("terminated") or {}).get("startedAt"))


@dataclass(slots=True)
class OrdersReader:
    """Keeps `current` and `guests` fresh; calls `changed` when there is something new."""

    api: Connection
    node: str
    changed: Callable[[], None]
    addresses_file: Path | None = None
    current: Orders = field(default_factory=Orders)
    guests: frozenset[Uid] = frozenset()
    probes: tuple[Probe, ...] = ()
    servers: tuple[str, ...] = ()
    known: bool = False
    """Have the orders been read at all? "Not asked to" must not be taken from a question that has no answer yet."""
    _read: dict[str, Any] = field(default_factory=dict)
    """What `current` was made of: most answers say nothing new."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name="orders", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        next_addresses = 0.0
        waited = 0.0
        while not self._stop.is_set():
            pause = self.pause_s()
            try:
                self.read()
                if self.addresses_file is not None and waited >= next_addresses:
                    self._read_addresses()
                    next_addresses = waited + ADDRESSES_EVERY_S
            except Unanswered as error:
                log.info("orders: %s", error)
            except (Refused, ValueError, KeyError, TypeError) as error:
                log.warning("orders of Node %s cannot be followed, the last ones stand: %s", self.node, error)
            self._stop.wait(pause)
            waited += pause

    def pause_s(self) -> float:
        """How long to wait before it asks again."""
        return (self.current.timing or UNTIL_TOLD).renew_s if self.current.member else 2.0

    def read(self) -> None:
        """Ask once. Raises Unanswered, Refused, ValueError."""
        carry_out(self.api, self.steps())

    def steps(self) -> Steps[None]:
        """The same, step by step."""
        timeout_s = (self.current.timing or UNTIL_TOLD).timeout_s
        try:
            node = yield Request("GET", f"/apis/{GROUP}/{VERSION}/nodes/{self.node}", timeout_s)
            read = {"metadata": {"uid": (node.get("metadata") or {}).get("uid")}, "status": node.get("status")}
            same = self.known and read == self._read
            found = self.current if same else parse(read)
            self.probes = self.probes if same else parse_probes(read)
        except Refused as error:
            if error.code != 404:
                raise
            found, read = Orders(), {}  # not a member, or no longer
            self.probes = ()
        guests = (yield from list_guests(self.node, timeout_s)).bound
        self._read = read
        if not self.known or found != self.current or guests != self.guests:
            self.current, self.guests = found, guests
            self.known = True
            self.changed()

    def _read_addresses(self) -> None:
        """The API servers' own addresses, kept in a file for the next start."""
        query = {"labelSelector": "kubernetes.io/service-name=kubernetes"}
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        listed = self.api.request("GET", path, timeout_s=UNTIL_TOLD.timeout_s, query=query)
        servers = []
        for found in listed.get("items", []):
            port = next((port["port"] for port in found.get("ports") or [] if port.get("name") in {"https", ""}), 443)
            for endpoint in found.get("endpoints") or []:
                servers += [
                    f"https://{f'[{address}]' if ':' in address else address}:{port}"
                    for address in endpoint.get("addresses") or []
                ]
        if servers and tuple(servers) != self.servers:
            self.servers = tuple(servers)
            if self.addresses_file is not None:
                self.addresses_file.write_text("\n".join(servers) + "\n")
            self.changed()

"""The stage of the demo: a lab, the API as a person sees it, and the observer who trusts neither."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quorate.access.errors import TransientError
from quorate.access.gather import gather
from quorate.api.wire import from_wire
from quorate.cli.demo.screen import Screen
from quorate.cli.session import Session
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus, StorageStatus
from quorate.core.types import GuestKey, Instant
from quorate.kube.resources import Resource
from quorate.lab import client
from quorate.lab.files import lab_files
from quorate.lab.journal import read_journal
from quorate.lab.observer import Observer
from quorate.view.build import build
from quorate.view.report import Report
from quorate.view.snapshot import Raw, Snapshot, name_of

if TYPE_CHECKING:
    from quorate.access.client import Api

LOOK_EVERY_S: Final = 0.2


class StepError(Exception):
    """A step did not go as the story says; the message tells what was seen instead."""


@dataclass(frozen=True)
class Look:
    """Everything at one moment, as the API shows it."""

    snapshot: Snapshot
    now: Instant

    @cached_property
    def report(self) -> Report:
        return build(self.snapshot, self.now)

    @property
    def cluster(self) -> ClusterStatus:
        return from_wire(ClusterStatus, self.snapshot.clusters[0].get("status") if self.snapshot.clusters else None)

    @property
    def nodes(self) -> dict[str, NodeStatus]:
        return {name_of(raw): from_wire(NodeStatus, raw.get("status")) for raw in self.snapshot.nodes}

    @property
    def storages(self) -> dict[str, StorageStatus]:
        return {name_of(raw): from_wire(StorageStatus, raw.get("status")) for raw in self.snapshot.storages}

    def guest(self, key: GuestKey) -> GuestStatus:
        """Its status; that of a new one while it is not there."""
        return from_wire(GuestStatus, next((raw.get("status") for raw in self.snapshot.guests if _is(raw, key)), None))


def _is(raw: Raw, key: GuestKey) -> bool:
    return (raw["metadata"].get("namespace"), name_of(raw)) == (key.namespace, key.name)


class Stage:
    """What the steps of the story act on and look at."""

    def __init__(self, lab: str, kubeconfig: Path, observer: Observer, screen: Screen) -> None:
        self.session = Session(kubeconfig=str(kubeconfig))
        self.observer = observer
        self._lab = lab
        self._screen = screen

    @property
    def api(self) -> "Api":
        return self.session.api

    def apply(self, resource: Resource, name: str, spec: dict[str, Any], *, namespace: str = "") -> None:
        """Create one object."""
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
        self.api.create(resource.path(namespace=namespace), body)

    def switch(self, node: str, verb: str) -> None:
        """Use a node's power switch or network plug."""
        client.act(self._lab, node, verb)

    def look(self) -> Look:
        """Look, and show it."""
        look = Look(gather(self.api), self.api.now())
        self._screen.draw(look.report)
        return look

    def until(self, what: str, reached: Callable[[Look], bool], limit_s: float) -> Look:
        """The first look in which it is so. Raises StepError when it is not in time, with what is awaited instead."""
        deadline = time.monotonic() + limit_s
        said = "the API server did not answer"
        while time.monotonic() < deadline:
            try:
                look = self.look()
            except TransientError as error:
                said = str(error)
            else:
                if reached(look):
                    return look
                said = "; ".join(cluster.sentence for cluster in look.report.clusters) or "there is no Cluster"
            time.sleep(LOOK_EVERY_S)
        raise StepError(f"waited {limit_s:g}s for {what}; now: {said}")

    def hold(self, problem: Callable[[Look], str], for_s: float) -> None:
        """Go on looking for so long. Raises StepError with the first problem that a look has."""
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            found = problem(self.look())
            if found:
                raise StepError(found)
            time.sleep(LOOK_EVERY_S)

    def seen_running(self, key: GuestKey) -> list[str]:
        """The nodes on which the observer sees it run now."""
        running = self.observer.running().get(f"{key.namespace}/{key.name}", [])
        return sorted(instance.node for instance in running)

    def wrote_on(self, claim: str, name: str) -> list[str]:
        """The nodes on which a guest wrote its journal there, one for each instance, in order."""
        path = lab_files(self._lab).claims / "default" / claim / name
        return [run.node for run in read_journal(path).runs] if path.exists() else []

    def ran_on(self, key: GuestKey) -> list[str]:
        """The nodes on which the observer saw it run, one for each instance, in order."""
        history = self.observer.history().get(f"{key.namespace}/{key.name}", [])
        return [interval.instance.node for interval in history]

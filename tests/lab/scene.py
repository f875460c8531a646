"""A lab in play: what a test does to it, what it sees of it, and the judges who say that no guest ran twice.

The judges trust nobody: the observer samples the processes themselves, and every guest writes a journal without a pause.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from quorate.api import attestation
from quorate.api.wire import from_wire
from quorate.core.status import ClusterStatus, CommandResult, GuestStatus, Incident, NodeStatus, StorageStatus
from quorate.core.types import (
    AGENT_NAMESPACE,
    ATTESTATION_ANNOTATION,
    COMMAND_ANNOTATION,
    SYSTEM_NAMESPACE,
    GuestKey,
    GuestState,
    NodeName,
    NodeState,
)
from quorate.core.world import Attestation
from quorate.kube.resources import (
    CLAIMS,
    CLUSTERS,
    EVENTS,
    HARESOURCES,
    KUBE_NODES,
    LEASES,
    NODES,
    PODS,
    STORAGES,
    Resource,
)
from quorate.lab import client, processes
from quorate.lab.control_plane import find
from quorate.lab.files import lab_files
from quorate.lab.front.control import Front
from quorate.lab.journal import Run, read_journal
from quorate.lab.observer import Observer
from quorate.lab.options import Options
from quorate.lab.processes import Process
from tests.control_plane.client import Api
from tests.lab.waiting import eventually

Json = dict[str, Any]
WEB = GuestKey("default", "web")
STORAGE = "shared"


def container(*command: str, **fields: Any) -> Json:
    """What `spec.guest` says of a guest of one container that stops at once when it is told to."""
    one = {"name": "main", "image": "lab", "command": list(command), **fields}
    return {"container": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [one]}}}


def writer(name: str) -> Json:
    """The spec of a guest that writes its journal on the storage that all nodes share."""
    command = ("python3", "-m", "quorate.lab.guest", "--file", f"data/{name}")
    return {"storage": [{"name": STORAGE, "path": "/data"}], "guest": container(*command)}


class Scene:
    """A running lab with a Cluster of the lab's name, seen by an administrator and by the judges."""

    def __init__(self, lab: Json, observer: Observer) -> None:
        self.name = str(lab["name"])
        self.lab_id = str(lab["id"])
        self.files = lab_files(self.name)
        self.api = Api(self.files.kubeconfig)
        self.front = Front(self.files.front)
        self.observer = observer
        self.judged: list[GuestKey] = []

    # -- what is done -----------------------------------------------------------------------------------------------

    def switch(self, node: str, verb: str) -> None:
        """Use a node's power switch, network plug, or freeze it."""
        client.act(self.name, node, verb)

    def create(self, resource: Resource, name: str, spec: Json, namespace: str = "", **metadata: Any) -> None:
        named = {"name": name, **({"namespace": namespace} if namespace else {}), **metadata}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": named, "spec": spec}
        self.api.post(resource.path(namespace=namespace), body).ok()

    def share_storage(self) -> None:
        """Storage that all nodes reach."""
        size = {"requests": {"storage": "1Gi"}}
        if not self.raw(CLAIMS, STORAGE, "default"):
            self.create(CLAIMS, STORAGE, {"accessModes": ["ReadWriteMany"], "resources": size}, "default")
        if not self.raw(STORAGES, STORAGE):
            claim = {"namespace": "default", "name": STORAGE}
            self.create(STORAGES, STORAGE, {"type": "Claim", "claim": claim, "allowedNamespaces": ["default"]})

    async def start_guest(self, key: GuestKey = WEB, node: str = "node1", **spec: Any) -> GuestStatus:
        """A guest that writes its journal, running on that node, which is where the first one goes."""
        if self.node(node).arming.failed:
            await self._arm(node)
        self.create(HARESOURCES, key.name, {**writer(key.name), **spec}, key.namespace)
        self.judged.append(key)
        await self.until_runs(node, key)
        return self.guest(key)

    def give_device(self, node: str, **device: Any) -> None:
        """The node's one fence device, with the Secret `bmc` unless it says otherwise."""
        devices = [{"secretRef": {"name": "bmc"}, **device}]
        self.api.merge(NODES.path(node), {"spec": {"fencing": {"devices": devices}}}).ok()

    def change_cluster(self, **spec: Any) -> None:
        """A person edits the Cluster."""
        self.api.merge(CLUSTERS.path(self.name), {"spec": spec}).ok()

    async def lose(self, node: str = "node1") -> Incident:
        """Cut its power, and wait until it is suspected."""
        self.switch(node, "power-off")
        found: Incident = await self.until(f"{node} to be suspected", lambda: self.incident(node))
        return found

    async def until_another_runs(self, before: GuestStatus, key: GuestKey = WEB) -> None:
        """A later instance, wherever it is, by the API and by the judges."""

        def another() -> str:
            now = self.guest(key)
            later = now.instance is not None and before.instance is not None and now.instance.id != before.instance.id
            return str(now.node) if now.ready and later else ""

        await self.until_runs(await self.until(f"another instance of {key.sid}", another), key)

    async def _arm(self, node: str) -> None:
        """An earlier test kept it from arming in time, and until it has armed once it is the last choice."""
        warm = GuestKey("default", "warm")
        self.create(HARESOURCES, warm.name, {"guest": container("sleep", "1000")}, warm.namespace)
        await self.until("a guest to run", lambda: self.guest(warm).ready)
        if self.guest(warm).node != node:
            await self.command(f"relocate {node}", warm)
            await self.until(f"it to run on {node}", lambda: self.runs(node, warm))
        self.api.delete(HARESOURCES.path(warm.name, warm.namespace)).ok()
        await self.until("it to go", lambda: not self.raw(HARESOURCES, warm.name, warm.namespace))

    async def command(self, words: str, key: GuestKey = WEB) -> CommandResult:
        """Give the guest a command, as an annotation, and await what became of it."""
        name = words.replace(" ", "-")
        annotations = {COMMAND_ANNOTATION: f"{name} {words}"}
        self.api.merge(HARESOURCES.path(key.name, key.namespace), {"metadata": {"annotations": annotations}}).ok()

        def answered() -> CommandResult | None:
            last = self.guest(key).last_command
            return last if last is not None and last.id == name else None

        found: CommandResult = await self.until(f"an answer to {words!r}", answered)
        return found

    async def clear_away(self, key: GuestKey = WEB) -> None:
        """The guest is gone, and its journal is judged and forgotten: the lab is as before it."""
        self.api.delete(HARESOURCES.path(key.name, key.namespace))
        await self.until(f"{key.sid} to go", lambda: not self.raw(HARESOURCES, key.name, key.namespace))
        await self.until("the observer to see nothing run", lambda: self.seen_on(key) == [])
        self.judge()
        self.judged.remove(key)
        (self.files.claims / "default" / STORAGE / key.name).unlink(missing_ok=True)

    async def heal(self) -> None:
        """Every machine on and reachable, every process of the lab going, all Online, and no guest left."""
        for one in client.status(self.name)["nodes"]:
            if one["state"] == "frozen":
                self.switch(one["name"], "thaw")
            if one["network"] != "on":
                self.switch(one["name"], "network-on")
            if not self.kube_node(one["name"]):
                self.switch(one["name"], "power-off")  # a kubelet registers its node when it starts
            self.switch(one["name"], "power-on")
        await self.until_whole()
        for key in list(self.judged):
            await self.clear_away(key)
        await self.until("no incident to be open", lambda: not any(map(self.incident, self.names())))

    # -- what is seen -----------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The nodes of the lab."""
        return [one["name"] for one in client.status(self.name)["nodes"]]

    def incident(self, node: str) -> Incident | None:
        return self.node(node).incident

    def cluster(self, name: str = "") -> ClusterStatus:
        return from_wire(ClusterStatus, self.raw(CLUSTERS, name or self.name).get("status"))

    def node(self, name: str) -> NodeStatus:
        return from_wire(NodeStatus, self.raw(NODES, name).get("status"))

    def guest(self, key: GuestKey = WEB) -> GuestStatus:
        return from_wire(GuestStatus, self.raw(HARESOURCES, key.name, key.namespace).get("status"))

    def storage(self, name: str = STORAGE) -> StorageStatus:
        return from_wire(StorageStatus, self.raw(STORAGES, name).get("status"))

    def raw(self, resource: Resource, name: str, namespace: str = "") -> Json:
        """The object; empty when there is none."""
        found = self.api.get(resource.path(name, namespace))
        return {} if found.code == 404 else dict(found.ok())

    def pod(self, key: GuestKey = WEB) -> Json:
        return self.raw(PODS, key.name, key.namespace)

    def kube_node(self, name: str) -> Json:
        return self.raw(KUBE_NODES, name)

    def attested(self, node: str) -> Attestation | None:
        """What the node's agent said last."""
        annotations = self.raw(LEASES, node, AGENT_NAMESPACE).get("metadata", {}).get("annotations") or {}
        return attestation.decode(annotations.get(ATTESTATION_ANNOTATION))

    def leader(self) -> str:
        """The manager that leads the Cluster, such as manager-1."""
        lease = self.raw(LEASES, f"manager-{self.name}", SYSTEM_NAMESPACE)
        return str((lease.get("spec") or {}).get("holderIdentity") or "")

    def machine(self, name: str) -> Json:
        """A node as the lab has it: power, state, network, boot."""
        return next(one for one in client.status(self.name)["nodes"] if one["name"] == name)

    def suspicions(self, node: str) -> list[str]:
        """What the events say of incidents of that node, so far."""
        found = self.api.get(EVENTS.path()).ok()["items"]
        return [one["note"] for one in found if (one["regarding"]["name"], one["reason"]) == (node, "NodeSuspected")]

    def log(self, name: str) -> str:
        """What a process outside of the nodes has said."""
        return (self.files.log / f"{name}.log").read_text()

    def find(self, word: str, **marks: str) -> Process | None:
        """The first started process of the lab that has this word in its command line."""
        return next(iter(self.all(word, **marks)), None)

    def all(self, word: str, **marks: str) -> list[Process]:
        """Every process of the lab that has this word in its command line, in the order of their starts."""
        wanted = {processes.LAB: self.lab_id, **{f"QUORATE_LAB_{name}": value for name, value in marks.items()}}
        found = [one for one in processes.scan(wanted) if word.encode() in _command(one)]
        return sorted(found, key=lambda one: (one.start_ticks, one.pid))

    # -- waiting ----------------------------------------------------------------------------------------------------

    async def until(self, what: str, check: Callable[[], Any]) -> Any:
        """The first true answer. Raises AssertionError with how everything is."""
        try:
            return await eventually(check, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.picture()}") from error

    async def until_whole(self) -> None:
        """Every node votes and is Online."""
        names = self.names()
        await self.until("all nodes to be Online", lambda: all(self.is_online(name) for name in names))

    async def until_runs(self, node: str, key: GuestKey = WEB) -> None:
        """By the API, and its present instance by the observer and by its journal as well."""
        await self.until(f"{key.sid} to run on {node}", lambda: self.runs(node, key))
        instance = self.guest(key).instance
        assert instance is not None
        seen = [(instance.id, node)]

        def confirmed() -> bool:
            running = self.observer.running().get(f"{key.namespace}/{key.name}", [])
            wrote = [(run.instance, run.node) for run in self.journal(key)][-1:]
            return [(one.id, one.node) for one in running] == seen == wrote

        await self.until(f"the judges to see instance {instance.id} of {key.sid} on {node}", confirmed)

    def is_online(self, node: str) -> bool:
        return self.cluster().quorate and self.node(node).state is NodeState.ONLINE

    def runs(self, node: str, key: GuestKey = WEB) -> bool:
        """Started and Ready there, and meant to stay."""
        status = self.guest(key)
        there = status.state is GuestState.STARTED and status.ready and status.target is None
        return there and status.node == NodeName(node)

    def assert_stays(self, before: GuestStatus, key: GuestKey = WEB) -> None:
        """It runs where it ran, in the same instance, and no later one was ever seen."""
        now, instance = self.guest(key), before.instance
        assert (now.state, now.ready, now.instance) == (GuestState.STARTED, True, instance), self.picture()
        assert instance is not None
        assert self.seen_on(key) == [instance.node]
        assert self.observer.history()[f"{key.namespace}/{key.name}"][-1].instance.id == instance.id

    def picture(self) -> str:
        """All objects of ours in a line each, for whoever reads why a test failed."""
        found = []
        for resource in (CLUSTERS, NODES, HARESOURCES, STORAGES):
            for raw in self.api.get(resource.path()).ok()["items"]:
                status = raw.get("status") or {}
                state = status.get("state", "")
                found.append(f"{resource.kind} {raw['metadata']['name']} {state}: {status.get('message', '')}")
        return "\n".join(found)

    # -- the judges -------------------------------------------------------------------------------------------------

    def seen_on(self, key: GuestKey = WEB) -> list[str]:
        """Where the observer sees it run now."""
        return sorted(one.node for one in self.observer.running().get(f"{key.namespace}/{key.name}", []))

    def ran_on(self, key: GuestKey = WEB) -> list[str]:
        """Where the observer saw it run, a node for each instance, in order.

        A frozen process that is killed is seen once more, as it ends: that is the same instance, not another one.
        """
        history = self.observer.history().get(f"{key.namespace}/{key.name}", [])
        return [instance.node for instance, _ in groupby(interval.instance for interval in history)]

    def wrote(self, key: GuestKey = WEB) -> list[str]:
        """Where its journal says that it ran, a node for each instance, in order."""
        return [run.node for run in self.journal(key)]

    def journal(self, key: GuestKey = WEB) -> tuple[Run, ...]:
        """What it has written so far, a run for each instance."""
        path = self.files.claims / "default" / STORAGE / key.name
        return read_journal(path).runs if path.exists() else ()

    def judge(self) -> None:
        """No guest ever ran twice, what the judges saw is the same, and no manager caught itself breaking an invariant."""
        assert [str(one) for one in self.observer.violations] == []
        assert [line for path in self.files.log.glob("manager-*.log") for line in _breaches(path)] == []
        for key in self.judged:
            assert read_journal(self.files.claims / "default" / STORAGE / key.name).violations == ()
            assert self.ran_on(key) == self.wrote(key)


def _breaches(log: Path) -> list[str]:
    """Plans of a manager that `core/invariants.py` found wrong, or deeds that ended in a bug."""
    return [line for line in log.read_text(errors="replace").splitlines() if "because of a bug in Quorate" in line]


def _command(process: Process) -> list[bytes]:
    return (processes.read_bytes(f"/proc/{process.pid}/cmdline") or b"").split(b"\0")


@contextmanager
def running(options: Options) -> Iterator[Json]:
    """A lab, as its status shows it; taken down at the end."""
    lab = client.up(options)
    try:
        yield lab
    finally:
        client.down(options.name)


@contextmanager
def judged(lab: Json) -> Iterator[Scene]:
    """A running lab under the judges' eyes; they speak at the end."""
    with Observer(str(lab["id"])) as observer:
        scene = Scene(lab, observer)
        yield scene
        scene.judge()


@contextmanager
def played(options: Options) -> Iterator[Scene]:
    """A lab of one's own, judged."""
    with running(options) as lab, judged(lab) as scene:
        yield scene


@contextmanager
def own_cache() -> Iterator[Path]:
    """A cache of one's own, with a short path; programs that are found now stay where they are."""
    programs = find("kube-apiserver", os.environ)
    with tempfile.TemporaryDirectory(prefix="ql-") as directory, pytest.MonkeyPatch.context() as patch:
        if programs is not None:
            patch.setenv("KUBEBUILDER_ASSETS", str(programs.parent))
        patch.setenv("QUORATE_CACHE", directory)
        yield Path(directory)

"""A whole cluster in virtual time: API server, machines, manager replicas, and what people and fate do to them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.api.schema import Json
from quorate.api.wire import format_instant
from quorate.core.board import ZONE_LABEL
from quorate.core.types import (
    AGENT_NAMESPACE,
    GROUP,
    SYSTEM_NAMESPACE,
    VERSION,
    GuestKey,
    GuestState,
    Instant,
    Wanted,
)
from quorate.sim import always
from quorate.sim.agent import Agent
from quorate.sim.always import KUBELETS
from quorate.sim.bargain import Bargain
from quorate.sim.engine import EPOCH_S, Engine
from quorate.sim.journal import Journal
from quorate.sim.kubelet import Kubelet
from quorate.sim.kubevirt import schedulable
from quorate.sim.machine import Behaviour, Machine, Surroundings
from quorate.sim.manager import Manager, Parsed, parsed_once
from quorate.sim.outside import Device, Measuring, Metrics
from quorate.sim.power import DeviceSetting, Switchboard
from quorate.sim.server import KUBE_NODES, OURS, ApiServer, Link
from quorate.sim.standins import StandIns
from quorate.sim.storages import binds_claims
from quorate.sim.store import Resource, status_of
from quorate.sim.truth import Truth
from quorate.sim.virtual import Virtual

CLUSTER: Final = "prod"
NAMESPACE: Final = "default"
UNREACHABLE_S: Final = 40.0
"""After so long without a word from its kubelet the control plane calls a node NotReady."""
API_VERSION: Final = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class GuestSetting:
    """A guest of a scenario: what its HAResource says, and how its container behaves.

    `requests`: of processor and memory, as Kubernetes writes them; `uses`: what it really takes, the same without it.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    behaviour: Behaviour = field(default_factory=Behaviour)
    requests: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkloadSetting:
    """A StatefulSet of a scenario, and whether an HAResource of its name protects it.

    `claims`: each Pod has a volume. `heedless`: its Pods tolerate every taint.
    """

    replicas: int = 1
    claims: bool = False
    heedless: bool = False
    protected: bool = True


@dataclass(frozen=True, slots=True)
class MachineSetting:
    """A virtual machine of a scenario, and whether an HAResource of its name protects it; `spec`: what that says.

    `strategy`: what it has before. `pool`: something else manages it. `made`: it is there from the start. `hostname`: what
    it is called inside, "" for its own name.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    behaviour: Behaviour = field(default_factory=Behaviour)
    strategy: str = "Always"
    protected: bool = True
    pool: bool = False
    made: bool = True
    requests: Mapping[str, str] = field(default_factory=lambda: {"memory": "64Mi"})
    migrates_s: float = 3.0
    """How long a live migration copies."""
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run begins with. `rates`: clock rates by node or manager; all others run true.

    `sizes`: what nodes can allocate; `storages`: the Storages' specs; `measuring`: how metrics-server works, None: there is
    none; `device`: the name of the quorum device that runs, "": none does.
    """

    seed: int = 0
    nodes: tuple[str, ...] = ("n1", "n2", "n3")
    managers: int = 2
    profile: str = "Balanced"
    guests: Mapping[str, GuestSetting] = field(default_factory=lambda: {"web": GuestSetting()})
    rates: Mapping[str, float] = field(default_factory=dict)
    firmware_s: float = 5.0
    jitter: bool = False
    """Do messages take different times, and so overtake each other?"""
    zones: Mapping[str, str] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    storages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measuring: Measuring | None = None
    device: str = ""
    devices: Mapping[str, Mapping[str, DeviceSetting]] = field(default_factory=dict)
    """Node -> its fence devices by name."""
    workloads: Mapping[str, WorkloadSetting] = field(default_factory=dict)
    virtual: Mapping[str, MachineSetting] = field(default_factory=dict)
    """Virtual machines by name."""
    kubevirt: bool = True
    """Is KubeVirt there from the start?"""
    boot_ids: bool = True
    """Does each boot have an id of its own? In kind all nodes share a kernel."""


class Simulation:
    """The cluster. `run` lets time pass; `truth` has what was found."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.engine = Engine()
        self.truth = Truth()
        self.journal = Journal(self.engine)
        self.random = random.Random(f"{setting.seed}/uids")  # noqa: S311 - the same in each replay
        self.server = ApiServer(self.engine, self._uid, self._now)
        self.server.told = self.journal.event
        self.server.store.listeners.append(self.journal.hear)
        binds_claims(self)
        self.guests: dict[str, GuestSetting] = {}
        self.machines: dict[str, Machine] = {}
        self.managers: dict[str, Manager] = {}
        self.copies: list[tuple[list[tuple[Resource, Json]], int]] = []
        self.asked = 0
        """Commands that people gave."""
        self.metrics = Metrics(self, setting.measuring) if setting.measuring is not None else None
        self.device = Device(self, setting.device) if setting.device else None
        self.power = Switchboard()
        self.power.given(setting.devices)
        self.bargain = Bargain(self)
        self.hanging: set[str] = set()
        """Guests whose stop hangs."""
        self.standins = StandIns(self) if setting.workloads else None
        self.virtual = Virtual(self) if setting.virtual else None
        around = Surroundings(
            self.engine,
            self.truth,
            self.journal.say,
            self._behaviour,
            self._hangs,
            self.bargain,
            self._kubelet_begins if self.others else lambda _: None,
        )
        for name in setting.nodes:
            self.machines[name] = Machine(
                name,
                around,
                self._link(name),
                setting.rates.get(name, 1.0),
                setting.firmware_s,
                make_agent=Agent,
                make_kubelet=Kubelet,
            )
        self._parsed: Parsed = {}
        parsers = parsed_once(self._parsed)
        for number in range(1, setting.managers + 1):
            name = f"m{number}"
            link = self._link(name)
            rate = setting.rates.get(name, 1.0)
            runner = self.power.runner(self)
            self.managers[name] = Manager(self.engine, link, self.broken, parsers, rate, self.power, runner)
            self.managers[name].called = self.bargain.called
        self._heard: dict[str, float] = {}
        self._build()

    def run(self, until_s: float, stop: Callable[[], bool] | None = None) -> None:
        """Let time pass up to that moment, or until `stop` holds."""
        self.engine.run(until_s, stop)

    def end(self) -> None:
        """Nothing goes on any more, and what was is not kept: a simulation is full of cycles, so it would stay for long."""
        for manager in self.managers.values():
            manager.kill()
        self.engine.run(self.engine.now_s)
        self.server.store.forget_history()
        self._parsed.clear()

    # -- how it begins ----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        store = self.server.store
        for namespace in (
            NAMESPACE,
            SYSTEM_NAMESPACE,
            AGENT_NAMESPACE,
            *((KUBELETS,) if self.others else ()),
        ):
            self.put("namespaces", {"metadata": {"name": namespace}, "spec": {"finalizers": ["kubernetes"]}})
        endpoints: Json = {"metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}}
        addresses = [{"addresses": [f"10.0.0.{number}"]} for number in (1, 2, 3)]
        store.create(
            store.resources["endpointslices.discovery.k8s.io"], NAMESPACE, endpoints | {"endpoints": addresses}
        )
        for name in self.machines:
            ready: Json = {"conditions": [{"type": "Ready", "status": "True"}]}
            if name in self.setting.sizes:
                ready["allocatable"] = {"cpu": "8", **self.setting.sizes[name]}
            labels = {ZONE_LABEL: self.setting.zones[name]} if name in self.setting.zones else {}
            labels = schedulable(labels) if self.virtual is not None else labels
            self.put("nodes", {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": ready})
        spec: Json = {
            "timing": {"profile": self.setting.profile},
            "fencing": {"acceptedWatchdogs": ["External"]},
            **self.setting.cluster,
        }
        self.put(f"clusters.{GROUP}", {"metadata": {"name": CLUSTER}, "spec": spec})
        for name, storage in self.setting.storages.items():
            self.put(f"storages.{GROUP}", {"metadata": {"name": name}, "spec": storage})
        for machine in self.machines.values():
            machine.power_on()
        for manager in self.managers.values():
            manager.start()
        for name, guest in self.setting.guests.items():
            self.add_guest(name, guest)
        if self.standins is not None:
            self.standins.begin()
        if self.virtual is not None:
            self.virtual.begin()
        self.engine.after(10.0, self._control_plane)
        if self.metrics is not None:
            self.metrics.look()
        if self.device is not None:
            self.device.renew()

    def add_guest(self, name: str, guest: GuestSetting) -> None:
        """A person puts a guest under HA."""
        self.guests[name] = guest
        main: Json = {"name": "main", "image": "guest"}
        if guest.requests:
            main["resources"] = {"requests": dict(guest.requests)}
        container: Json = {"spec": {"containers": [main]}}
        spec = {"guest": {"container": container}, **guest.spec}
        store = self.server.store
        store.create(store.resources[f"haresources.{GROUP}"], NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def put(self, table: str, body: Json) -> None:
        store = self.server.store
        store.create(store.resources[table], "", body)

    def _link(self, name: str) -> Link:
        return Link(self.server, name, str(self.setting.seed), jitter=self.setting.jitter)

    @property
    def others(self) -> bool:
        """Are there Pods that others make?"""
        return bool(self.setting.workloads or self.setting.virtual)

    def _kubelet_begins(self, machine: Machine) -> None:
        always.renew(self, machine)

    def _uid(self) -> str:
        return f"{self.random.getrandbits(64):016x}"

    def _now(self) -> Instant:
        return Instant(round((EPOCH_S + self.engine.now_s) * 1000))

    def _behaviour(self, key: GuestKey) -> Behaviour:
        guest = self.guests.get(key.name) or self.setting.virtual.get(key.name)
        return guest.behaviour if guest is not None else Behaviour()

    def _hangs(self, key: GuestKey) -> bool:
        return key.name in self.hanging

    def broken(self, text: str) -> None:
        """Something is wrong with the product."""
        self.journal.say("!!", text)
        self.truth.broken(self.engine.now_s, text)

    # -- the control plane's own controllers ------------------------------------------------------------------------

    def _control_plane(self) -> None:
        """Is a node NotReady, or Ready again?"""
        now_s = self.engine.now_s
        for name, machine in self.machines.items():
            if machine.on and not machine.frozen and machine.kubelet is not None and machine.link.to_api:
                self._heard[name] = now_s
            if now_s - self._heard.get(name, 0.0) > UNREACHABLE_S:
                self.node_is(name, "Unknown")
            elif machine.kubelet is not None and not machine.kubelet.shutting_down:
                self.node_is(name, "True")
        self.engine.after(10.0, self._control_plane)

    def node_is(self, name: str, ready: str) -> None:
        store = self.server.store
        found = self.find(KUBE_NODES, "", name)
        if found is None or found["status"]["conditions"][0]["status"] == ready:
            return
        status = found["status"] | {"conditions": [{"type": "Ready", "status": ready}]}
        store.update(KUBE_NODES, ("", name), lambda old: old | {"status": status}, status=True)

    # -- what is there ----------------------------------------------------------------------------------------------

    def find(self, kind: Resource, namespace: str, name: str) -> Json | None:
        return self.server.store.find(kind, (namespace, name))

    def guest(self, name: str) -> Json | None:
        """The HAResource."""
        return self.find(OURS["haresources"], NAMESPACE, name)

    def node(self, name: str) -> Json | None:
        return self.find(OURS["nodes"], "", name)

    def cluster(self) -> Json | None:
        return self.find(OURS["clusters"], "", CLUSTER)

    def where(self, name: str) -> list[str]:
        """Where the guest's process runs."""
        return self.truth.where(GuestKey(NAMESPACE, name))

    def state(self, name: str) -> str:
        found = self.guest(name)
        return str(status_of(found).get("state", ""))

    def tainted(self, name: str, key: str) -> bool:
        """Is a taint of that key on the node?"""
        taints = ((self.find(KUBE_NODES, "", name) or {}).get("spec") or {}).get("taints") or []
        return any(one["key"] == key for one in taints)

    def wanted(self) -> list[str]:
        """Guests that should run."""
        names = []
        for found in self.server.store.listed(OURS["haresources"]):
            meta = found["metadata"]
            want = found["spec"].get("state", Wanted.STARTED)
            if want == Wanted.STARTED and "deletionTimestamp" not in meta and self.is_ours(meta["name"]):
                names.append(meta["name"])
        return names

    def is_ours(self, name: str) -> bool:
        """Is it a guest that Quorate runs itself?"""
        return name in self.guests or name in self.setting.virtual

    def runs(self, name: str) -> bool:
        return self.state(name) == GuestState.STARTED and bool(self.where(name))

    def moment(self, in_s: float = 0.0) -> str:
        """The wall clock then."""
        return format_instant(Instant(self._now() + round(in_s * 1000)))

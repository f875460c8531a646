"""Virtual machines of a simulation: KubeVirt's stand-ins at work, what people do with them, and what is expected."""

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from quorate.core.machines import KEPT_ANNOTATION
from quorate.core.types import GuestKey, MachineKey
from quorate.kube.machines import JOB_LABEL, is_launcher, machine_of, strategy_of
from quorate.sim import kubevirt
from quorate.sim.controllers import Step
from quorate.sim.kinds import KUBEVIRT
from quorate.sim.machine import Container, Machine, Phase
from quorate.sim.server import KUBE_NODES, OURS, PODS, bind
from quorate.sim.store import Resource
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import MachineSetting, Simulation

Json = dict[str, Any]
Side: TypeAlias = tuple[Machine, Container]
LOOKS_EVERY_S: Final = 0.5
NAMESPACE: Final = "default"
_NOBODYS: Final = {"kind": "VirtualMachinePool", "name": "pool", "apiVersion": "pool.kubevirt.io/v1", "uid": "pool"}


def key_of(pod: Json) -> GuestKey:
    """The guest that a Pod is, for who asks what runs twice: of a launcher its machine."""
    metadata = pod["metadata"]
    if is_launcher(pod):
        return MachineKey(metadata["namespace"], machine_of(pod))
    return GuestKey(metadata["namespace"], metadata["name"])


def is_target(pod: Json) -> bool:
    """Is it a launcher to which a live migration is to hand something over?"""
    return JOB_LABEL in (pod["metadata"].get("labels") or {})


class Virtual:
    """virt-controller and virt-handler, in one."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.stopped = False
        """virt-controller does nothing."""
        self.silent: set[str] = set()
        """Nodes whose virt-handler does nothing."""
        store = simulation.server.store
        self.kinds: dict[str, Resource] = {
            "Pod": PODS,
            "VirtualMachine": store.resources[f"virtualmachines.{KUBEVIRT}"],
            "VirtualMachineInstance": store.resources[f"virtualmachineinstances.{KUBEVIRT}"],
            "VirtualMachineInstanceMigration": store.resources[f"virtualmachineinstancemigrations.{KUBEVIRT}"],
        }
        self.copying: set[str] = set()
        """Migrations that have begun to copy, by their uids."""
        self.outcomes: dict[str, bool] = {}
        self.by_hand: dict[str, str] = {}
        """Migration by name -> the node that a person binds its target to."""
        self.moods: dict[str, str] = {}
        """Machine -> how its migrations go: hangs, fails; otherwise they work."""

    def begin(self) -> None:
        """Make the machines, and their HAResources."""
        if self.simulation.setting.kubevirt:
            self.install()
        else:
            self.simulation.server.hidden.add(KUBEVIRT)
        for name, setting in self.simulation.setting.virtual.items():
            if setting.protected:
                self.protect(name, name, setting)
        self._look()

    def install(self) -> None:
        self.simulation.server.hidden.discard(KUBEVIRT)
        for name, setting in self.simulation.setting.virtual.items():
            if self.find("VirtualMachine", name) is None and setting.made:
                self.make(name, setting)

    def mend(self) -> None:
        """virt-controller works again, migrations do, and the machines that somebody deleted are made anew."""
        self.stopped = False
        self.silent.clear()
        self.moods.clear()
        self.install()

    def make(self, name: str, setting: "MachineSetting") -> None:
        spec: Json = {"domain": {"resources": {"requests": dict(setting.requests)}}}
        if setting.hostname:
            spec["hostname"] = setting.hostname
        body: Json = {"metadata": {"name": name}, "spec": {"runStrategy": setting.strategy, "template": {"spec": spec}}}
        if setting.pool:
            body["metadata"]["ownerReferences"] = [{**_NOBODYS, "controller": True}]
        self.simulation.server.store.create(self.kinds["VirtualMachine"], NAMESPACE, body)

    def protect(self, name: str, machine: str, setting: "MachineSetting") -> None:
        """A person puts it under HA."""
        spec = {"guest": {"virtualMachine": {"name": machine}}, **setting.spec}
        store = self.simulation.server.store
        store.create(OURS["haresources"], NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def find(self, kind: str, name: str) -> Json | None:
        return self.simulation.server.store.find(self.kinds[kind], (NAMESPACE, name))

    def launcher(self, machine: str) -> str | None:
        """The name of a launcher of it: of the one that is bound, if there are several."""
        found = [one for one in self.simulation.server.store.listed(PODS) if is_launcher(one)]
        own = [one for one in found if machine_of(one) == machine]
        own.sort(key=lambda one: not one["spec"].get("nodeName"))
        return own[0]["metadata"]["name"] if own else None

    def _look(self) -> None:
        """They do one thing after the other, while there is an API server."""
        simulation = self.simulation
        store = simulation.server.store
        if not simulation.server.weather.down and not self.stopped and KUBEVIRT not in simulation.server.hidden:
            seen = kubevirt.Seen(
                machines=store.listed(self.kinds["VirtualMachine"]),
                runs=store.listed(self.kinds["VirtualMachineInstance"]),
                pods=store.listed(PODS),
                nodes=store.listed(KUBE_NODES),
                jobs=store.listed(self.kinds["VirtualMachineInstanceMigration"]),
                outcomes=self.outcomes,
                silent=self.silent,
            )
            for step in kubevirt.steps(seen):
                self._take(step)
            for job in seen.jobs:
                self._copy(job)
                if job["metadata"]["name"] in self.by_hand:
                    self._bind_by_hand(job, self.by_hand[job["metadata"]["name"]])
        simulation.engine.after(LOOKS_EVERY_S, self._look)

    def _copy(self, job: Json) -> None:
        """virt-handler begins to copy what runs, once the target is ready."""
        uid, phase = job["metadata"]["uid"], (job.get("status") or {}).get("phase")
        if phase == "Running" and uid not in self.copying:
            self.copying.add(uid)
            setting = self.simulation.setting.virtual.get(job["spec"]["vmiName"])
            self.simulation.engine.after(setting.migrates_s if setting is not None else 3.0, self._copied, job)

    def _bind_by_hand(self, job: Json, node: str) -> None:
        store = self.simulation.server.store
        for pod in store.listed(PODS):
            label = (pod["metadata"].get("labels") or {}).get(JOB_LABEL)
            if label == job["metadata"]["uid"] and not pod["spec"].get("nodeName"):
                bind(store, (NAMESPACE, pod["metadata"]["name"]), {"metadata": {}, "target": {"name": node}})

    def _copied(self, job: Json) -> None:
        """All is copied: hand it over, if both sides are there."""
        uid, name = job["metadata"]["uid"], job["spec"]["vmiName"]
        kind = self.kinds["VirtualMachineInstanceMigration"]
        there = self.simulation.find(kind, NAMESPACE, job["metadata"]["name"])
        if there is None or there["metadata"]["uid"] != uid:
            return  # it was called off
        mood = self.moods.get(name, "")
        source, target = self._sides(name, uid)
        if mood == "hangs" or (source is not None and source[0].frozen) or (target is not None and target[0].frozen):
            self.simulation.engine.after(LOOKS_EVERY_S, self._copied, job)
        elif source is None or target is None or mood == "fails" or source[1].stopping or target[1].stopping:
            self.outcomes[uid] = False
        else:
            self.outcomes[uid] = True
            source[0].hand_over(source[1], target[0], target[1])

    def _sides(self, name: str, job: str) -> "tuple[Side | None, Side | None]":
        """Where it runs, and what is ready to take it."""
        source: Side | None = None
        target: Side | None = None
        pods = {one["metadata"]["uid"]: one for one in self.simulation.server.store.listed(PODS) if is_launcher(one)}
        for machine in self.simulation.machines.values():
            for container in machine.containers.values():
                pod = pods.get(container.uid)
                if container.key.name != name or container.phase is not Phase.RUNNING or pod is None:
                    continue
                if not container.standby:
                    source = (machine, container)
                elif (pod["metadata"].get("labels") or {}).get(JOB_LABEL) == job:
                    target = (machine, container)
        return source, target

    def _take(self, step: Step) -> None:
        store, kind, place = self.simulation.server.store, self.kinds[step.kind], (step.namespace, step.name)
        if step.verb == "create":
            store.create(kind, step.namespace, step.body)
        elif store.find(kind, place) is None:
            return  # an earlier step took it along
        elif step.verb == "status":
            store.update(kind, place, lambda old: old | {"status": step.body}, status=True)
        elif step.verb == "release":
            store.update(kind, place, lambda old: old | {"metadata": old["metadata"] | {"finalizers": []}})
        elif step.verb == "bind":
            bind(store, place, {"metadata": {}, "target": {"name": step.body["node"]}})
        else:
            store.delete(kind, place)


# -- words --------------------------------------------------------------------------------------------------------------


def of(simulation: "Simulation") -> Virtual:
    if simulation.virtual is None:
        raise AssertionError("a sentence about virtual machines in a scenario without any")
    return simulation.virtual


def _edit(simulation: "Simulation", machine: str, **changes: Any) -> None:
    virtual = of(simulation)
    if virtual.find("VirtualMachine", machine) is not None:
        change = lambda old: old | {"spec": old["spec"] | changes}  # noqa: E731
        simulation.server.store.update(virtual.kinds["VirtualMachine"], (NAMESPACE, machine), change)


@word("give MACHINE strategy WORD", fault="run strategy changed")
def give_strategy(simulation: "Simulation", machine: str, strategy: str) -> None:
    """Somebody else changes it."""
    _edit(simulation, machine, runStrategy=strategy)


@word("delete machine MACHINE", fault="machine deleted")
def delete_machine(simulation: "Simulation", machine: str) -> None:
    virtual = of(simulation)
    if virtual.find("VirtualMachine", machine) is not None:
        simulation.server.store.delete(virtual.kinds["VirtualMachine"], (NAMESPACE, machine))


@word("make machine MACHINE")
def make_machine(simulation: "Simulation", machine: str) -> None:
    virtual = of(simulation)
    if virtual.find("VirtualMachine", machine) is None:
        virtual.make(machine, simulation.setting.virtual[machine])


@word("delete run of MACHINE", fault="run of a machine deleted")
def delete_run(simulation: "Simulation", machine: str) -> None:
    """`kubectl delete vmi`: KubeVirt starts a machine with the strategy Once anew."""
    virtual = of(simulation)
    if virtual.find("VirtualMachineInstance", machine) is not None:
        simulation.server.store.delete(virtual.kinds["VirtualMachineInstance"], (NAMESPACE, machine))


@word("protect machine MACHINE")
def protect_machine(simulation: "Simulation", machine: str) -> None:
    if simulation.guest(machine) is None:
        of(simulation).protect(machine, machine, simulation.setting.virtual[machine])


@word("protect machine MACHINE once more")
def protect_machine_once_more(simulation: "Simulation", machine: str) -> None:
    """Another HAResource, a moment younger, over the same machine."""
    of(simulation).protect(f"{machine}-too", machine, simulation.setting.virtual[machine])


@word("install KubeVirt")
def install_kubevirt(simulation: "Simulation") -> None:
    of(simulation).install()


def _virt_again(simulation: "Simulation") -> None:
    of(simulation).stopped = False


@word("stop virt-controller", _virt_again, "virt-controller stopped")
def stop_virt_controller(simulation: "Simulation") -> None:
    of(simulation).stopped = True


def _handler_again(simulation: "Simulation", node: str) -> None:
    of(simulation).silent.discard(node)


@word("stop virt-handler of NODE", _handler_again, "virt-handler stopped")
def stop_virt_handler(simulation: "Simulation", node: str) -> None:
    """Launchers start there, and nothing is started in them."""
    of(simulation).silent.add(node)


@word("migrate MACHINE to NODE by hand")
def migrate_by_hand(simulation: "Simulation", machine: str, node: str) -> None:
    """A migration that Quorate knows nothing of, and a person who binds its target."""
    virtual = of(simulation)
    simulation.asked += 1
    name = f"{machine}-by-hand-{simulation.asked}"
    virtual.by_hand[name] = node
    body = {"metadata": {"name": name}, "spec": {"vmiName": machine}}
    simulation.server.store.create(virtual.kinds["VirtualMachineInstanceMigration"], NAMESPACE, body)


def _migrations_work(simulation: "Simulation", machine: str) -> None:
    of(simulation).moods.pop(machine, None)


@word("migrations of MACHINE hang", _migrations_work, "migration hangs")
def migrations_hang(simulation: "Simulation", machine: str) -> None:
    of(simulation).moods[machine] = "hangs"


@word("migrations of MACHINE fail", _migrations_work, "migration fails")
def migrations_fail(simulation: "Simulation", machine: str) -> None:
    of(simulation).moods[machine] = "fails"


@word("pin MACHINE")
def pin(simulation: "Simulation", machine: str) -> None:
    """KubeVirt says of its run that it cannot be migrated live."""
    virtual = of(simulation)
    kind = virtual.kinds["VirtualMachineInstance"]
    why = {"type": "LiveMigratable", "status": "False", "message": "its disk is not shared"}
    said = {"conditions": [why]}
    if virtual.find("VirtualMachineInstance", machine) is not None:
        change = lambda old: old | {"status": (old.get("status") or {}) | said}  # noqa: E731
        simulation.server.store.update(kind, (NAMESPACE, machine), change, status=True)


# -- hopes --------------------------------------------------------------------------------------------------------------


def has_strategy(simulation: "Simulation", machine: str, strategy: str) -> bool:
    found = of(simulation).find("VirtualMachine", machine)
    return found is not None and strategy_of(found["spec"]) == strategy


def is_taken(simulation: "Simulation", machine: str) -> bool:
    """Is it under HA, so that its strategy is to be given back?"""
    found = of(simulation).find("VirtualMachine", machine)
    return found is not None and KEPT_ANNOTATION in (found["metadata"].get("annotations") or {})

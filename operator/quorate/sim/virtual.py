"""Virtual machines of a simulation: KubeVirt's stand-ins at work, what people do with them, and what is expected."""

from typing import TYPE_CHECKING, Any, Final

from quorate.core.machines import KEPT_ANNOTATION
from quorate.core.types import GuestKey, MachineKey
from quorate.kube.machines import is_launcher, machine_of, strategy_of
from quorate.sim import kubevirt
from quorate.sim.controllers import Step
from quorate.sim.kinds import KUBEVIRT
from quorate.sim.server import KUBE_NODES, OURS, PODS, bind
from quorate.sim.store import Resource
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import MachineSetting, Simulation

Json = dict[str, Any]
LOOKS_EVERY_S: Final = 0.5
NAMESPACE: Final = "default"
_NOBODYS: Final = {"kind": "VirtualMachinePool", "name": "pool", "apiVersion": "pool.kubevirt.io/v1", "uid": "pool"}


def key_of(pod: Json) -> GuestKey:
    """The guest that a Pod is, for who asks what runs twice: of a launcher its machine."""
    metadata = pod["metadata"]
    if is_launcher(pod):
        return MachineKey(metadata["namespace"], machine_of(pod))
    return GuestKey(metadata["namespace"], metadata["name"])


class Virtual:
    """virt-controller and virt-handler, in one."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.stopped = False
        """virt-controller does nothing."""
        store = simulation.server.store
        self.kinds: dict[str, Resource] = {
            "Pod": PODS,
            "VirtualMachine": store.resources[f"virtualmachines.{KUBEVIRT}"],
            "VirtualMachineInstance": store.resources[f"virtualmachineinstances.{KUBEVIRT}"],
        }

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
        """virt-controller works again, and the machines that somebody deleted are made anew."""
        self.stopped = False
        self.install()

    def make(self, name: str, setting: "MachineSetting") -> None:
        spec: Json = {"domain": {"resources": {"requests": {"memory": "64Mi"}}}}
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
            )
            for step in kubevirt.steps(seen):
                self._take(step)
        simulation.engine.after(LOOKS_EVERY_S, self._look)

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


# -- hopes --------------------------------------------------------------------------------------------------------------


def has_strategy(simulation: "Simulation", machine: str, strategy: str) -> bool:
    found = of(simulation).find("VirtualMachine", machine)
    return found is not None and strategy_of(found["spec"]) == strategy


def is_taken(simulation: "Simulation", machine: str) -> bool:
    """Is it under HA, so that its strategy is to be given back?"""
    found = of(simulation).find("VirtualMachine", machine)
    return found is not None and KEPT_ANNOTATION in (found["metadata"].get("annotations") or {})

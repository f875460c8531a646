"""What stands beside the cluster: metrics-server, which tells of loads later, and a quorum device, which renews a Lease."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.api import quantity
from quorate.core.device import LEASE_PREFIX
from quorate.core.load import NOTHING, Size
from quorate.core.types import GUEST_LABEL, SYSTEM_NAMESPACE, GuestKey
from quorate.sim.server import LEASES
from quorate.sim.store import Resource
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation

Json = dict[str, Any]
DEVICE_RENEWS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Measuring:
    """How metrics-server works: it looks every so often, and what it saw is told so much later."""

    every_s: float = 15.0
    lag_s: float = 0.0


class Metrics:
    """Looks at what really runs, and tells of it later as metrics.k8s.io."""

    def __init__(self, simulation: "Simulation", measuring: Measuring) -> None:
        self.simulation = simulation
        self.every_s, self.lag_s = measuring.every_s, measuring.lag_s
        store = simulation.server.store
        self._nodes, self._pods = store.resources["nodes.metrics.k8s.io"], store.resources["pods.metrics.k8s.io"]

    def look(self) -> None:
        """What every machine that is on uses now."""
        simulation = self.simulation
        seen: dict[str, list[GuestKey]] = {}
        for name, machine in simulation.machines.items():
            if machine.on and not machine.frozen:
                seen[name] = simulation.truth.on(machine)
        simulation.engine.after(self.lag_s, self._tell, seen, simulation.moment())
        simulation.engine.after(self.every_s, self.look)

    def _tell(self, seen: Mapping[str, list[GuestKey]], moment: str) -> None:
        for name, guests in seen.items():
            whole = sum((self._uses(key) for key in guests), NOTHING)
            self._write(self._nodes, "", name, moment, {"usage": _wire(whole)})
            for key in guests:
                container = {"name": "main", "usage": _wire(self._uses(key))}
                self._write(self._pods, key.namespace, key.name, moment, {"containers": [container]})

    def _uses(self, key: GuestKey) -> Size:
        guest = self.simulation.guests.get(key.name)
        return quantity.size(guest.uses or guest.requests) if guest is not None else NOTHING

    def _write(self, kind: Resource, namespace: str, name: str, moment: str, found: Json) -> None:
        store = self.simulation.server.store
        meta = {"name": name, "labels": {GUEST_LABEL: name}}
        new: Json = {"metadata": meta, "timestamp": moment, "window": "15s", **found}
        if store.find(kind, (namespace, name)) is None:
            store.create(kind, namespace, new)
        else:
            store.update(kind, (namespace, name), lambda old: {**old, **new, "metadata": old["metadata"]})


def _wire(size: Size) -> Json:
    return {"cpu": f"{size.cpu_m}m", "memory": str(size.memory)}


class Device:
    """Renews its Lease as long as it runs."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        self.simulation = simulation
        self.name = f"{LEASE_PREFIX}{name}"
        self.runs = True

    def renew(self) -> None:
        """Now, and again and again."""
        simulation, store = self.simulation, self.simulation.server.store
        if self.runs and not simulation.server.weather.down:
            spec = {"holderIdentity": self.name, "renewTime": simulation.moment()}
            if store.find(LEASES, (SYSTEM_NAMESPACE, self.name)) is None:
                store.create(LEASES, SYSTEM_NAMESPACE, {"metadata": {"name": self.name}, "spec": spec})
            else:
                store.update(LEASES, (SYSTEM_NAMESPACE, self.name), lambda old: old | {"spec": spec})
        simulation.engine.after(DEVICE_RENEWS_S, self.renew)


# -- words --------------------------------------------------------------------------------------------------------------


def start_device(simulation: "Simulation") -> None:
    if simulation.device is not None:
        simulation.device.runs = True


@word("stop quorum device", start_device, "quorum device stopped")
def stop_device(simulation: "Simulation") -> None:
    """It runs no more, and its Lease grows old."""
    if simulation.device is not None:
        simulation.device.runs = False


word("start quorum device")(start_device)


def _in_time(simulation: "Simulation", _lag_s: float) -> None:
    if simulation.metrics is not None:
        simulation.metrics.lag_s = 0.0


@word("measurements lag TIME", _in_time, "late measurements")
def measurements_lag(simulation: "Simulation", lag_s: float) -> None:
    """What is told of loads is so old."""
    if simulation.metrics is not None:
        simulation.metrics.lag_s = lag_s

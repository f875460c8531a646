"""Storages of a simulation: which nodes miss one, and the controller that binds claims."""

from typing import TYPE_CHECKING, Final

from quorate.api.reach import encode
from quorate.core.storage import Probe, Reach
from quorate.core.types import STORAGE_LABEL, Nonce
from quorate.sim.store import Event, place_of
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.machine import Machine
    from quorate.sim.world import Simulation

BINDS_AFTER_S: Final = 0.5
WHY: Final = "connection refused"


def binds_claims(simulation: "Simulation") -> None:
    """A claim that is made of a Storage is bound a moment later."""
    store = simulation.server.store
    claims = store.resources["persistentvolumeclaims"]

    def bind(place: tuple[str, str]) -> None:
        if store.find(claims, place) is not None:
            store.update(claims, place, lambda old: old | {"status": {"phase": "Bound"}}, status=True)

    def hear(event: Event) -> None:
        new = event.new
        if event.resource is not claims or event.old is not None or new is None:
            return
        if STORAGE_LABEL in (new["metadata"].get("labels") or {}):
            simulation.engine.after(BINDS_AFTER_S, bind, place_of(new))

    store.listeners.append(hear)


def said_by(machine: "Machine", probes: tuple[Probe, ...]) -> str:
    """What the agent says of what it is asked to look at: it knows at once."""
    found = [
        Reach(one.id, one.storage not in machine.misses, WHY if one.storage in machine.misses else "") for one in probes
    ]
    return encode(Nonce(machine.nonce), tuple(found))


def reaches(simulation: "Simulation", node: str, storage: str) -> None:
    """It reaches it again."""
    simulation.machines[node].misses.discard(storage)


@word("NODE misses STORAGE", reaches)
def misses(simulation: "Simulation", node: str, storage: str) -> None:
    """It does not reach the server of that Storage any more."""
    simulation.machines[node].misses.add(storage)


@word("NODE reaches STORAGE")
def reaches_again(simulation: "Simulation", node: str, storage: str) -> None:
    """It does."""
    reaches(simulation, node, storage)

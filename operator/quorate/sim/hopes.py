"""What a scenario expects: sentences that are true or not at a moment."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from quorate.api.schema import Json
from quorate.core import capacity
from quorate.core.board import Board
from quorate.core.status import DisarmState
from quorate.core.types import FENCE_TAINT, GuestKey, NodeName, NodeState, Wanted
from quorate.sim import standins, virtual
from quorate.sim.people import NAMESPACE, OTHERS_TAINT
from quorate.sim.store import status_of
from quorate.sim.words import Word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation


def _on(simulation: "Simulation", guest: str, node: str) -> bool:
    return simulation.where(guest) == [node]


def _nowhere(simulation: "Simulation", guest: str) -> bool:
    return not simulation.where(guest)


def _guest_is(simulation: "Simulation", guest: str, state: str) -> bool:
    return simulation.state(guest) == state


def _node_is(simulation: "Simulation", node: str, state: str) -> bool:
    return status_of(simulation.node(node)).get("state") == state


def _incident(simulation: "Simulation", node: str) -> bool:
    return status_of(simulation.node(node)).get("incident") is not None


def _quorum(simulation: "Simulation") -> bool:
    return bool(status_of(simulation.cluster()).get("quorate"))


def _disarmed(simulation: "Simulation") -> bool:
    disarm = status_of(simulation.cluster()).get("disarm") or {}
    return disarm.get("state") == DisarmState.DISARMED


def _armed(simulation: "Simulation", node: str) -> bool:
    """Does its watchdog count down, in truth?"""
    return simulation.machines[node].dog.petted_s is not None


def _held_back(simulation: "Simulation", node: str) -> bool:
    status: Json = status_of(simulation.node(node))
    return status.get("incident") is not None and str(status.get("message")).startswith("held back until")


def _power(simulation: "Simulation", node: str) -> Json:
    found: Json = status_of(simulation.node(node)).get("power") or {}
    return found


def _is_proven(simulation: "Simulation", node: str) -> bool:
    return bool(_power(simulation, node).get("proven"))


def _is_distrusted(simulation: "Simulation", node: str) -> bool:
    return condition(simulation.node(node), "DevicesTrusted") == "False"


def _waits(simulation: "Simulation", node: str) -> bool:
    return condition(simulation.node(node), "FencingBlocked") == "True"


def _drill_failed(simulation: "Simulation", node: str) -> bool:
    drilled = _power(simulation, node).get("drilled") or {}
    return bool(drilled) and not drilled["passed"]


def _proof(simulation: "Simulation", node: str, proof: str) -> bool:
    incident: Json = status_of(simulation.node(node)).get("incident") or {}
    return proof in {one["kind"] for one in incident.get("evidence") or []}


def _on_power(simulation: "Simulation", node: str) -> bool:
    return simulation.machines[node].on


def _rewind(simulation: "Simulation") -> bool:
    rewind = status_of(simulation.cluster()).get("rewind")
    return rewind is not None and rewind.get("accepted") is None


def _gone(simulation: "Simulation", guest: str) -> bool:
    return simulation.guest(guest) is None


def _booted(simulation: "Simulation", node: str, times: int) -> bool:
    return simulation.machines[node].boots == times


def _with(simulation: "Simulation", guest: str, other: str) -> bool:
    return len(simulation.where(guest)) == 1 and simulation.where(guest) == simulation.where(other)


def _apart(simulation: "Simulation", guest: str, other: str) -> bool:
    here, there = simulation.where(guest), simulation.where(other)
    return bool(here) and bool(there) and not set(here) & set(there)


def _drained(simulation: "Simulation", node: str) -> bool:
    return condition(simulation.node(node), "Drained") == "True"


def _tainted(simulation: "Simulation", node: str) -> bool:
    return simulation.tainted(node, FENCE_TAINT)


def _others_taint(simulation: "Simulation", node: str) -> bool:
    return simulation.tainted(node, OTHERS_TAINT)


def _honoured(simulation: "Simulation") -> bool:
    return condition(simulation.cluster(), "RulesHonoured") == "True"


def _ignored(simulation: "Simulation", number: int) -> bool:
    return len(status_of(simulation.cluster()).get("ignoredRules", [])) == number


def _says(simulation: "Simulation", guest: str, word: str) -> bool:
    """Is that word in its message?"""
    message = str(status_of(simulation.guest(guest)).get("message", ""))
    return word in message.replace(",", " ").replace(":", " ").split()


def _capacity(simulation: "Simulation") -> bool:
    return condition(simulation.cluster(), capacity.CONDITION) == "True"


def _survivable(simulation: "Simulation", number: int) -> bool:
    return bool((status_of(simulation.cluster()).get("capacity") or {}).get("survivable") == number)


def _device(simulation: "Simulation") -> bool:
    return condition(simulation.cluster(), "QuorumDeviceHeard") == "True"


def _protected(simulation: "Simulation", guest: str) -> bool:
    return condition(simulation.guest(guest), "Protected") == "True"


def _whole(simulation: "Simulation", guest: str) -> bool:
    return condition(simulation.guest(guest), "Ready") == "True"


def condition(found: Json | None, kind: str) -> str:
    """The status of one of an object's conditions; empty where it has none of that type."""
    conditions = status_of(found).get("conditions") or []
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")


def _not(hope: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *values: not hope(*values)


HOPES: Final = (
    Word("GUEST on NODE", _on),
    Word("GUEST not on NODE", _not(_on)),
    Word("GUEST nowhere", _nowhere),
    Word("GUEST with GUEST", _with),
    Word("GUEST apart from GUEST", _apart),
    Word("GUEST is GUESTSTATE", _guest_is),
    Word("GUEST is gone", _gone),
    Word("GUEST says WORD", _says),
    Word("NODE is NODESTATE", _node_is),
    Word("NODE has an incident", _incident),
    Word("NODE has no incident", _not(_incident)),
    Word("NODE is drained", _drained),
    Word("NODE is tainted", _tainted),
    Word("NODE is not tainted", _not(_tainted)),
    Word("NODE has the taint of others", _others_taint),
    Word("NODE is proven by a drill", _is_proven),
    Word("NODE is not proven by a drill", _not(_is_proven)),
    Word("NODE has distrusted devices", _is_distrusted),
    Word("NODE has no distrusted devices", _not(_is_distrusted)),
    Word("devices of NODE wait", _waits),
    Word("devices of NODE do not wait", _not(_waits)),
    Word("drill of NODE failed", _drill_failed),
    Word("NODE is lost by PROOF", _proof),
    Word("NODE is not lost by PROOF", _not(_proof)),
    Word("NODE is powered", _on_power),
    Word("NODE is not powered", _not(_on_power)),
    Word("NODE is held back", _held_back),
    Word("NODE is not held back", _not(_held_back)),
    Word("NODE booted NUMBER times", _booted),
    Word("quorum", _quorum),
    Word("no quorum", _not(_quorum)),
    Word("disarmed", _disarmed),
    Word("not disarmed", _not(_disarmed)),
    Word("NODE is armed", _armed),
    Word("NODE is not armed", _not(_armed)),
    Word("rules are honoured", _honoured),
    Word("NUMBER rules are ignored", _ignored),
    Word("capacity is sufficient", _capacity),
    Word("capacity is not sufficient", _not(_capacity)),
    Word("NUMBER nodes can be lost", _survivable),
    Word("the device is heard", _device),
    Word("the device is not heard", _not(_device)),
    Word("GUEST is protected", _protected),
    Word("GUEST is not protected", _not(_protected)),
    Word("GUEST is whole", _whole),
    Word("GUEST is not whole", _not(_whole)),
    Word("pod POD on NODE", standins.pod_on),
    Word("pod POD not on NODE", _not(standins.pod_on)),
    Word("pod POD runs", standins.pod_runs),
    Word("pod POD nowhere", standins.pod_nowhere),
    Word("pod POD was made NUMBER times", standins.pod_made),
    Word("pod POD is ending", standins.pod_ending),
    Word("volume of POD is on NODE", standins.attached_to),
    Word("second of WORKLOAD says WORD", standins.twice),
    Word("MACHINE has strategy WORD", virtual.has_strategy),
    Word("MACHINE is taken over", virtual.is_taken),
    Word("MACHINE is not taken over", _not(virtual.is_taken)),
    Word("second of MACHINE says WORD", standins.twice),
    Word("NODE is out of service", standins.is_out_of_service),
    Word("NODE is not out of service", _not(standins.is_out_of_service)),
    Word("history is questioned", _rewind),
    Word("history is in order", _not(_rewind)),
)


def _board(simulation: "Simulation") -> Board:
    return next((manager.board() for manager in simulation.managers.values() if manager.leads), Board())


def _has_no_place(simulation: "Simulation", board: Board, guest: GuestKey) -> bool:
    """Do the rules leave it no node while others run where they run? Nobody is moved to make room for it."""
    return guest in board.now and all(board.forbids(guest, NodeName(node)) for node in simulation.machines)


def down(simulation: "Simulation") -> list[str]:
    """Wanted guests that do not run, with what their status says. One that says which rules leave it no place may wait."""
    found, board = [], _board(simulation)
    for name in simulation.wanted():
        if not simulation.runs(name):
            status = status_of(simulation.guest(name))
            if _has_no_place(simulation, board, GuestKey(NAMESPACE, name)) and "rule " in status.get("message", ""):
                continue
            state, where = status.get("state", "unseen"), simulation.where(name) or "nowhere"
            found.append(f"{name} is wanted {Wanted.STARTED}, is {state}, runs {where}: {status.get('message')}")
    return found


def amiss(simulation: "Simulation") -> list[str]:
    """What is not as it is wished once all is well: guests that are down, nodes that are not back, rules not followed."""
    found = down(simulation)
    if simulation.standins is not None:
        found.extend(simulation.standins.down())
    for name in simulation.machines:
        status = status_of(simulation.node(name))
        if status.get("state") != NodeState.ONLINE or _tainted(simulation, name):
            found.append(f"{name} is {status.get('state')}: {status.get('message')}")
    return found or _astray(simulation)


def _astray(simulation: "Simulation") -> list[str]:
    """Guests that run against a rule though all are up, and those that did not come back after a maintenance, and may."""
    board = _board(simulation)
    broken = [(guest, rule) for guest, rule in board.broken() if not _has_no_place(simulation, board, guest)]
    found = [f"{guest.sid} runs against a rule: {rule}" for guest, rule in broken]
    for name in simulation.wanted():
        home = status_of(simulation.guest(name)).get("maintenanceNode")
        key = GuestKey(NAMESPACE, name)
        kept_away = home is not None and key in board.now and board.forbids(key, home) is not None
        if home and not kept_away:
            found.append(f"{name} is still to go back to {home}")
    return found

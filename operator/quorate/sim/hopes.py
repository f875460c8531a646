"""What a scenario expects: sentences that are true or not at a moment."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from quorate.core.types import GuestState, Wanted
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
    return ((simulation.node(node) or {}).get("status") or {}).get("state") == state


def _incident(simulation: "Simulation", node: str) -> bool:
    return ((simulation.node(node) or {}).get("status") or {}).get("incident") is not None


def _quorum(simulation: "Simulation") -> bool:
    return bool(((simulation.cluster() or {}).get("status") or {}).get("quorate"))


def _rewind(simulation: "Simulation") -> bool:
    rewind = ((simulation.cluster() or {}).get("status") or {}).get("rewind")
    return rewind is not None and rewind.get("accepted") is None


def _gone(simulation: "Simulation", guest: str) -> bool:
    return simulation.guest(guest) is None


def _booted(simulation: "Simulation", node: str, times: int) -> bool:
    return simulation.machines[node].boots == times


def _not(hope: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *values: not hope(*values)


HOPES: Final = (
    Word("GUEST on NODE", _on),
    Word("GUEST not on NODE", _not(_on)),
    Word("GUEST nowhere", _nowhere),
    Word("GUEST is GUESTSTATE", _guest_is),
    Word("GUEST is gone", _gone),
    Word("NODE is NODESTATE", _node_is),
    Word("NODE has an incident", _incident),
    Word("NODE has no incident", _not(_incident)),
    Word("NODE booted NUMBER times", _booted),
    Word("quorum", _quorum),
    Word("no quorum", _not(_quorum)),
    Word("history is questioned", _rewind),
    Word("history is in order", _not(_rewind)),
)


def down(simulation: "Simulation") -> list[str]:
    """Wanted guests that do not run, with what their status says."""
    found = []
    for name in simulation.wanted():
        if not simulation.runs(name):
            status = (simulation.guest(name) or {}).get("status") or {}
            state, where = status.get("state", "unseen"), simulation.where(name) or "nowhere"
            found.append(f"{name} is wanted {Wanted.STARTED}, is {state}, runs {where}: {status.get('message')}")
    return found


def in_error(simulation: "Simulation") -> list[str]:
    return [name for name in simulation.wanted() if simulation.state(name) == GuestState.ERROR]

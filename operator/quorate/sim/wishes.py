"""What people wish of guests: when they start, where they run, with whom and away from whom; and how quick it all is."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.api.schema import Json
from quorate.core.rules import Affinity
from quorate.sim.people import CLUSTER, NAMESPACE, edit, edit_cluster, edit_guest
from quorate.sim.server import OURS
from quorate.sim.words import quorum_with, word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation


# -- order --------------------------------------------------------------------------------------------------------------


@word("give GUEST priority NUMBER", fault="order changed")
def priority(simulation: "Simulation", guest: str, number: int) -> None:
    edit_guest(simulation, guest, priority=number)


@word("start GUEST after GUEST", fault="order changed")
def start_after(simulation: "Simulation", guest: str, other: str) -> None:
    edit_guest(simulation, guest, startAfter=[f"{NAMESPACE}/{other}"])


@word("start GUEST after nobody")
def start_after_nobody(simulation: "Simulation", guest: str) -> None:
    edit_guest(simulation, guest, startAfter=[])


# -- rules --------------------------------------------------------------------------------------------------------------


def _rules(simulation: "Simulation", keep: Callable[[Json], bool], *more: Json) -> None:
    """The rules that are to be kept, and more."""

    def change(old: Json) -> Json:
        rules = [one for one in old["spec"].get("rules", []) if keep(one)]
        return old | {"spec": old["spec"] | {"rules": [*rules, *more]}}

    edit(simulation, OURS["clusters"], "", CLUSTER, change)


def drop_rules(simulation: "Simulation", *guests: str) -> None:
    """All rules that name one of these; without names all."""
    named = {f"{NAMESPACE}/{guest}" for guest in guests}
    _rules(simulation, lambda one: bool(named) and not named & set(one["guests"]["names"]))


def _write_rule(simulation: "Simulation", name: str, guests: list[str], **what: Json) -> None:
    """A rule of that name, instead of the one that had it."""
    rule = {"name": name, "guests": {"names": [f"{NAMESPACE}/{guest}" for guest in guests]}, **what}
    _rules(simulation, lambda one: one["name"] != name, rule)


def _nodes(simulation: "Simulation", guest: str, priorities: dict[str, int], *, strict: bool) -> None:
    nodes = [{"name": node, "priority": priority} for node, priority in priorities.items()]
    _write_rule(simulation, f"{guest}-nodes", [guest], nodeAffinity={"nodes": nodes, "strict": strict})


def _no_nodes(simulation: "Simulation", guest: str, *_: str) -> None:
    _rules(simulation, lambda one: one["name"] != f"{guest}-nodes")


@word("keep GUEST on NODE", _no_nodes, "rule changed")
def keep_on(simulation: "Simulation", guest: str, node: str) -> None:
    """Strict: nowhere else."""
    _nodes(simulation, guest, {node: 0}, strict=True)


@word("keep GUEST on NODE or NODE", _no_nodes, "rule changed")
def keep_on_two(simulation: "Simulation", guest: str, node: str, other: str) -> None:
    _nodes(simulation, guest, dict.fromkeys((node, other), 0), strict=True)


@word("let GUEST prefer NODE", _no_nodes, "rule changed")
def prefer(simulation: "Simulation", guest: str, node: str) -> None:
    _nodes(simulation, guest, {node: 0}, strict=False)


@word("let GUEST prefer NODE then NODE", _no_nodes, "rule changed")
def prefer_in_order(simulation: "Simulation", guest: str, node: str, then: str) -> None:
    _nodes(simulation, guest, {then: 1, node: 2}, strict=False)


def _peers(simulation: "Simulation", guest: str, other: str, affinity: Affinity) -> None:
    name = f"{guest}-{affinity.lower()}-{other}"
    _write_rule(simulation, name, [guest, other], guestAffinity={"affinity": str(affinity)})


@word("keep GUEST with GUEST", drop_rules, "rule changed")
def keep_with(simulation: "Simulation", guest: str, other: str) -> None:
    if guest != other:
        _peers(simulation, guest, other, Affinity.TOGETHER)


@word("keep GUEST apart from GUEST", drop_rules, "rule changed")
def keep_apart(simulation: "Simulation", guest: str, other: str) -> None:
    if guest != other:
        _peers(simulation, guest, other, Affinity.APART)


word("drop rules of GUEST")(drop_rules)
word("drop all rules")(drop_rules)


@word("let GUEST fail back")
def fail_back(simulation: "Simulation", guest: str) -> None:
    edit_guest(simulation, guest, failback=True)


@word("let GUEST stay")
def stay(simulation: "Simulation", guest: str) -> None:
    """Failback off: it returns to no node that a rule prefers."""
    edit_guest(simulation, guest, failback=False)


# -- load ---------------------------------------------------------------------------------------------------------------


def _schedule(simulation: "Simulation", **changes: object) -> None:
    def change(old: Json) -> Json:
        return old | {"spec": old["spec"] | {"scheduling": (old["spec"].get("scheduling") or {}) | changes}}

    edit(simulation, OURS["clusters"], "", CLUSTER, change)


@word("schedule by MODE", fault="scheduling changed")
def schedule_by(simulation: "Simulation", mode: str) -> None:
    _schedule(simulation, mode=mode)


def leave_in_place(simulation: "Simulation") -> None:
    """Nobody moves for the load."""
    _schedule(simulation, autoRebalance=None)


@word("rebalance after TIME", lambda simulation, _: leave_in_place(simulation), "scheduling changed")
def rebalance_after(simulation: "Simulation", hold_s: float) -> None:
    """Guests move for the load, when nodes have been unevenly loaded for so long."""
    _schedule(simulation, autoRebalance={"threshold": 10, "margin": 10, "hold": f"{hold_s:g}s"})


word("leave guests in place")(leave_in_place)


# -- quorum -------------------------------------------------------------------------------------------------------------


def _options(simulation: "Simulation", wished: Json) -> None:
    """These options and no others; a person's word about the votes stays."""

    def change(old: Json) -> Json:
        before = old["spec"].get("quorum") or {}
        kept = {name: before[name] for name in ("expectedVotes", "device") if name in before}
        return old | {"spec": old["spec"] | {"quorum": kept | wished}}

    edit(simulation, OURS["clusters"], "", CLUSTER, change)


def count_plainly(simulation: "Simulation", *_: str) -> None:
    """By majority."""
    _options(simulation, {})


@word("count by OPTION", count_plainly, "quorum options changed")
def count_by(simulation: "Simulation", option: str) -> None:
    _options(simulation, quorum_with(option))


word("count plainly", fault="quorum options changed")(count_plainly)


# -- times --------------------------------------------------------------------------------------------------------------


@word("take times of PROFILE", fault="profile changed")
def profile(simulation: "Simulation", name: str) -> None:
    edit_cluster(simulation, timing={"profile": name})


@word("take shutdown policy POLICY", fault="shutdown policy changed")
def shutdown_policy(simulation: "Simulation", policy: str) -> None:
    edit_cluster(simulation, shutdownPolicy=policy)

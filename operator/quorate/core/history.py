"""History that runs backwards: the store remembers less than the nodes, the managers, or it itself did before.

Somebody restored etcd, or all our objects, from an old copy. What the statuses say of guests and boots may be long over, so
nothing is done in that Cluster until a person accepts what the store says now, and every node has renewed since.

| sign | who remembers |
|---|---|
| a complete list is older than what this manager had read before | the manager (`World.rewound`) |
| an agent has seen orders of a larger term than any that the store knows | the agent, for its boot |
| agents found their Leases older than they had renewed them: two, or all known boots heard | the agents, for their boot |

One Lease alone that somebody put back is no sign: its agent renews over it. What was seen is written into the Cluster's
status at once, so that the signs may fade; a person accepts exactly that, by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quorate.core.conditions import Finding
from quorate.core.liveness import Pulse, valid
from quorate.core.quick import quick, replace
from quorate.core.status import Remembered, Rewind
from quorate.core.types import Answer, NodeName
from quorate.core.world import Attestation, World

ENOUGH_AGENTS: Final = 2
"""Agents that must find their Leases old, where more than one renews: a person may put a single one back."""


@quick
@dataclass(frozen=True, slots=True)
class Judgement:
    """`rewind` is what to record, `waiting` why nothing is done; empty: history is in order."""

    rewind: Rewind | None
    waiting: str = ""


def judge(world: World, pulses: Mapping[NodeName, Pulse]) -> Judgement:
    """Is the store's history in order, and if not, has a person accepted it?"""
    known = world.cluster.status.rewind
    if known is None or known.ended is not None or (known.accepted is not None and world.rewound):
        signs, doubt = _signs(world, pulses, known)
        if not signs:
            return Judgement(known, doubt)
        known = Rewind(id=f"rewind-{world.entropy[:8]}", since=world.wall, why="; ".join(signs))
    if known.accepted is None:
        if world.cluster.accepted_history != known.id:
            return Judgement(known, _open(known))
        known = replace(known, accepted=world.wall)
    missing = [node.name for node in world.nodes if pulses[node.name].alive is not Answer.YES]
    if missing:
        return Judgement(known, _missing(missing))
    return Judgement(_ended(world, known))


def finding(rewind: Rewind | None, waiting: str) -> Finding:
    """The condition `HistoryForward` of the Cluster."""
    if waiting:
        return Finding("HistoryForward", False, "HistoryBackwards", waiting)
    if rewind is not None:
        return Finding("HistoryForward", True, "Accepted", f"{rewind.id} was accepted by a person: {rewind.why}")
    return Finding("HistoryForward", True, "InOrder", "the store has never been found older than it was")


def _signs(world: World, pulses: Mapping[NodeName, Pulse], before: Rewind | None) -> tuple[list[str], str]:
    """The signs, and while there is none yet but there may be: what is awaited."""
    found = [world.rewound] if world.rewound else []
    said = _attested(world)
    term = max(world.term, before.term if before is not None else 0)
    ahead = sorted(name for name, one in said.items() if one.highest_term > term)
    if ahead:
        highest = max(said[name].highest_term for name in ahead)
        found.append(
            f"the agents of {', '.join(ahead)} have seen orders of term {highest}, the store knows none above {term}"
        )
    accepted = {one.node: one.sequence for one in before.nodes} if before is not None else {}
    behind = sorted(name for name, one in said.items() if one.rewound > accepted.get(name, 0))
    # A boot that is new cannot know: after a restore whoever has booted since the copy was made resets itself.
    witnesses = {node.name for node in world.nodes if node.beat is not None and node.beat.nonce == node.status.nonce}
    if behind and len(behind) >= min(ENOUGH_AGENTS, len({*behind, *(witnesses & said.keys())})):
        found.append(f"the agents of {', '.join(behind)} found their Leases older than they had renewed them")
    unheard = [name for name, pulse in pulses.items() if pulse.alive is Answer.NOT_YET]
    if found or not behind or not unheard:
        return found, ""
    return found, (
        f"the agent of {behind[0]} found its Lease older than it had renewed it: waiting to hear whether {unheard[0]} "
        "did, too"
    )


def _attested(world: World) -> dict[NodeName, Attestation]:
    """What the boots say that hold their Leases now and were heard to renew them."""
    return {
        node.name: node.beat.attestation
        for node in world.nodes
        if node.beat is not None
        and node.beat.attestation is not None
        and node.beat.nonce is not None
        and node.beat.moved
        and valid(node.beat)
    }


def _ended(world: World, rewind: Rewind) -> Rewind:
    """Accepted, and all have renewed: what they remembered of the time before counts no more."""
    said = _attested(world)
    return replace(
        rewind,
        ended=world.wall,
        term=max([rewind.term, *(one.highest_term for one in said.values())]),
        nodes=tuple(Remembered(name, one.rewound) for name, one in sorted(said.items()) if one.rewound),
    )


def _open(rewind: Rewind) -> str:
    return (
        f"history runs backwards, as after a restore from an old copy: {rewind.why}. Nothing is fenced, started, moved or "
        "stopped until a person has looked at what runs where and accepts what the store says now: quorate cluster "
        "accept-history"
    )


def _missing(nodes: list[NodeName]) -> str:
    return (
        f"the history was accepted; nothing is done before every node has renewed its Lease: waiting for "
        f"{', '.join(nodes)}. Boot what is off or found its Lease with another boot's name, or delete its nodes.quorate.dev"
    )

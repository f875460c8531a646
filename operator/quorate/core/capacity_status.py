"""What a look ahead (`capacity.py`) has found, as it is recorded in the status of a Cluster."""

from dataclasses import dataclass

from quorate.core.quick import quick


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A guest that would have no node, were these nodes lost."""

    guest: str
    lost: str
    reason: str


@quick
@dataclass(frozen=True, slots=True)
class CapacityStatus:
    """How many nodes may be lost together now, as far as was looked (`core/capacity.py`).

    `text`: what each single loss would mean. `votes`: the loss after which there is no quorum. `unplaced`: the guests
    without a node after the first loss that is too much, and how many `more`.
    """

    survivable: int = 0
    text: str = ""
    votes: str = ""
    unplaced: tuple[Unplaced, ...] = ()
    more: int = 0

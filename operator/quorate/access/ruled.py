"""Rules judged by the core, here, before anything is written: what would be ignored, and what keeps a guest from a node."""

from typing import TYPE_CHECKING, Any

from quorate.access import world
from quorate.access.errors import ForbiddenError
from quorate.core.board import Board, board_of, rulebook
from quorate.core.contradictions import Contradiction
from quorate.core.rulebook import Rulebook
from quorate.core.world import World

if TYPE_CHECKING:
    from quorate.access.reader import Reader

Raw = dict[str, Any]


def board(api: "Reader", cluster: Raw) -> Board | None:
    """Where every guest of the Cluster is, and what the rules say; None when we may not see them all."""
    found = _world(api, cluster)
    return board_of(found) if found is not None else None


def judged(api: "Reader", cluster: Raw) -> Rulebook | None:
    """What would become of the rules in this Cluster's spec; None when we may not see whom they are about."""
    found = _world(api, cluster)
    return rulebook(found) if found is not None else None


def about(book: Rulebook, rule: str) -> Contradiction | None:
    """Why this rule would be ignored, None if it would not."""
    return next((one for one in book.ignored if rule in one.rules), None)


def _world(api: "Reader", cluster: Raw) -> World | None:
    """Raises UnreadableError for a Cluster whose rules cannot be read."""
    try:
        return world.sketch(api, cluster)
    except ForbiddenError:
        return None

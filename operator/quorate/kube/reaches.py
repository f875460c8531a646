"""What the agents say of Storages, as it stands on the Leases. Most renewals bring the same text, which is read once."""

from collections.abc import Mapping
from typing import Any

from quorate.api import reach
from quorate.core.storage import Reach
from quorate.core.types import REACH_ANNOTATION, NodeName


def read(lease: Mapping[str, Any]) -> tuple[Reach, ...]:
    """What the boot that holds a node's Lease says."""
    return reach.decode(_text(lease), (lease.get("spec") or {}).get("holderIdentity") or "")


def _text(lease: Mapping[str, Any]) -> str | None:
    return (lease["metadata"].get("annotations") or {}).get(REACH_ANNOTATION)


class Reaches:
    """By node: the text, the boot that holds the Lease, and what that boot says."""

    def __init__(self) -> None:
        self._known: dict[NodeName, tuple[str | None, str, tuple[Reach, ...]]] = {}

    def saw(self, name: NodeName, lease: Mapping[str, Any], holder: str) -> bool:
        """One more version of a node's Lease. Does it say anything new?"""
        text = _text(lease)
        before = self._known.get(name)
        if before is not None and before[:2] == (text, holder):
            return False
        found = read(lease)
        self._known[name] = text, holder, found
        return found != (before[2] if before is not None else ())

    def of(self, name: NodeName) -> tuple[Reach, ...]:
        """Nothing is known of a node that has said nothing."""
        return self._known[name][2] if name in self._known else ()

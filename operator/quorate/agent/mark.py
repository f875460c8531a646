"""What the agent must remember over its own death, in a file under /run, of which a reboot leaves nothing."""

import json
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from quorate.agent.orders import UNTIL_TOLD
from quorate.core.selffence import Guard
from quorate.core.timing import Timing
from quorate.core.types import Nonce, Uid

log = logging.getLogger(__name__)


class Mark(Protocol):
    """The file in /run, of which a reboot leaves nothing: as much of a `Path` as is needed."""

    def read_text(self) -> str: ...

    def write_text(self, text: str, /) -> int: ...

    def with_suffix(self, suffix: str, /) -> "Mark": ...

    def replace(self, target: Any, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """The Node that gave orders, by its uid, and the largest term that its status has named."""

    node: Uid
    term: int


def write(mark: Mark, guard: Guard, seen: Seen, timing: Timing) -> None:
    """Put it there, whole or not at all. Raises OSError."""
    record = {
        "nonce": guard.nonce,
        "held": guard.held,
        "sequence": guard.sequence,
        "rewound": guard.rewound,
        "seen": [seen.node, seen.term],
        "timing": [timing.renew_s, timing.timeout_s, timing.watchdog_s],
    }
    temporary = mark.with_suffix(".new")
    temporary.write_text(json.dumps(record))
    temporary.replace(mark)


def remembered(mark: Mark, nonce: Nonce) -> Guard:
    """What an earlier agent of this boot left; a mark of another boot counts for nothing."""
    record = _record(mark, nonce)
    try:
        if not record:
            return Guard(nonce)
        sequence, rewound = int(record["sequence"]), int(record.get("rewound", 0))
        return Guard(nonce, held=bool(record["held"]), sequence=sequence, confirmed=sequence, rewound=rewound)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("mark %s makes no sense (%r): the Lease counts as never held", mark, error)
        return Guard(nonce)


def remembered_orders(mark: Mark, nonce: Nonce) -> Seen:
    """The largest term that an earlier agent of this boot had seen."""
    try:
        node, term = _record(mark, nonce)["seen"]
        return Seen(Uid(str(node)), int(term))
    except (ValueError, KeyError, TypeError):
        return Seen(Uid(""), 0)


def remembered_timing(mark: Mark, nonce: Nonce) -> Timing:
    """The times an earlier agent of this boot worked by: the device it left counts on by them."""
    try:
        renew_s, timeout_s, watchdog_s = _record(mark, nonce)["timing"]
        return Timing(float(renew_s), float(timeout_s), float(watchdog_s))
    except (ValueError, KeyError, TypeError):
        return UNTIL_TOLD


def _record(mark: Mark, nonce: Nonce) -> dict[str, Any]:
    """The mark in /run, empty when there is none of this boot."""
    try:
        record = json.loads(mark.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("mark %s cannot be read (%s): the Lease counts as never held", mark, error)
        return {}
    return record if isinstance(record, dict) and record.get("nonce") == nonce else {}

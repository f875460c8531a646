"""The attestation on a node's Lease: what agent and manager say to each other, as one JSON object.

Short keys, because it is written with every renewal. Fields that a reader does not know are ignored, so that room is
left for what is to come; a reader that finds no valid attestation treats the Lease as one that attests nothing.
"""

import json
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from quorate.core.types import MAX_TROUBLE, Uid
from quorate.core.world import Attestation

_KEYS = {
    "leaseUid": "lease_uid",
    "seq": "sequence",
    "armed": "armed",
    "watchdog": "watchdog",
    "w": "watchdog_s",
    "d": "timeout_s",
    "uptime": "uptime_s",
    "systemUUID": "system_uuid",
    "protocol": "protocol",
    "generation": "generation",
    "highestTerm": "highest_term",
    "highestSeq": "highest_sequence",
    "sharedKernel": "shared_kernel",
    "drained": "drained",
    "rewound": "rewound",
    "latency": "latency_s",
    "going": "going",
    "trouble": "trouble",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "lease_uid": (str,),
    "sequence": (int,),
    "armed": (bool,),
    "watchdog": (str,),
    "watchdog_s": (int, float),
    "timeout_s": (int, float),
    "uptime_s": (int, float),
    "system_uuid": (str,),
    "protocol": (int,),
    "generation": (int,),
    "highest_term": (int,),
    "highest_sequence": (int,),
    "shared_kernel": (bool,),
    "drained": (bool,),
    "rewound": (int,),
    "latency_s": (int, float),
    "going": (str,),
    "trouble": (str,),
}
_FIELDS: Final = tuple((key, name, _TYPES[name], int in _TYPES[name]) for key, name in _KEYS.items())
"""Key, name, exact types of JSON, and whether it is a number."""


_LISTS: Final = ("left", "idle", "gone")
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))
_READER: Final = json.JSONDecoder()
_VALUES: Final = attrgetter(*_KEYS.values())


def encode(attestation: Attestation) -> str:
    """The annotation's value."""
    found: dict[str, Any] = dict(zip(_KEYS, _VALUES(attestation), strict=True))
    for key in _LISTS:
        if uids := getattr(attestation, key):
            found[key] = list(uids)
    return _COMPACT.encode(found)


@lru_cache(maxsize=256)
def decode(text: str | None) -> Attestation | None:
    """The attestation, or None when the text is not a valid one. Never raises: anybody may have written it.

    The same text comes more than once: as an answer, as a change, in a list.
    """
    try:
        found = _READER.decode(text or "")
        values = {}
        for key, name, types, number in _FIELDS:
            if key in found:
                value = values[name] = found[key]
                if type(value) not in types or (number and not 0 <= value < 1e12):
                    return None
        for key in _LISTS:
            if key in found:
                values[key] = _uids(key, found[key])
        if "trouble" in values:
            values["trouble"] = values["trouble"][:MAX_TROUBLE]  # it goes into a condition
        return Attestation(**values)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _uids(key: str, uids: object) -> tuple[Uid, ...]:
    if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
        raise ValueError(f"{key} is not a list of uids")
    return tuple(Uid(uid) for uid in uids)

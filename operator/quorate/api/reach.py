"""Which Storages an agent reaches: an annotation on its node's Lease, beside the attestation, as one JSON object.

Nothing depends on it but where guests start. Whoever finds none that can be read knows nothing of that node.
"""

import json
from typing import Any, Final

from quorate.core.storage import MAX_PROBES, MAX_WHY, Reach
from quorate.core.types import Nonce, Uid

MOST: Final = 32_768
"""Characters. Beyond that nobody of ours has written it."""
_LARGEST: Final = 2**63


def encode(nonce: Nonce, reaches: tuple[Reach, ...]) -> str:
    """The annotation's value; "" while there is nothing to say."""
    if not reaches:
        return ""
    said = [
        {"id": one.id, "reached": one.reached, "why": _line(one.why), "used": one.used, "size": one.size}
        for one in reaches[:MAX_PROBES]
    ]
    return json.dumps({"nonce": nonce, "storages": said}, separators=(",", ":"), ensure_ascii=False)


def decode(text: str | None, holder: str) -> tuple[Reach, ...]:
    """What the boot that holds the Lease says. Never raises: anybody may have written it."""
    if not text or len(text) > MOST:
        return ()
    try:
        found = json.loads(text)
        if found["nonce"] != holder:
            return ()  # of a boot that is over
        return tuple(_reach(one) for one in found["storages"][:MAX_PROBES])
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return ()


def _reach(raw: Any) -> Reach:
    """Raises KeyError, TypeError, ValueError."""
    name, reached, why, used, size = raw["id"], raw["reached"], raw["why"], raw["used"], raw["size"]
    if not isinstance(name, str) or not isinstance(reached, bool) or not isinstance(why, str):
        raise TypeError(f"{raw!r} is not what an agent says of a Storage")
    if type(used) is not int or type(size) is not int or not (0 <= used <= 100 and 0 <= size < _LARGEST):
        raise ValueError(f"{used!r} percent of {size!r} bytes")
    return Reach(Uid(name), reached, _line(why), used, size)


def _line(words: str) -> str:
    """One printable line: some of the words are a server's, and they go into a condition."""
    return "".join(one if one.isprintable() else " " for one in words[:MAX_WHY])

"""Label and field selectors of a list or a watch, in the text form of the API: `a=b,c in (d,e),!f`."""

import re
from collections.abc import Callable, Collection

from quorate.api.schema import Json, dig
from quorate.core.selectors import Requirement
from quorate.sim.errors import ApiError

Matches = Callable[[Json], bool]
"""Does the client want to see this object?"""

_BETWEEN = re.compile(r",(?![^(]*\))")
_REQUIREMENT = re.compile(
    r"\s*(!?)\s*([A-Za-z0-9][-\w./]*)\s*(?:(==|=|!=)\s*([^\s=!()]*)|\b(in|notin)\s*\(([^()]*)\))?\s*"
)


def select(namespace: str = "", labels: str = "", fields: str = "", known: Collection[str] = ()) -> Matches:
    """What a namespace ("" is all) and selectors let through; `known` fields can be selected. Raises ApiError 400."""
    by_label, by_field = _parse(labels), _parse(fields)
    for one in by_field:
        if one.key not in ("metadata.name", "metadata.namespace", *known):
            raise ApiError(400, "BadRequest", f"field label not supported: {one.key}")

    def matches(found: Json) -> bool:
        meta = found["metadata"]
        if namespace and namespace != meta.get("namespace"):
            return False
        if by_label and not all(one.matches(meta.get("labels", {})) for one in by_label):
            return False
        return not by_field or all(one.matches({one.key: str(dig(found, one.key) or "")}) for one in by_field)

    return matches


def _parse(text: str) -> list[Requirement]:
    found = []
    for part in _BETWEEN.split(text) if text else ():
        match = _REQUIREMENT.fullmatch(part)
        if match is None:
            raise ApiError(400, "BadRequest", f"unable to parse requirement: '{part}'")
        absent, key, sign, value, word, values = match.groups()
        operator = "DoesNotExist" if absent else "Exists"
        if sign or word:
            operator = "NotIn" if sign == "!=" or word == "notin" else "In"
        found.append(Requirement(key, operator, tuple(one.strip() for one in (value or values or "").split(","))))
    return found

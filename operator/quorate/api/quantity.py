"""Quantities as Kubernetes writes them: "500m" of a processor, "1Gi" of memory."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from quorate.core.load import NOTHING, Size

_BINARY: Final = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_SUFFIXES: Final = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(_BINARY, 1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(_DECIMAL, -3)},
}


_LONGEST_FIRST: Final = sorted(filter(None, _SUFFIXES), key=len, reverse=True)


def parse(text: object) -> Decimal:
    """A quantity. Raises ValueError for a text that is none, or less than nothing."""
    found = _parse(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no quantity (500m, 2, 512Mi, 1G)")
    return found


@lru_cache(maxsize=1024)
def _parse(text: str) -> Decimal | None:
    """A few texts come again and again."""
    words = text.strip()
    suffix = next((one for one in _LONGEST_FIRST if words.endswith(one)), "")
    try:
        found = Decimal(words.removesuffix(suffix)) * _SUFFIXES[suffix]
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None


def size(found: Mapping[str, Any]) -> Size:
    """`cpu` and `memory` of such a map, rounded up; what is missing is nothing. Raises ValueError."""
    cpu = parse(found.get("cpu", 0)) * 1000
    memory = parse(found.get("memory", 0))
    return Size(int(cpu.to_integral_value(ROUND_CEILING)), int(memory.to_integral_value(ROUND_CEILING)))


def requested(pod: Mapping[str, Any]) -> Size:
    """What the kubelet counts for a Pod of this PodSpec: the containers and sidecars together, or the largest init
    container if that is more; a limit stands for a request that is not made. Raises ValueError.
    """
    together, largest = NOTHING, NOTHING
    for one in pod.get("initContainers") or []:
        if one.get("restartPolicy") == "Always":
            together = together + _of(one)
        else:
            largest = _larger(largest, together + _of(one))
    for one in pod.get("containers") or []:
        together = together + _of(one)
    return _larger(largest, together) + size(pod.get("overhead") or {})


def _of(container: Mapping[str, Any]) -> Size:
    resources = container.get("resources") or {}
    return size({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _larger(one: Size, other: Size) -> Size:
    return Size(max(one.cpu_m, other.cpu_m), max(one.memory, other.memory))

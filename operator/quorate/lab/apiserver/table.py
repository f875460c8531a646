"""Tables: what `kubectl get` prints, rendered by the server from printer columns."""

from typing import Any

from quorate.api.schema import Json, dig
from quorate.api.wire import parse_instant
from quorate.core.types import Instant

_HEAD = {"type": "string", "format": "", "description": "", "priority": 0}


def table(columns: list[Json], objects: list[Json], now: Instant) -> Json:
    """The objects as a Table of meta.k8s.io/v1."""
    heads = [_HEAD | {"name": "Name", "format": "name"}, *(_HEAD | column for column in columns)]
    rows = [{"cells": [one["metadata"]["name"], *_cells(columns, one, now)], "object": one} for one in objects]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": heads, "rows": rows}


def _cells(columns: list[Json], found: Json, now: Instant) -> list[Any]:
    values = [(dig(found, column["jsonPath"][1:]), column["type"]) for column in columns]
    return [age_text((now - parse_instant(one)) // 1000) if one and kind == "date" else one for one, kind in values]


def age_text(age_s: int) -> str:
    """A duration as kubectl prints it: the longer, the coarser (HumanDuration of Kubernetes)."""
    minutes, hours, days = age_s // 60, age_s // 3600, age_s // 86400
    if age_s < 120:
        return f"{max(age_s, 0)}s"
    if hours < 3:
        return f"{minutes}m{age_s % 60}s".replace("m0s", "m") if minutes < 10 else f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60}m".replace("h0m", "h") if hours < 8 else f"{hours}h"
    if days < 730:
        return f"{days}d{hours % 24}h".replace("d0h", "d") if days < 8 else f"{days}d"
    return f"{days // 365}y{days % 365}d".replace("y0d", "y") if days < 2920 else f"{days // 365}y"

"""Which of a Kubernetes node's taints are ours."""

from collections.abc import Iterable
from typing import Any

from quorate.core.types import FENCE_TAINT, OUT_OF_SERVICE_TAINT

Json = dict[str, Any]


def foreign_taints(taints: Iterable[Json]) -> list[Json]:
    """Those of others. Kubernetes' own out-of-service is ours where it names the incident that our other taints name."""
    known = list(taints)
    incidents = {taint.get("value") for taint in known if taint.get("key") == FENCE_TAINT} - {None, ""}
    return [
        taint
        for taint in known
        if taint.get("key") != FENCE_TAINT
        and not (taint.get("key") == OUT_OF_SERVICE_TAINT and taint.get("value") in incidents)
    ]

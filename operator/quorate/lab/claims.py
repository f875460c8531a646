"""Binds every PersistentVolumeClaim: in the lab a claim is a directory that all nodes share, and needs no volume."""

import logging

from quorate.lab.apiclient import SYNC, UNREACHABLE, Api, ApiError, Json, describe, follow

_log = logging.getLogger(__name__)


async def bind_claims(api: Api) -> None:
    """For ever: mark claims Bound as they appear. One that could not be marked is found again by the next list."""
    async for kind, found in follow(api, "/api/v1/persistentvolumeclaims"):
        for claim in (found.get("items") or []) if kind == SYNC else [found]:
            if kind != "DELETED" and (claim.get("status") or {}).get("phase") != "Bound":
                await _bind(api, claim)


async def _bind(api: Api, claim: Json) -> None:
    metadata, spec = claim["metadata"], claim["spec"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims/{metadata['name']}/status"
    capacity = (spec.get("resources") or {}).get("requests") or {}
    status = {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": capacity}
    try:
        await api.patch(path, {"metadata": {"uid": metadata["uid"]}, "status": status})
    except (ApiError, *UNREACHABLE) as error:
        _log.warning("claim %s/%s: %s", metadata["namespace"], metadata["name"], describe(error))

"""Patches: from the object as it is to the object as it is wished. Neither is changed in place."""

import copy
from typing import Any

import jsonpatch

from quorate.api.schema import Json
from quorate.sim.errors import ApiError


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: maps are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    old = target if isinstance(target, dict) else {}
    merged = old | {key: merge_patch(old.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in merged.items() if key not in patch or patch[key] is not None}


def json_patch(target: Json, patch: list[Json]) -> Json:
    """RFC 6902. Raises ApiError 422 when an operation does not apply, without saying why, as the real server."""
    patched = copy.deepcopy(target)
    try:
        for operation in patch:
            # Kubernetes takes `test` for null of a missing member as true, RFC 6902 does not
            absent = operation.get("op") == "test" and operation.get("value", 0) is None
            if not absent or jsonpatch.JsonPointer(operation["path"]).resolve(patched, None) is not None:
                patched = jsonpatch.apply_patch(patched, [operation], in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, AttributeError) as error:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request") from error
    return patched

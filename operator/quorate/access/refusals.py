"""HTTP refusals as sentences: what was asked, why the API server did not do it, and what to do."""

from collections.abc import Mapping
from typing import Any

from quorate.access.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotInstalledError,
    UnknownUserError,
)
from quorate.access.kubeconfig import Login
from quorate.core.types import GROUP


def refusal(login: Login, call: str, code: int, status: Mapping[str, Any]) -> ApiError:
    """The error for an answer of 400 and above. `status` is the body: a Status, or whatever came."""
    words = str(status.get("message") or "")
    reason = str(status.get("reason") or "")
    if code == 401:
        return UnknownUserError(
            f"the API server {login.server} does not know us ({login.origin}"
            f"{', user ' + login.user if login.user else ''}). Sign in again, or choose another --context",
            words,
        )
    if code == 403:
        return ForbiddenError(f"not allowed: {words or call}. Ask who manages the cluster for that right", words)
    if code == 404:
        return _not_found(login, call, status, words)
    if code == 409:
        exists = reason == "AlreadyExists"
        return ConflictError(words if exists else f"somebody else changed it meanwhile: {words}. Try again", words)
    if code in {400, 422}:
        return ApiError(words or f"the API server refused {call}", words)
    return ApiError(
        f"the API server {login.server} failed at {call} with code {code}: {words or 'no reason given'}", words
    )


def _not_found(login: Login, call: str, status: Mapping[str, Any], words: str) -> ApiError:
    """No such object; or, when the answer names none, no such kind."""
    details = status.get("details") or {}
    if details.get("name"):
        return NotFoundError(words, words)
    if f"/apis/{GROUP}/" in call:
        return NotInstalledError(
            f"the API server {login.server} ({login.origin}) does not know {GROUP}: Quorate is not installed there. "
            "Apply crds/ and manifests/base, or choose another --context",
            words,
        )
    return NotFoundError(words or f"the API server {login.server} does not know {call}", words)

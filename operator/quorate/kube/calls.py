"""Calls to the API server as the manager makes them: dicts in, dicts out, and what can become of one.

`Transient` (the same call may work in a moment), `Conflict` (somebody was faster: look again), `NotFound`, `Permanent` (it
will not work as it is). `client.Api` makes the calls over HTTP; a simulator makes them in virtual time.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
TIMEOUT_S: Final = 3.0
"""One try. Longer than any healthy answer, shorter than a leader's Lease."""
BUDGET_S: Final = 4.0
"""All tries of one call together: within the heartbeat budget, so that a plan is never carried out when it is stale."""
UNREACHABLE: Final = 0
"""Instead of an HTTP code where there was no answer."""
_TRANSIENT_CODES: Final = frozenset({UNREACHABLE, 408, 429, 500, 502, 503, 504})


class ApiError(Exception):
    """The API server refused or did not answer. `words` are its own."""

    def __init__(self, call: str, code: int, reason: str, words: str) -> None:
        super().__init__(f"{call}: {code or 'no answer'} {reason}: {words}")
        self.code = code
        self.reason = reason
        self.words = words


class Transient(ApiError):  # noqa: N818 - what it is, not that it is an error, is what callers choose by
    """May work in a moment. `retry_after_s`: the server's own wish."""

    retry_after_s: float | None = None


class Conflict(ApiError):  # noqa: N818
    """Another version, another uid, or a name that is taken."""


class NotFound(ApiError):  # noqa: N818
    """There is no such object, or no such kind."""


class Permanent(ApiError):  # noqa: N818
    """It will not work as it is: invalid, forbidden, unauthorised."""


def refusal(call: str, code: int, status: Json) -> ApiError:
    """What a caller can do about an answer that is no success. `status`: its body."""
    reason, words = status.get("reason") or "", status.get("message") or ""
    if code in _TRANSIENT_CODES:
        return Transient(call, code, reason or ("" if code else "Unreachable"), words)
    if code == 404:
        return NotFound(call, code, reason, words)
    return (Conflict if code in {409, 410} else Permanent)(call, code, reason, words)


class Calls(ABC):
    """The verbs, over one `request`."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return await self.request("GET", path, query=query)

    async def create(self, path: str, body: Json, query: Mapping[str, str] | None = None) -> Json:
        return await self.request("POST", path, body, query=query)

    async def replace(self, path: str, body: Json) -> Json:
        return await self.request("PUT", path, body)

    async def merge(self, path: str, body: Json) -> Json:
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def patch(self, path: str, operations: list[Json]) -> Json:
        """A JSON patch. One whose `test` does not hold is a Conflict; so is one that breaks the schema: 422 is all that
        the API server says of either.
        """
        try:
            return await self.request("PATCH", path, operations, content_type=JSON_PATCH)
        except Permanent as error:
            if error.code == 422:
                raise Conflict(f"PATCH {path}", 409, "Conflict", error.words) from error
            raise

    async def delete(
        self, path: str, *, uid: str, resource_version: str | None = None, grace_s: int | None = None
    ) -> Json:
        """Delete exactly the object that was judged: preconditions on uid and, if given, version."""
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        return await self.request("DELETE", path, body)

    @abstractmethod
    async def request(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        budget_s: float | None = None,
    ) -> Json:
        """One call, retried while it is Transient and the budget (all tries together) lasts. Raises ApiError."""

"""What the agent asks of the API server, without the asking: generators that yield requests and take answers.

So whoever has a connection (`carry_out`) and whoever plays one in virtual time drive the very same code. An answer that is
no success is thrown in, as the connection would raise it.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from quorate.agent.api import Refused, Unanswered
from quorate.core.quick import quick

Json = dict[str, Any]
T = TypeVar("T")


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """One try. `timeout_s`: after so long it counts as unanswered."""

    method: str
    path: str
    timeout_s: float
    body: Json | None = None
    query: Mapping[str, str] | None = None


Steps = Generator[Request, Json, T]
"""Yields requests, is sent answers (or has Unanswered or Refused thrown in), and returns a T."""


class Connection(Protocol):
    """`agent.api.Api`, or what stands in for it."""

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """One try. Raises Unanswered or Refused."""
        ...


def carry_out(connection: Connection, steps: Steps[T]) -> T:
    """Drive them over a connection, to their result. Raises what they raise."""
    try:
        request = next(steps)
        while True:
            try:
                answer = connection.request(
                    request.method, request.path, request.body, timeout_s=request.timeout_s, query=request.query
                )
            except (Refused, Unanswered) as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result

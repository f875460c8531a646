"""What foresight needs of an API server: to read. Whoever keeps its objects can answer as well."""

from typing import Any, Protocol

from quorate.core.types import Instant


class Reader(Protocol):
    """`access.client.Api` is one."""

    def get(self, path: str) -> dict[str, Any]:
        """One object. Raises CliError."""

    def items(self, path: str, *, labels: str = "") -> list[dict[str, Any]]:
        """All objects of a collection, or those that a label selector lets through. Raises CliError."""

    def now(self) -> Instant:
        """The moment by the API server's clock."""

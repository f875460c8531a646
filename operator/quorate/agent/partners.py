"""Whom the loop works with, as far as it knows them: its keeper, its successor, and what ends a pause."""

from typing import Protocol

from quorate.agent.handover import Estate


class Holder(Protocol):
    """Whoever keeps the open device when this process dies."""

    def hold(self, descriptor: int, timeout_s: float, *, stuck: bool = False) -> None: ...

    def drop(self) -> None: ...

    def lose(self) -> None: ...

    def retire(self) -> None: ...

    def own(self, descriptor: int) -> None: ...


class Wake(Protocol):
    """Ends a pause sooner; as much of a `threading.Event` as is needed."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Successor(Protocol):
    """An agent that wants to take over, if there is one (`handover.Offer`)."""

    @property
    def wanted(self) -> bool: ...

    def give(self, estate: Estate, descriptor: int | None, within_s: float) -> bool: ...

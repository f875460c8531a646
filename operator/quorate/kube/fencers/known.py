"""What is known of fence devices beside what the Nodes say: the versions of their Secrets, and how they are."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from quorate.core.sequence import FenceDevice, Health
from quorate.core.types import NodeName
from quorate.core.world import NodeView


@dataclass(slots=True)
class Known:
    """`changed` is called with every change that a round may want to know of."""

    changed: Callable[[], None]
    _secrets: dict[str, str] = field(default_factory=dict)
    _health: dict[tuple[NodeName, str], Health] = field(default_factory=dict)

    def secret(self, name: str, version: str) -> None:
        """A Secret was read; empty: it does not exist."""
        if self._secrets.get(name) != version:
            self._secrets[name] = version
            self.changed()

    def checked(self, node: NodeName, health: Health) -> None:
        """A device was looked after."""
        before = self._health.get((node, health.device))
        self._health[node, health.device] = health
        if before is None or replace(before, at_s=health.at_s) != health:
            self.changed()

    def keep(self, devices: Collection[tuple[NodeName, str]]) -> None:
        """Forget what other devices than these have said."""
        for key in set(self._health) - set(devices):
            del self._health[key]

    def devices(self, view: NodeView) -> tuple[FenceDevice, ...]:
        """The devices of a node, with the versions of their Secrets."""
        return tuple(one.with_secret(self._secrets.get(one.secret, "")) if one.secret else one for one in view.devices)

    def health(self, view: NodeView) -> tuple[Health, ...]:
        """What they said when they were last looked after."""
        keys = [(view.name, one.name) for one in view.devices]
        return tuple(self._health[key] for key in keys if key in self._health)

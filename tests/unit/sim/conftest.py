"""A store in a world without a clock: time stands still until a test moves it, uids are counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest

from quorate.api.schema import Json
from quorate.core.types import Instant
from quorate.sim.store import Event, Resource, Store

START = Instant(1_800_000_000_000)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False, status=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True, status=True)
MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True, status=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True, status=False)
NODES = Resource("quorate.dev", "v1alpha1", "nodes", "Node", namespaced=False, status=True)


@dataclass
class World:
    """A store, its clock, and what it told."""

    history: int = 100
    now: Instant = START
    told: list[Event] = field(default_factory=list)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        numbers = count(1)
        kinds = (NAMESPACES, PODS, MAPS, LEASES, NODES)
        self.store = Store(kinds, lambda: self.now, lambda: f"uid-{next(numbers):05}", self.history)
        self.store.create(NAMESPACES, "", named("default", spec={"finalizers": ["kubernetes"]}))
        self.store.listeners.append(self.told.append)

    def pass_s(self, seconds: int) -> None:
        self.now = Instant(self.now + 1000 * seconds)


def named(name: str, /, *, spec: Json | None = None, **metadata: object) -> Json:
    return {"metadata": {"name": name, **metadata}, **({} if spec is None else {"spec": spec})}


@pytest.fixture
def make() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> Store:
    return world.store

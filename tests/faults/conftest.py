"""Labs of three nodes and two managers on each API server, and a guest that writes its journal without a pause.

Every test is judged: by the observer, which samples the processes, by that journal, and by what the managers found wrong
with their own plans (`Scene.judge`). Most share one lab: each finds it whole, without guests, and leaves it so.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from quorate.core.status import GuestStatus
from quorate.kube.resources import STORAGES
from quorate.lab.options import Options
from tests import real
from tests.lab.scene import STORAGE, Scene, judged, own_cache, played, running

Json = dict[str, Any]
KINDS = [
    pytest.param("embedded", marks=pytest.mark.xdist_group("embedded")),
    pytest.param("real", marks=(pytest.mark.real, pytest.mark.xdist_group("real"))),
]
"""The API servers."""


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those who run several tests at a time give each module on each API server a worker: they share a lab."""
    for item in items:
        if "/faults/" in str(item.path):
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of API server."""
    if request.param == "real":
        real.programs()
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def lab(kind: str) -> Iterator[Json]:
    """The lab that the tests of a module share. A module that wants another one overrides `options`."""
    with running(Options("shared", profile="Fast", control_plane=kind)) as lab:
        yield lab


@pytest.fixture
async def scene(lab: Json) -> AsyncIterator[Scene]:
    """The shared lab, whole and without guests; whole again, and without guests, afterwards."""
    with judged(lab) as scene:
        await scene.until_whole()
        if not scene.raw(STORAGES, STORAGE):
            scene.share_storage()
        yield scene
        await scene.heal()


@pytest.fixture
async def own(kind: str) -> AsyncIterator[Scene]:
    """A lab of one's own, for what cannot be healed."""
    with played(Options("own", profile="Fast", control_plane=kind)) as scene:
        await scene.until_whole()
        scene.share_storage()
        yield scene


@pytest.fixture
async def web(scene: Scene) -> GuestStatus:
    """The guest on node1 of the shared lab."""
    return await scene.start_guest()

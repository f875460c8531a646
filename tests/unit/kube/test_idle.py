"""What a manager has nothing to do with costs nothing: it waits for a change of a Cluster, and misses none."""

import asyncio
from typing import Any

import pytest

from quorate.kube import devices, weights
from quorate.kube.host import THIS_HOST
from quorate.kube.resources import CLUSTERS
from quorate.kube.store import Store
from tests.unit.kube.test_store import cluster


class Nobody:
    """Who is asked for something that nobody needs."""

    asked = 0

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked += 1
        return {"metadata": {"uid": "x"}}

    request = get


def put(store: Store, version: int, **spec: Any) -> None:
    made = cluster("prod")
    metadata = made["metadata"] | {"resourceVersion": str(version), "generation": version}
    store.put(CLUSTERS, made | {"metadata": metadata, "spec": (made.get("spec") or {}) | spec})


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("keeps", "needs"),
    [
        (devices.keep_looking, {"quorum": {"device": {"name": "outside", "votes": 1}}}),
        (lambda store, api: weights.keep_weighing(store, api, THIS_HOST), {"scheduling": {"mode": "Static"}}),
    ],
)
async def test_it_waits_for_a_change_and_then_asks(
    keeps: Any, needs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    at_once = asyncio.sleep

    async def sleep(delay: float) -> None:
        slept.append(delay)
        await at_once(3600 if len(slept) > 3 else 0)

    store, api = Store(lambda: None), Nobody()
    store.synced = True
    put(store, 1)
    task = asyncio.create_task(keeps(store, api))
    await settle()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    put(store, 2)
    for _ in range(20):
        await at_once(0)
    assert (api.asked, slept) == (0, [])
    put(store, 3, **needs)
    for _ in range(20):
        await at_once(0)
    assert api.asked
    assert slept
    task.cancel()

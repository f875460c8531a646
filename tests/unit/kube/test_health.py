"""/healthz and /readyz tell what a probe needs to know, and nothing that depends on the API server."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from quorate.kube import health
from quorate.kube.store import Store


class Manager:
    """What the endpoints look at, and how to ask them."""

    def __init__(self) -> None:
        self.store = Store(lambda: None)
        self.behind_s = 0.0
        self.url = ""

    async def ask(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def manager() -> AsyncIterator[Manager]:
    made = Manager()
    app = health.application(made.store, lambda: made.store.clock() - made.behind_s, lambda: b"quorate_leader 1.0\n")
    runner = await health.serve(app, "127.0.0.1:0")
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


async def test_it_is_ready_once_everything_was_listed_and_is_watched(manager):
    assert await manager.ask("/readyz") == (503, "not everything has been listed yet\n")
    manager.store.synced = True
    assert await manager.ask("/readyz") == (503, "changes are not being watched\n")
    manager.store.watching = True
    assert await manager.ask("/readyz") == (200, "ok\n")


async def test_a_kind_that_cannot_be_listed_is_said_because_a_new_leader_would_plan_nothing(manager):
    manager.store.synced = manager.store.watching = True
    manager.store.unlisted = "GET /api/v1/pods: 403 Forbidden"
    said = "not everything can be listed: GET /api/v1/pods: 403 Forbidden\n"
    assert await manager.ask("/readyz") == (503, said)
    manager.store.open_gate(1.0)
    assert await manager.ask("/readyz") == (200, "ok\n")


async def test_a_loop_that_stands_still_is_not_healthy(manager):
    assert await manager.ask("/healthz") == (200, "ok\n")
    manager.behind_s = health.STUCK_AFTER_S + 5
    code, text = await manager.ask("/healthz")
    assert code == 503
    assert text.startswith("a loop has made no progress for 65s")

"""Watching begins wherever a manager runs."""

import asyncio
import getpass

import kopf
import pytest
from kubernetes.aio.client import Configuration

from quorate.kube import observe
from quorate.kube.client import Api, Login
from quorate.kube.store import Store


async def test_it_watches_as_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the Pod: user 65532 is in no passwd."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    asked = asyncio.Event()

    async def connection(_: Api) -> kopf.ConnectionInfo:
        asked.set()
        return kopf.ConnectionInfo(server="http://127.0.0.1:1")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(observe, "connection", connection)
    api = Api(Login(Configuration(host="http://127.0.0.1:1"), "this test"))
    watching = asyncio.create_task(observe.watch(Store(lambda: None), api, asyncio.Event()))
    try:
        async with asyncio.timeout(30):
            await asked.wait()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await api.close()

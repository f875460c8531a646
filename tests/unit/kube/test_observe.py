"""Watching begins wherever a manager runs."""

import asyncio
import getpass

import kopf
import pytest
from kubernetes.aio.client import Configuration

from quorate.kube import manager, observe, sweep
from quorate.kube.client import Api, Login
from quorate.kube.guests.pod import Gate
from quorate.kube.resources import CLUSTERS
from quorate.kube.store import WATCHED, Store
from tests.lab.waiting import eventually


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


class Listing:
    """An API server that has come to a version."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.asked: list[str] = []
        self.clusters: list[dict[str, object]] = []

    async def get(self, path: str, query: object = None) -> dict[str, object]:
        self.asked.append(path)
        items = self.clusters if path == CLUSTERS.path() else []
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}


async def test_a_list_that_is_older_than_what_was_read_before_shows_a_restore() -> None:
    store, api = Store(lambda: None), Listing(90)
    await sweep.sweep(store, api)  # type: ignore[arg-type]
    api.version = 91
    await sweep.sweep(store, api)  # type: ignore[arg-type]
    api.version = 40
    with pytest.raises(sweep.Rewound, match="as of version 40, it had come to 91"):
        await sweep.sweep(store, api)  # type: ignore[arg-type]


async def test_after_a_restore_everything_is_listed_anew_and_it_is_remembered() -> None:
    store, api = Store(lambda: None), Listing(90)
    store.put(CLUSTERS, {"metadata": {"name": "prod", "uid": "c", "resourceVersion": "3"}, "spec": {}})
    await sweep.sweep(store, api)  # type: ignore[arg-type]
    store.put(CLUSTERS, {"metadata": {"name": "prod", "uid": "c", "resourceVersion": "95"}, "spec": {}})
    api.version = 40
    sweeping = asyncio.create_task(sweep.keep_sweeping(store, api))  # type: ignore[arg-type]
    try:
        await eventually(lambda: store.synced)
    finally:
        sweeping.cancel()
    assert "it had come to 95" in store.rewound_of("prod")
    assert store.listed_s > 0


async def test_a_restore_that_counts_on_from_beyond_what_was_shows_in_the_objects() -> None:
    """`etcdutl snapshot restore --bump-revision`: the list is newer than ever, and what it lists is old."""
    store, api = Store(lambda: None), Listing(95)
    store.put(CLUSTERS, {"metadata": {"name": "prod", "uid": "c", "resourceVersion": "95"}, "spec": {}})
    api.version, api.clusters = 1_000_000, [{"metadata": {"name": "prod", "uid": "c", "resourceVersion": "40"}}]
    with pytest.raises(sweep.Rewound, match="lists Cluster prod of version 40, it had come to 95"):
        await sweep.sweep(store, api)  # type: ignore[arg-type]
    api.clusters = [{"metadata": {"name": "prod", "uid": "made anew", "resourceVersion": "40"}}]
    await sweep.sweep(store, api)  # type: ignore[arg-type]


async def test_clusters_are_listed_alone_first_so_that_the_complete_look_begins_after_the_election() -> None:
    store, api = Store(lambda: None), Listing(90)
    sweeping = asyncio.create_task(sweep.keep_sweeping(store, api))  # type: ignore[arg-type]
    try:
        await eventually(lambda: api.asked)
        elected_s = store.clock()
        assert api.asked == [CLUSTERS.path()]
        await eventually(lambda: store.synced)
    finally:
        sweeping.cancel()
    assert store.listed_s >= elected_s
    assert set(api.asked[1:]) >= {resource.path() for resource in WATCHED}


@pytest.mark.parametrize("listed", [True, False])
async def test_a_manager_watches_once_everything_was_listed_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    watched = asyncio.Event()

    async def watch(_store: Store, _api: object, stop: asyncio.Event, _began: object) -> None:
        if not stop.is_set():
            watched.set()

    monkeypatch.setattr(manager, "watch", watch)
    api = Api(Login(Configuration(host="http://127.0.0.1:1"), "this test"))
    one = manager.Manager(api, "m1", Gate("image", 1))
    watching = asyncio.create_task(one._watch())
    await asyncio.sleep(0)
    assert not watching.done()
    if listed:
        one.store.open_gate(1.0)
    else:
        one.stop.set()
    await asyncio.wait_for(watching, 30)
    assert watched.is_set() == listed
    await api.close()


@pytest.mark.parametrize("told", [True, False])
async def test_a_signal_that_kopf_took_ends_the_watching_and_a_failure_does_not(
    monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    stop, runs = asyncio.Event(), []

    async def operator(**_: object) -> None:
        runs.append(len(runs))
        if not told and len(runs) == 1:
            raise RuntimeError("the API server is gone")

    monkeypatch.setattr(kopf, "operator", operator)
    api = Api(Login(Configuration(host="http://127.0.0.1:1"), "this test"))
    store = Store(lambda: None)
    await asyncio.wait_for(observe.watch(store, api, stop), 30)
    assert stop.is_set()
    assert (len(runs), store.watch_restarts) == ((1, 0) if told else (2, 1))
    await api.close()

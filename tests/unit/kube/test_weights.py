"""What placement by load asks for: other Pods page by page, and measurements whose age is that of our own clock."""

import asyncio
from contextlib import suppress

import pytest

from quorate.core.load import Size, Usage
from quorate.core.types import GuestKey, Instant
from quorate.kube import weights
from quorate.kube.calls import NotFound
from quorate.kube.host import THIS_HOST
from quorate.kube.resources import CLUSTERS, NODE_METRICS, POD_METRICS, PODS
from quorate.kube.store import Store
from tests.lab.waiting import eventually

MIB = 1 << 20


class Answers:
    """An API server with these lists, given out in pages of one."""

    def __init__(self, **lists):
        self.lists = {PODS.path(): [], NODE_METRICS.path(): [], POD_METRICS.path(): [], **lists}
        self.asked = []

    async def get(self, path, query=None):
        self.asked.append((path, query))
        items, at = self.lists[path], int(query.get("continue", 0))
        if items is None:
            raise NotFound(f"GET {path}", 404, "NotFound", "the server could not find the requested resource")
        more = {"continue": str(at + 1)} if at + 1 < len(items) else {}
        return {"metadata": more, "items": items[at : at + 1]}


def pod(node="n1", phase="Running", **requests):
    found = {"containers": [{"resources": {"requests": requests}}], "nodeName": node}
    return {"metadata": {"name": "p"}, "spec": found, "status": {"phase": phase}}


async def test_other_pods_are_added_up_by_node():
    pods = [
        pod(cpu="100m", memory="64Mi"),
        pod(cpu="1", memory="1Mi"),
        pod("n2", memory="2Mi"),
        pod("n2", "Succeeded", memory="1Gi"),
        pod("n2", "Failed", memory="1Gi"),
        pod("", memory="1Gi"),
        pod("n2", cpu="nonsense", memory="1Gi"),
    ]
    api = Answers(**{PODS.path(): pods})
    assert await weights.others(api) == {"n1": Size(1100, 65 * MIB), "n2": Size(0, 2 * MIB)}
    assert len(api.asked) == len(pods)
    assert {query["labelSelector"] for _, query in api.asked} == {"!quorate.dev/guest"}


def node_metrics(name, stamp, cpu="250m", memory="100Mi"):
    return {"metadata": {"name": name}, "timestamp": stamp, "usage": {"cpu": cpu, "memory": memory}}


def pod_metrics(name, stamp, *memory):
    containers = [{"name": str(i), "usage": {"cpu": "1m", "memory": one}} for i, one in enumerate(memory)]
    return {"metadata": {"namespace": "default", "name": name}, "timestamp": stamp, "containers": containers}


async def test_a_measurement_is_as_old_as_the_first_time_that_it_was_seen():
    store, api = Store(lambda: None), Answers()
    api.lists[NODE_METRICS.path()] = [node_metrics("n1", "10:00"), node_metrics("n2", "10:00", cpu="?")]
    api.lists[POD_METRICS.path()] = [pod_metrics("web", "10:00", "1Mi", "2Mi"), pod_metrics("bare", "10:00")]
    await weights.measure(store, api, Instant(1000))
    assert store.usage == {"n1": ("10:00", Usage(Size(250, 100 * MIB), Instant(1000)))}
    web = GuestKey("default", "web")
    assert store.guest_usage == {web: ("10:00", Usage(Size(2, 3 * MIB), Instant(1000)))}
    await weights.measure(store, api, Instant(16_000))
    assert store.usage["n1"][1].at == 1000


@pytest.mark.parametrize(
    ("stamp", "at"), [("2027-01-15T08:00:00Z", 1_800_000_000_000), ("2027-01-15T08:01:00Z", 1_800_000_030_000)]
)
async def test_a_measurement_is_as_old_as_it_says_and_no_younger_than_it_was_seen(stamp, at):
    store, api = Store(lambda: None), Answers()
    api.lists[NODE_METRICS.path()] = [node_metrics("n1", stamp)]
    api.lists[POD_METRICS.path()] = []
    await weights.measure(store, api, Instant(1_800_000_030_000))
    assert store.usage["n1"][1].at == at
    api.lists[NODE_METRICS.path()] = [node_metrics("n1", "10:01")]
    await weights.measure(store, api, Instant(31_000))
    assert store.usage["n1"][1].at == 31_000


def cluster(mode):
    return {
        "metadata": {"name": "prod", "uid": mode, "resourceVersion": "1"},
        "spec": {"scheduling": {"mode": mode}},
    }


@pytest.mark.parametrize(
    ("mode", "paths"),
    [
        ("Basic", set()),
        ("Static", {PODS.path()}),
        ("Dynamic", {PODS.path(), NODE_METRICS.path(), POD_METRICS.path()}),
    ],
)
async def test_only_what_the_mode_needs_is_asked_for(mode, paths):
    store, api = Store(lambda: None), Answers()
    store.put(CLUSTERS, cluster(mode))
    store.open_gate(0.0)
    await _for_a_moment(store, api)
    assert {path for path, _ in api.asked} == paths


async def test_nothing_measures_is_no_reason_to_stop_looking(monkeypatch):
    monkeypatch.setattr(weights, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(weights, "MEASURE_EVERY_S", 0.0)
    store, api = Store(lambda: None), Answers(**{NODE_METRICS.path(): None})
    store.put(CLUSTERS, cluster("Dynamic"))
    store.open_gate(0.0)
    looking = asyncio.create_task(weights.keep_weighing(store, api, THIS_HOST))
    await eventually(lambda: len(api.asked) >= 4, "several looks in vain")
    api.lists[NODE_METRICS.path()] = [node_metrics("n1", "10:00")]
    await eventually(lambda: bool(store.usage), "a look that found something")
    looking.cancel()


async def _for_a_moment(store, api):
    looking = asyncio.create_task(weights.keep_weighing(store, api, THIS_HOST))
    for _ in range(20):
        await asyncio.sleep(0)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking

"""What only placement by load asks for: what Pods that are no guests request, and what metrics.k8s.io measures.

Nothing is asked while every Cluster is in mode Basic. Other Pods are listed once a minute and not watched: of each, two
numbers are kept, and the kubelet has the last word on what fits.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

from quorate.api import quantity
from quorate.api.wire import parse_instant
from quorate.core.load import NOTHING, Size, Usage
from quorate.core.types import GUEST_LABEL, GuestKey, Instant, NodeName, SchedulingMode
from quorate.kube import views
from quorate.kube.calls import ApiError, Calls
from quorate.kube.host import Host
from quorate.kube.resources import NODE_METRICS, POD_METRICS, PODS
from quorate.kube.store import Raw, Store

log = logging.getLogger(__name__)
LIST_EVERY_S: Final = 60.0
MEASURE_EVERY_S: Final = 15.0
LOOK_EVERY_S: Final = 1.0
PAGE: Final = "500"
Name = TypeVar("Name")


async def keep_weighing(store: Store, api: Calls, host: Host) -> None:
    """Ask for what the modes of the Clusters need, until cancelled. What cannot be had grows old, and the plan says so."""
    listed_s = measured_s = float("-inf")
    while True:
        news = store.cluster_news
        modes = {view.spec.scheduling.mode for view in store.clusters()} if store.synced else set()
        now_s = store.clock()
        try:
            if modes - {SchedulingMode.BASIC} and now_s >= listed_s + LIST_EVERY_S:
                listed_s = now_s
                store.found_others(await others(api))
            if SchedulingMode.DYNAMIC in modes and now_s >= measured_s + MEASURE_EVERY_S:
                measured_s = now_s
                await measure(store, api, host.wall())
        except ApiError as error:
            log.info("what placement by load needs: %s", error)
        except Exception:  # whoever serves metrics.k8s.io may say anything: the next look may be better
            log.exception("what placement by load needs")
        if store.synced and not modes - {SchedulingMode.BASIC}:
            await news.wait()
        else:
            await asyncio.sleep(LOOK_EVERY_S)


async def others(api: Calls) -> dict[NodeName, Size]:
    """What the Pods that are no guests request, by node."""
    found: dict[NodeName, Size] = {}
    async for page in _pages(api, PODS.path(), labelSelector=f"!{GUEST_LABEL}"):
        for node, size in views.requested_by_node(page).items():
            found[node] = found.get(node, NOTHING) + size
    return found


async def measure(store: Store, api: Calls, now: Instant) -> None:
    """What nodes and guests use. What has not been seen before is no younger than `now`: clocks of others differ."""
    nodes = {NodeName(raw["metadata"]["name"]): raw async for page in _pages(api, NODE_METRICS.path()) for raw in page}
    pods = {
        GuestKey(raw["metadata"]["namespace"], raw["metadata"]["name"]): raw
        async for page in _pages(api, POD_METRICS.path(), labelSelector=GUEST_LABEL)
        for raw in page
    }
    store.measured(
        _fresh(store.usage, {name: raw.get("usage") for name, raw in nodes.items()}, _stamps(nodes), now),
        _fresh(store.guest_usage, {key: _containers(raw) for key, raw in pods.items()}, _stamps(pods), now),
    )


def _stamps(found: Mapping[Name, Raw]) -> dict[Name, str]:
    return {name: str(raw.get("timestamp", "")) for name, raw in found.items()}


def _fresh(
    before: Mapping[Name, tuple[str, Usage]], sizes: Mapping[Name, object], stamps: Mapping[Name, str], now: Instant
) -> dict[Name, tuple[str, Usage]]:
    """Each with its time stamp. A stamp that is known already is not news: its usage keeps the time it has.

    That is the time stamp's, but never later than it was first seen: a clock that is fast must not make old news young.
    """
    found = {}
    for name, raw in sizes.items():
        known = before.get(name)
        if known is not None and known[0] == stamps[name]:
            found[name] = known
            continue
        size = raw if isinstance(raw, Size) else _size(raw)
        if size is not None:
            found[name] = (stamps[name], Usage(size, min(now, _moment(stamps[name], now))))
    return found


def _moment(stamp: str, now: Instant) -> Instant:
    """When it was measured; a stamp that is no time says nothing."""
    try:
        return parse_instant(stamp.upper())
    except ValueError:
        return now


def _containers(raw: Raw) -> Size | None:
    """What all containers of a Pod use together."""
    sizes = [_size(one.get("usage")) for one in raw.get("containers") or []]
    return sum((size for size in sizes if size is not None), NOTHING) if sizes else None


def _size(raw: object) -> Size | None:
    try:
        return quantity.size(raw) if isinstance(raw, dict) else None
    except ValueError:
        return None


async def _pages(api: Calls, path: str, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
    """A list, page by page: nobody holds ten thousand Pods at once."""
    more = ""
    while True:
        page = await api.get(path, {**query, "limit": PAGE, **({"continue": more} if more else {})})
        yield page.get("items") or []
        more = (page.get("metadata") or {}).get("continue") or ""
        if not more:
            return

"""List everything, every minute and whenever somebody needs it: the last word on what exists.

Nothing is planned before everything was listed once. A list that is older than what was read before shows that somebody
restored the store.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from quorate.core.types import AGENT_NAMESPACE, GUEST_LABEL
from quorate.kube.calls import ApiError, Calls
from quorate.kube.resources import CLUSTERS, ENDPOINT_SLICES, LEASES, PODS, Key, Resource, key_of, version_of
from quorate.kube.store import WATCHED, Raw, Store
from quorate.kube.workloads import list_all

log = logging.getLogger(__name__)
SWEEP_EVERY_S: Final = 60.0
FIRST_SWEEP_RETRY_S: Final = 0.5
ELECTION_S: Final = 0.3
"""For the answers to two questions about a Lease, where nobody holds it."""

FILTERS: Final[dict[Resource, dict[str, str]]] = {
    PODS: {"labelSelector": GUEST_LABEL},
    LEASES: {"fieldSelector": f"metadata.namespace={AGENT_NAMESPACE}"},
}


class Rewound(Exception):  # noqa: N818 - what it is, not that it is an error, matters
    """A complete list, or an object in it, is older than what had been read before: somebody restored the store."""


async def sweep(store: Store, api: Calls) -> None:
    """List everything once: what is missing is gone."""
    for resource in WATCHED:
        await _sweep(store, api, resource)
    await list_all(store.workloads, api)
    await _count_api_servers(store, api)


async def _sweep(store: Store, api: Calls, resource: Resource) -> None:
    newest, known = store.newest(resource), store.versions(resource)  # of before the question: its answer is newer
    listed = await api.get(resource.path(), FILTERS.get(resource))
    items = listed.get("items", [])
    for item in items:
        item.setdefault("apiVersion", resource.api_version)
        item.setdefault("kind", resource.kind)
    version = version_of(listed)
    if 0 < version < newest:
        raise Rewound(f"the API server lists {resource.plural} as of version {version}, it had come to {newest}")
    _compare(resource, known, items)
    store.sweep(resource, items, version)


async def _count_api_servers(store: Store, api: Calls) -> None:
    slices = await api.get(
        ENDPOINT_SLICES.path(namespace="default"), {"labelSelector": "kubernetes.io/service-name=kubernetes"}
    )
    addresses = {
        address
        for found in slices.get("items", [])
        for endpoint in found.get("endpoints") or []
        for address in endpoint.get("addresses") or []
    }
    store.found_api_servers(len(addresses))


def _compare(resource: Resource, known: Mapping[Key, tuple[str, int]], listed: Iterable[Raw]) -> None:
    """An object older than it was known shows a restore, too: etcd may have been told to count on from beyond what was.

    Kept, the newer one would stay in the store for good, and every write of ours fail on it. Raises Rewound.
    """
    for raw in listed:
        key, version = key_of(raw), version_of(raw)
        uid, before = known.get(key, ("", 0))
        if 0 < version < before and raw["metadata"].get("uid") == uid:
            raise Rewound(
                f"the API server lists {resource.kind} {key[1]} of version {version}, it had come to {before}"
            )


async def keep_sweeping(store: Store, api: Calls) -> None:
    """The first complete list opens the gate: before it, an empty store looks like "all nodes gone".

    The Clusters come first and alone, so that whoever is elected meanwhile need not have everything listed once more.
    """
    with suppress(ApiError, Rewound):
        await _sweep(store, api, CLUSTERS)
        await asyncio.sleep(ELECTION_S)
    while True:
        began_s = store.clock()
        try:
            await sweep(store, api)
            if not store.synced:
                log.info("everything was listed once: planning may begin")
            store.open_gate(began_s)
        except ApiError as error:
            log.warning("listing failed: %s", error)
            store.unlisted = str(error)
            await _pause(store, FIRST_SWEEP_RETRY_S if not store.synced else SWEEP_EVERY_S / 10)
            continue
        except Rewound as sign:
            log.error("history runs backwards: %s", sign)
            store.forget(str(sign))
            continue
        await _pause(store, SWEEP_EVERY_S)


async def _pause(store: Store, pause_s: float) -> None:
    """Until the next look is due, or somebody needs one sooner."""
    with suppress(TimeoutError):
        await asyncio.wait_for(store.wanted.wait(), pause_s)
    store.wanted.clear()

"""Observe: kopf's event handlers feed the store and wake; a list every minute is the last word on what exists.

Only `@kopf.on.event`: it writes nothing. Filters are the server's: guest Pods by label, Leases by namespace, or every Pod
and every kubelet's Lease of the cluster would come in.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, repeat
from math import inf
from typing import Any, Final

import kopf

from quorate.core.types import AGENT_NAMESPACE, GUEST_LABEL
from quorate.kube.client import Api, ApiError
from quorate.kube.resources import CLUSTERS, ENDPOINT_SLICES, LEASES, PODS, Resource
from quorate.kube.store import WATCHED, Key, Raw, Store, key_of, version_of

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


class _Nothing(kopf.ProgressStorage, kopf.DiffBaseStorage):
    """kopf keeps its books on users' objects; ours are in status."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def build(self, **_: Any) -> Any:
        return {}

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


def settings() -> kopf.OperatorSettings:
    """kopf as an observer: it writes nothing, notices a silent connection in seconds, and never gives up."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.queueing.idle_timeout = 0.2
    made.watching.inactivity_timeout = 4.0
    made.watching.reconnect_backoff = 0.1
    made.watching.connect_timeout = 3.0
    made.networking.request_timeout = 5.0
    made.networking.connect_timeout = 3.0
    made.networking.error_backoffs = list(chain([0.1, 0.2, 0.5, 1.0, 1.0], repeat(2.0, 300)))
    made.execution.default_backoff = 1.0
    made.scanning.disabled = True
    made.persistence.progress_storage = _Nothing()
    made.persistence.diffbase_storage = _Nothing()
    for resource, query in FILTERS.items():
        selector = (resource.group, resource.version, resource.plural)
        if "labelSelector" in query:
            made.watching.label_selectors[selector] = query["labelSelector"]
        if "fieldSelector" in query:
            made.watching.field_selectors[selector] = query["fieldSelector"]
    return made


def registry(store: Store, api: Api) -> kopf.OperatorRegistry:
    """One handler for each watched kind, in a registry of our own."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection(api)

    for resource in WATCHED:
        _handle(made, store, resource)
    return made


def _handle(made: kopf.OperatorRegistry, store: Store, resource: Resource) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, registry=made)
    async def seen(*, event: Any, **_: Any) -> None:
        raw = dict(event["object"])
        if event["type"] == "DELETED":
            store.gone(resource, key_of(raw), raw["metadata"].get("uid", ""), version_of(raw) or inf)
        else:
            store.put(resource, raw)


async def connection(api: Api) -> kopf.ConnectionInfo:
    """kopf's way in is the same as ours."""
    configuration = api.login.configuration
    settings_found = await configuration.auth_settings()
    token = settings_found.get("BearerToken", {}).get("value") or ""
    scheme, _, value = token.partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=_base64(configuration.ca_cert_data),
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme.capitalize() if value else None,
        token=value or token or None,
    )


def _base64(data: str | bytes | None) -> bytes | None:
    if not data:
        return None
    return base64.b64encode(data.encode() if isinstance(data, str) else data)


async def watch(store: Store, api: Api, stop: asyncio.Event, began: Callable[[], None] = lambda: None) -> None:
    """Run kopf until asked to stop; should it fail, begin anew (the sweep tells what was missed).

    Whenever it begins it takes SIGTERM and SIGINT for itself; `began` is called just after that.
    """

    def begun() -> None:
        store.watching = True
        began()

    while not stop.is_set():
        ready = asyncio.Event()
        telling = asyncio.create_task(_tell(ready, begun))
        try:
            await kopf.operator(
                registry=registry(store, api),
                settings=settings(),
                clusterwide=True,
                standalone=True,
                # Its own choice is the user's name, and in a Pod the user has none. The type is private to kopf.
                identity="quorate-manager",  # type: ignore[arg-type]
                stop_flag=stop,
                ready_flag=ready,
            )
        except Exception:  # whatever ends the watching, the manager must go on watching
            log.exception("watching ended: it begins anew")
        else:
            stop.set()  # it ends without an error only when it is told to: a signal came while it had them
        finally:
            telling.cancel()
            store.watching = False
        if not stop.is_set():
            store.watch_restarts += 1
            await asyncio.sleep(1.0)


async def _tell(ready: asyncio.Event, began: Callable[[], None]) -> None:
    await ready.wait()
    began()


async def sweep(store: Store, api: Api) -> None:
    """List everything once: what is missing is gone."""
    for resource in WATCHED:
        await _sweep(store, api, resource)
    await _count_api_servers(store, api)


async def _sweep(store: Store, api: Api, resource: Resource) -> None:
    newest, known = store.newest(resource), store.versions(resource)  # of before the question: its answer is newer
    listed = await api.get(resource.path(), FILTERS.get(resource))
    items = listed.get("items", [])
    for item in items:
        item.setdefault("apiVersion", resource.api_version)
        item.setdefault("kind", resource.kind)
    text = listed["metadata"].get("resourceVersion", "0")
    version = int(text) if text.isdigit() else 0
    if 0 < version < newest:
        raise Rewound(f"the API server lists {resource.plural} as of version {version}, it had come to {newest}")
    _compare(resource, known, items)
    store.sweep(resource, items, version)


async def _count_api_servers(store: Store, api: Api) -> None:
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


async def keep_sweeping(store: Store, api: Api) -> None:
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

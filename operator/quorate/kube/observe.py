"""Observe: kopf's event handlers feed the store and wake. What exists, `sweep` has the last word on.

Only `@kopf.on.event`: it writes nothing. Filters are the server's: guest Pods by label, Leases by namespace, or every Pod
and every kubelet's Lease of the cluster would come in.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import Any, Protocol

import kopf

from quorate.kube.client import Api
from quorate.kube.resources import Resource
from quorate.kube.store import WATCHED, Raw, Store
from quorate.kube.sweep import FILTERS

log = logging.getLogger(__name__)


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


class Hears(Protocol):
    """What is fed: told of each version of an object, and of its end with the last one."""

    def put(self, resource: Resource, raw: Raw) -> None: ...

    def deleted(self, resource: Resource, last: Raw) -> None: ...


def registry(hears: Hears, api: Api, resources: Iterable[Resource]) -> kopf.OperatorRegistry:
    """One handler for each of these kinds, in a registry of our own."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection(api)

    for resource in resources:
        _handle(made, hears, resource)
    return made


def _handle(made: kopf.OperatorRegistry, hears: Hears, resource: Resource) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, registry=made)
    async def seen(*, event: Any, **_: Any) -> None:
        raw = dict(event["object"])
        if event["type"] == "DELETED":
            hears.deleted(resource, raw)
        else:
            hears.put(resource, raw)


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
        telling = asyncio.create_task(tell(ready, begun))
        try:
            await kopf.operator(
                registry=registry(store, api, WATCHED),
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


async def tell(ready: asyncio.Event, began: Callable[[], None]) -> None:
    """Once kopf is ready."""
    await ready.wait()
    began()

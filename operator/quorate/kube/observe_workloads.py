"""Observe protected workloads: kopf watches StatefulSets, Deployments and Pods of exactly the namespaces that have some.

Beside the watch of our own kinds, begun anew whenever the namespaces are others. What it misses meanwhile the lists tell.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import kopf

from quorate.kube.client import Api
from quorate.kube.observe import registry, settings, tell
from quorate.kube.resources import Resource
from quorate.kube.store import Store
from quorate.kube.workloads import FOLLOWED, SELECT

log = logging.getLogger(__name__)
AGAIN_S: Final = 1.0


def selective() -> kopf.OperatorSettings:
    """As an observer of everything else; the Pods of container guests are left to that."""
    made = settings()
    made.watching.label_selectors.clear()
    made.watching.field_selectors.clear()
    for resource, selector in SELECT.items():
        made.watching.label_selectors[resource.group, resource.version, resource.plural] = selector
    return made


async def watch_workloads(
    store: Store, api: Api, stop: asyncio.Event, began: Callable[[], None] = lambda: None
) -> None:
    """Watch as long as not told to stop. `began` is called whenever kopf may have taken the signals for itself."""
    while not stop.is_set():
        store.workloads.moved.clear()
        namespaces = sorted(store.workloads.namespaces())
        if not namespaces:
            await _either(store.workloads.moved, stop)
            continue
        try:
            await _watch(store, api, namespaces, stop, began)
        except Exception:  # whatever ends it, the manager must go on watching
            log.exception("watching workloads ended: it begins anew")
            await asyncio.sleep(AGAIN_S)


async def _watch(store: Store, api: Api, namespaces: list[str], stop: asyncio.Event, began: Callable[[], None]) -> None:
    """Until the namespaces are others, or we are to stop."""
    ends, ready = asyncio.Event(), asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry(store.workloads, api, _followed(store)),
            settings=selective(),
            namespaces=namespaces,
            standalone=True,
            identity="quorate-manager",  # type: ignore[arg-type] # as in observe.watch
            stop_flag=ends,
            ready_flag=ready,
        )
    )
    telling = asyncio.create_task(tell(ready, began))
    asked = asyncio.create_task(_either(store.workloads.moved, stop))
    try:
        await asyncio.wait((operator, asked), return_when=asyncio.FIRST_COMPLETED)
        if operator.done() and operator.exception() is None:
            stop.set()  # it ends without an error only when it is told to: a signal came while it had them
    finally:
        ends.set()
        telling.cancel()
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await operator
        began()  # should it have ended before it was ready, it still has the signals


def _followed(store: Store) -> tuple[Resource, ...]:
    """KubeVirt's kinds only where they are served."""
    return store.workloads.followed() if not store.workloads.machines.absent else FOLLOWED


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()

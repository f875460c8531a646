"""Every object that the page is made of, kept by one list and one watch for each kind, however many pages are open.

What cannot be reached leaves what was known, and says since when it is old.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from quorate.access.errors import CliError, ForbiddenError, NotFoundError, NotInstalledError, UnreachableError
from quorate.access.kubeconfig import Login
from quorate.core.types import AGENT_NAMESPACE, GROUP, SYSTEM_NAMESPACE, Instant
from quorate.dashboard.connection import Connection, ExpiredError
from quorate.kube.resources import (
    CLUSTERS,
    EVENTS,
    HARESOURCES,
    KUBE_NODES,
    LEASES,
    NODES,
    STORAGES,
    Key,
    Resource,
    key_of,
)
from quorate.view import words
from quorate.view.snapshot import Raw, Snapshot

PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
REFUSED_S: Final = 30.0
"""What may not be read is asked for again after this: roles change."""
PROBE_S: Final = 3.0
LATE_S: Final = 4.0
"""So long may the API server be silent before what is shown is called old."""
PAGE: Final = "500"
KEPT_EVENTS: Final = 2000
EVENT_FIELDS: Final = frozenset(
    {"regarding", "reason", "note", "type", "eventTime", "series", "deprecatedLastTimestamp"}
)
EVENT_NAMES: Final = frozenset({"name", "namespace", "creationTimestamp", "resourceVersion"})
_log = logging.getLogger(__name__)


class Shelf:
    """The objects of one collection. `needed`: without it there is no page; `quiet`: it changes all the time by itself."""

    def __init__(self, resource: Resource, namespace: str = "", *, needed: bool = False, quiet: bool = False) -> None:
        self.path = resource.path(namespace=namespace)
        self.needed = needed
        self.quiet = quiet
        self.events = resource is EVENTS
        self.objects: dict[Key, Raw] = {}
        self.synced = False
        self.problem = ""
        self.refused = False

    def keep(self, raw: Raw) -> bool:
        """Is it worth keeping? Of Events only those about our objects are."""
        if not self.events:
            return True
        return str((raw.get("regarding") or {}).get("apiVersion", "")).startswith(f"{GROUP}/")

    def take(self, raw: Raw, *, gone: bool) -> bool:
        """A change. False: there is nothing to be seen by it."""
        if gone:
            return self.objects.pop(key_of(raw), None) is not None
        if not self.keep(raw):
            return False
        self.objects[key_of(raw)] = self.told(raw)
        self.shorten()
        return True

    def told(self, raw: Raw) -> Raw:
        """What is kept of it. Of an Event what is shown: whoever may write some fills no memory by the rest."""
        if not self.events:
            return raw
        metadata = {key: value for key, value in raw["metadata"].items() if key in EVENT_NAMES}
        return {**{key: value for key, value in raw.items() if key in EVENT_FIELDS}, "metadata": metadata}

    def shorten(self) -> None:
        """The oldest go first."""
        while self.events and len(self.objects) > KEPT_EVENTS:
            del self.objects[next(iter(self.objects))]

    def all(self) -> tuple[Raw, ...]:
        return tuple(self.objects.values())

    def if_readable(self) -> tuple[Raw, ...] | None:
        return None if self.refused or not self.synced else self.all()


class Mirror:
    """All shelves. `changed` is called after every change, with whether it is more than a heartbeat."""

    def __init__(self, login: Login, changed: Callable[[bool], None]) -> None:
        self.connection = Connection(login)
        self.clusters = Shelf(CLUSTERS, needed=True)
        self.nodes = Shelf(NODES, needed=True)
        self.guests = Shelf(HARESOURCES, needed=True)
        self.storages = Shelf(STORAGES, needed=True)
        self.leases = Shelf(LEASES, AGENT_NAMESPACE, quiet=True)
        self.leaders = Shelf(LEASES, SYSTEM_NAMESPACE, quiet=True)
        self.happened = Shelf(EVENTS)
        self.machines = Shelf(KUBE_NODES)
        self._changed = changed
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = monotonic()
        self._heard_at: Instant | None = None
        self._lost = ""

    @property
    def shelves(self) -> Sequence[Shelf]:
        return (
            self.clusters,
            self.nodes,
            self.guests,
            self.storages,
            self.leases,
            self.leaders,
            self.happened,
            self.machines,
        )

    @property
    def ready(self) -> bool:
        """Is everything there that a page cannot do without?"""
        return all(shelf.synced for shelf in self.shelves if shelf.needed)

    @property
    def problem(self) -> str:
        """Why what is shown may be old; "" when it is not."""
        if self._lost and monotonic() - self._heard > 1:
            return self._lost
        return next((shelf.problem for shelf in self.shelves if shelf.problem and shelf.needed), "")

    @property
    def heard_at(self) -> Instant | None:
        """When the API server answered last, by its own clock."""
        return self._heard_at

    def snapshot(self) -> Snapshot:
        return Snapshot(
            clusters=self.clusters.all(),
            nodes=self.nodes.all(),
            guests=self.guests.all(),
            storages=self.storages.all(),
            leases=self.leases.if_readable(),
            leaders=self.leaders.if_readable(),
        )

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(shelf)) for shelf in self.shelves]
        self._tasks.append(asyncio.create_task(self._probe()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()

    async def _keep(self, shelf: Shelf) -> None:
        """One shelf as it is, until the end."""
        failed = 0
        while True:
            try:
                version = await self._list(shelf)
                failed = 0
                await self._follow(shelf, version)
            except ExpiredError:
                continue
            except (ForbiddenError, NotFoundError, NotInstalledError) as error:
                self._fail(shelf, str(error), refused=True)
                await asyncio.sleep(REFUSED_S if not isinstance(error, NotInstalledError) else PROBE_S)
            except CliError as error:
                self._fail(shelf, str(error))
                await asyncio.sleep(PAUSES_S[min(failed, len(PAUSES_S) - 1)])
                failed += 1
            except Exception:  # noqa: BLE001 - one object that cannot be kept must not end the page
                _log.exception("%s: what was read could not be kept", shelf.path)
                await asyncio.sleep(PAUSES_S[-1])

    def _fail(self, shelf: Shelf, problem: str, *, refused: bool = False) -> None:
        if shelf.problem != problem:
            _log.warning("%s: %s", shelf.path, words.line(problem))
            shelf.problem, shelf.refused = problem, refused
            self._changed(True)

    async def _list(self, shelf: Shelf) -> str:
        found: dict[Key, Raw] = {}
        query = {"limit": PAGE}
        while True:
            page = await self.connection.get(shelf.path, **query)
            for raw in page.get("items") or []:
                if shelf.keep(raw):
                    found[key_of(raw)] = shelf.told(raw)
            more = page["metadata"].get("continue")
            if not more:
                break
            query = {"limit": PAGE, "continue": more}
        shelf.objects = dict(sorted(found.items(), key=lambda one: _born(one[1]))) if shelf.events else found
        shelf.shorten()
        shelf.synced, shelf.problem, shelf.refused = True, "", False
        self._hear()
        self._changed(True)
        return str(page["metadata"].get("resourceVersion") or "")

    async def _follow(self, shelf: Shelf, version: str) -> None:
        """Watch after watch, each from where the last one ended."""
        while True:
            async for kind, raw in self.connection.watch(shelf.path, version):
                version = str(raw["metadata"].get("resourceVersion") or version)
                self._hear()
                if kind == "BOOKMARK":
                    continue
                if shelf.take(raw, gone=kind == "DELETED"):
                    self._changed(not shelf.quiet)

    def _hear(self) -> None:
        self._heard = monotonic()
        self._heard_at = self.connection.now()
        self._lost = ""

    async def _probe(self) -> None:
        """Ask for something small again and again: a watch that hears nothing cannot tell silence from an end."""
        while True:
            await asyncio.sleep(PROBE_S)
            lost = self._lost
            try:
                async with asyncio.timeout(LATE_S):
                    await self.connection.get(CLUSTERS.path(), limit="1")
                self._hear()
            except TimeoutError:
                self._lost = "the API server does not answer"
            except UnreachableError as error:
                self._lost = str(error)
            except CliError:
                self._hear()  # it says no, so it is there
            if lost != self._lost:
                self._changed(True)


def _born(raw: Raw) -> str:
    return str(raw["metadata"].get("creationTimestamp") or "")


class Remembered:
    """What has been mirrored, to whoever asks as one asks an API server: the verbs' own foresight, without a call."""

    def __init__(self, mirror: Mirror) -> None:
        self._shelves = {shelf.path: shelf for shelf in mirror.shelves}
        self._mirror = mirror

    def items(self, path: str, *, labels: str = "") -> list[dict[str, Any]]:  # noqa: ARG002 asked for Pods, which are not kept
        """Raises ForbiddenError for what is not mirrored."""
        shelf = self._shelves.get(path)
        found = shelf.if_readable() if shelf is not None else None
        if found is None:
            raise ForbiddenError(f"{path} is not read by this page")
        return [dict(raw) for raw in found]

    def get(self, path: str) -> dict[str, Any]:
        """Raises NotFoundError."""
        place, _, name = path.rpartition("/")
        parts = place.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        everywhere = place.replace(f"/namespaces/{namespace}", "")
        for where in (place, everywhere):
            shelf = self._shelves.get(where)
            if shelf is not None:
                for key in ((namespace, name), ("", name)):
                    with suppress(KeyError):
                        return dict(shelf.objects[key])
        raise NotFoundError(f"{path} is not there")

    def now(self) -> Instant:
        return self._mirror.connection.now()

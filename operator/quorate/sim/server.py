"""The simulated API server: requests as production code makes them, answered from the store, and its bad days.

Everything that goes wrong between a client and the server is decided in `Link`, by lots drawn from the client's own
generator: a delay, a request or an answer that gets lost, a refusal, a request that is carried out long after its client
has given up. Cut both ways or one way it lets nothing through.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final

from quorate.api.schema import Json
from quorate.core.quick import replace
from quorate.core.types import GROUP, VERSION
from quorate.sim.engine import Engine, Process
from quorate.sim.errors import ApiError
from quorate.sim.garbage import Garbage
from quorate.sim.kinds import KINDS
from quorate.sim.patch import json_patch, merge_patch
from quorate.sim.selection import select
from quorate.sim.store import Event, Place, Resource, Store

EVENTS: Final = "events"
_SELECTABLE: Final = ("spec.nodeName", "status.phase")
_BY_PATH: Final = {(kind.api_version, kind.plural): kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Weather:
    """How requests fare. Shares are of 1; `late_s`: up to so long after it was sent a late one is carried out."""

    down: bool = False
    slow_s: float = 0.0
    error: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    late_s: float = 8.0

    def together(self, other: "Weather") -> "Weather":
        if other is FAIR:
            return self
        if self is FAIR:
            return other
        return Weather(
            self.down or other.down,
            max(self.slow_s, other.slow_s),
            max(self.error, other.error),
            max(self.lost, other.lost),
            max(self.late, other.late),
            max(self.late_s, other.late_s),
        )


FAIR: Final = Weather()


class ApiServer:
    """A store, and who asks it. `told` hears of Events (the API's own kind), which are not kept."""

    def __init__(self, engine: Engine, new_uid: Callable[[], str], now: Callable[[], Any]) -> None:
        self.engine = engine
        self.store = Store(KINDS, now, new_uid)
        self.garbage = Garbage(self.store)
        self.weather = FAIR
        self.hidden: set[str] = set()
        """API groups that are not served."""
        self.told: Callable[[Json], None] = lambda _: None
        self.restarts: list[Callable[[], None]] = []
        """Told when every watch has ended because the server began anew on other data."""
        self._changed: dict[str, int] = {}
        self._lists: dict[tuple[str, str, str, str], tuple[int, Json]] = {}
        self.watches: dict[str, list[Callable[[Event], None]]] = {table: [] for table in self.store.resources}
        """Who hears of the changes of a kind."""
        self.store.listeners.append(self._hear)

    def _hear(self, event: Event) -> None:
        table = event.resource.table
        self._changed[table] = event.version
        for heard in self.watches[table]:
            heard(event)

    def restore(self, objects: list[tuple[Resource, Json]], version: int) -> None:
        """An old copy is put back, versions and all."""
        self.store.roll_back(objects, version)
        self._changed.clear()
        self._lists.clear()
        for restarted in self.restarts:
            restarted()

    def answer(
        self, method: str, path: str, body: Any, query: Mapping[str, str] | None, content_type: str
    ) -> tuple[int, Json]:
        """HTTP code and body."""
        try:
            return 200, self._do(method, path, body, query or {}, content_type)
        except ApiError as error:
            return error.code, error.status

    def _do(self, method: str, path: str, body: Any, query: Mapping[str, str], content_type: str) -> Json:
        kind, place, status = locate(path)
        if kind is None:
            self.told(body)
            return dict(body)
        if kind.group in self.hidden:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource {path}")
        if method == "POST" and path.endswith("/binding"):
            return bind(self.store, place, body)
        store = self.store
        match method:
            case "GET" if place[1]:
                return store.get(kind, place)
            case "GET":
                return self._list(kind, place[0], query)
            case "POST":
                return self._try_out(kind, body) if "dryRun" in query else store.create(kind, place[0], body)
            case "PUT":
                return store.replace(kind, place, body, status=status)
            case "PATCH":
                patch: Callable[[Json, Any], Any] = json_patch if "json-patch" in content_type else merge_patch
                return store.update(kind, place, lambda old: dict(patch(old, body)), status=status)
            case "DELETE":
                options = body or {}
                return store.delete(kind, place, options.get("gracePeriodSeconds"), options.get("preconditions"))
        raise ApiError(405, "MethodNotAllowed", f"{method} {path}")

    def _list(self, kind: Resource, namespace: str, query: Mapping[str, str]) -> Json:
        """A list, made anew only when its kind has changed."""
        key = (kind.table, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        changed = self._changed.get(kind.table, 0)
        known = self._lists.get(key)
        if known is None or known[0] != changed:
            items = self.store.listed(kind, select(*key[1:], known=_SELECTABLE))
            known = self._lists[key] = (changed, {"kind": f"{kind.kind}List", "items": items})
        return {**known[1], "metadata": {"resourceVersion": str(self.store.version)}}

    def _try_out(self, kind: Resource, body: Json) -> Json:
        """A dry run: what would be wrong with it?"""
        causes = kind.admit({**body}, None)
        if causes:
            words = "; ".join(f"{one.field}: {one.text}" for one in causes)
            raise ApiError(422, "Invalid", f"{kind.kind} is invalid: {words}")
        return body


def bind(store: Store, place: Place, body: Json) -> Json:
    """A scheduler's word on where a Pod runs: once, and not if it is being deleted (the real server's own rules)."""

    def change(old: Json) -> Json:
        meta, wanted = old["metadata"], body["metadata"].get("uid")
        if wanted and wanted != meta["uid"]:
            raise ApiError(409, "Conflict", f"the uid in the precondition is {wanted}, that of the Pod {meta['uid']}")
        if "deletionTimestamp" in meta:
            raise ApiError(409, "Conflict", f"pod {meta['name']} is being deleted, cannot be assigned to a host")
        if old["spec"].get("nodeName"):
            raise ApiError(409, "Conflict", f"pod {meta['name']} is already assigned to node {old['spec']['nodeName']}")
        return old | {"spec": old["spec"] | {"nodeName": body["target"]["name"]}}

    store.update(PODS, place, change)
    return {"kind": "Status", "status": "Success"}


@lru_cache(maxsize=4096)
def locate(path: str) -> tuple[Resource | None, Place, bool]:
    """api/v1 or apis/GROUP/VERSION, then [namespaces/NAMESPACE/]PLURAL[/NAME[/status]]; no kind: it is about an Event."""
    parts = path.strip("/").split("/")
    head = 2 if parts[0] == "api" else 3
    rest, namespace = parts[head:], ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "")[:3]
    if plural == EVENTS:
        return None, (namespace, ""), False
    kind = _BY_PATH.get(("/".join(parts[1:head]), plural))
    if kind is None:
        raise ApiError(404, "NotFound", f"the server could not find the requested resource {path}")
    return kind, (namespace, name), part == "status"


OURS: Final = {plural: _BY_PATH[f"{GROUP}/{VERSION}", plural] for plural in ("clusters", "nodes", "haresources")}
PODS: Final = _BY_PATH["v1", "pods"]
KUBE_NODES: Final = _BY_PATH["v1", "nodes"]
LEASES: Final = _BY_PATH["coordination.k8s.io/v1", "leases"]

Answered = Callable[[int, Json], None]
"""Told the HTTP code and the body; code 0: no answer."""
_NOTHING: Final[Json] = {}


class Link:
    """One client's way to the API server. `to_api`, `from_api`: does that direction let anything through?"""

    def __init__(self, server: ApiServer, name: str, seed: str, *, jitter: bool = True) -> None:
        self.jitter = jitter
        self.server = server
        self.engine = server.engine
        self.name = name
        self.random = Random(f"{seed}/{name}")  # noqa: S311 - chance that must be the same in each replay
        self.to_api = self.from_api = True
        self.weather = FAIR
        self.healed: list[Callable[[], None]] = []
        self.calls = 0

    @property
    def up(self) -> bool:
        return self.to_api and self.from_api

    def cut(self, *, to_api: bool = True, from_api: bool = True) -> None:
        """Nothing goes through in these directions any more."""
        self.to_api, self.from_api = self.to_api and not to_api, self.from_api and not from_api

    def heal(self) -> None:
        if not self.up:
            self.to_api = self.from_api = True
            for healed in self.healed:
                healed()

    def delay_s(self) -> float:
        """One way: always the same, or (`jitter`) drawn anew for each."""
        return 0.001 + 0.004 * self.random.random() if self.jitter else 0.0025

    def send(
        self,
        owner: Process,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        timeout_s: float,
        answered: Answered,
        content_type: str = "application/json",
    ) -> None:
        """One try. `answered` is called by the owner's own time, at the latest when its time-out is over."""
        self.calls += 1
        weather = self.server.weather.together(self.weather)
        gives_up_s = self.engine.now_s + timeout_s / owner.rate
        request = (method, path, body, query, content_type)
        if weather is FAIR:
            self.engine.at(self.engine.now_s + self.delay_s(), self._arrives, owner, request, gives_up_s, answered)
            return
        self._in_bad_weather(weather, owner, request, gives_up_s, answered)

    def _in_bad_weather(
        self, weather: Weather, owner: Process, request: tuple[Any, ...], gives_up_s: float, answered: Answered
    ) -> None:
        engine, draw = self.engine, self.random.random
        if weather.down:
            engine.at(engine.now_s + 0.005, answered, 0, _NOTHING, owner=owner)
        elif draw() < weather.error:
            code = (429, 500, 503, 504)[int(4 * draw())]
            status = {"message": "a bad day", "reason": "Unavailable", "code": code}
            engine.at(engine.now_s + 2 * self.delay_s(), answered, code, status, owner=owner)
        elif draw() < weather.late:
            engine.at(engine.now_s + weather.late_s * draw(), self._unheard, request)
            engine.at(gives_up_s, answered, 0, _NOTHING, owner=owner)
        elif draw() < weather.lost:
            engine.at(engine.now_s + self.delay_s(), self._unheard, request)
            engine.at(gives_up_s, answered, 0, _NOTHING, owner=owner)
        else:
            arrives_s = engine.now_s + self.delay_s() + weather.slow_s * draw()
            engine.at(arrives_s, self._arrives, owner, request, gives_up_s, answered)

    def _unheard(self, request: tuple[Any, ...]) -> None:
        """It is carried out, and nobody hears of it."""
        if self.to_api and not self.server.weather.down:
            self.server.answer(*request)

    def _arrives(self, owner: Process, request: tuple[Any, ...], gives_up_s: float, answered: Answered) -> None:
        if not self.to_api or self.server.weather.down:
            self.engine.at(gives_up_s, answered, 0, _NOTHING, owner=owner)
            return
        code, body = self.server.answer(*request)
        back_s = self.engine.now_s + self.delay_s()
        if back_s > gives_up_s or not self.from_api:
            self.engine.at(gives_up_s, answered, 0, _NOTHING, owner=owner)
        else:
            self.engine.at(back_s, answered, code, body, owner=owner)


def change(weather: Weather, **values: Any) -> Weather:
    """The same weather, but for that; FAIR when nothing is wrong any more."""
    made = replace(weather, **values)
    return FAIR if replace(made, late_s=FAIR.late_s) == FAIR else made

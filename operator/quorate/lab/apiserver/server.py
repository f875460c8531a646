"""The store behind HTTP: paths, verbs, options and watches of the Kubernetes API."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from quorate.api.schema import Json
from quorate.lab.apiserver.binding import bind
from quorate.lab.apiserver.discovery import documents
from quorate.lab.apiserver.kinds import Kind
from quorate.lab.apiserver.table import table
from quorate.sim.errors import ApiError
from quorate.sim.patch import json_patch, merge_patch
from quorate.sim.selection import Matches, select
from quorate.sim.store import Event, Place, Store

_PATCHES: dict[str, Callable[[Any, Any], Any]] = {"application/json-patch+json": json_patch}
_PATCHES |= dict.fromkeys(("application/merge-patch+json", "application/strategic-merge-patch+json"), merge_patch)
_BOOKMARK_S = 60.0


class Server:
    """Answers requests from a store."""

    def __init__(self, store: Store, kinds: list[Kind]) -> None:
        self._store = store
        self._kinds = {(kind.served, kind.plural): kind for kind in kinds}
        self._documents = documents(kinds)
        self._changed = {kind.table: asyncio.Event() for kind in kinds}
        store.listeners.append(self._wake)

    def _wake(self, event: Event) -> None:
        self._changed[event.resource.table].set()
        self._changed[event.resource.table] = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        path, query = request.path, request.query
        if path in self._documents:
            return web.json_response(self._documents[path])
        try:
            kind, place, part = self._locate(path.split("/")[1:])
            fields = query.get("fieldSelector", "")
            matches = select(place[0], query.get("labelSelector", ""), fields, kind.selectable)
            if query.get("watch") in ("1", "true"):
                return await self._watch(request, kind, matches)
            if request.method == "GET" and not place[1]:
                return web.json_response(self._shown(request, kind, self._store.listed(kind, matches)))
            if part == "binding":
                return await self._bind(request, kind, place)
            return await self._do(request, kind, place, status=part == "status")
        except ApiError as error:
            return web.json_response(error.status, status=error.code)

    def _locate(self, parts: list[str]) -> tuple[Kind, Place, str]:
        """api/v1 or apis/GROUP/VERSION, then [namespaces/NAMESPACE/]PLURAL[/NAME[/status or, of a Pod, /binding]]."""
        head = 2 if parts[0] == "api" else 3
        rest, namespace = parts[head:], ""
        if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] != "status":
            namespace, rest = rest[1], rest[2:]
        plural, name, part, *more = (*rest, "", "", "")
        kind = self._kinds.get(("/".join(parts[1:head]), plural))
        placed = kind and (bool(namespace) == kind.namespaced or not (namespace or name))
        parts_of = ("", "status" * kind.status, "binding" * (kind.kind == "Pod")) if kind else ()
        if kind and placed and part in parts_of and not any(more):
            return kind, (namespace, name), part
        raise ApiError(404, "NotFound", "the server could not find the requested resource")

    async def _do(self, request: web.Request, kind: Kind, place: Place, *, status: bool) -> web.Response:
        query, body, unknown = request.query, await _body(request), list[str]()
        options: Json = {**query, **body} if request.method == "DELETE" else {**query}
        store = self._store.fork() if "All" in options.get("dryRun", ()) else self._store
        before = store.version

        def read(wanted: Any) -> Json:
            _check_identity(place, wanted)
            found = kind.read(wanted, unknown)
            if unknown and query.get("fieldValidation") == "Strict":
                fields = ", ".join(f'unknown field "{one}"' for one in unknown)
                words = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
                raise ApiError(400, "BadRequest", f"{words}: strict decoding error: {fields}")
            return found

        match request.method, bool(place[1]):
            case "GET", True:
                found = store.get(kind, place)
            case "POST", False:
                found = store.create(kind, place[0], read(body))
            case "PUT", True:
                found = store.replace(kind, place, read(body), status=status)
            case "PATCH", True:
                patch = _PATCHES[request.content_type]
                found = store.update(kind, place, lambda old: read(patch(kind.shown(old), body)), status=status)
            case "DELETE", True if not status:
                grace = options.get("gracePeriodSeconds")
                found = store.delete(kind, place, None if grace is None else int(grace), options.get("preconditions"))
            case _:
                raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        warnings = {"Warning": ", ".join(f'299 - "unknown field \\"{one}\\""' for one in unknown)} if unknown else {}
        code = 201 if any(event.old is None for event in store.watch(kind, before)) else 200
        return web.json_response(self._shown(request, kind, found), status=code, headers=warnings)

    async def _bind(self, request: web.Request, kind: Kind, place: Place) -> web.Response:
        """What a scheduler says: this Pod belongs on that node, from now on and for ever."""
        if request.method != "POST":
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        body = await _body(request)
        _check_identity(place, body)
        bind(self._store, kind, place, body)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}, status=201)

    def _shown(self, request: web.Request, kind: Kind, found: Json | list[Json]) -> Json:
        version = {"metadata": {"resourceVersion": str(self._store.version)}}
        if "as=Table" in request.headers.get("Accept", ""):
            return version | table(kind.columns, found if isinstance(found, list) else [found], self._store.now())
        if isinstance(found, dict):
            return kind.shown(found)
        items = [kind.shown(one) for one in found]
        return version | {"kind": f"{kind.kind}List", "apiVersion": kind.served, "items": items}

    async def _watch(self, request: web.Request, kind: Kind, matches: Matches) -> web.StreamResponse:
        """Changes as lines of JSON, from a version on or, without one, from the objects as they are."""
        query, clock = request.query, asyncio.get_running_loop().time
        ends, after = clock() + float(query.get("timeoutSeconds", 1800)), int(query.get("resourceVersion") or 0)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)

        async def send(word: str, found: Json) -> None:
            await response.write(json.dumps({"type": word, "object": found}).encode() + b"\n")

        try:
            if not after:
                found, after = self._store.listed(kind, matches), self._store.version
                for one in found:
                    await send("ADDED", self._shown(request, kind, one))
            while clock() < ends:
                changed = self._changed[kind.table]
                for event in self._store.watch(kind, after):
                    after = event.version
                    if seen := event.seen(matches):
                        await send(seen[0], self._shown(request, kind, seen[1]))
                try:
                    await asyncio.wait_for(changed.wait(), min(_BOOKMARK_S, max(0.0, ends - clock())))
                except TimeoutError:
                    if query.get("allowWatchBookmarks") in ("1", "true") and not changed.is_set():
                        after = self._store.version  # all changes up to this one have been told
                        meta = {"metadata": {"resourceVersion": str(after)}}
                        await send("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.served, **meta})
        except ApiError as error:
            await send("ERROR", error.status)
        return response


def _check_identity(place: Place, wanted: Any) -> None:
    """What is sent must be an object that does not say that it belongs elsewhere."""
    meta = wanted.get("metadata") or {} if isinstance(wanted, dict) else None
    if not isinstance(meta, dict):
        raise ApiError(400, "BadRequest", "the object provided is unrecognized: it is no object with metadata")
    for word, given in (("namespace", place[0]), ("name", place[1] or meta.get("name"))):
        if meta.get(word, given) != given:
            text = f"the {word} of the provided object does not match the {word} sent on the request"
            raise ApiError(400, "BadRequest", text)


async def _body(request: web.Request) -> Any:
    body = await request.read() or b"{}"
    if (request.method == "PATCH" and request.content_type not in _PATCHES) or body.startswith(b"k8s"):
        known = ", ".join(_PATCHES) if request.method == "PATCH" else "application/json (kubectl apply -f, create -f)"
        text = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise ApiError(415, "UnsupportedMediaType", text)
    try:
        return json.loads(body)
    except ValueError as error:
        raise ApiError(400, "BadRequest", f"json parse error: {error}") from error

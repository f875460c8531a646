"""A page and the API server behind it, both in this process: the lab's own server, with users and their rights."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from quorate.access.kubeconfig import Credentials, Login
from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE, Instant
from quorate.dashboard.server import Options, Site
from quorate.lab.apiserver.kinds import served
from quorate.lab.apiserver.server import Server
from quorate.sim.store import Store
from quorate.view.snapshot import Snapshot
from tests.unit.view import pictures

Json = dict[str, Any]
SSAR = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
BEHIND = "/k8s/clusters/c-1"
"""Where a gateway has the API server."""
WRITES = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


@dataclass
class User:
    """`allowed`: (verb, resource) or (verb, resource, namespace); "*" is every verb."""

    name: str
    allowed: set[tuple[str, ...]]

    def may(self, verb: str, resource: str, namespace: str = "") -> bool:
        places = {(), (namespace,)} if namespace else {()}
        return any((v, r, *p) in self.allowed for v in (verb, "*") for r in (resource, "*") for p in places)


READER = {("list", one) for one in ("clusters", "nodes", "haresources", "storages")}


@dataclass
class ApiServer:
    """`down`: it answers nothing any more; `broken`: everything with that code. `asked`: every request, method and path.
    `refused`: paths nobody may read.
    """

    store: Store
    users: dict[str, User] = field(default_factory=dict)
    down: bool = False
    broken: int = 0
    asked: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    url: str = ""

    def put(self, raw: Json) -> None:
        """An object that is there, with its status."""
        group = "" if raw["apiVersion"] == "v1" else raw["apiVersion"].partition("/")[0]
        plural = {"HAResource": "haresources", "Storage": "storages"}.get(raw["kind"], f"{raw['kind'].lower()}s")
        resource = self.store.resources[f"{plural}.{group}" if group else plural]
        namespace = raw["metadata"].get("namespace", "")
        status = raw.get("status")
        place = (namespace, raw["metadata"]["name"])
        if self.store.find(resource, place) is None:
            self.store.create(resource, namespace, {key: value for key, value in raw.items() if key != "status"})
        if status is not None:
            self.store.update(resource, place, lambda old: {**old, "status": status}, status=True)

    def fill(self, snapshot: Snapshot) -> None:
        for one in {raw["metadata"]["namespace"] for raw in snapshot.guests}:
            self.namespace(one)
        for raw in (*snapshot.clusters, *snapshot.nodes, *snapshot.guests, *snapshot.storages):
            self.put(dict(raw))
        for node in snapshot.nodes:
            self.put(pictures.kube_node(node["metadata"]["name"]))
        for namespace, leases in ((AGENT_NAMESPACE, snapshot.leases), (SYSTEM_NAMESPACE, snapshot.leaders)):
            self.namespace(namespace)
            for lease in leases or ():
                self.put(pictures.as_object(lease, namespace))

    def namespace(self, name: str) -> None:
        namespaces = self.store.resources["namespaces"]
        if self.store.find(namespaces, ("", name)) is None:
            self.store.create(namespaces, "", {"metadata": {"name": name}})

    def find(self, table: str, name: str, namespace: str = "") -> Json | None:
        return self.store.find(self.store.resources[table], (namespace, name))


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    kinds = served()
    stored = [kind for kind in kinds if not kind.renamed]
    store = Store(stored, lambda: Instant(time.time_ns() // 1_000_000), lambda: str(uuid.uuid4()))
    found = ApiServer(store)
    inner = Server(store, kinds)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith(BEHIND):
            request = request.clone(
                rel_url=request.rel_url.with_path(request.path.removeprefix(BEHIND), keep_query=True)
            )
        found.asked.append(f"{request.method} {request.path}")
        if found.down:
            raise ConnectionResetError
        if found.broken:
            return web.json_response({"kind": "Status"}, status=found.broken)
        return await _answer(found, inner, request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app, handler_cancellation=True)
    await server.start_server(shutdown_timeout=0.1)
    found.url = f"http://{server.host}:{server.port}"
    try:
        yield found
    finally:
        await server.close()


async def _answer(found: ApiServer, inner: Server, request: web.Request) -> web.StreamResponse:
    if not found.users:
        return await inner.answer(request)
    user = found.users.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if request.path in found.refused:
        return web.json_response({"kind": "Status", "message": "not for you", "reason": "Forbidden"}, status=403)
    if user is None:
        return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
    if request.path == WHO:
        return web.json_response({"status": {"userInfo": {"username": user.name}}}, status=201)
    if request.path == SSAR:
        asked = json.loads(await request.read())["spec"]["resourceAttributes"]
        allowed = user.may(asked["verb"], asked["resource"], asked.get("namespace", ""))
        return web.json_response({"status": {"allowed": allowed}}, status=201)
    parts = request.path.split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
    resource = next((one for one in parts[::-1] if one in {"clusters", "nodes", "haresources", "storages"}), "others")
    if request.method in WRITES and not user.may(WRITES[request.method], resource, namespace):
        words = f"{user.name} may not {WRITES[request.method]} {resource}"
        return web.json_response({"kind": "Status", "message": words, "reason": "Forbidden"}, status=403)
    return await inner.answer(request)


@asynccontextmanager
async def page(
    api: ApiServer, options: Options | None = None, token: str = ""
) -> AsyncIterator[tuple[Site, "TestClient[Any, Any]"]]:
    """The page of that API server; the client follows no redirects by itself."""
    login = Login(api.url, "a test", "ada", credentials=Credentials(token=token))
    site = Site(login, options or Options())
    client = TestClient(TestServer(site.app()), cookie_jar=CookieJar(unsafe=True))
    await client.start_server()
    try:
        yield site, client
    finally:
        await client.close()


async def enter(site: Site, client: "TestClient[Any, Any]") -> str:
    """Sign in by the one-time secret; returns what every deed must bring along."""
    answer = await client.get("/enter", params={"secret": site.once.secret}, allow_redirects=False)
    assert answer.status == 303, await answer.text()
    return next(iter(site.sessions._known.values())).csrf


async def until(check: Callable[[], Any], what: str) -> Any:
    """As soon as it holds."""
    for _ in range(600):
        found = check()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")

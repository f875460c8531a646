"""A tiny API server for the command line's tests: real HTTP, objects in a dict, every write remembered.

Conflicts, missing kinds and other refusals are said in advance (`answers`); everything else is served from `objects`.
"""

import copy
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
PLURALS = {"HAResource": "haresources", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}
SERVED = {
    *("clusters", "nodes", "haresources", "storages", "leases", "pods", "events", "namespaces", "daemonsets"),
    "controllerrevisions",
    *(
        "deployments",
        "roles",
        "clusterroles",
        "flowschemas",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "customresourcedefinitions",
        "virtualmachines",
    ),
}
"""Kinds whose collections are there, if empty; any other is unknown to this server."""


@dataclass
class Write:
    method: str
    path: str
    query: dict[str, list[str]]
    body: Json
    content_type: str


@dataclass
class Answer:
    """What is answered instead, `times` times."""

    code: int
    body: Json
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class Stub:
    """`objects` maps a path to the object there; a collection is whatever lies below its path.

    `clock_s`: what it says the time is, 0 for the truth. `after_write`: what a manager would do then. `before_read`: what
    has become of everything by then.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.writes: list[Write] = []
        self.seen_headers: list[dict[str, str]] = []
        self.after_write: Any = None
        self.before_read: Any = None
        self.clock_s = 0.0
        self.url = ""

    def put(self, raw: Mapping[str, Any]) -> None:
        """An object that is there."""
        plural = PLURALS.get(raw["kind"], raw["kind"].lower() + "s")
        group = "" if raw["apiVersion"] == "v1" else f"s/{raw['apiVersion'].partition('/')[0]}"
        version = raw["apiVersion"].rpartition("/")[2]
        namespace = raw["metadata"].get("namespace")
        place = f"/api{group}/{version}" + (f"/namespaces/{namespace}" if namespace else "")
        self.objects[f"{place}/{plural}/{raw['metadata']['name']}"] = copy.deepcopy(dict(raw))

    def answer(self, method: str, path: str, answer: Answer) -> None:
        self.answers.setdefault(f"{method} {path}", []).append(answer)

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: Json, content_type: str) -> Any:
        queued = self.answers.get(f"{method} {path}")
        if queued:
            queued[0].times -= 1
            answer = queued[0] if queued[0].times > 0 else queued.pop(0)
            return answer.code, answer.body, answer.headers
        if method == "GET":
            if self.before_read is not None:
                self.before_read(self, path)
            return self._get(path, query)
        self.writes.append(Write(method, path, query, body, content_type))
        if method == "POST":
            name = (body.get("metadata") or {}).get("name", "")
            self.objects[f"{path}/{name}"] = {"metadata": {}, **body}
            return 201, body, {}
        found = self.objects.get(path)
        if found is None:
            return 404, _status(404, "NotFound", f"{path} not found", path.rpartition("/")[2]), {}
        held = (body.get("preconditions") or {}) if method == "DELETE" else {}
        metadata = found["metadata"]
        if any(metadata.get(key) != value for key, value in held.items()):
            return 409, _status(409, "Conflict", f"{path} is another one", path.rpartition("/")[2]), {}
        if method == "DELETE":
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        elif isinstance(body, list):
            found["spec"]["taints"] = body[-1]["value"]
        else:
            _merge(found, body)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[path]
        if self.after_write is not None:
            self.after_write(self, path)
        return 200, found, {}

    def _get(self, path: str, query: dict[str, list[str]]) -> Any:
        if path in self.objects:
            return 200, self.objects[path], {}
        base, _, plural = path.rpartition("/")
        if plural in SERVED:
            wanted = [one.partition("=") for one in query.get("labelSelector", [""])[0].split(",") if one]
            below = [
                one
                for where, one in self.objects.items()
                if where.rpartition("/")[0] == path
                or (
                    "/namespaces/" not in path
                    and where.startswith(f"{base}/namespaces/")
                    and where.split("/")[-2] == plural
                )
            ]
            chosen = [one for one in below if all(_labelled(one, key, value) for key, _, value in wanted)]
            return 200, {"items": chosen}, {}
        return 404, _status(404, "NotFound", f"{path} not found", plural), {}


def _labelled(raw: Json, key: str, value: str) -> bool:
    """Does it carry the label, with that value if one is asked for? With ! before it: does it not?"""
    labels = raw["metadata"].get("labels") or {}
    if key.startswith("!"):
        return key[1:] not in labels
    return key in labels and value in {"", labels[key]}


def _status(code: int, reason: str, message: str, name: str) -> Json:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": {"name": name}}


def _merge(target: Json, patch: Json) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = value


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """A stub on a free port of this machine, ended with the test."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            where = urlsplit(self.path)
            stub.seen_headers.append({name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers})
            code, answer, headers = stub.handle(
                self.command, where.path, parse_qs(where.query), body, self.headers.get("Content-Type", "")
            )
            data = json.dumps(answer).encode()
            self.send_response_only(code)
            told = {
                "Date": formatdate(stub.clock_s or time.time(), usegmt=True),
                "Content-Length": str(len(data)),
                **headers,
            }
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815 - the names that http.server asks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stub.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(file: Path, server: str, *, namespace: str = "default", user: str = "ada", **credentials: Any) -> Path:
    """A kubeconfig with one context, `test`."""
    content = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": user, "namespace": namespace}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": user, "user": credentials}],
    }
    file.write_text(yaml.safe_dump(content))
    return file

"""An API server over plain HTTP, in dicts."""

import copy
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

Json = Any
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    code: int
    body: Json
    headers: urllib3.HTTPHeaderDict

    def ok(self) -> Json:
        assert 200 <= self.code < 300, self.body
        return self.body

    def refused(self, code: int, reason: str) -> str:
        """Its words, when it refuses in this way."""
        found = (self.code, self.body.get("code"), self.body.get("reason"), self.body.get("kind"))
        assert found == (code, code, reason, "Status"), self.body
        return str(self.body["message"])

    def causes(self) -> set[tuple[str, str, str]]:
        """(field, reason, text) of everything that is wrong with an invalid object."""
        self.refused(422, "Invalid")
        return {(one["field"], one["reason"], one["message"]) for one in self.body["details"]["causes"]}

    def warnings(self) -> list[str]:
        return [text for text in ", ".join(self.headers.getlist("Warning")).split('299 - "') if text]


class Api:
    """One server, as the administrator of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.server = cluster["server"]
        self.token = config["users"][0]["user"].get("token", "")
        self.authority = cluster.get("certificate-authority")
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=30)
        self._headers = urllib3.HTTPHeaderDict({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def acting(self, *, token: str = "", user: str = "", groups: Iterable[str] = ()) -> "Api":
        """The same server, as whoever has that token, or as the administrator in that user's place."""
        other = copy.copy(self)
        headers = urllib3.HTTPHeaderDict({"Authorization": f"Bearer {token or self.token}"})
        if user:
            headers.add("Impersonate-User", user)
            for group in (*groups, "system:authenticated"):
                headers.add("Impersonate-Group", group)
        other._headers = headers
        return other

    def call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answer:
        raw = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        headers = self._headers.copy()
        headers.extend({"Accept": accept, "Content-Type": content})
        answer = self._pool.request(method, self._url(path, query), body=raw, headers=headers)
        text = answer.data.decode()
        found = json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text
        return Answer(answer.status, found, answer.headers)

    def get(self, path: str, **query: str) -> Answer:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Json, **query: str) -> Answer:
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: Json, **query: str) -> Answer:
        return self.call("PUT", path, body, **query)

    def merge(self, path: str, body: Json, **query: str) -> Answer:
        return self.call("PATCH", path, body, content=MERGE, **query)

    def json_patch(self, path: str, *operations: Json, **query: str) -> Answer:
        return self.call("PATCH", path, list(operations), content=JSON_PATCH, **query)

    def delete(self, path: str, body: Json = None, **query: str) -> Answer:
        return self.call("DELETE", path, body, **query)

    def names(self, path: str, **query: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.get(path, **query).ok()["items"]]

    @contextmanager
    def watch(self, path: str, *, accept: str = "application/json", **query: str) -> Iterator[Iterator[Json]]:
        """The events of a watch, as they come; at its end the iterator ends."""
        url = self._url(path, {"watch": "true", "timeoutSeconds": "20"} | query)
        headers = self._headers.copy()
        headers.add("Accept", accept)
        answer = self._pool.request("GET", url, headers=headers, preload_content=False)
        assert answer.status == 200, answer.read()
        try:
            yield (json.loads(line) for line in _lines(answer))
        finally:
            answer.close()

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return self.server + path + (f"?{urlencode(query)}" if query else "")


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for part in answer.stream(amt=65536, decode_content=True):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines

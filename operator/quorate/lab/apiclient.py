"""The API server, as little of it as the lab's own processes need: dicts over aiohttp, a list kept fresh by a watch."""

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from quorate.lab.errors import LabError

Json = dict[str, Any]

SYNC: Final = "SYNC"
"""The first word of `follow`: everything there is, by a fresh list."""
_REQUEST: Final = aiohttp.ClientTimeout(total=10, sock_connect=4)
_WATCH_S: Final = 20
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_log = logging.getLogger(__name__)


class ApiError(LabError):
    """The API server said no. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"{status}: {message}")


UNREACHABLE: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What every call may raise beside ApiError: nothing is known of what became of it."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where an API server is and how to be let in."""

    server: str
    authority: str = ""
    """PEM of the certificate authority; empty for plain HTTP."""
    token: str = ""


def read_kubeconfig(path: Path) -> Access:
    """The current context's cluster and user. Raises LabError naming file, field and finding."""
    try:
        found = yaml.safe_load(path.read_text())
        context = _named(found, "contexts", found["current-context"])["context"]
        cluster = _named(found, "clusters", context["cluster"])["cluster"]
        user = _named(found, "users", context["user"])["user"] if context.get("user") else {}
        return Access(cluster["server"], _authority(cluster, path.parent), user.get("token") or "")
    except OSError as error:
        raise LabError(f"kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise LabError(f"kubeconfig {path}: not understood ({error!r})") from error


def write_kubeconfig(path: Path, access: Access) -> None:
    """Write a kubeconfig, readable by its owner only. JSON, which is YAML as well."""
    authority = base64.b64encode(access.authority.encode()).decode()
    cluster = {"server": access.server} | ({"certificate-authority-data": authority} if authority else {})
    name = "lab"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": access.token} if access.token else {}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _named(config: Json, section: str, name: str) -> Json:
    return next(one for one in config[section] if one["name"] == name)


def _authority(cluster: Json, beside: Path) -> str:
    if data := cluster.get("certificate-authority-data"):
        return base64.b64decode(str(data)).decode()
    if file := cluster.get("certificate-authority"):
        return (beside / str(file)).read_text()
    return ""


class Api:
    """A session with one API server. Objects are dicts; paths are those of the REST API."""

    def __init__(self, access: Access) -> None:
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        secure = ssl.create_default_context(cadata=access.authority) if access.authority else True
        self._session = aiohttp.ClientSession(
            access.server, headers=headers, timeout=_REQUEST, connector=aiohttp.TCPConnector(ssl=secure)
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, body)

    async def patch(self, path: str, body: Json) -> Json:
        """A merge patch: lists are replaced, None takes a field away."""
        return await self._call("PATCH", path, body, content_type="application/merge-patch+json")

    async def delete(self, path: str, options: Json | None = None) -> Json:
        return await self._call("DELETE", path, options)

    async def create(self, path: str, body: Json) -> bool:
        """Create unless it is there already. False when it was."""
        try:
            await self.post(path, body)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        data = json.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type} if data is not None else None
        async with self._session.request(method, path, data=data, headers=headers, params=query) as response:
            text = await response.text()
            if response.status >= 400:
                raise ApiError(response.status, _message(text))
            found: Json = json.loads(text)
            return found

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[tuple[str, Json]]:
        """(type, object) for each change after that version, until the server ends it. Raises ApiError (410: too old)."""
        params = {
            **query,
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        # A watch that says nothing for longer than it may last has lost its connection silently.
        patience = aiohttp.ClientTimeout(total=None, sock_connect=4, sock_read=_WATCH_S + 5)
        async with self._session.get(path, params=params, timeout=patience) as response:
            if response.status >= 400:
                raise ApiError(response.status, _message(await response.text()))
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 500), event["object"].get("message", ""))
                    yield event["type"], event["object"]


def describe(error: BaseException) -> str:
    """What went wrong, in words; a time-out has none of its own."""
    return str(error) or type(error).__name__


async def follow(api: Api, path: str, **query: str) -> AsyncIterator[tuple[str, Json]]:
    """(SYNC, the list), then every change; again SYNC whenever the watch was lost. Never ends, retries for ever."""
    failures = 0
    while True:
        try:
            listed = await api.get(path, **query)
            failures = 0
            yield SYNC, listed
            version = listed["metadata"]["resourceVersion"]
            while True:
                async for kind, changed in api.watch(path, version, **query):
                    version = changed["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        yield kind, changed
        except (ApiError, *UNREACHABLE) as error:
            _log.info("%s: %s", path, describe(error))
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1


def _message(text: str) -> str:
    """The message of a Status object, or whatever was said instead."""
    try:
        found = json.loads(text)
        return str(found.get("message") or text) if isinstance(found, dict) else text
    except ValueError:
        return text.strip()

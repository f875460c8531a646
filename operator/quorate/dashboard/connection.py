"""Reads at one API server, as whoever runs the page: lists, and watches that follow them."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final

import aiohttp

from quorate.access.client import environment_proxy, headers_of, not_an_api_server, signed_in, ssl_context
from quorate.access.errors import ApiError, UnreachableError
from quorate.access.kubeconfig import Login
from quorate.access.refusals import refusal
from quorate.core.types import Instant

Json = dict[str, Any]
ANSWER: Final = aiohttp.ClientTimeout(total=20, sock_connect=4, sock_read=10)
WATCH_S: Final = 240
"""A watch is asked to end after this: a connection that died without a word is noticed then at the latest."""
LINE_BYTES: Final = 4 * 1024 * 1024
"""No object is larger than etcd takes."""


class ExpiredError(Exception):
    """What is watched has moved on too far: list anew."""


class Connection:
    """One API server. Made in a running event loop."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._options: dict[str, Any] = {"allow_redirects": False}
        self._ahead_s = 0.0

    def now(self) -> Instant:
        """The moment by the API server's clock, as its last answer told."""
        return Instant(round((time() + self._ahead_s) * 1000))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, **query: str) -> Json:
        """Raises CliError."""
        try:
            session = await self._open()
            async with session.get(self.login.server + path, params=query, timeout=ANSWER, **self._options) as response:
                self._hear_clock(response)
                body = await response.read()
                if response.status >= 300:
                    await self._refuse(f"GET {path}", response.status, body)
                found: Json = json.loads(body)
                return found
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """(type, object) of each change after that version, until the server ends it. Raises ExpiredError, CliError."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=4, sock_read=WATCH_S + 30)
        try:
            session = await self._open()
            async with session.get(self.login.server + path, params=query, timeout=limit, **self._options) as response:
                if response.status == 410:
                    raise ExpiredError
                if response.status >= 300:
                    await self._refuse(f"GET {path}", response.status, await response.read())
                async for line in response.content:
                    found = json.loads(line)
                    if found["type"] == "ERROR":
                        raise ExpiredError
                    yield found["type"], found["object"]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error

    async def _open(self) -> aiohttp.ClientSession:
        """Signed in: who is asked for that, a plugin perhaps, may take its time."""
        async with self._opening:
            if self._session is None:
                login = self.login
                known = await asyncio.to_thread(signed_in, login)
                secure: ssl.SSLContext | bool = True
                if login.server.startswith("https://"):
                    secure = ssl_context(login, known)
                    if login.server_name:
                        self._options["server_hostname"] = login.server_name
                self._options["proxy"] = login.proxy or environment_proxy(login.server) or None
                self._session = aiohttp.ClientSession(
                    headers=list(headers_of(known).items()),
                    connector=aiohttp.TCPConnector(ssl=secure, limit=32),
                    read_bufsize=LINE_BYTES,
                )
            return self._session

    async def _refuse(self, call: str, code: int, body: bytes) -> None:
        """Raises the refusal as a sentence. After 401 the next call signs in anew: tokens of Pods are renewed."""
        if code < 400:
            raise UnreachableError(not_an_api_server(self.login, code))
        if code == 401:
            await self.close()
        try:
            status = json.loads(body)
        except ValueError:
            status = {}
        if code in {429, 500, 502, 503, 504}:
            raise UnreachableError(str(refusal(self.login, call, code, status)))
        raise refusal(self.login, call, code, status)

    def _unreachable(self, error: Exception) -> ApiError | UnreachableError:
        words = str(error) or type(error).__name__
        return UnreachableError(f"cannot reach the API server {self.login.server} ({words})")

    def _hear_clock(self, response: aiohttp.ClientResponse) -> None:
        try:
            told = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            return
        ahead_s = told + 0.5 - time()
        self._ahead_s = ahead_s if abs(ahead_s) > 1 else 0.0

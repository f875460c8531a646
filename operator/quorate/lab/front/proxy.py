"""One call: forwarded as it came, or what a rule says. A watch goes through event by event and can be stopped in between.

The body of an ordinary call and of its answer are read as a whole. A call that ends without an answer ends by a reset,
as from a server that died; a client that leaves takes its call upstream with it.
"""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from quorate.lab.front import rules
from quorate.lab.front.rules import Book, Call, Rule

_PER_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade"})
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_GONE: Final = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version (the lab's front says so)",
        "reason": "Expired",
        "code": 410,
    },
}
_log = logging.getLogger(__name__)


class Watch:
    """A watch that runs: the rule that is to end or to silence it comes through `told`."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.told: asyncio.Future[Rule] = asyncio.get_running_loop().create_future()

    def tell(self, rule: Rule) -> None:
        if not self.told.done():
            self.told.set_result(rule)


class Proxy:
    """Forwards to one API server. `kill` ends the process of a client, and returns when it is gone."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession, book: Book, kill: Callable[[str], None]) -> None:
        self.book = book
        self.watches: set[Watch] = set()
        self._upstream = upstream
        self._session = session
        self._kill = kill
        self._late: set[asyncio.Task[None]] = set()

    def apply(self, rule: Rule) -> None:
        """A rule about watches has been added: those that run are meant as well."""
        if rule.does in rules.WATCHES:
            for watch in sorted(self.watches, key=lambda one: one.call.number):
                if self.book.take(watch.call, (rule.name,)) is not None:
                    watch.tell(rule)

    async def stop(self) -> None:
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def answer(self, client: str, request: web.BaseRequest) -> web.StreamResponse:
        """Any request of that client."""
        watch = request.query.get("watch") in {"1", "true"}
        call = self.book.note(client, request.method, request.path, request.query_string, watch=watch)
        body = await request.read()
        rule = self.book.take(call)
        match rule.does if rule is not None else "":
            case rules.DELAY if rule is not None:
                await asyncio.sleep(rule.seconds)
            case rules.ANSWER if rule is not None:
                return _refusal(rule)
            case rules.HANG:
                await _for_ever()
            case rules.RESET:
                await reset(request)
            case rules.LATE if rule is not None:
                self._forward_later(call, request, body, rule.seconds)
                await _for_ever()
            case rules.KILL_BEFORE:
                self._kill(client)
                await reset(request)
        try:
            return await self._forward(call, request, body, rule)
        except (aiohttp.ClientError, OSError) as error:
            _log.info("%s %s of %s: %r", call.method, call.path, client, error)
            await reset(request)
            raise

    async def _forward(
        self, call: Call, request: web.BaseRequest, body: bytes, rule: Rule | None
    ) -> web.StreamResponse:
        async with self._ask(request, body) as found:
            call.code = found.status
            if call.watch and found.status == 200:
                return await self._stream(call, request, found, rule)
            content = await found.read()
        if rule is not None and rule.does == rules.DELAY_ANSWER:
            await asyncio.sleep(rule.seconds)
        if rule is not None and rule.does == rules.KILL_AFTER:
            self._kill(call.client)
            await reset(request)
        return web.Response(body=content, status=found.status, headers=_passed_on(found.headers))

    def _ask(self, request: web.BaseRequest, body: bytes) -> "aiohttp.client._RequestContextManager":
        url = URL(self._upstream + request.raw_path, encoded=True)
        return self._session.request(request.method, url, data=body or None, headers=_passed_on(request.headers))

    async def _stream(
        self, call: Call, request: web.BaseRequest, found: aiohttp.ClientResponse, rule: Rule | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=found.status, headers=_passed_on(found.headers))
        await response.prepare(request)
        watch = Watch(call)
        if rule is not None and rule.does in rules.WATCHES:
            watch.tell(rule)
        self.watches.add(watch)
        pump = asyncio.ensure_future(_pump(found, response, watch))
        try:
            either: set[asyncio.Future[Any]] = {pump, watch.told}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not watch.told.done():
                await pump
                return response
            pump.cancel()
            does = watch.told.result().does
            if does == rules.STALL:
                await _for_ever()
            if does == rules.EXPIRE:
                await response.write(json.dumps(_GONE).encode() + b"\n")
            return response
        finally:
            pump.cancel()
            self.watches.discard(watch)

    def _forward_later(self, call: Call, request: web.BaseRequest, body: bytes, seconds: float) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            try:
                async with self._ask(request, body) as found:
                    await found.read()
                    call.code = found.status
            except (aiohttp.ClientError, OSError) as error:
                _log.warning("%s %s of %s came too late: %r", call.method, call.path, call.client, error)

        task = asyncio.get_running_loop().create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


async def _pump(found: aiohttp.ClientResponse, response: web.StreamResponse, watch: Watch) -> None:
    """Whole lines only: an event of our own can follow any of them. Nothing once the watch was told to be silent."""
    pending = b""
    async for chunk in found.content.iter_any():
        lines, newline, pending = (pending + chunk).rpartition(b"\n")
        if newline and not watch.told.done():
            await response.write(lines + newline)


async def reset(request: web.BaseRequest) -> None:
    """Reset the connection; whoever handles the call is cancelled by that, so this does not return."""
    abort(request.transport)
    await _for_ever()


def abort(transport: asyncio.Transport | None) -> None:
    """Without lingering the kernel ends the connection by a reset."""
    if transport is not None and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _PER_HOP)


def _refusal(rule: Rule) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": rule.code}
    words = {"reason": "LabFront", "message": f"rule {rule.name} of the lab's front"}
    return web.json_response(status | words, status=rule.code, headers=rule.headers)

"""A port for each client, so that the front knows who calls; and an outage of it.

An outage refuses (nobody listens, what was connected is reset) or hangs (nothing is forwarded or answered any more, also
of what was under way, and watches fall silent). Afterwards the port is the same, and every connection is made anew.
"""

import asyncio
import ssl
from typing import Final

from aiohttp import web

from quorate.lab.errors import unknown
from quorate.lab.front import rules
from quorate.lab.front.proxy import Proxy, abort
from quorate.lab.front.rules import Rule

_HOST: Final = "127.0.0.1"
_STOP_S: Final = 1.0
REFUSE: Final = "refuse"
SILENCE: Final = "hang"
NONE: Final = "none"
OUTAGES: Final = (NONE, REFUSE, SILENCE)


class Listener:
    """One client's way to the API server."""

    def __init__(self, client: str, proxy: Proxy, secure: ssl.SSLContext | None) -> None:
        self.client = client
        self.port = 0
        self._proxy = proxy
        self._secure = secure
        self._outage = NONE
        self._http = web.Server(self._answer, handler_cancellation=True, access_log=None)
        self._socket: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, on the port it had before if it had one."""
        loop = asyncio.get_running_loop()
        self._socket = await loop.create_server(self._http, _HOST, self.port, ssl=self._secure)
        self.port = self._socket.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._close()
        self.drop()
        await self._http.shutdown(_STOP_S)

    async def suffer(self, outage: str) -> None:
        """Begin an outage, or end it. Raises MisuseError."""
        if outage not in OUTAGES:
            raise unknown("outage", outage, OUTAGES)
        self._outage = outage
        if outage == REFUSE:
            self._close()
        elif self._socket is None:
            await self.start()
        if outage == SILENCE:
            for watch in self._proxy.watches:
                if watch.call.client == self.client:
                    watch.tell(Rule("outage", rules.STALL))
        else:
            self.drop()

    def drop(self) -> None:
        """Reset every connection."""
        for connection in self._http.connections:
            abort(connection.transport)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._unless_silent()
        answer = await self._proxy.answer(self.client, request)
        await self._unless_silent()
        return answer

    async def _unless_silent(self) -> None:
        if self._outage == SILENCE:
            await asyncio.get_running_loop().create_future()

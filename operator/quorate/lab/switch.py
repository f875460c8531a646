"""A node's network: the only way from a virtual node to the API server is its own TCP switch, outside of the node.

Cut, it loses everything in both directions: what was connected hangs without an end or a reset, what connects gets no
answer. Restored, it drops what was connected before, as peers do whose counterpart was silent for too long, and works
for new connections. It listens on 127.0.0.1, so that the API server's certificate stays valid through it.
"""

import asyncio
import socket
import struct
from typing import Final

_HOST: Final = "127.0.0.1"
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Switch:
    """One node's plug of the network, forwarding to one address or, by another port each, to several."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._pairs: set[_Pair] = set()
        self._servers: list[asyncio.Server] = []
        self.up = True

    async def start(self) -> int:
        """Listen; returns the port."""
        return await self.lead_to(*self._upstream)

    async def lead_to(self, host: str, port: int) -> int:
        """Listen for another address as well; returns the port that leads there."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._accept((host, port)), _HOST, 0)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    def cut(self) -> None:
        """From now on everything is lost."""
        self.up = False
        for pair in self._pairs:
            pair.silent = True

    def restore(self) -> None:
        """New connections work; those that were there are dropped."""
        if not self.up:
            self.up = True
            self.drop()

    def drop(self) -> None:
        """Reset every connection."""
        for pair in list(self._pairs):
            pair.abort()

    def stop(self) -> None:
        for server in self._servers:
            server.close()
        self.drop()

    def _accept(self, upstream: tuple[str, int]) -> asyncio.Protocol:
        pair = _Pair(upstream, silent=not self.up)
        self._pairs.add(pair)
        pair.ended.add_done_callback(lambda _: self._pairs.discard(pair))
        return pair.client


class _Pair:
    """A connection of the node and its continuation to the API server. Silent: what arrives is lost, also its end."""

    def __init__(self, upstream: tuple[str, int], *, silent: bool) -> None:
        self.silent = silent
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.client = _Side(self)
        self.server = _Side(self)
        self._upstream = upstream
        self._connecting: asyncio.Task[None] | None = None

    def connected(self, side: "_Side") -> None:
        if side is self.client and not self.silent:
            side.pause()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def other(self, side: "_Side") -> "_Side":
        return self.server if side is self.client else self.client

    def abort(self) -> None:
        """Reset both ends."""
        if self._connecting is not None:
            self._connecting.cancel()
        for side in (self.client, self.server):
            side.reset()
        if not self.ended.done():
            self.ended.set_result(None)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self._upstream)
        except OSError:
            self.abort()
        else:
            self.client.resume()


class _Side(asyncio.Protocol):
    """One end of a pair."""

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._pair.connected(self)

    def data_received(self, data: bytes) -> None:
        other = self._pair.other(self).transport
        if not self._pair.silent and other is not None:
            other.write(data)

    def eof_received(self) -> bool:
        other = self._pair.other(self).transport
        if not self._pair.silent and other is not None and other.can_write_eof():
            other.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 its name is asyncio's
        if not self._pair.silent:
            self._pair.abort()

    def pause_writing(self) -> None:
        self._pair.other(self).pause()

    def resume_writing(self) -> None:
        self._pair.other(self).resume()

    def reset(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            # Without lingering the kernel ends the connection by a reset.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def pause(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

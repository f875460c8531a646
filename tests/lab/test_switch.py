"""A node's network: forwards, loses everything while cut, and works again for new connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.lab.switch import Switch
from tests.lab.waiting import eventually, still

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says in capitals what it hears, and what it heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.connections = 0
        self.ended = 0
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(1 << 16):
                self.heard += data
                writer.write(data.upper())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.ended += 1
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    server = await found.start()
    yield found
    server.close()


@pytest.fixture
async def switch(echo: Echo) -> AsyncIterator[Switch]:
    found = Switch("127.0.0.1", echo.port)
    yield found
    found.stop()


async def connect(port: int) -> Connection:
    return await asyncio.open_connection("127.0.0.1", port)


async def asked(connection: Connection, word: bytes) -> bytes:
    reader, writer = connection
    writer.write(word)
    return await reader.readexactly(len(word))


async def test_it_forwards_both_ways_also_what_is_large(switch: Switch) -> None:
    connection = await connect(await switch.start())
    assert await asked(connection, b"hello") == b"HELLO"
    large = b"x" * 3_000_000
    assert await asked(connection, large) == large.upper()


async def test_an_end_is_passed_on(switch: Switch, echo: Echo) -> None:
    reader, writer = await connect(await switch.start())
    assert await asked((reader, writer), b"a") == b"A"
    writer.write_eof()
    assert await reader.read() == b""
    await eventually(lambda: echo.ended == 1)


async def test_cut_nothing_arrives_and_nothing_ends(switch: Switch, echo: Echo) -> None:
    reader, writer = await connect(await switch.start())
    assert await asked((reader, writer), b"before") == b"BEFORE"
    switch.cut()
    writer.write(b"lost")
    waiting = asyncio.create_task(reader.read(1))
    await still(lambda: not waiting.done() and echo.heard == b"before" and echo.ended == 0, 0.2)
    waiting.cancel()


async def test_cut_the_death_of_one_side_is_not_seen_by_the_other(switch: Switch, echo: Echo) -> None:
    reader, writer = await connect(await switch.start())
    assert await asked((reader, writer), b"a") == b"A"
    switch.cut()
    writer.close()
    await still(lambda: echo.ended == 0, 0.2)


async def test_cut_a_new_connection_gets_no_answer(switch: Switch, echo: Echo) -> None:
    port = await switch.start()
    switch.cut()
    reader, writer = await connect(port)
    writer.write(b"lost")
    waiting = asyncio.create_task(reader.read(1))
    await still(lambda: not waiting.done() and echo.connections == 0, 0.2)
    waiting.cancel()


async def test_restored_old_connections_are_dropped_new_ones_work_and_what_was_lost_stays_lost(
    switch: Switch, echo: Echo
) -> None:
    port = await switch.start()
    old = await connect(port)
    assert await asked(old, b"a") == b"A"
    switch.cut()
    during = await connect(port)
    for connection in (old, during):
        connection[1].write(b"lost")
    switch.restore()
    for reader, _ in (old, during):
        with pytest.raises(ConnectionResetError):
            assert await reader.read() is None
    await eventually(lambda: echo.ended == 1)
    assert await asked(await connect(port), b"new") == b"NEW"
    assert echo.heard == b"anew"


async def test_restoring_what_was_never_cut_disturbs_nobody(switch: Switch) -> None:
    connection = await connect(await switch.start())
    assert await asked(connection, b"a") == b"A"
    switch.restore()
    assert await asked(connection, b"b") == b"B"


async def test_nobody_there_is_a_reset_not_silence() -> None:
    switch = Switch("127.0.0.1", 1)
    reader, _ = await connect(await switch.start())
    with pytest.raises(ConnectionResetError):
        assert await reader.read() is None
    switch.stop()

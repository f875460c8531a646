"""The watchdog stand-in: it kills who does not pet, and only those."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.lab import processes
from quorate.lab.errors import LabError
from quorate.lab.watchdog import Watchdog
from tests.lab.conftest import Spawn
from tests.lab.nodes import Rack
from tests.lab.waiting import eventually, still

SHORT_S = 0.3
LONG_S = 60


class Client:
    """An agent's side of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, **request: Any) -> dict[str, Any]:
        return await self.say_raw(json.dumps(request).encode())

    async def say_raw(self, line: bytes) -> dict[str, Any]:
        self._writer.write(line + b"\n")
        answer: dict[str, Any] = json.loads(await self._reader.readline())
        return answer

    async def leave(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Bench:
    """A watchdog whose kills are written down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.killed: list[str] = []
        self.failures = 0
        self._clients: list[Client] = []
        self.watchdog = Watchdog(self._kill)

    async def _kill(self, node: str) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise LabError("not yet")
        self.killed.append(node)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path)))
        self._clients.append(client)  # a connection that nobody refers to would be closed
        return client

    async def opened(self, node: str = "node1", timeout_s: float = LONG_S) -> Client:
        client = await self.connect()
        answer = await client.say(op="open", node=node, timeout_s=timeout_s)
        assert answer["ok"]
        assert answer["timeout_s"] == timeout_s
        assert answer["identity"]
        return client


@pytest.fixture
async def bench(directory: Path) -> AsyncIterator[Bench]:
    found = Bench(directory / "watchdog.sock")
    await found.watchdog.start(found.path)
    yield found
    await found.watchdog.stop()


async def test_a_node_that_is_not_petted_is_killed_once_and_is_disarmed_then(bench: Bench) -> None:
    client = await bench.opened(timeout_s=SHORT_S)
    await eventually(lambda: bench.killed)
    assert bench.killed == ["node1"]
    assert not bench.watchdog.armed("node1")
    assert not (await client.say(op="pet"))["ok"]
    await still(lambda: bench.killed == ["node1"], 2 * SHORT_S)


async def test_a_node_that_is_petted_lives(bench: Bench) -> None:
    client = await bench.opened(timeout_s=SHORT_S)
    for _ in range(8):
        await asyncio.sleep(SHORT_S / 4)
        assert await client.say(op="pet") == {"ok": True}
    assert bench.killed == []


async def test_each_node_has_a_device_of_its_own(bench: Bench) -> None:
    await bench.opened("node1", SHORT_S)
    await bench.opened("node2", LONG_S)
    await eventually(lambda: bench.killed)
    assert bench.killed == ["node1"]
    assert bench.watchdog.armed("node2")


async def test_a_second_connection_is_refused_while_the_first_has_the_device(bench: Bench) -> None:
    await bench.opened()
    second = await bench.connect()
    answer = await second.say(op="open", node="node1", timeout_s=5)
    assert not answer["ok"]
    assert "busy" in answer["error"]


async def test_magic_close_disarms(bench: Bench) -> None:
    client = await bench.opened(timeout_s=SHORT_S)
    assert await client.say(op="close") == {"ok": True}
    await still(lambda: bench.killed == [], 2 * SHORT_S)
    assert (await client.say(op="open", node="node1", timeout_s=5))["ok"]


async def test_a_connection_that_just_ends_leaves_the_countdown_running(bench: Bench) -> None:
    client = await bench.opened(timeout_s=SHORT_S)
    await client.leave()
    await eventually(lambda: bench.killed == ["node1"])


async def test_the_next_connection_takes_a_running_countdown_over(bench: Bench) -> None:
    client = await bench.opened(timeout_s=SHORT_S)
    await client.leave()
    await bench.opened(timeout_s=LONG_S)
    await still(lambda: bench.killed == [], 2 * SHORT_S)
    assert bench.watchdog.armed("node1")


async def test_set_changes_the_time_out_and_counts_as_a_pet(bench: Bench) -> None:
    client = await bench.opened(timeout_s=LONG_S)
    assert await client.say(op="set", timeout_s=SHORT_S) == {"ok": True, "timeout_s": SHORT_S}
    await eventually(lambda: bench.killed == ["node1"])


async def test_reset_kills_at_once_with_the_device_open_or_by_name(bench: Bench) -> None:
    client = await bench.opened("node1", LONG_S)
    assert await client.say(op="reset") == {"ok": True}
    await eventually(lambda: bench.killed == ["node1"])
    assert await (await bench.connect()).say(op="reset", node="node2") == {"ok": True}
    await eventually(lambda: bench.killed == ["node1", "node2"])


async def test_a_machine_without_power_has_no_watchdog(bench: Bench) -> None:
    await bench.opened(timeout_s=SHORT_S)
    assert await (await bench.connect()).say(op="unplug", node="node1") == {"ok": True}
    await still(lambda: bench.killed == [], 2 * SHORT_S)
    await bench.opened()  # the next boot finds it free


async def test_it_tells_an_onlooker_what_it_saw(bench: Bench) -> None:
    began_s = time.monotonic()
    client, onlooker = await bench.opened(), await bench.connect()
    assert await onlooker.say(op="stats", node="node1") == {"ok": True, "pets": 1, "longest_gap_s": 0.0, "kills": 0}
    await asyncio.sleep(SHORT_S)
    await client.say(op="pet")
    longest_s = time.monotonic() - began_s
    await client.say(op="close")
    await asyncio.sleep(longest_s)  # not open, and so not to be petted
    await client.say(op="open", node="node1", timeout_s=LONG_S)
    seen = await onlooker.say(op="stats", node="node1")
    assert seen["pets"] == 3
    assert SHORT_S <= seen["longest_gap_s"] <= longest_s
    await client.say(op="reset")
    await eventually(lambda: bench.killed == ["node1"])
    assert (await onlooker.say(op="stats", node="node1"))["kills"] == 1
    assert (await onlooker.say(op="stats", node="node2"))["pets"] == 0


async def test_a_kill_that_fails_is_tried_until_it_succeeds(bench: Bench) -> None:
    bench.failures = 3
    await bench.opened(timeout_s=SHORT_S)
    await eventually(lambda: bench.killed == ["node1"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"pet", "not a JSON object"),
        (b"[]", "string op"),
        (b'{"op": "wind"}', "use open, pet"),
        (b'{"op": "pet"}', "open one first"),
        (b'{"op": "open", "timeout_s": 5}', "node: found None"),
        (b'{"op": "open", "node": "node1"}', "timeout_s: found None"),
        (b'{"op": "open", "node": "node1", "timeout_s": 0}', "timeout_s: found 0"),
        (b'{"op": "open", "node": "node1", "timeout_s": true}', "timeout_s: found True"),
        (b'{"op": "open", "node": "node1", "timeout_s": 1e9}', "up to 3600"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_reason_and_harms_nobody(bench: Bench, line: bytes, says: str) -> None:
    client = await bench.connect()
    answer = await client.say_raw(line)
    assert answer["ok"] is False
    assert says in answer["error"]
    assert (await client.say(op="open", node="node1", timeout_s=5))["ok"]
    assert bench.killed == []


async def test_requests_sent_together_are_answered_in_order(bench: Bench) -> None:
    reader, writer = await asyncio.open_unix_connection(str(bench.path))
    writer.write(b'{"op": "open", "node": "node1", "timeout_s": 5}\n{"op": "pet"}\n{"op": "wind"}\n{"op": "close"}\n')
    answers = [json.loads(await reader.readline())["ok"] for _ in range(4)]
    assert answers == [True, True, False, True]
    writer.close()


@contextmanager
def running(spawn: Spawn, path: Path, lab_id: str) -> Iterator["subprocess.Popen[bytes]"]:
    yield spawn("-m", "quorate.lab.watchdog", "--socket", str(path), "--lab", lab_id)


@asynccontextmanager
async def agent_of(path: Path, node: str, timeout_s: float) -> AsyncIterator[Client]:
    await eventually(path.is_socket)
    client = Client(*await asyncio.open_unix_connection(str(path)))
    assert (await client.say(op="open", node=node, timeout_s=timeout_s))["ok"]
    yield client


async def test_the_process_kills_the_whole_node_also_when_it_is_frozen(
    spawn: Spawn, lab_id: str, directory: Path
) -> None:
    path = directory / "watchdog.sock"
    node1 = {processes.LAB: lab_id, processes.NODE: "node1"}
    for node in ("node1", "node1", "node2"):
        spawn("-c", "import time; time.sleep(600)", NODE=node, BOOT="1")
    await eventually(lambda: len(processes.scan(node1)) == 2)
    processes.freeze(node1)
    with running(spawn, path, lab_id):
        async with agent_of(path, "node1", SHORT_S):
            await eventually(lambda: processes.scan(node1) == [])
    assert len(processes.scan({processes.LAB: lab_id, processes.NODE: "node2"})) == 1


AGENT = """
import json, socket, sys, time
device = socket.socket(socket.AF_UNIX)
device.connect(sys.argv[1])
stream = device.makefile("rw")
def say(**request):
    stream.write(json.dumps(request) + chr(10))
    stream.flush()
    assert json.loads(stream.readline())["ok"]
say(op="open", node="node1", timeout_s=1.0)
while True:
    time.sleep(0.1)
    say(op="pet")
"""


async def test_a_node_that_freezes_is_killed_by_its_watchdog_and_boots_again(
    spawn: Spawn, lab_id: str, directory: Path
) -> None:
    """Node, agent and watchdog together: the agent cannot pet while it is frozen, and nothing thaws it before it dies."""
    path = directory / "watchdog.sock"
    rack = Rack(lab_id, directory, lambda _: [{"name": "agent", "argv": [sys.executable, "-c", AGENT, str(path)]}])
    node = rack.node()
    with running(spawn, path, lab_id):
        await eventually(path.is_socket)
        await node.power_on()
        await still(lambda: node.boot == 1, 1.5)
        await node.freeze()
        await eventually(lambda: node.boot == 2 and node.status()["state"] == "running")
        await still(lambda: node.boot == 2, 1.5)  # the new boot's agent found the device free and pets it
        await node.power_off()

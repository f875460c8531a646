"""The front: transparent without rules, and with them each call is treated as they say, and counted."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from quorate.lab import processes
from quorate.lab.errors import LabError
from quorate.lab.front.control import Front
from quorate.lab.front.rules import Rule
from tests.lab.waiting import eventually, still

Json = dict[str, Any]
THING = "/api/v1/namespaces/default/things/one"
EVENT = b'{"type": "ADDED", "object": {}}\n'


class Upstream:
    """An API server that remembers what came, and whose watches say what they are told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes]] = []
        self.headers: dict[str, str] = {}
        self.watches: list[web.StreamResponse] = []
        self.first = b""
        self.ended = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.heard.append((request.method, request.raw_path, await request.read()))
        self.headers = dict(request.headers)
        if "watch" not in request.query:
            return web.json_response({"heard": len(self.heard)}, status=201, headers={"Warning": "299 - words"})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(self.first)
        self.watches.append(response)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1
        return response

    async def say(self, data: bytes = EVENT) -> None:
        for watch in self.watches:
            with suppress(ConnectionError):  # one that has ended hears nothing
                await watch.write(data)


class Client:
    """One client of the front; each request is a connection of its own."""

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def call(self, method: str = "GET", path: str = THING, **options: Any) -> tuple[int, Json]:
        async with self.session.request(method, self.server + path, **options) as found:
            return found.status, await found.json()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.session.get(f"{self.server}/api/v1/things?watch=1") as found:
            yield found


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    server = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield server, runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
def server(upstream: tuple[Upstream, int]) -> Upstream:
    return upstream[0]


@pytest.fixture
async def front(upstream: tuple[Upstream, int], directory: Path, lab_id: str) -> AsyncIterator[Front]:
    """A front for three clients."""
    config = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{upstream[1]}"}}],
    }
    (directory / "kubeconfig").write_text(json.dumps(config))
    where = ("--socket", str(directory / "s"), "--lab", lab_id, "--kubeconfig", str(directory / "kubeconfig"))
    command = [sys.executable, "-m", "quorate.lab.front", *where, "manager-1", "node1", "node2"]
    process = subprocess.Popen(command)  # noqa: ASYNC220 it is not waited for
    found = Front(directory / "s")

    def listens() -> bool:
        try:
            return bool(found.ports())
        except LabError:
            return False

    await eventually(listens, "the front listens")
    yield found
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
def node1(front: Front, session: aiohttp.ClientSession) -> Client:
    return Client(f"http://127.0.0.1:{front.ports()['node1']}", session)


@pytest.fixture
def node2(front: Front, session: aiohttp.ClientSession) -> Client:
    return Client(f"http://127.0.0.1:{front.ports()['node2']}", session)


async def unanswered(client: Client, method: str = "PUT") -> "asyncio.Task[tuple[int, Json]]":
    """A call under way that gets no answer."""
    task = asyncio.create_task(client.call(method))
    await still(lambda: not task.done(), 0.3)
    return task


async def gone(task: "asyncio.Task[tuple[int, Json]]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class TestCalls:
    async def test_without_rules_a_call_and_its_answer_go_through_as_they_are(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        headers = {"Authorization": "Bearer secret", "Content-Type": "application/merge-patch+json"}
        async with node1.session.patch(f"{node1.server}{THING}?a=b%26c", data=b"x" * 200_000, headers=headers) as found:
            assert (found.status, found.headers["Warning"]) == (201, "299 - words")
            assert await found.json() == {"heard": 1}
        assert server.heard == [("PATCH", f"{THING}?a=b%26c", b"x" * 200_000)]
        assert {name: server.headers[name] for name in headers} == headers

    async def test_it_knows_who_called_and_how_it_was_answered(
        self, front: Front, node1: Client, node2: Client
    ) -> None:
        await node1.call("PUT")
        await node2.call("GET", f"{THING}?limit=3")
        found = [(one.number, one.client, one.method, one.path, one.query, one.code) for one in front.calls()]
        assert found == [(1, "node1", "PUT", THING, "", 201), (2, "node2", "GET", THING, "limit=3", 201)]
        assert [one.number for one in front.calls(after=1)] == [2]

    async def test_a_rule_is_for_the_calls_it_means_only(self, front: Front, node1: Client, node2: Client) -> None:
        front.add(Rule("no", "answer", client="node1", method="PUT|POST", path="things", code=500))
        assert [(await node1.call(method))[0] for method in ("GET", "PUT", "POST")] == [201, 500, 500]
        assert (await node1.call("PUT", "/api/v1/others"))[0] == 201
        assert (await node2.call("PUT"))[0] == 201
        assert front.counts("no") == (2, 2)
        front.clear("no")
        assert (await node1.call("PUT"))[0] == 201

    async def test_a_rule_leaves_some_alone_and_is_applied_so_many_times(self, front: Front, node1: Client) -> None:
        front.add(Rule("some", "answer", after=2, times=2))
        assert [(await node1.call())[0] for _ in range(6)] == [201, 201, 503, 503, 201, 201]
        assert front.counts("some") == (6, 2)

    async def test_an_answer_of_its_own_never_reaches_the_server(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        front.add(Rule("busy", "answer", code=429, headers={"Retry-After": "2"}))
        async with node1.session.get(node1.server + THING) as found:
            assert (found.status, found.headers["Retry-After"]) == (429, "2")
            assert (await found.json())["code"] == 429
        assert server.heard == []
        (call,) = front.calls()
        assert (call.code, call.rule) == (None, "busy")

    @pytest.mark.parametrize(("does", "heard"), [("delay", 0), ("delay-answer", 1)])
    async def test_delayed(self, front: Front, server: Upstream, node1: Client, does: str, heard: int) -> None:
        front.add(Rule("slow", does, seconds=1))
        call = asyncio.create_task(node1.call())
        await eventually(front.calls)
        await still(lambda: len(server.heard) in {0, heard} and not call.done(), 0.3)
        assert len(server.heard) == heard
        assert (await call)[0] == 201

    async def test_hanging_it_is_neither_forwarded_nor_answered(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        front.add(Rule("hang", "hang"))
        call = await unanswered(node1)
        assert server.heard == []
        await gone(call)

    async def test_reset(self, front: Front, server: Upstream, node1: Client) -> None:
        front.add(Rule("reset", "reset"))
        with pytest.raises(aiohttp.ClientConnectionError):
            await node1.call()
        assert server.heard == []

    async def test_late_it_is_carried_out_although_its_client_has_left(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        front.add(Rule("late", "late", seconds=0.6, times=1))
        call = await unanswered(node1)
        assert server.heard == []
        await gone(call)
        await node1.call("PUT")
        await eventually(lambda: [one.code for one in front.calls()] == [201, 201])
        assert len(server.heard) == 2

    async def test_a_client_that_leaves_takes_its_call_upstream_with_it(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        async with node1.watching():
            await eventually(lambda: server.watches)
        await eventually(lambda: server.ended == 1)


class TestWatches:
    async def test_events_come_as_they_are_said(self, server: Upstream, node1: Client) -> None:
        async with node1.watching() as watch:
            await eventually(lambda: server.watches)
            for _ in range(3):
                await server.say()
                assert await watch.content.readline() == EVENT

    async def test_stalled_it_says_nothing_more_and_does_not_end(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        async with node1.watching() as watch:
            await eventually(lambda: server.watches)
            await server.say()
            assert await watch.content.readline() == EVENT
            front.add(Rule("stall", "stall"))
            await server.say()
            line = asyncio.create_task(watch.content.readline())
            await still(lambda: not line.done(), 0.3)
            front.clear()
            await still(lambda: not line.done(), 0.2)
            line.cancel()
        assert (await node1.call())[0] == 201, "only watches are meant"

    async def test_stalled_from_the_beginning_it_says_nothing_at_all(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        front.add(Rule("stall", "stall"))
        server.first = EVENT
        async with node1.watching() as watch:
            line = asyncio.create_task(watch.content.readline())
            await still(lambda: not line.done(), 0.3)
            line.cancel()

    @pytest.mark.parametrize("running", [True, False])
    async def test_ended_or_expired(self, front: Front, server: Upstream, node1: Client, running: bool) -> None:
        """One that runs, or one that is only about to begin."""
        for does in ("end", "expire"):
            if not running:
                front.add(Rule(does, does, client="node1", times=1))
            async with node1.watching() as watch:
                if running:
                    await eventually(lambda: server.watches)
                    front.add(Rule(does, does, client="node1", times=1))
                said = await watch.content.read()
            assert front.counts(does) == (1, 1)
            if does == "expire":
                event = json.loads(said)
                assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
            else:
                assert said == b""

    async def test_a_rule_about_so_many_watches_leaves_the_others_running(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        async with node1.watching() as first, node1.watching() as second:
            await eventually(lambda: len(server.watches) == 2)
            front.add(Rule("end", "end", times=1))
            assert await first.content.read() == b""
            await server.say()
            assert await second.content.readline() == EVENT


class TestOutages:
    async def test_refused_nobody_listens_and_connections_are_reset(
        self, front: Front, server: Upstream, node1: Client, node2: Client
    ) -> None:
        ports = front.ports()
        async with node1.watching() as watch:
            await eventually(lambda: server.watches)
            front.outage("refuse", "node1")
            with pytest.raises(aiohttp.ClientError):
                await watch.content.read()
        with pytest.raises(aiohttp.ClientConnectorError):
            await node1.call()
        assert (await node2.call())[0] == 201
        front.outage("none")
        assert front.ports() == ports
        assert (await node1.call())[0] == 201

    async def test_hanging_nothing_is_forwarded_or_answered_until_it_is_over(
        self, front: Front, server: Upstream, node1: Client
    ) -> None:
        front.add(Rule("slow", "delay-answer", seconds=0.5, times=1))
        under_way = asyncio.create_task(node1.call("POST"))
        await eventually(lambda: len(server.heard) == 1)
        front.outage("hang")
        call = await unanswered(node1, "POST")
        await still(lambda: not under_way.done(), 0.6)
        assert len(server.heard) == 1
        front.outage("none")
        for lost in (under_way, call):
            with pytest.raises(aiohttp.ClientConnectionError):
                await lost
        assert (await node1.call())[0] == 201


Spawn = Callable[..., "subprocess.Popen[bytes]"]


class TestKills:
    @pytest.mark.parametrize(("does", "heard"), [("kill-before", 0), ("kill-after", 1)])
    async def test_a_client_is_killed_exactly_there(
        self, front: Front, server: Upstream, spawn: Spawn, does: str, heard: int
    ) -> None:
        code = (
            "import sys, urllib.request\n"
            "url = sys.argv[1]\n"
            "for _ in range(9): urllib.request.urlopen(urllib.request.Request(url, method='PUT')).read()"
        )
        front.add(Rule("kill", does, client="manager-1", after=3, times=1))
        other = spawn("-c", "import time; time.sleep(60)", SERVICE="manager-2")
        url = f"http://127.0.0.1:{front.ports()['manager-1']}{THING}"
        process = spawn("-c", code, url, SERVICE="manager-1")
        assert await asyncio.to_thread(process.wait, 30) == -9
        assert len(server.heard) == 3 + heard
        assert len(front.calls()) == 4
        assert other.poll() is None

    async def test_nobody_to_kill_is_an_error_that_says_so(self, front: Front, node1: Client, lab_id: str) -> None:
        front.add(Rule("kill", "kill-before"))
        async with node1.session.get(node1.server + THING) as found:
            assert found.status == 500
        assert processes.scan({processes.LAB: lab_id}) == []


class TestMisuse:
    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ({"name": "a", "does": "dance"}, "there is no deed of a rule named 'dance'"),
            ({"name": "a", "does": "hang", "clients": "node1"}, "there is no field of a rule named 'clients'"),
            ({"name": "a", "does": "hang", "client": "("}, "client '(' is no pattern"),
            ({"name": "a", "does": "hang", "after": -1}, "after is -1, it cannot be below 0"),
            ({"name": "a", "does": "stall", "watch": False}, "stall is done to watches only"),
            ({"name": "a"}, "does"),
        ],
    )
    def test_a_rule_that_makes_no_sense_is_refused(self, front: Front, rule: Json, words: str) -> None:
        with pytest.raises(LabError) as error:
            front._ask({"op": "add", "rule": rule})
        assert words in str(error.value)

    def test_unknown_names_are_refused(self, front: Front) -> None:
        for request, words in (
            ({"op": "outage", "client": "node9", "how": "hang"}, "no client named 'node9'"),
            ({"op": "outage", "client": ".*", "how": "loud"}, "no outage named 'loud'"),
            ({"op": "clear", "name": "a"}, "no rule named 'a'"),
            ({"op": "sing"}, "no op named 'sing'"),
            ({"rule": {}}, "not a request: KeyError('op')"),
        ):
            with pytest.raises(LabError) as error:
                front._ask(request)
            assert words in str(error.value)


def test_nobody_there_is_an_error_with_the_path(directory: Path) -> None:
    with pytest.raises(LabError, match=f"the front at {directory}{os.sep}none does not answer"):
        Front(directory / "none").ports()

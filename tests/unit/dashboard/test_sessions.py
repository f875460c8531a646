"""How long somebody is let in: as long as their token is good, they have not signed out, and not at others' cost."""

import asyncio
import contextlib

import pytest

from quorate.dashboard import sessions, stream
from quorate.dashboard.server import Options
from tests.unit.dashboard.served import READER, User, enter, page, until
from tests.unit.dashboard.test_live import open_page


@pytest.fixture
def team(api):
    api.users = {"page": User("page", {("*", "*")}), "ada": User("ada", {("*", "*")}), "bob": User("bob", READER)}
    return Options(by_token=True), "page"


async def sign_in(client, token):
    return await client.post("/sign-in", data={"token": token}, allow_redirects=False)


@pytest.mark.parametrize("path", ["/", "/report.json", "/dialog/why?guest=ct:shop/web"])
async def test_who_may_not_look_any_more_sees_nothing_more(api, team, monkeypatch, path):
    monkeypatch.setattr(sessions, "ASK_AGAIN_S", 0.0)
    async with page(api, *team) as (site, client):
        await until(lambda: site.board.picture.version, "a picture")
        await sign_in(client, "bob")
        assert (await client.get(path, allow_redirects=False)).status == 200
        del api.users["bob"]
        answer = await client.get(path, allow_redirects=False)
        assert answer.status in {302, 401}
        assert "ct:shop/web" not in await answer.text()
        assert not site.sessions._known


async def test_an_api_server_that_is_away_signs_nobody_out(api, team, monkeypatch):
    monkeypatch.setattr(sessions, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(sessions, "PATIENCE_S", 0.05)
    async with page(api, *team) as (site, client):
        await until(lambda: site.board.picture.version, "a picture")
        await sign_in(client, "bob")
        api.down = True
        assert (await client.get("/", allow_redirects=False)).status == 200


async def test_signing_out_ends_the_pages_that_are_open(api, team):
    async with page(api, *team) as (site, client):
        await until(lambda: site.board.picture.version, "a picture")
        await sign_in(client, "ada")
        (session,) = site.sessions._known.values()
        _, task = await open_page(client)
        await client.post("/sign-out", data={"csrf": session.csrf}, allow_redirects=False)
        await until(task.done, "the stream to end")
        assert not site.sessions.streams["ada"]


async def test_a_page_that_is_open_is_not_idle(api, monkeypatch):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        (session,) = site.sessions._known.values()
        _, task = await open_page(client)
        session.used -= 2 * sessions.IDLE_S
        await until(lambda: not sessions._idle(session), "the next pulse")
        assert (await client.get("/", allow_redirects=False)).status == 200
        task.cancel()


async def test_signing_in_again_and_again_signs_out_nobody_else(api, team, monkeypatch):
    monkeypatch.setattr(sessions, "PER_USER", 3)
    monkeypatch.setattr(sessions, "MOST", 4)
    async with page(api, *team) as (site, _):
        _, ada = await asyncio.to_thread(site.sessions.open_by_token, "ada")
        bobs = [(await asyncio.to_thread(site.sessions.open_by_token, "bob"))[1] for _ in range(6)]
        assert not ada.over
        assert [one.over for one in bobs] == [True, True, True, False, False, False]


async def test_a_new_session_ends_the_one_that_it_takes_the_place_of(api, team):
    async with page(api, *team) as (site, client):
        await sign_in(client, "ada")
        await sign_in(client, "bob")
        assert [one.user for one in site.sessions._known.values()] == ["bob"]


async def test_nobody_has_pages_without_end(api, monkeypatch):
    monkeypatch.setattr(stream, "STREAMS", 2)
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        pages = [await open_page(client) for _ in range(2)]
        answer = await client.get("/events")
        assert answer.status == 429
        assert "close some" in await answer.text()
        for reader, task in pages:
            task.cancel()
            reader.response.close()
        await until(lambda: not site.sessions.streams[next(iter(site.sessions.streams))], "them to be gone")
        (await open_page(client))[1].cancel()


async def test_who_takes_nothing_is_let_go(api, monkeypatch):
    monkeypatch.setattr(stream, "SLOW_S", 0.2)
    monkeypatch.setattr(stream.Stream, "news", lambda _: b"data: x\n\n" * 4_000_000)
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        (cookie,) = client.session.cookie_jar
        _, writer = await asyncio.open_connection(client.host, client.port, limit=1024)
        head = (
            f"GET /events HTTP/1.1\r\nHost: {client.host}:{client.port}\r\nCookie: {cookie.key}={cookie.value}\r\n\r\n"
        )
        writer.write(head.encode())
        await until(lambda: site.board.watched, "the stream")
        await until(lambda: not site.board.watched, "its end")
        served = client.server.runner.server.connections
        await until(
            lambda: all(one.transport is None or one.transport.get_write_buffer_size() == 0 for one in served),
            "what was kept for it to be let go",
        )
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_secret_that_could_not_let_in_is_not_used_up(api, monkeypatch):
    api.users = {"t": User("ada", {("*", "*")})}
    async with page(api, token="t") as (site, client):
        kept, api.users = api.users, {"other": User("other", set())}
        secret = {"secret": site.once.secret}
        assert (await client.get("/enter", params=secret, allow_redirects=False)).status == 403
        api.users = kept
        assert (await client.get("/enter", params=secret, allow_redirects=False)).status == 303
        assert (await client.get("/enter", params=secret, allow_redirects=False)).status == 403

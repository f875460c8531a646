"""Who is let in, and what no other site can bring a signed-in browser to do."""

import asyncio
import re
import threading

import pytest
from yarl import URL

from quorate.access.errors import UnknownUserError, UsageError
from quorate.access.kubeconfig import Login
from quorate.dashboard.server import Options, serve
from tests.unit.dashboard.served import READER, User, enter, page, until

STOP = {"guest": "ct:shop/web"}


async def test_the_secret_opens_one_session_once(api):
    async with page(api) as (site, client):
        assert (await client.get("/", allow_redirects=False)).status == 302
        assert (await client.get("/enter", params={"secret": "wrong"})).status == 403
        await enter(site, client)
        assert (await client.get("/", allow_redirects=False)).status == 200
        again = await client.get("/enter", params={"secret": site.once.secret}, allow_redirects=False)
        assert again.status == 403
        assert "has been used" in await again.text()
        assert len(site.sessions._known) == 1


async def test_a_wrong_guess_does_not_use_the_secret_up(api):
    async with page(api) as (site, client):
        for guess in ("", "x", "é", site.once.secret[:-1]):
            assert (await client.get("/enter", params={"secret": guess})).status == 403
        await enter(site, client)


@pytest.mark.parametrize("path", ["/events", "/report.json", "/who", "/dialog/move?guest=ct:shop/web"])
async def test_nothing_is_told_to_who_is_not_signed_in(api, path):
    async with page(api) as (_, client):
        answer = await client.get(path, allow_redirects=False)
        assert answer.status == 401
        assert "shop" not in await answer.text()


async def test_anybody_may_ask_whether_it_is_ready_and_hears_no_more(api):
    api.down = True
    async with page(api) as (site, client):
        await until(lambda: site.board.mirror.problem, "a problem")
        answer = await client.get("/readyz")
        assert answer.status in {200, 503}
        assert api.url not in await answer.text()


async def test_a_part_of_a_page_leads_to_the_sign_in(api):
    async with page(api) as (_, client):
        answer = await client.get("/", headers={"HX-Request": "true"})
        assert answer.headers["HX-Redirect"] == "/sign-in"


async def test_the_cookie_is_for_this_site_alone(api):
    async with page(api) as (site, client):
        answer = await client.get("/enter", params={"secret": site.once.secret}, allow_redirects=False)
        cookie = answer.headers["Set-Cookie"]
        assert re.match(r"quorate-\d+=[\w-]{40,}; HttpOnly; Path=/; SameSite=Strict$", cookie), cookie


async def test_every_answer_is_hardened(api):
    async with page(api) as (site, client):
        await enter(site, client)
        for path in ("/", "/static/app.css", "/nothing", "/sign-in", "/report.json", "/dialog/nothing"):
            headers = (await client.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert "Server" not in headers


async def test_a_page_has_no_script_and_no_style_in_it(api):
    async with page(api) as (site, client):
        await enter(site, client)
        html = await (await client.get("/")).text()
        assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html)
        assert all(' src="/' in script for script in re.findall(r"<script[^>]*>", html))
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', html)
        assert '"allowEval": false, "allowScriptTags": false' in html


async def test_a_deed_needs_the_word_of_the_page(api):
    async with page(api) as (site, client):
        csrf = await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        for headers in ({}, {"X-Quorate-Csrf": "wrong"}, {"X-Quorate-Csrf": "é"}):
            answer = await client.post("/do/stop", data=STOP, headers=headers)
            assert answer.status == 403
            assert "Nothing was done" in await answer.text()
        foreign = {"X-Quorate-Csrf": csrf, "Origin": "http://evil.example"}
        assert (await client.post("/do/stop", data=STOP, headers=foreign)).status == 403
        assert api.find("haresources.quorate.dev", "web", "shop")["spec"]["state"] == "Started"
        own = {"X-Quorate-Csrf": csrf, "Origin": f"http://{client.host}:{client.port}"}
        assert (await client.post("/do/stop", data=STOP, headers=own)).status == 200
        assert api.find("haresources.quorate.dev", "web", "shop")["spec"]["state"] == "Stopped"


async def test_a_deed_is_never_a_link(api):
    async with page(api) as (site, client):
        await enter(site, client)
        assert (await client.get("/do/stop", params=STOP)).status == 405


async def test_another_name_that_leads_here_is_refused(api):
    async with page(api) as (site, client):
        await enter(site, client)
        for host in ("evil.example", "127.0.0.1.evil.example", "quorate:80"):
            answer = await client.get("/", headers={"Host": host})
            assert answer.status == 421
        assert (
            await client.get("/", headers={"Host": f"localhost:{client.port}"}, allow_redirects=False)
        ).status == 200


@pytest.mark.parametrize(
    ("name", "value"), [("Host", "["), ("Host", "127.0.0.1:x"), ("Origin", "http://["), ("HX-Current-URL", "http://[")]
)
async def test_a_header_that_is_no_address_is_refused(api, name, value):
    async with page(api) as (site, client):
        await enter(site, client)
        answer = await client.get("/", headers={name: value, "HX-Request": "true"})
        assert answer.status == 400


async def test_a_word_that_is_no_text_is_a_wrong_one(api):
    async with page(api) as (site, client):
        await enter(site, client)
        (cookie,) = client.session.cookie_jar
        reader, writer = await asyncio.open_connection(client.host, client.port)
        own = f"Host: {client.host}:{client.port}\r\nCookie: {cookie.key}={cookie.value}\r\nContent-Length: 0\r\n"
        writer.write(f"POST /do/stop HTTP/1.1\r\n{own}X-Quorate-Csrf: ".encode() + b"\xff\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize("path", ["../server.py", "..%2fserver.py", "/etc/passwd", "vendor/README.md"])
async def test_only_the_pages_own_files_are_served(api, path):
    async with page(api) as (_, client):
        answer = await client.get(URL(f"/static/{path}", encoded=True), allow_redirects=False)
        assert answer.status in {401, 404}


async def test_without_a_sign_in_it_listens_on_loopback_only():
    with pytest.raises(UsageError, match="whoever comes first would act as you"):
        serve(Login("http://127.0.0.1:1", "a test", "ada"), Options(host="0.0.0.0"), print)


async def test_a_key_without_its_certificate_is_refused():
    with pytest.raises(UsageError, match="in the clear"):
        serve(Login("http://127.0.0.1:1", "a test", "ada"), Options(key="key.pem"), print)


class TestTokens:
    """Everybody as themselves."""

    @pytest.fixture
    def team(self, api):
        api.users = {
            "page": User("page", {("*", "*")}),
            "ada": User("ada", {("*", "*")}),
            "bob": User("bob", READER),
            "eve": User("eve", {("list", "clusters")}),
        }
        return Options(by_token=True), "page"

    async def sign_in(self, client, token):
        return await client.post("/sign-in", data={"token": token}, allow_redirects=False)

    async def test_an_unknown_token(self, api, team):
        async with page(api, *team) as (site, client):
            for token in ("nobody", "", "two\nlines", "\x00"):
                answer = await self.sign_in(client, token)
                assert answer.status in {400, 403}
                assert api.url not in await answer.text()
            assert not site.sessions._known

    async def test_at_the_door_nothing_is_told_of_an_api_server_that_is_away(self, api, team, monkeypatch):
        monkeypatch.setattr("quorate.access.client.BUDGET_S", 0.05)
        async with page(api, *team) as (_, client):
            api.down = True
            text = await (await self.sign_in(client, "ada")).text()
            assert "cannot be reached now" in text
            assert api.url not in text

    async def test_at_the_door_nothing_is_told_of_an_api_server_that_refuses_strangely(self, api, team):
        async with page(api, *team) as (_, client):
            api.broken = 418
            answer = await self.sign_in(client, "ada")
            assert answer.status == 403
            text = await answer.text()
            assert api.url not in text
            assert "/apis/" not in text

    async def test_a_token_without_end_is_none(self, api, team):
        async with page(api, *team) as (_, client):
            asked = len(api.asked)
            assert (await self.sign_in(client, "x" * 20_000)).status == 400
            assert not any("selfsubject" in one for one in api.asked[asked:])

    async def test_at_the_door_there_is_room_for_a_few(self, api, team, monkeypatch):
        """And who waits there keeps nobody who is inside from seeing what is new."""
        free = threading.Event()
        async with page(api, *team) as (site, client):
            await until(lambda: site.board.picture.version, "a picture")

            def wait(_token):
                free.wait(30)
                raise UnknownUserError("nobody")

            monkeypatch.setattr(site.sessions, "open_by_token", wait)
            at_door = [asyncio.create_task(self.sign_in(client, "x")) for _ in range(30)]
            done, _ = await asyncio.wait(at_door, return_when=asyncio.FIRST_COMPLETED)
            assert {one.result().status for one in done} == {503}
            free.set()
            await asyncio.gather(*at_door)

    async def test_who_may_not_read_all_is_told_which_right_is_missing(self, api, team):
        async with page(api, *team) as (_, client):
            answer = await self.sign_in(client, "eve")
            assert answer.status == 403
            assert "may not list nodes.quorate.dev" in await answer.text()

    async def test_a_reader_reads_and_no_more(self, api, team):
        async with page(api, *team) as (site, client):
            assert (await self.sign_in(client, "bob")).status == 303
            await until(lambda: site.board.picture.version, "a picture")
            html = await (await client.get("/")).text()
            assert "Signed in as bob" in html
            assert not re.findall(r"/dialog/(?!why|node|loss|help)", html)
            (session,) = site.sessions._known.values()
            headers = {"X-Quorate-Csrf": session.csrf}
            for action, subject in (
                ("stop", STOP),
                ("disarm", {"cluster": "prod"}),
                ("maintenance-on", {"node": "n1"}),
            ):
                answer = await client.post(f"/do/{action}", data=subject, headers=headers)
                assert answer.status == 403
                assert "bob may not do that" in await answer.text()

    async def test_deeds_are_done_by_the_users_own_token(self, api, team):
        async with page(api, *team) as (site, client):
            await self.sign_in(client, "ada")
            await until(lambda: site.board.picture.version, "a picture")
            (session,) = site.sessions._known.values()
            assert session.login.credentials.token == "ada"
            api.users["page"] = User("page", READER)
            answer = await client.post("/do/stop", data=STOP, headers={"X-Quorate-Csrf": session.csrf})
            assert answer.status == 200
            assert "state Started -&gt; Stopped" not in await answer.text()
            assert api.find("haresources.quorate.dev", "web", "shop")["spec"]["state"] == "Stopped"

    async def test_the_token_never_comes_back(self, api, team):
        async with page(api, *team) as (_, client):
            await self.sign_in(client, "ada")
            html = await (await client.get("/")).text()
            assert '"ada"' not in html

    async def test_signing_out_ends_it(self, api, team):
        async with page(api, *team) as (site, client):
            await self.sign_in(client, "ada")
            (session,) = site.sessions._known.values()
            await client.post("/sign-out", data={"csrf": session.csrf}, allow_redirects=False)
            assert not site.sessions._known
            assert (await client.get("/", allow_redirects=False)).status == 302

    async def test_there_is_no_way_around_by_the_secret(self, api, team):
        async with page(api, *team) as (site, client):
            assert (await client.get("/enter", params={"secret": site.once.secret})).status == 403

    async def test_a_labs_nodes_are_switched_by_who_may_change_nodes(self, api, team, monkeypatch):
        switched = []

        def act(*said):
            switched.append(said)
            return {"power": "off", "state": "", "network": "on"}

        node = {"name": "n1", "power": "on", "state": "runs", "network": "on"}
        monkeypatch.setattr("quorate.dashboard.switches.client.act", act)
        monkeypatch.setattr("quorate.dashboard.switches.client.status", lambda _: {"nodes": [node]})
        async with page(api, Options(by_token=True, lab="lab"), team[1]) as (site, client):
            await until(lambda: site.board.picture.version and site.board.switches, "a picture")
            for user, code in (("bob", 403), ("ada", 200)):
                await self.sign_in(client, user)
                (session,) = site.sessions._known.values()
                answer = await client.post("/switch/n1/power-off", headers={"X-Quorate-Csrf": session.csrf})
                assert answer.status == code
                assert ("/switch/n1" in await (await client.get("/")).text()) is (user == "ada")
        assert switched == [("lab", "n1", "power-off")]

"""The way to the API server: certificates, names, and tokens that are renewed."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.access.errors import ApiError, ForbiddenError, UnreachableError
from quorate.access.kubeconfig import Credentials, Login
from quorate.dashboard.connection import Connection
from quorate.dashboard.server import Options, Site, _secure
from tests.unit.cli import test_tls
from tests.unit.cli.stub import Answer, serve
from tests.unit.cli.test_tls import CLUSTERS, login, server_side
from tests.unit.dashboard.served import READER, User

pytestmark, pki = test_tls.pytestmark, test_tls.pki


async def get(login: Login) -> object:
    connection = Connection(login)
    try:
        return (await connection.get(CLUSTERS))["items"]
    finally:
        await connection.close()


async def test_both_sides_show_their_certificates(pki):
    with serve(server_side(pki, "ours")) as stub:
        assert await get(login(stub.url, pki)) == []
        with pytest.raises(UnreachableError, match="certificate"):
            await get(login(stub.url, pki, "other"))


async def test_the_name_in_the_certificate_may_be_another(pki):
    with serve(server_side(pki, "named")) as stub:
        named = login(stub.url, pki, "named")
        assert await get(replace(named, server_name="kubernetes")) == []
        with pytest.raises(UnreachableError, match="certificate"):
            await get(named)


async def test_nobody_there():
    with pytest.raises(UnreachableError, match="cannot reach the API server"):
        await get(Login("http://127.0.0.1:1", "a test", "ada"))


async def test_who_is_sent_elsewhere_does_not_go_there():
    with serve() as elsewhere, serve() as stub:
        stub.answer("GET", CLUSTERS, Answer(302, {}, {"Location": f"{elsewhere.url}{CLUSTERS}"}))
        with pytest.raises(UnreachableError, match="does not answer as an API server does"):
            await get(Login(stub.url, "a test", "ada"))
        assert not elsewhere.seen_headers


async def test_a_token_that_was_renewed_is_read_again(api, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("old")
    api.users = {"old": User("page", READER)}
    connection = Connection(Login(api.url, "a test", "", credentials=Credentials(token_file=token)))
    assert (await connection.get(CLUSTERS))["items"]
    api.users = {"new": User("page", READER)}
    token.write_text("new")
    with pytest.raises(ApiError, match="does not know us"):
        await connection.get(CLUSTERS)
    assert (await connection.get(CLUSTERS))["items"]
    api.refused = {CLUSTERS}
    with pytest.raises(ForbiddenError, match="not for you"):
        await connection.get(CLUSTERS)
    await connection.close()


async def test_served_by_https_its_cookie_goes_over_https_only(api, pki):
    from aiohttp.test_utils import TestClient, TestServer

    site = Site(Login(api.url, "a test", "ada"), Options())
    options = Options(certificate=str(pki / "ours.crt"), key=str(pki / "ours.key"))
    server = TestServer(site.app(), scheme="https")
    await server.start_server(ssl=_secure(options))
    async with TestClient(server) as client:
        answer = await client.get("/enter", params={"secret": site.once.secret}, allow_redirects=False, ssl=False)
        assert "; Secure" in answer.headers["Set-Cookie"]

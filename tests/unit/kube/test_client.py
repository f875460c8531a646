"""The client: what is retried, for how long, and what each refusal means to a caller."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from quorate.kube.calls import Conflict, NotFound, Permanent, Transient
from quorate.kube.client import Api, Login, LoginError, login


@asynccontextmanager
async def server(*answers):
    """An API server that gives these answers, the last one for ever. Yields an Api and what was asked."""
    asked = []
    left = list(answers)

    async def answer(request):
        asked.append((request.method, request.path_qs, await request.text(), dict(request.headers)))
        code, body, headers = left.pop(0) if len(left) > 1 else left[0]
        return web.json_response(body, status=code, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    configuration.api_key = {"BearerToken": "secret"}
    configuration.api_key_prefix = {"BearerToken": "Bearer"}
    api = Api(Login(configuration, "a test"), timeout_s=1.0, budget_s=1.5)
    try:
        yield api, asked
    finally:
        await api.close()
        await runner.cleanup()


OK = (200, {"kind": "Pod"}, {})


def status(code, message="", headers=None):
    return (code, {"kind": "Status", "reason": "R", "message": message}, headers or {})


async def test_dicts_in_dicts_out_with_our_name_and_token():
    async with server(OK) as (api, asked):
        assert await api.merge("/api/v1/x", {"a": 1}) == {"kind": "Pod"}
        ((method, path, body, headers),) = asked
        assert (method, path, body) == ("PATCH", "/api/v1/x?fieldManager=quorate-manager", '{"a": 1}')
        assert headers["Content-Type"] == "application/merge-patch+json"
        assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("code", [429, 500, 503, 504])
async def test_what_may_work_in_a_moment_is_tried_again(code):
    async with server(status(code), status(code), OK) as (api, asked):
        assert await api.get("/x") == {"kind": "Pod"}
        assert len(asked) == 3


async def test_but_not_beyond_the_budget():
    async with server(status(503, "overloaded")) as (api, asked):
        with pytest.raises(Transient, match="GET /x: 503 R: overloaded"):
            await api.get("/x")
        assert len(asked) > 1


async def test_the_servers_own_wish_to_wait_is_respected():
    async with server(status(429, headers={"Retry-After": "7"})) as (api, asked):
        with pytest.raises(Transient) as caught:
            await api.get("/x")
        assert caught.value.retry_after_s == 7
        assert len(asked) == 1, "waiting that long would break the budget"


@pytest.mark.parametrize(
    ("code", "error"),
    [(404, NotFound), (409, Conflict), (410, Conflict), (400, Permanent), (403, Permanent), (422, Permanent)],
)
async def test_the_rest_is_not_tried_again_and_says_what_it_is(code, error):
    async with server(status(code, "in its own words")) as (api, asked):
        with pytest.raises(error) as caught:
            await api.get("/x")
        assert caught.value.words == "in its own words"
        assert len(asked) == 1


async def test_nobody_there_is_transient_and_names_the_server():
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:1"
    api = Api(Login(configuration, "a test"), budget_s=0.3)
    with pytest.raises(Transient, match=r"http://127.0.0.1:1"):
        await api.get("/x")
    await api.close()


async def test_a_delete_names_exactly_what_was_judged():
    async with server(OK) as (api, asked):
        await api.delete("/p", uid="u", resource_version="7", grace_s=0)
        assert '"preconditions": {"uid": "u", "resourceVersion": "7"}' in asked[0][2]
        assert '"gracePeriodSeconds": 0' in asked[0][2]


async def test_a_kubeconfig_that_points_nowhere(tmp_path):
    with pytest.raises(LoginError, match=r"kubeconfig .*/none: .* set --kubeconfig or KUBECONFIG to a readable file"):
        await login(str(tmp_path / "none"))


@pytest.mark.parametrize(("code", "error"), [(422, Conflict), (409, Conflict), (403, Permanent)])
async def test_a_patch_whose_test_does_not_hold_is_a_conflict(code, error):
    async with server(status(code, "words")) as (api, asked):
        with pytest.raises(error, match="words"):
            await api.patch("/x", [{"op": "test", "path": "/a", "value": 1}])
        assert len(asked) == 1

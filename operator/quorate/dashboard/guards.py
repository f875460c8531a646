"""What every request and answer is held to: nothing from another host, no script but our own, no deed that another site
asked for.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from quorate.dashboard.sessions import Session, Sessions, cookie_of

SESSIONS: Final = web.AppKey("sessions", Sessions)
HOSTS: Final = web.AppKey("hosts", frozenset)
"""Names by which a page that is bound to loopback may be called: another is a name that leads here (DNS rebinding). Empty:
any.
"""
SESSION: Final = web.RequestKey("session", Session)
OPEN: Final = frozenset({"/healthz", "/readyz", "/sign-in", "/enter"})
"""Paths for who is not signed in."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, also on errors and streams."""
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    if "Server" in response.headers:
        del response.headers["Server"]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only by our own names, only who is signed in, and deeds only from our own page."""
    _refuse_unreadable(request)
    hosts = request.app[HOSTS]
    if hosts and _host(request.host) not in hosts:
        words = f"this page is not called {request.host!r}: use the address that was printed\n"
        raise web.HTTPMisdirectedRequest(text=words)
    path = request.path
    if path in OPEN or path.startswith("/static/"):
        _refuse_others_origin(request)
        return await handler(request)
    sessions = request.app[SESSIONS]
    session = sessions.get(request.cookies.get(cookie_of(request.host), ""))
    if session is None or not await sessions.still(session):
        return _sign_in(request)
    request[SESSION] = session
    if request.method not in {"GET", "HEAD"}:
        _refuse_others_origin(request)
        await _refuse_without_csrf(request, session)
    return await handler(request)


def session_of(request: web.Request) -> Session:
    return request[SESSION]


def _host(text: str) -> str:
    """Without the port."""
    return urlsplit(f"//{text}").hostname or ""


def _refuse_unreadable(request: web.Request) -> None:
    """Headers that are no addresses, before anybody takes them for one."""
    for name in ("Host", "Origin", "HX-Current-URL"):
        text = request.headers.get(name, "")
        try:
            _ = urlsplit(f"//{text}" if name == "Host" else text).port
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"the header {name} is no address\n") from error


def _refuse_others_origin(request: web.Request) -> None:
    if request.method in {"GET", "HEAD"}:
        return
    origin = request.headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="another site asked for this: nothing was done\n")


async def _refuse_without_csrf(request: web.Request, session: Session) -> None:
    said = request.headers.get("X-Quorate-Csrf", "")
    if not said:
        said = str((await request.post()).get("csrf", ""))
    if not session.is_csrf(said):
        raise web.HTTPForbidden(text="this was not asked for by your own page: load it anew. Nothing was done\n")


def _sign_in(request: web.Request) -> web.StreamResponse:
    """To the sign-in, however it was asked: a part of a page cannot be a whole page."""
    if request.headers.get("HX-Request"):
        return web.Response(status=401, headers={"HX-Redirect": "/sign-in"})
    if request.path == "/" and request.method == "GET":
        raise web.HTTPFound("/sign-in")
    raise web.HTTPUnauthorized(text="sign in first\n")

"""The page as a program: for who starts it, on loopback and by a one-time secret; or for a team, each by a token."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from quorate.access.errors import CliError, ForbiddenError, UnknownUserError, UnreachableError, UsageError
from quorate.access.kubeconfig import Login
from quorate.api.wire import to_wire
from quorate.core.types import GuestState
from quorate.dashboard import dialogs
from quorate.dashboard.board import Board
from quorate.dashboard.guards import HOSTS, SESSIONS, guard, harden, session_of
from quorate.dashboard.look import ATTENTION, Look
from quorate.dashboard.panels import Panels, Seen
from quorate.dashboard.sessions import Once, Sessions, cookie_of
from quorate.dashboard.statics import STATICS
from quorate.dashboard.stream import ENDING, Stream, stream
from quorate.dashboard.switches import Switches
from quorate.view import words

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FIRST_S: Final = 10.0
"""So long does the first page wait for the first picture."""
FORM_BYTES: Final = 64 * 1024
AT_DOOR: Final = 4
"""So many sign in at once: who has not signed in yet does not take the threads from who has."""
TOKEN_BYTES: Final = 16 * 1024
"""No token is longer: servers take no longer headers."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """`by_token`: everybody signs in with a token of their own; else one browser, by the secret. `lab`: whose machines it
    can switch off. `certificate`, `key`: files, for https.
    """

    host: str = "127.0.0.1"
    port: int = 0
    by_token: bool = False
    lab: str = ""
    certificate: str = ""
    key: str = ""


class Site:
    """Every answer of the page."""

    def __init__(self, login: Login, options: Options) -> None:
        self.options = options
        self.board = Board(login)
        self.panels = Panels()
        self.once = Once()
        self.sessions = Sessions(login, self._namespaces)
        self.switches = Switches(options.lab, self.board)
        self._at_door = 0

    def app(self) -> web.Application:
        app = web.Application(middlewares=[guard], client_max_size=FORM_BYTES)
        app[SESSIONS], app[ENDING] = self.sessions, asyncio.Event()
        app[HOSTS] = frozenset() if self.options.by_token else LOOPBACK
        app.on_response_prepare.append(harden)
        app.on_startup.append(self._start)
        app.on_shutdown.append(_end)
        app.on_cleanup.append(self._stop)
        app.add_routes(
            [
                web.get("/", self.page),
                web.get("/events", self.events, allow_head=False),
                web.get("/report.json", self.report),
                web.get("/who", self.who),
                web.get("/enter", self.enter),
                web.get("/sign-in", self.door),
                web.post("/sign-in", self.sign_in),
                web.post("/sign-out", self.sign_out),
                web.get("/static/{path:.+}", STATICS.answer),
                web.get("/healthz", self.alive),
                web.get("/readyz", self.ready),
                *self.switches.routes(),
                *dialogs.Dialogs(self.board, self.panels).routes(),
            ]
        )
        return app

    async def page(self, request: web.Request) -> web.Response:
        """The whole page, or the part of it that a filter asks for."""
        session, look = session_of(request), Look.of(request.query)
        self.board.refresh()
        if self.board.picture.version == 0:
            await self.board.later(0, FIRST_S)
        seen = Seen(self.board.picture, look, session.rights, self.board.switches, self.options.lab)
        text = self.panels.render(
            "page.html",
            seen=seen,
            look=look,
            panels=self.panels.all(seen),
            rights=session.rights,
            user=session.user,
            csrf=session.csrf,
            by_token=self.options.by_token,
            lab=self.options.lab,
            states=[ATTENTION, *(words.state(one) for one in GuestState)],
            now=int(self.board.mirror.connection.now()),
        )
        response = web.Response(text=text, content_type="text/html")
        now = urlsplit(request.headers.get("HX-Current-URL", ""))
        if request.headers.get("HX-Request") and look.url() not in {now.path, f"{now.path}?{now.query}"}:
            response.headers["HX-Push-Url"] = look.url()
        response.enable_compression()
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        session = session_of(request)
        page = Stream(self.board, self.panels, session, Look.of(request.query), self.options.lab)
        return await stream(request, page, self.board, self.sessions, session)

    async def report(self, _request: web.Request) -> web.Response:
        """The same report as `quorate status -o json`."""
        return web.json_response(to_wire(self.board.picture.report))

    async def who(self, request: web.Request) -> web.Response:
        return web.json_response({"user": session_of(request).user})

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """By the secret, once."""
        if self.options.by_token or not self.once.use(request.query.get("secret", "")):
            return self._door(
                "This address has been used, or it is of another run. Start quorate dashboard again.", 403
            )
        try:
            name, _ = await asyncio.to_thread(self.sessions.open_as_starter)
        except CliError as error:
            self.once.give_back()
            return self._door(f"{error}", 403)
        return self._let_in(request, name)

    async def door(self, _request: web.Request) -> web.Response:
        return self._door("", 200)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """By a token."""
        if not self.options.by_token:
            raise web.HTTPNotFound
        token = str((await request.post()).get("token", "")).strip()
        if not 0 < len(token) <= TOKEN_BYTES or not token.isascii() or not token.isprintable():
            return self._door("A token is one line of letters, digits and signs. Paste it whole.", 400)
        if self._at_door >= AT_DOOR:
            return self._door("Too many sign in at this moment. Try again in a moment.", 503)
        self._at_door += 1
        try:
            name, session = await asyncio.to_thread(self.sessions.open_by_token, token)
        except CliError as error:
            _log.info("a sign-in was refused: %s", words.line(str(error)))
            return self._door(_refused(error), 403)
        finally:
            self._at_door -= 1
        _log.info("%s has signed in", words.line(session.user))
        return self._let_in(request, name)

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        cookie = cookie_of(request.host)
        self.sessions.end(request.cookies.get(cookie, ""))
        response = web.HTTPSeeOther("/sign-in")
        response.del_cookie(cookie, path="/")
        raise response

    async def alive(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """Anybody may ask: why not is in the log."""
        fine = self.board.picture.version > 0
        return web.Response(text="ok\n" if fine else "nothing is read yet\n", status=200 if fine else 503)

    def _namespaces(self) -> set[str]:
        return {key[0] for key in tuple(self.board.mirror.guests.objects)}

    def _door(self, problem: str, code: int) -> web.Response:
        text = self.panels.render("sign_in.html", problem=problem, by_token=self.options.by_token)
        return web.Response(text=text, content_type="text/html", status=code)

    def _let_in(self, request: web.Request, name: str) -> web.Response:
        self.sessions.end(request.cookies.get(cookie_of(request.host), ""))
        response = web.Response(status=303, headers={"Location": "/"})
        safe = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(cookie_of(request.host), name, path="/", httponly=True, samesite="Strict", secure=safe)
        return response

    async def _start(self, _app: web.Application) -> None:
        self.board.start()
        self.switches.start()

    async def _stop(self, _app: web.Application) -> None:
        await self.switches.stop()
        await self.board.stop()


def _refused(error: CliError) -> str:
    """A refusal for somebody at the door, who is told nothing of what is behind it."""
    if isinstance(error, UnknownUserError):
        return "The API server does not know this token: it is wrong, or it has run out. Make a new one."
    if isinstance(error, UnreachableError):
        return "The API server cannot be reached now, so nobody can be let in. Try again in a moment."
    if isinstance(error, ForbiddenError):
        return str(error)
    return "The API server cannot tell whose token this is: its refusal is in the log of this page's server."


async def _end(app: web.Application) -> None:
    app[ENDING].set()


async def _serve(site: Site, tell: Callable[[str], None]) -> None:
    options = site.options
    runner = web.AppRunner(site.app(), access_log=None, handle_signals=False, shutdown_timeout=3.0)
    await runner.setup()
    try:
        listening = _listen(options)
        await web.SockSite(runner, listening, ssl_context=_secure(options)).start()
        tell(_address(site, listening.getsockname()))
        end = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, end.set)
        await end.wait()
    finally:
        await runner.cleanup()


def serve(login: Login, options: Options, tell: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. `tell` hears the address. Raises CliError."""
    if not options.by_token and options.host not in LOOPBACK:
        raise UsageError(
            f"--listen {options.host}: without --token-sign-in whoever comes first would act as you. "
            "Listen on 127.0.0.1, or let everybody sign in with a token of their own: --token-sign-in"
        )

    if options.key and not options.certificate:
        raise UsageError(
            f"--key {options.key}: without --certificate the page would be served in the clear. Name both, in PEM"
        )

    async def run() -> None:
        await _serve(Site(login, options), tell)

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


def _listen(options: Options) -> socket.socket:
    """Raises UsageError for an address that cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((options.host, options.port))
    except OSError as error:
        found.close()
        raise UsageError(
            f"--listen {options.host}:{options.port}: {error.strerror}. Choose another port, or 0"
        ) from error
    return found


def _secure(options: Options) -> ssl.SSLContext | None:
    """Raises UsageError for files that are no certificate and key."""
    if not options.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--certificate {options.certificate}: it cannot be used with that key ({error}). Name files in PEM"
        ) from error
    return context


def _address(site: Site, where: Any) -> str:
    options = site.options
    host = f"[{where[0]}]" if ":" in str(where[0]) else where[0]
    base = f"{'https' if options.certificate else 'http'}://{host}:{where[1]}"
    return base + ("/" if options.by_token else f"/enter?secret={site.once.secret}")

"""Who is signed in: by a one-time secret as whoever started the page, or each by a token of their own.

A session lives in this process only. Its cookie is a random name; tokens never leave the server again.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from threading import Lock
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from quorate.access.client import Api
from quorate.access.errors import CliError, UnreachableError
from quorate.access.kubeconfig import Credentials, Login
from quorate.access.vouching import whoami
from quorate.dashboard import rights
from quorate.dashboard.rights import Rights

IDLE_S: Final = 8 * 3600.0
MOST: Final = 1000
PER_USER: Final = 16
"""So many sessions has one user: nobody signs all the others out by signing in again and again."""
STREAMS: Final = 100
"""So many pages has one user open: each costs memory, and drawing where no two look alike."""
ASK_AGAIN_S: Final = 60.0
PATIENCE_S: Final = 2.0
"""So long does whoever asks for a page wait for the API server's word on them; while it has none, the last one holds."""
BYTES: Final = 32


def cookie_of(host: str) -> str:
    """The cookie's name: of the port as well, because browsers share cookies between all ports of a host."""
    port = urlsplit(f"//{host}").port
    return f"quorate-{port}" if port else "quorate"


@dataclass
class Session:
    """One person in one browser. `csrf`: what their own page knows and another site cannot. `over`: signed out."""

    login: Login
    user: str
    rights: Rights
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(BYTES))
    asked: float = field(default_factory=monotonic)
    used: float = field(default_factory=monotonic)
    over: bool = False

    def api(self) -> Api:
        """The API server, in their own name. One for each deed: it is used in a thread of its own."""
        return Api(self.login)

    def is_csrf(self, text: str) -> bool:
        return _same(text, self.csrf)


class Once:
    """A secret that opens one session, once."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(BYTES)
        self._used = False

    def use(self, text: str) -> bool:
        if self._used or not _same(text, self.secret):
            return False
        self._used = True
        return True

    def give_back(self) -> None:
        """It opened none."""
        self._used = False


def _same(text: str, secret: str) -> bool:
    """Compared in a time that tells nothing. What was sent may be no text at all."""
    return secrets.compare_digest(text.encode(errors="surrogatepass"), secret.encode())


class Sessions:
    """All of them, by the names in their cookies. `streams`: how many pages each user has open."""

    def __init__(self, base: Login, namespaces: Callable[[], Iterable[str]]) -> None:
        self._base = base
        self._namespaces = namespaces
        self._known: dict[str, Session] = {}
        self._lock = Lock()
        self._asking: set[asyncio.Future[None]] = set()
        self.streams: Counter[str] = Counter()

    def open_as_starter(self) -> tuple[str, Session]:
        """As whoever started the page. Raises CliError. It asks the API server: not for the event loop."""
        return self._open(self._base)

    def open_by_token(self, token: str) -> tuple[str, Session]:
        """As whose token this is. Raises CliError. It asks the API server: not for the event loop."""
        login = replace(self._base, credentials=Credentials(token=token), user="", origin="the token")
        return self._open(login)

    def get(self, name: str) -> Session | None:
        """Whose cookie that is, if it is anybody's."""
        session = self._known.get(name)
        if session is None:
            return None
        if _idle(session):
            self.end(name)
            return None
        session.used = monotonic()
        return session

    async def still(self, session: Session) -> bool:
        """Is this still somebody who may look? Asked anew every minute; who cannot be asked about may for now."""
        if monotonic() - session.asked > ASK_AGAIN_S:
            session.asked = monotonic()
            asking = asyncio.ensure_future(asyncio.to_thread(self.refresh, session))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            await asyncio.wait({asking}, timeout=PATIENCE_S)
        return not session.over

    def refresh(self, session: Session) -> None:
        """Ask for the rights anew. Who may not look any more, or whose token is no longer good, is signed out."""
        try:
            api = session.api()
            rights.refuse_unless_reader(api)
            session.rights = rights.ask(api, self._namespaces())
        except UnreachableError:
            return
        except CliError:
            self.forget(session)

    def end(self, name: str) -> None:
        with self._lock:
            self._end(name)

    def forget(self, session: Session) -> None:
        """It is over, by whatever name."""
        with self._lock:
            for name in [name for name, one in self._known.items() if one is session]:
                self._end(name)

    def _open(self, login: Login) -> tuple[str, Session]:
        api = Api(login)
        rights.refuse_unless_reader(api)
        session = Session(login, whoami(api), rights.ask(api, self._namespaces()))
        name = secrets.token_urlsafe(BYTES)
        with self._lock:
            self._make_room(session.user)
            self._known[name] = session
        return name, session

    def _make_room(self, user: str) -> None:
        """For one more of that user: their own oldest goes first."""
        for name in [name for name, one in self._known.items() if _idle(one)]:
            self._end(name)
        for whose, most in ((user, PER_USER), ("", MOST)):
            names = [name for name, one in self._known.items() if whose in {"", one.user}]
            if len(names) >= most:
                self._end(min(names, key=lambda name: self._known[name].used))

    def _end(self, name: str) -> None:
        session = self._known.pop(name, None)
        if session is not None:
            session.over = True


def _idle(session: Session) -> bool:
    return monotonic() - session.used > IDLE_S

"""Who is signed in: by a one-time secret as whoever started the page, or each by a token of their own.

A session lives in this process only. Its cookie is a random name; tokens never leave the server again.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from quorate.access.client import Api
from quorate.access.kubeconfig import Credentials, Login
from quorate.access.vouching import whoami
from quorate.dashboard import rights
from quorate.dashboard.rights import Rights

IDLE_S: Final = 8 * 3600.0
MOST: Final = 1000
ASK_AGAIN_S: Final = 60.0
BYTES: Final = 32


def cookie_of(host: str) -> str:
    """The cookie's name: of the port as well, because browsers share cookies between all ports of a host."""
    port = urlsplit(f"//{host}").port
    return f"quorate-{port}" if port else "quorate"


@dataclass
class Session:
    """One person in one browser. `csrf`: what their own page knows and another site cannot."""

    login: Login
    user: str
    rights: Rights
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(BYTES))
    asked: float = field(default_factory=monotonic)
    used: float = field(default_factory=monotonic)

    def api(self) -> Api:
        """The API server, in their own name. One for each deed: it is used in a thread of its own."""
        return Api(self.login)

    def is_csrf(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.csrf.encode())


class Once:
    """A secret that opens one session, once."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(BYTES)
        self._used = False

    def use(self, text: str) -> bool:
        right = secrets.compare_digest(text.encode(), self.secret.encode())
        if self._used or not right:
            return False
        self._used = True
        return True


class Sessions:
    """All of them, by the names in their cookies."""

    def __init__(self, base: Login, namespaces: Callable[[], Iterable[str]]) -> None:
        self._base = base
        self._namespaces = namespaces
        self._known: dict[str, Session] = {}

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
        if monotonic() - session.used > IDLE_S:
            del self._known[name]
            return None
        session.used = monotonic()
        return session

    def refresh(self, session: Session) -> Rights:
        """Ask for the rights anew. Raises CliError, when the token is no longer good as well."""
        api = session.api()
        rights.refuse_unless_reader(api)
        session.rights = rights.ask(api, self._namespaces())
        session.asked = monotonic()
        return session.rights

    def end(self, name: str) -> None:
        self._known.pop(name, None)

    def forget(self, session: Session) -> None:
        """It is over, by whatever name."""
        self._known = {name: one for name, one in self._known.items() if one is not session}

    def _open(self, login: Login) -> tuple[str, Session]:
        api = Api(login)
        rights.refuse_unless_reader(api)
        session = Session(login, whoami(api), rights.ask(api, self._namespaces()))
        if len(self._known) >= MOST:
            oldest = min(self._known, key=lambda name: self._known[name].used)
            del self._known[oldest]
        name = secrets.token_urlsafe(BYTES)
        self._known[name] = session
        return name, session

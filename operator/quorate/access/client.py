"""The API server, in dicts. A call is retried while that can help, and a refusal becomes a sentence, in one place each.

A person waits for every call, so the budget is short. Writes are repeated only when the server cannot have seen them, or
said itself that it did nothing.
"""

import json
import os
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    MaxRetryError,
    NewConnectionError,
    SSLError,
)

from quorate.access.errors import NotFoundError, TransientError, UnreachableError
from quorate.access.kubeconfig import Credentials, KubeconfigError, Login
from quorate.access.refusals import refusal
from quorate.core.types import Instant

Json = dict[str, Any]
FIELD_MANAGER: Final = "quorate-cli"
CONNECT_S: Final = 2.0
READ_S: Final = 4.0
"""Who only reads is told within 5 s that there is no answer, connecting included where that hangs as well."""
WRITE_S: Final = 10.0
"""A write may wait for admission webhooks, each of which may take that long."""
BUDGET_S: Final = 4.0
"""A further try begins only within this time."""
NOTHING_DONE: Final = frozenset({429, 503})
"""Answers after which even a write may be repeated: the server did not begin."""
TRANSIENT: Final = NOTHING_DONE | {500, 502, 504}


class Api:
    """A connection to one API server, made with the first call. `patience_s`: how long it may take to answer."""

    def __init__(self, login: Login, *, budget_s: float = BUDGET_S, patience_s: float = WRITE_S) -> None:
        self.login = login
        self._budget_s = budget_s
        self._patience_s = patience_s
        self._pool: urllib3.PoolManager | None = None
        self._headers = HTTPHeaderDict()
        self._ahead_s = 0.0

    def get(self, path: str) -> Json:
        return self._call("GET", path)

    def items(self, path: str, *, labels: str = "") -> list[Json]:
        """All objects of a collection, or those that a label selector lets through."""
        query = {"labelSelector": labels} if labels else {}
        return list(self._call("GET", path, query=query).get("items") or [])

    def create(self, path: str, body: Json, *, managed: bool = True) -> Json:
        """`managed` False: not an object but a question (a review)."""
        return self._call("POST", path, body, written=managed)

    def merge(self, path: str, body: Json) -> Json:
        """A merge patch. With `metadata.resourceVersion` in the body it is a compare-and-swap."""
        return self._call("PATCH", path, body, written=True)

    def patch(self, path: str, changes: list[Json]) -> Json:
        """A JSON patch; a `test` in it that fails is a refusal (422)."""
        return self._call("PATCH", path, changes, written=True)

    def delete(self, path: str, *, uid: str = "", resource_version: str = "") -> None:
        """Ask for an object's end, of exactly that one where its uid (and its version) is given. What is gone is gone.

        Raises ConflictError when it is another one by now.
        """
        held = {"uid": uid, "resourceVersion": resource_version}
        conditions = {name: value for name, value in held.items() if value}
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if conditions:
            body["preconditions"] = conditions
        with suppress(NotFoundError):
            self._call("DELETE", path, body)

    def now(self) -> Instant:
        """The moment by the API server's clock, as its last answer told: a laptop's own may be wrong."""
        return Instant(round((time.time() + self._ahead_s) * 1000))

    def _call(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None = None,
        *,
        written: bool = False,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """`written`: repeated only when the server cannot have seen it, and under our name."""
        asked = {**(query or {}), **({"fieldManager": FIELD_MANAGER} if written else {})}
        target = f"{path}?{urlencode(asked)}" if asked else path
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_delay(self._budget_s),
            wait=_wait,
            reraise=True,
        )
        return retrying(self._attempt, method, target, body, written=written)

    def _attempt(self, method: str, path: str, body: Json | list[Json] | None, *, written: bool) -> Json:
        response = self._send(method, path, body, written=written)
        if response.status == 401 and _renewable(self.login.credentials):
            self._pool = None  # a token that has run out in the meantime: ask for a new one, once
            response = self._send(method, path, body, written=written)
        self._hear_clock(response)
        answer = _parse(response.data)
        if response.status < 300 and answer is not None:
            return answer
        if response.status < 400:
            raise UnreachableError(not_an_api_server(self.login, response.status))
        answer = answer or {"message": response.data[:200].decode(errors="replace").strip()}
        error = refusal(self.login, f"{method} {path.partition('?')[0]}", response.status, answer)
        if response.status in (NOTHING_DONE if written else TRANSIENT):
            transient = TransientError(str(error))
            retry_after = response.headers.get("Retry-After", "")
            transient.retry_after_s = min(float(retry_after), self._budget_s) if retry_after.isdigit() else None
            raise transient
        raise error

    def _send(
        self, method: str, path: str, body: Json | list[Json] | None, *, written: bool
    ) -> urllib3.BaseHTTPResponse:
        pool = self._pool = self._pool or self._connect()
        patch = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        kind = patch if method == "PATCH" else "application/json"
        longest_s = min(READ_S if method == "GET" else WRITE_S, self._patience_s)
        try:
            return pool.request(
                method,
                f"{self.login.server}{path}",
                body=json.dumps(body) if body is not None else None,
                headers=self._headers | {"Content-Type": kind},
                timeout=urllib3.Timeout(connect=min(CONNECT_S, longest_s), read=longest_s),
                redirect=False,  # who we are is told to this server alone
            )
        except HTTPError as error:
            raise self._unreachable(error, written=written) from error

    def _unreachable(self, error: HTTPError, *, written: bool) -> UnreachableError:
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
        where = f"cannot reach the API server {self.login.server} ({self.login.origin})"
        if isinstance(cause, SSLError):
            return UnreachableError(
                f"{where}: its certificate is not trusted: {cause}. Compare certificate-authority in the kubeconfig"
            )
        unseen = isinstance(cause, NewConnectionError | ConnectTimeoutError)
        words = f"{where}: {_words(cause)}. See whether it runs and whether the kubeconfig names the right one"
        if unseen or not written:
            return TransientError(words)
        return UnreachableError(
            f"{words}. The request may have been carried out all the same: look before you repeat it"
        )

    def _connect(self) -> urllib3.PoolManager:
        login, known = self.login, signed_in(self.login)
        self._headers = headers_of(known)
        options: dict[str, Any] = {"retries": False}
        if login.server.startswith("https://"):
            options["ssl_context"] = ssl_context(login, known)
            if login.insecure:  # the kubeconfig says so: no need to tell on every call
                urllib3.disable_warnings(InsecureRequestWarning)
            if login.server_name:
                options |= {"server_hostname": login.server_name, "assert_hostname": login.server_name}
        proxy = login.proxy or environment_proxy(login.server)
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)

    def _hear_clock(self, response: urllib3.BaseHTTPResponse) -> None:
        try:
            told = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            return
        # The header has whole seconds: what is less than one ahead or behind is no difference.
        ahead_s = told + 0.5 - time.time()
        self._ahead_s = ahead_s if abs(ahead_s) > 1 else 0.0


def _wait(state: RetryCallState) -> float:
    """The server's Retry-After when it gave one, else a growing random pause."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, TransientError) and error.retry_after_s is not None:
        return error.retry_after_s
    return float(wait_random_exponential(multiplier=0.2, max=1.0)(state))


def environment_proxy(server: str) -> str:
    """The proxy that $HTTPS_PROXY and $NO_PROXY ask for. As for kubectl this machine itself needs none."""
    where = urlsplit(server)
    host = where.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return ""
    return getproxies().get(where.scheme, "")


def _renewable(credentials: Credentials) -> bool:
    return credentials.exec is not None or credentials.token_file is not None


def signed_in(login: Login) -> Credentials:
    """Who we are there; a plugin that the kubeconfig names is asked, which may take its time. Raises KubeconfigError."""
    from quorate.access import exec_plugin

    known = login.credentials
    return exec_plugin.ask(login, known.exec) if known.exec is not None else known


def headers_of(credentials: Credentials) -> HTTPHeaderDict:
    """The headers by which the API server knows us. Raises KubeconfigError."""
    headers = HTTPHeaderDict({"Accept": "application/json", "User-Agent": FIELD_MANAGER})
    token = credentials.token
    if credentials.token_file is not None:
        try:
            token = credentials.token_file.read_text().strip()
        except OSError as error:
            raise KubeconfigError(f"token file {credentials.token_file}: {error.strerror}. Name one to read") from error
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif credentials.username:
        basic = f"{credentials.username}:{credentials.password}"
        headers.extend(urllib3.make_headers(basic_auth=basic))
    for name, value in _impersonation(credentials.impersonate):
        headers.add(name, value)
    return headers


def _impersonation(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The headers by which we act as somebody else."""
    for key, name in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if wanted.get(key):
            yield name, str(wanted[key])
    for group in wanted.get("as-groups") or []:
        yield "Impersonate-Group", str(group)
    for key, values in (wanted.get("as-user-extra") or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(str(key), safe='')}", str(value)


def ssl_context(login: Login, credentials: Credentials) -> ssl.SSLContext:
    """Whom we trust, and our certificate if we have one. Raises KubeconfigError."""
    try:
        context = ssl.create_default_context(cadata=login.authority.decode() if login.authority else None)
        if login.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate:
            _load_certificate(context, credentials)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise KubeconfigError(
            f"{login.origin}: its certificates cannot be used ({error}). Compare certificate-authority, "
            "client-certificate and client-key in the kubeconfig"
        ) from error
    return context


def _load_certificate(context: ssl.SSLContext, credentials: Credentials) -> None:
    """OpenSSL reads client certificates from files only: they exist for this moment, for us alone."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "client.pem"
        file.touch(mode=0o600)
        file.write_bytes(credentials.certificate + b"\n" + credentials.key)
        context.load_cert_chain(file)


def _words(error: BaseException) -> str:
    """The cause in the system's own words, without the library's wrapping."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause or error).rpartition(": ")[2] or type(error).__name__


def not_an_api_server(login: Login, code: int) -> str:
    """A page to sign in at, perhaps, of whatever stands before it: by such an answer nothing was done."""
    return (
        f"{login.server} ({login.origin}) does not answer as an API server does (code {code}). See whether something "
        "before it wants a sign-in, or whether the kubeconfig names another server"
    )


def _parse(data: bytes) -> Json | None:
    """None: it is no object of JSON."""
    try:
        found = json.loads(data) if data else {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

"""The only way to the API server: dicts in, dicts out, each call with a time-out, retried while it can help.

What a caller can do about an answer is in `calls.py`; what is `Transient` is retried here, within the budget.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay, wait_random_exponential

from quorate.kube.calls import BUDGET_S, TIMEOUT_S, Calls, Json, Transient, refusal


class LoginError(Exception):
    """No way to the API server is configured; the message says where was looked and what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach and to convince the API server."""

    configuration: Configuration
    source: str


async def login(kubeconfig: str | None = None, context: str | None = None) -> Login:
    """From a kubeconfig, or in a Pod from its ServiceAccount. Raises LoginError."""
    configuration = Configuration()
    configuration.retries = None
    path = kubeconfig or os.environ.get("KUBECONFIG")
    if path is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        try:
            load_incluster_config(client_configuration=configuration)
        except ConfigException as error:
            raise LoginError(f"ServiceAccount of this Pod: {error}: mount its token, or set --kubeconfig") from error
        return Login(configuration, "the Pod's ServiceAccount")
    try:
        await load_kube_config(
            config_file=path, context=context, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, OSError, ValueError, TypeError) as error:
        where = path or "~/.kube/config"
        raise LoginError(f"kubeconfig {where}: {error}: set --kubeconfig or KUBECONFIG to a readable file") from error
    return Login(configuration, path or "~/.kube/config")


def _wait(state: RetryCallState) -> float:
    """The server's Retry-After when it gave one, else a growing random pause."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Transient) and error.retry_after_s is not None:
        return error.retry_after_s
    return float(wait_random_exponential(multiplier=0.1, max=1.0)(state))


def _unobserved(_method: str, _code: int, _seconds: float) -> None:
    """Nobody counts."""


class Api(Calls):
    """A connection to the API server."""

    def __init__(self, where: Login, *, timeout_s: float = TIMEOUT_S, budget_s: float = BUDGET_S) -> None:
        self.login = where
        self._client = ApiClient(where.configuration)
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self.calls = 0
        self.observe: Callable[[str, int, float], None] = _unobserved
        """Told of each try: method, HTTP code (0: no answer), and how long it took."""

    async def close(self) -> None:
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        budget_s: float | None = None,
    ) -> Json:
        """One call, retried while it is Transient and the budget lasts. Raises ApiError.

        A repeated write is safe because every write of ours carries a precondition or a fixed name: the second one
        conflicts with the first, and the caller looks again.
        """
        budget = self._budget_s if budget_s is None else budget_s
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Transient), stop=stop_before_delay(budget), wait=_wait, reraise=True
        ):
            with attempt:
                left = budget - (attempt.retry_state.seconds_since_start or 0.0)
                return await self._once(method, path, body, query, content_type, min(self._timeout_s, left))
        raise AssertionError("tenacity ends with a result or an exception")

    async def _once(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None,
        query: Mapping[str, str] | None,
        content_type: str,
        timeout_s: float,
    ) -> Json:
        call = f"{method} {path}"
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "quorate-manager"}
        options = dict(query or {})
        if method in {"POST", "PUT", "PATCH"}:
            options.setdefault("fieldManager", "quorate-manager")
        url = self.login.configuration.host + path + (f"?{urlencode(options)}" if options else "")
        self.calls += 1
        began_s = monotonic()
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            response = await self._client.call_api(
                method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(total=timeout_s)
            )
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self.observe(method, 0, monotonic() - began_s)
            words = str(error) or type(error).__name__
            raise Transient(call, 0, "Unreachable", f"{self.login.configuration.host}: {words}") from error
        self.observe(method, response.status, monotonic() - began_s)
        parsed = _parse(data)
        if response.status < 400:
            return parsed
        refused = refusal(call, response.status, parsed)
        retry_after = response.headers.get("Retry-After")
        if isinstance(refused, Transient) and retry_after is not None and retry_after.isdigit():
            refused.retry_after_s = float(retry_after)
        raise refused


def _parse(data: bytes) -> Json:
    try:
        found = json.loads(data) if data else {}
    except ValueError:
        return {"message": data[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": str(found)}

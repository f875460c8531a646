"""The agent's way to the API server: urllib3, one try at a time, each on an address of its own choosing.

Heartbeats never go through the Service's virtual address, which may lead to a server that is dead; in a Pod the real
addresses are read from the EndpointSlice `kubernetes` and kept. After a time-out the next try uses the next address and
a new connection. The token file is read anew for each request, because tokens are rotated.
"""

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import urllib3

Json = dict[str, Any]
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Unanswered(Exception):  # noqa: N818 - what it is, is what callers choose by
    """No answer in time, or none that says anything: the request may or may not have been carried out."""


class Refused(Exception):  # noqa: N818
    """The API server answered, and not with success."""

    def __init__(self, code: int, body: Json) -> None:
        super().__init__(f"{code} {body.get('reason', '')}: {body.get('message', '')}")
        self.code = code
        self.body = body


class AccessError(Exception):
    """No way to the API server is configured; the message says where was looked and what to do."""


@dataclass(slots=True)
class Access:
    """Addresses and credentials."""

    servers: list[str]
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    token: str | None = None
    token_file: Path | None = None
    verify: bool = True

    def authorization(self) -> str | None:
        token = self.token_file.read_text().strip() if self.token_file is not None else self.token
        return f"Bearer {token}" if token else None


def from_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig: token, token file or client certificate. Raises AccessError."""
    import yaml  # noqa: PLC0415 a Pod has a ServiceAccount and needs none of it

    try:
        config = yaml.safe_load(path.read_text())
        contexts = {one["name"]: one["context"] for one in config["contexts"]}
        context = contexts[config["current-context"]]
        cluster = {one["name"]: one["cluster"] for one in config["clusters"]}[context["cluster"]]
        user = {one["name"]: one.get("user") or {} for one in config.get("users") or []}.get(context.get("user"), {})
        return Access(
            servers=[cluster["server"]],
            ca_file=_file(cluster, "certificate-authority"),
            cert_file=_file(user, "client-certificate"),
            key_file=_file(user, "client-key"),
            token=user.get("token"),
            token_file=Path(user["tokenFile"]) if user.get("tokenFile") else None,
            verify=not cluster.get("insecure-skip-tls-verify", False),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise AccessError(f"kubeconfig {path}: {error!r}: set --kubeconfig to a readable file") from error


def in_cluster() -> Access:
    """The Pod's ServiceAccount. Its first address is the Service's, only to ask for the real ones. Raises AccessError."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (SERVICE_ACCOUNT / "token").exists():
        raise AccessError("neither --kubeconfig nor a ServiceAccount: set --kubeconfig, or mount the Pod's token")
    return Access(
        servers=[f"https://{_bracketed(host)}:{port}"],
        ca_file=str(SERVICE_ACCOUNT / "ca.crt"),
        token_file=SERVICE_ACCOUNT / "token",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _file(section: Mapping[str, Any], key: str) -> str | None:
    """A file named in the kubeconfig, or its inlined data in a file of our own (urllib3 takes files only)."""
    if section.get(key):
        return str(section[key])
    data = section.get(f"{key}-data")
    if not data:
        return None
    descriptor, name = tempfile.mkstemp(prefix="quorate-agent-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(data))
    return name


@dataclass(slots=True)
class Api:
    """A connection. One for each thread: a hanging question must not hold up a renewal."""

    access: Access
    _pools: urllib3.PoolManager = field(init=False)
    _turn: int = 0

    def __post_init__(self) -> None:
        self._pools = self._fresh()

    def _fresh(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            num_pools=8,
            retries=False,
            ca_certs=self.access.ca_file,
            cert_file=self.access.cert_file,
            key_file=self.access.key_file,
            cert_reqs="CERT_REQUIRED" if self.access.verify else "CERT_NONE",
        )

    def use(self, servers: list[str]) -> None:
        """Other addresses from now on."""
        if servers and servers != self.access.servers:
            self.access.servers = servers

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """One try. Raises Unanswered (try another address) or Refused."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "quorate-agent"}
        try:
            authorization = self.access.authorization()
            if authorization is not None:
                headers["Authorization"] = authorization
            server = self.access.servers[self._turn % len(self.access.servers)]
            response = self._pools.request(
                method,
                server + path,
                fields=query if method == "GET" else None,
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                timeout=urllib3.Timeout(total=timeout_s),
            )
            found = json.loads(response.data) if response.data else {}
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._turn += 1
            self._pools.clear()
            raise Unanswered(f"{method} {path}: {error}") from error
        if response.status in {408, 429} or response.status >= 500:
            self._turn += 1
            raise Unanswered(f"{method} {path}: {response.status} {found.get('message', '')}")
        if response.status in {401, 403}:
            self._turn += 1  # a server that has just started refuses whom it does not know yet: another one may know
        if response.status >= 400:
            raise Refused(response.status, found if isinstance(found, dict) else {})
        return found if isinstance(found, dict) else {}

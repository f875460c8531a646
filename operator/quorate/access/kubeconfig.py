"""Where the API server is and who we are there: from kubeconfig files, or in a Pod from its ServiceAccount.

Read here, and not with the `kubernetes` package, because importing that takes 0.25 s where pyyaml and urllib3 take 0.08 s
(measured on the machine the benchmarks are from), and `quorate status` would feel it every time. Precedence and merging
are kubectl's: --kubeconfig, else $KUBECONFIG (a list, the first to name a thing wins), else ~/.kube/config.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from quorate.access.errors import UnreachableError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Section = Mapping[str, Any]


class KubeconfigError(UnreachableError):
    """A kubeconfig that leads nowhere. The message names file, field, finding and remedy."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are. `exec` is the section of a credential plugin, which is asked for the rest."""

    token: str = ""
    token_file: Path | None = None
    username: str = ""
    password: str = ""
    certificate: bytes = b""
    key: bytes = b""
    impersonate: Mapping[str, Any] = field(default_factory=dict)
    exec: Section | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Everything a connection needs. `origin` says where it comes from, for error messages."""

    server: str
    origin: str
    user: str
    namespace: str = "default"
    authority: bytes = b""
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""
    credentials: Credentials = field(default_factory=Credentials)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named section and the file it stands in: paths in it are relative to that file."""

    data: Section
    file: Path


def load(path: str | None, context: str | None, environ: Mapping[str, str] | None = None) -> Login:
    """The login that kubectl would use. Raises KubeconfigError."""
    env = os.environ if environ is None else environ
    files = _files(path, env)
    if not files:
        return in_cluster(env)
    return _Kubeconfig(files).login(context)


def in_cluster(environ: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> Login:
    """The login of the Pod that we run in. Raises KubeconfigError."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    origin = "the ServiceAccount of this Pod"
    authority = _read(directory / "ca.crt", origin)
    namespace = _read(directory / "namespace", origin).decode().strip()
    return Login(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        origin=origin,
        user="",
        namespace=namespace or "default",
        authority=authority,
        credentials=Credentials(token_file=directory / "token"),
    )


def _files(path: str | None, environ: Mapping[str, str]) -> list[Path]:
    """The kubeconfig files that are to be merged; none: we are in a Pod."""
    if path is not None:
        if not Path(path).is_file():
            raise KubeconfigError(f"kubeconfig {path} (from --kubeconfig): there is no such file. Name an existing one")
        return [Path(path)]
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        found = [one for one in listed if one.is_file()]
        if not found:
            named = ", ".join(str(one) for one in listed)
            raise KubeconfigError(f"kubeconfig {named} (from $KUBECONFIG): there is no such file. Set KUBECONFIG anew")
        return found
    usual = Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    if usual.is_file():
        return [usual]
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return []
    raise KubeconfigError(
        f"kubeconfig {usual}: there is no such file, and neither --kubeconfig nor $KUBECONFIG names another. "
        "Name the kubeconfig of your cluster, or start one on this machine: quorate lab up"
    )


class _Kubeconfig:
    """One or several files, merged."""

    def __init__(self, files: list[Path]) -> None:
        self.name = f"kubeconfig {os.pathsep.join(str(file) for file in files)}"
        self.current = ""
        self.sections: dict[str, dict[str, _Entry]] = {"contexts": {}, "clusters": {}, "users": {}}
        for file in files:
            self._merge(file)

    def login(self, wanted: str | None) -> Login:
        name = wanted or self.current
        if not name:
            raise KubeconfigError(
                f"{self.name}: current-context is empty. Choose a context with --context ({self._known('contexts')})"
            )
        chosen_by = "--context" if wanted else "current-context"
        context = self._find("contexts", name, chosen_by).data
        where = f"contexts[{name}]"
        cluster_name, user_name = str(context.get("cluster") or ""), str(context.get("user") or "")
        cluster = self._find("clusters", cluster_name, f"{where}.cluster")
        user = self._find("users", user_name, f"{where}.user") if user_name else None
        server = str(cluster.data.get("server") or "")
        if not server.startswith(("https://", "http://")):
            raise KubeconfigError(
                f"{self.name}: clusters[{cluster_name}].server is {server!r}. It must be a URL like https://host:6443"
            )
        proxy = str(cluster.data.get("proxy-url") or "")
        if proxy and not proxy.startswith(("https://", "http://")):
            raise KubeconfigError(
                f"{self.name}: clusters[{cluster_name}].proxy-url is {proxy!r}. Only http and https proxies are spoken"
            )
        return Login(
            server=server.rstrip("/"),
            origin=f"context {name} of {self.name}",
            user=user_name,
            namespace=str(context.get("namespace") or "default"),
            authority=_bytes(cluster, "certificate-authority", f"clusters[{cluster_name}]"),
            insecure=bool(cluster.data.get("insecure-skip-tls-verify")),
            server_name=str(cluster.data.get("tls-server-name") or ""),
            proxy=proxy,
            credentials=_credentials(user, f"users[{user_name}]") if user is not None else Credentials(),
        )

    def _merge(self, file: Path) -> None:
        data = _parse(file)
        self.current = self.current or str(data.get("current-context") or "")
        for section, known in self.sections.items():
            entries = data.get(section) or []
            if not isinstance(entries, list):
                raise KubeconfigError(f"kubeconfig {file}: {section} is not a list. Write one entry for each name")
            for entry in entries:
                if not isinstance(entry, dict) or "name" not in entry:
                    raise KubeconfigError(f"kubeconfig {file}: an entry of {section} has no name. Give it one")
                body = entry.get(section.removesuffix("s")) or {}
                known.setdefault(str(entry["name"]), _Entry(body if isinstance(body, dict) else {}, file))

    def _find(self, section: str, name: str, field_name: str) -> _Entry:
        entry = self.sections[section].get(name)
        if entry is None:
            raise KubeconfigError(
                f"{self.name}: {field_name} names {name!r}, and {section} has no such entry "
                f"({self._known(section)}). Name one of these or add it"
            )
        return entry

    def _known(self, section: str) -> str:
        names = ", ".join(sorted(self.sections[section]))
        return f"known: {names}" if names else "there is none"


def _parse(file: Path) -> Section:
    text = _read(file, "kubeconfig")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise KubeconfigError(f"kubeconfig {file}: this is not YAML{line}. Repair the file or name another") from error
    if not isinstance(data, dict):
        raise KubeconfigError(f"kubeconfig {file}: there is no configuration in it. Name another file")
    return data


def _credentials(user: _Entry, where: str) -> Credentials:
    data = user.data
    if data.get("auth-provider"):
        raise KubeconfigError(
            f"kubeconfig {user.file}: {where}.auth-provider is no longer known to Kubernetes. Use exec or a token"
        )
    token_file, plugin = data.get("tokenFile"), data.get("exec")
    if plugin and os.sep in str(plugin.get("command")):
        plugin = {**plugin, "command": str(user.file.parent / str(plugin["command"]))}
    return Credentials(
        token=str(data.get("token") or ""),
        token_file=user.file.parent / str(token_file) if token_file else None,
        username=str(data.get("username") or ""),
        password=str(data.get("password") or ""),
        certificate=_bytes(user, "client-certificate", where),
        key=_bytes(user, "client-key", where),
        impersonate={key: data[key] for key in ("as", "as-uid", "as-groups", "as-user-extra") if data.get(key)},
        exec=plugin or None,
    )


def _bytes(entry: _Entry, key: str, where: str) -> bytes:
    """A certificate or key: base64 in the field itself (`key-data`), or in a file beside the kubeconfig."""
    inline, named = entry.data.get(f"{key}-data"), entry.data.get(key)
    if inline:
        try:
            return base64.b64decode(str(inline), validate=True)
        except binascii.Error as error:
            raise KubeconfigError(
                f"kubeconfig {entry.file}: {where}.{key}-data is not base64. Write it anew"
            ) from error
    return _read(entry.file.parent / str(named), f"kubeconfig {entry.file}: {where}.{key}") if named else b""


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise KubeconfigError(f"{what}: {file} cannot be read ({reason}). Name a file that can") from error

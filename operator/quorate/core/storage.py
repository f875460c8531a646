"""What a Storage is, what agents are asked of it and say, and what is made of it in the namespaces of its guests.

A node of which nothing is known is no worse than one that reaches a Storage: its agent may be older, or has not looked yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from quorate.core.quick import quick
from quorate.core.types import GuestKey, NodeName, Uid

MAX_PROBES: Final = 32
"""Storages that an agent is asked about; of more nothing is known."""
MAX_WHY: Final = 200
"""Characters in which an agent says why a Storage is not reached."""
NFS_PORT: Final = 2049
NFS_VERSIONS: Final = (4, 3)
_PORT: Final = "port="
_MOUNT_PORT: Final = "mountport="
_VERSION: Final = ("nfsvers=", "vers=")


@quick
@dataclass(frozen=True, slots=True)
class NfsExport:
    """A directory that an NFS server exports. `options`: of mount.nfs, one each."""

    server: str
    export: str
    options: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        return _number(self.options, _PORT) or NFS_PORT

    @property
    def mount_port(self) -> int:
        """Where mountd is said to answer; 0: its portmapper knows."""
        return _number(self.options, _MOUNT_PORT)

    @property
    def versions(self) -> tuple[int, ...]:
        """The major versions of NFS by which it may be mounted."""
        for option in self.options:
            for name in _VERSION:
                if option.startswith(name) and option[len(name) : len(name) + 1] in {"3", "4"}:
                    return (int(option[len(name)]),)
        return NFS_VERSIONS


@quick
@dataclass(frozen=True, slots=True)
class VolumeClass:
    """A StorageClass, and the claims that are made of it. `size`: a Kubernetes quantity."""

    name: str
    size: str
    access_mode: str


@quick
@dataclass(frozen=True, slots=True)
class Probe:
    """What the agent of a node is asked to look at. `id`: the uid of the Storage. `mount_port` 0: ask the portmapper."""

    id: Uid
    storage: str
    server: str
    export: str
    port: int
    mount_port: int
    versions: tuple[int, ...]


@quick
@dataclass(frozen=True, slots=True)
class Reach:
    """What an agent says of a Storage: whether its node reaches it, and if not why.

    `used`: percent of `size` bytes; `size` 0: it cannot be known without mounting it.
    """

    id: Uid
    reached: bool
    why: str = ""
    used: int = 0
    size: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Unreached:
    """A node that does not reach a Storage, and why."""

    node: NodeName
    why: str


@quick
@dataclass(frozen=True, slots=True)
class Volume:
    """What is made of an NFS Storage in one namespace. `problem`: why its claim cannot be used; "" once it can."""

    namespace: str
    volume: str
    claim: str
    problem: str = ""


def reach_of(reaches: Iterable[Reach], storage: Uid) -> Reach | None:
    """What is known; None: nothing."""
    return next((one for one in reaches if one.id == storage), None)


def nfs_claim(storage: str) -> str:
    """Name of the claim of an NFS Storage, in each namespace that uses it."""
    return f"quorate-{storage}"


def nfs_volume(storage: str, namespace: str) -> str:
    """Name of its PersistentVolume for that namespace. Names may have hyphens: the digest tells a-b, c from a, b-c."""
    return f"quorate-{storage}-{namespace}-{_digest(storage, namespace)}"


def own_claim(guest: GuestKey, storage: str) -> str:
    """Name of the claim that a guest has of its own of a Storage of type StorageClass. It stays when the guest goes."""
    return f"{guest.name}-{storage}-{_digest(guest.name, storage)}"


def _digest(*parts: str) -> str:
    return sha256("/".join(parts).encode()).hexdigest()[:8]


def _number(options: Iterable[str], name: str) -> int:
    """The value of a numeric option, 0 where it is not given."""
    for option in options:
        text = option.removeprefix(name)
        if option.startswith(name) and text.isascii() and text.isdigit() and 0 < int(text) < 65536:
            return int(text)
    return 0

"""Is an NFS export there, as far as can be told without mounting it? (RFC 1813, 7530, 1833)

The server must answer the NULL call of a version that may be used. Whether it exports the directory is asked of NFS 4
itself, by looking its path up, and of mountd, through the portmapper: one yes is enough, and a no counts where nobody says
yes. How full it is only NFS 4 tells; a server that has neither of the two is taken at its NULL.
"""

import time
from collections.abc import Iterable
from typing import Final

from quorate.agent.oncrpc import Connection, Reader, RpcError, VersionError, numbers, opaque
from quorate.core.storage import Probe, Reach

TIMEOUT_S: Final = 5.0
"""For all questions about one export together."""
NFS, MOUNT, PORTMAPPER = 100_003, 100_005, 100_000
PORTMAPPER_PORT: Final = 111
_TCP: Final = 6
_GETPORT, _EXPORT, _COMPOUND = 3, 5, 1
_GETATTR, _LOOKUP, _PUTROOTFH = 9, 15, 24
_SPACE: Final = (42, 43, 44)
"""space_avail, space_free, space_total: 64 bits each."""
_ABSENT: Final = frozenset({2, 20})
"""NFS4ERR_NOENT and NFS4ERR_NOTDIR."""
MOST_EXPORTS: Final = 4096
NAMED: Final = 3


class AbsentError(Exception):
    """The server does not have the directory; the message says what it has."""


def look(probe: Probe) -> Reach:
    """What is to be said of it. Never raises, and takes no longer than its time-out but for a name that is not resolved."""
    until_s = time.monotonic() + TIMEOUT_S
    try:
        version = _null(probe, until_s)
        used, size = _find(probe, version, until_s)
    except (RpcError, AbsentError) as error:
        return Reach(probe.id, False, f"{probe.server}: {error}")
    except Exception as bug:  # noqa: BLE001 what a server says must not end what looks at others
        return Reach(probe.id, False, f"{probe.server}: {bug!r}")
    return Reach(probe.id, True, "", used, size)


def _null(probe: Probe, until_s: float) -> int:
    """The first version of NFS that answers. Raises RpcError."""
    with Connection(probe.server, probe.port, until_s) as connection:
        refused: list[str] = []
        for version in probe.versions:
            try:
                connection.call(NFS, version, 0)
            except VersionError as error:
                refused.append(str(error))
            else:
                return version
    wanted = " or ".join(map(str, probe.versions))
    raise RpcError(f"it does not serve NFS {wanted}: {'; '.join(dict.fromkeys(refused)) or 'no version is asked for'}")


def _find(probe: Probe, version: int, until_s: float) -> tuple[int, int]:
    """How full it is (percent, bytes), (0, 0) where that is not told. Raises AbsentError."""
    absent: AbsentError | None = None
    if version == 4:
        try:
            return _by_path(probe, until_s)
        except AbsentError as error:
            absent = error
        except RpcError:
            return 0, 0  # NFS 4.1 alone, or it lets nobody look; what mountd lists are not the paths of NFS 4
    if 3 in probe.versions:
        try:
            _by_list(probe, until_s)
        except AbsentError as error:
            absent = absent or error
        except RpcError:
            pass  # no mountd that can be asked
        else:
            return 0, 0
    if absent is not None:
        raise absent
    return 0, 0


def _by_path(probe: Probe, until_s: float) -> tuple[int, int]:
    """Look the path up in NFS 4.0, from its root. Raises AbsentError, RpcError."""
    names = [part for part in probe.export.split("/") if part]
    lookups = b"".join(numbers(_LOOKUP) + opaque(name.encode()) for name in names)
    space = numbers(_GETATTR, 2, 0, sum(1 << (bit - 32) for bit in _SPACE))
    arguments = opaque(b"") + numbers(0, len(names) + 2, _PUTROOTFH) + lookups + space
    with Connection(probe.server, probe.port, until_s, reserved=True) as connection:
        answer = connection.call(NFS, 4, _COMPOUND, arguments, as_root=True)
    status = answer.number()
    if status in _ABSENT:
        raise AbsentError(f"it does not export {probe.export}")
    if status != 0:
        raise RpcError(f"NFS 4.0 answers with status {status}")
    answer.opaque(1024)
    if answer.number() != len(names) + 2:
        raise RpcError("it answers more or less than was asked")
    for asked in (_PUTROOTFH, *[_LOOKUP] * len(names), _GETATTR):
        if (answer.number(), answer.number()) != (asked, 0):
            raise RpcError("it answers something else than was asked")
    return _space(answer)


def _space(answer: Reader) -> tuple[int, int]:
    """Of the attributes that were asked for, a server gives those that it has, in order. Percent are counted as df does."""
    words = [answer.number() for _ in range(min(answer.number(), 8))]
    values = Reader(answer.opaque(4096))
    given = words[1] if len(words) > 1 else 0
    available, free, total = (values.large() if given & 1 << (bit - 32) else -1 for bit in _SPACE)
    if not 0 <= available <= free <= total or not 0 < total < 2**63:
        return 0, 0
    used = total - free
    return round(100 * used / max(1, used + available)), total


def _by_list(probe: Probe, until_s: float) -> None:
    """Is it, or a directory above it, on mountd's list? Raises AbsentError, RpcError."""
    port = probe.mount_port or _mount_port(probe.server, until_s)
    with Connection(probe.server, port, until_s) as connection:
        answer = connection.call(MOUNT, 3, _EXPORT)
    exports = list(_exports(answer))
    if any(_covers(one, probe.export) for one in exports):
        return
    if not exports:
        raise AbsentError("it exports nothing")
    more = f" and {len(exports) - NAMED} more" if len(exports) > NAMED else ""
    raise AbsentError(f"it does not export {probe.export}, but {', '.join(exports[:NAMED])}{more}")


def _mount_port(server: str, until_s: float) -> int:
    with Connection(server, PORTMAPPER_PORT, until_s) as connection:
        port = connection.call(PORTMAPPER, 2, _GETPORT, numbers(MOUNT, 3, _TCP, 0)).number()
    if not 0 < port < 65536:
        raise RpcError("its portmapper knows no mountd")
    return port


def _exports(answer: Reader) -> Iterable[str]:
    """The directories: each is followed by the groups that may mount it, which say little of us."""
    for _ in range(MOST_EXPORTS):
        if not answer.number():
            return
        yield answer.opaque(1024).decode("utf-8", "replace")
        while answer.number():
            answer.opaque(255)
    raise RpcError("its list of exports has no end")


def _covers(export: str, directory: str) -> bool:
    above, inside = export.rstrip("/"), directory.rstrip("/")
    return inside == above or inside.startswith(f"{above}/")

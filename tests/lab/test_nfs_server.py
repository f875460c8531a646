"""What an agent finds out about a real NFS server: NFS-Ganesha from Debian, which needs no kernel module."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.agent import nfs
from quorate.core.storage import NFS_VERSIONS, Probe, Reach
from quorate.core.types import Uid
from tests.ganesha import EXPORT, Server, portmapper, serving

pytestmark = pytest.mark.lab
ADDRESS, ADDRESS_V4 = "127.76.0.1", "127.76.0.2"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """NFS 3 and 4, with a portmapper."""
    with portmapper(), serving(tmp_path_factory.mktemp("both"), ADDRESS, protocols="3, 4") as server:
        yield server


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """NFS 4 alone, of a disk, and no mountd."""
    with serving(tmp_path_factory.mktemp("four"), ADDRESS_V4) as server:
        yield server


def look(server: Server, export: str = EXPORT, versions: tuple[int, ...] = NFS_VERSIONS, mount_port: int = 0) -> Reach:
    return nfs.look(Probe(Uid("s"), "media", server.address, export, server.port, mount_port, versions))


@pytest.mark.parametrize("versions", [(4, 3), (3, 4), (4,), (3,)])
def test_an_export_is_found_by_each_version(both: Server, versions: tuple[int, ...]) -> None:
    assert look(both, versions=versions).reached
    assert look(both, versions=versions, mount_port=both.mount_port).reached


@pytest.mark.parametrize(
    ("versions", "words"),
    [((4, 3), "it does not export /nope"), ((4,), "it does not export /nope"), ((3,), f"/nope, but {EXPORT}")],
)
def test_one_that_is_not_there_is_told_and_what_is(both: Server, versions: tuple[int, ...], words: str) -> None:
    found = look(both, "/nope", versions)
    assert not found.reached
    assert words in found.why


def test_what_lies_in_an_export_is_exported(both: Server) -> None:
    assert look(both, f"{EXPORT}/in/it", (3,)).reached
    assert not look(both, f"{EXPORT}-else", (3,)).reached


def test_how_full_it_is_is_known_without_a_mount(four: Server, tmp_path: Path) -> None:
    found, disk = look(four), shutil.disk_usage(tmp_path)
    assert found.reached
    assert found.size == disk.total
    assert abs(found.used - 100 * disk.used / (disk.used + disk.free)) <= 2


def test_a_version_that_it_does_not_have(four: Server) -> None:
    found = look(four, versions=(3,))
    assert (found.reached, found.why) == (False, f"{ADDRESS_V4}: it does not serve NFS 3: it has versions 4 to 4")
    assert look(four, versions=(3, 4)).reached


def test_a_server_that_hangs_is_not_waited_for(four: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfs, "TIMEOUT_S", 0.5)
    os.kill(four.process.pid, signal.SIGSTOP)
    try:
        found = look(four)
    finally:
        os.kill(four.process.pid, signal.SIGCONT)
    assert (found.reached, found.why) == (
        False,
        f"{ADDRESS_V4}: it accepts a connection and does not answer in time",
    )
    monkeypatch.undo()
    assert look(four).reached

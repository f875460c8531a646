"""NFS-Ganesha, a real NFS server from Debian that runs as an ordinary process."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection, socket
from typing import Final

import pytest

PROGRAM: Final = "ganesha.nfsd"
PLUGINS: Final = "/usr/lib/x86_64-linux-gnu/ganesha"
EXPORT: Final = "/export/guests"
LONGEST_START_S: Final = 60.0


@dataclass(frozen=True)
class Server:
    """It runs. `mount_port`: of mountd, where NFS 3 is served."""

    address: str
    port: int
    mount_port: int
    process: "subprocess.Popen[bytes]"


def needed() -> None:
    """Skip where it is not installed; on a machine of ours it is (.ci/run)."""
    if shutil.which(PROGRAM) is None:
        pytest.skip("needs NFS-Ganesha (Debian: nfs-ganesha, nfs-ganesha-vfs)")


@contextmanager
def serving(directory: Path, address: str, *, protocols: str = "4", port: int = 0) -> Iterator[Server]:
    """A server that exports a directory of `directory` as EXPORT, by its path in NFS 4 and in NFS 3 alike."""
    needed()
    port = port or free_port(address)
    mount_port = free_port(address, port + 1)
    disk, recovery = Path(EXPORT), directory / "recovery"
    recovery.mkdir(exist_ok=True)
    fsal = "MEM"
    if protocols == "4":
        disk, fsal = directory / "disk", "VFS"
        disk.mkdir(exist_ok=True)
    configuration = directory / "ganesha.conf"
    configuration.write_text(
        f"""\
NFS_CORE_PARAM {{ NFS_Port = {port}; MNT_Port = {mount_port}; Bind_addr = {address}; Protocols = {protocols};
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Plugins_Dir = "{PLUGINS}"; }}
NFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{recovery}"; Only_Numeric_Owners = true; }}
EXPORT {{ Export_Id = 1; Path = {disk}; Pseudo = {EXPORT}; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  Protocols = {protocols}; FSAL {{ Name = {fsal}; }} }}
"""
    )
    log = directory / "ganesha.log"
    command = [PROGRAM, "-F", "-f", str(configuration), "-L", str(log), "-p", str(directory / "ganesha.pid")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_listens(process, address, port, log)
        yield Server(address, port, mount_port, process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextmanager
def portmapper() -> Iterator[None]:
    """rpcbind, where none runs yet: Ganesha serves NFS 3 only where it can register it."""
    needed()
    if listens("127.0.0.1", 111):
        yield
        return
    process = subprocess.Popen(["rpcbind", "-f", "-w"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + LONGEST_START_S
        while not listens("127.0.0.1", 111):
            assert process.poll() is None, "rpcbind has ended"
            assert time.monotonic() < until_s, "rpcbind does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port(address: str, least: int = 20_049) -> int:
    """Below the range that others are given by chance."""
    for port in range(least, 30_000):
        with socket() as one, suppress(OSError):
            one.bind((address, port))
            return port
    raise AssertionError("no port is free")


def listens(address: str, port: int) -> bool:
    try:
        create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def _until_it_listens(process: "subprocess.Popen[bytes]", address: str, port: int, log: Path) -> None:
    until_s = time.monotonic() + LONGEST_START_S
    while not listens(address, port):
        said = log.read_text()[-2000:] if log.exists() else ""
        assert process.poll() is None, f"Ganesha has ended: {said}"
        assert time.monotonic() < until_s, f"Ganesha does not listen: {said}"
        time.sleep(0.1)

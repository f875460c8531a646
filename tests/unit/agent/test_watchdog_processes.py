"""Agents as they are started, keeper and loop, on a device of the kernel's: a FIFO, and a library that answers its ioctls.

So everything runs that runs in production, down to the system calls; a kernel's watchdog itself is not needed. Nothing here
can reset this machine: the device and all that belongs to it lie below a directory of the test's (`tests/conftest.py`).
"""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.agent.watchdog_facts import KEEPALIVE, MAGIC_CLOSE, SET_TIMEOUT
from tests import real
from tests.lab.waiting import eventually
from tests.unit.agent import test_takeover
from tests.unit.agent.kernel import ALL, Kernel
from tests.unit.agent.test_takeover import Agent, Server, end, renews_armed

server, guest = test_takeover.server, test_takeover.guest


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        real.cannot("cc is not on PATH: the stand-in for the kernel's side of a watchdog is a small library in C")
    library = tmp_path_factory.mktemp("shim") / "watchdog_shim.so"
    source = Path(__file__).with_name("watchdog_shim.c")
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    return library


class Device(Kernel):
    """The machine's files are the same as in the other tests; the ioctls are answered in the agent's processes."""

    def __init__(self, root: Path, library: Path) -> None:
        super().__init__(root)
        self.entry(state="")
        self.words = root / "shim"
        self.words.mkdir()
        self.has(options=ALL)
        self.environment = {"LD_PRELOAD": str(library), "SHIM_DEVICE": str(self.path), "SHIM_DIR": str(self.words)}

    def has(self, **words: int) -> None:
        for name, value in words.items():
            (self.words / name.replace("_", "-")).write_text(str(value))

    def mends(self, word: str) -> None:
        (self.words / word).unlink()

    def journal(self) -> list[str]:
        try:
            return (self.words / "journal").read_text().splitlines()
        except FileNotFoundError:
            return []

    def opens(self) -> int:
        return self.journal().count("open")

    def is_held(self) -> bool:
        """Does any process have it open?"""
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


@pytest.fixture
def device(tmp_path: Path, shim: Path) -> Iterator[Device]:
    made = Device(tmp_path / "machine", shim)
    yield made
    made.end()


@pytest.fixture
def start(tmp_path: Path, server: Server, device: Device) -> Iterator[Any]:
    started: list[Agent] = []

    def begin(*more: str) -> Agent:
        url = f"http://127.0.0.1:{server.http.server_port}"
        name = f"agent-{len(started)}"
        started.append(Agent(tmp_path, name, url, f"linux:{device.path}", *more, **device.environment))
        return started[-1]

    yield begin
    end(started)


async def renews(server: Server, check: Callable[[Any], Any] = bool) -> Any:
    """A new attestation comes of which this is true."""
    before = server.said()
    sequence = before.sequence if before is not None else 0

    def found() -> Any:
        said = server.said()
        return said if said is not None and said.sequence > sequence and check(said) else None

    return await eventually(found)


async def test_it_is_armed_petted_and_let_go_by_magic_close(
    start: Any, server: Server, device: Device, guest: Callable[[str], None]
) -> None:
    agent = start()
    await renews_armed(server)
    said = server.said()
    assert (said.watchdog.removeprefix("Virtual"), said.watchdog_s, said.trouble) == ("Softdog", 60, "")
    journal = await eventually(lambda: len(found := device.journal()) > 5 and found)
    assert journal[:3] == ["open", "set 60", "pet"]
    assert set(journal[3:]) == {"pet"}, "set once, and petted"
    assert device.is_held()
    agent.process.terminate()
    await renews_armed(server)
    assert device.written() == b"", "a guest runs: it stays armed"
    guest("exited")
    await eventually(lambda: agent.process.poll() == 0)
    assert device.written() == b"V"
    assert not device.is_held()
    assert not server.said().armed


async def test_one_that_is_petted_by_bytes(start: Any, server: Server, device: Device) -> None:
    device.has(options=SET_TIMEOUT | MAGIC_CLOSE)
    start()
    await renews_armed(server)
    assert set(device.written()) == {0}
    assert "pet" not in device.journal()


async def test_an_agent_that_is_killed_leaves_it_counting(start: Any, server: Server, device: Device) -> None:
    agent = start()
    await renews_armed(server)
    os.killpg(agent.process.pid, signal.SIGKILL)
    agent.process.wait()
    await eventually(lambda: not device.is_held())
    assert device.written() == b"", "never the byte that disarms"
    again = start()
    await renews_armed(server)
    assert device.opens() == 2
    assert again.process.poll() is None


async def test_a_loop_that_is_killed_leaves_it_open(start: Any, server: Server, device: Device) -> None:
    agent = start()
    await renews_armed(server)
    loop = agent.loop()
    os.kill(loop, signal.SIGKILL)
    await eventually(lambda: agent.loop() not in {None, loop})
    await renews_armed(server)
    assert device.opens() == 1, "the keeper held it"
    assert device.written() == b""


async def test_an_upgrade_hands_it_over(start: Any, server: Server, device: Device) -> None:
    old = start()
    await renews_armed(server)
    new = start()
    await eventually(lambda: new.says("took over from the agent"))
    old.process.terminate()
    await eventually(lambda: old.process.poll() == 0)
    before = len(device.journal())
    await renews_armed(server)
    assert "pet" in device.journal()[before:]
    assert device.opens() == 1
    assert device.is_held()
    assert device.written() == b""


async def test_a_busy_one_is_said_and_armed_when_it_is_free(start: Any, server: Server, device: Device) -> None:
    taken = os.open(device.path, os.O_RDWR)
    fcntl.flock(taken, fcntl.LOCK_EX)
    agent = start()
    said = await renews(server, lambda said: said.trouble)
    assert "watchdog0: busy: it is open in a process that cannot be seen from here" in said.trouble
    assert (said.armed, said.watchdog) == (False, "")
    os.close(taken)
    await renews_armed(server)
    assert agent.log.read_text().count("busy: it is open") == 1
    assert server.said().trouble == ""


async def test_what_it_rounds_up_to_is_attested(start: Any, server: Server, device: Device) -> None:
    device.has(grain=64)
    start()
    await renews_armed(server)
    assert server.said().watchdog_s == 64
    assert device.journal().count("set 60") == 1


async def test_one_that_cannot_be_set_is_not_armed(start: Any, server: Server, device: Device) -> None:
    device.has(errno_set=errno.EOPNOTSUPP)
    start()
    said = await renews(server, lambda said: said.trouble)
    assert "Software Watchdog cannot be set to 60s" in said.trouble
    assert (said.armed, said.watchdog) == (False, "")
    await renews(server)
    assert (device.opens(), device.written()) == (1, b"V"), "and it is not armed for nothing again and again"


async def test_one_without_magic_close_is_not_even_opened(start: Any, server: Server, device: Device) -> None:
    device.entry(options=hex(SET_TIMEOUT | KEEPALIVE))
    start()
    said = await renews(server, lambda said: said.trouble)
    assert "has no magic close" in said.trouble
    assert device.journal() == []


async def test_one_that_fails_is_opened_again(start: Any, server: Server, device: Device) -> None:
    start()
    await renews_armed(server)
    device.has(errno_pet=errno.EIO)
    said = await renews(server, lambda said: not said.armed)
    assert "EIO, Input/output error as it was petted" in said.trouble
    device.mends("errno-pet")
    await renews_armed(server)
    assert device.opens() > 1
    assert server.said().trouble == ""


async def test_nowayout_keeps_the_agent_petting(
    start: Any, server: Server, device: Device, guest: Callable[[str], None]
) -> None:
    device.entry(nowayout="1")
    agent = start()
    await renews_armed(server)
    guest("exited")
    agent.process.terminate()
    said = await renews(server, lambda said: not said.armed and said.trouble)
    assert "nowayout is set" in said.trouble
    server.http.shutdown()
    server.http.server_close()
    before = len(device.journal())
    await eventually(lambda: device.journal()[before:].count("pet") >= 2, "pets without renewals")
    assert (agent.process.poll(), device.written()) == (None, b"")


async def test_a_boot_that_was_fenced_resets_itself(start: Any, server: Server, device: Device) -> None:
    """As far as that can go here: the trigger is a file of the test's."""
    agent = start()
    await renews_armed(server)
    server.fake.take(f"fenced/incident/{server.fake.holder}")
    await eventually(lambda: agent.says("was not reset"))
    assert (device.root / "proc/sysrq-trigger").read_text() == "b"
    assert device.journal()[-1] == "set 1", "its time is cut short, and it is petted no more"
    await eventually(lambda: agent.log.read_text().count("was not reset") >= 2)
    assert device.journal()[-1] == "set 1"
    assert "reboot" not in device.journal(), "that would hit the machine that we run on"


def locked_kib(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmLck:")[1].split()[0])


async def test_keeper_and_loop_lock_their_memory_or_say_that_they_may_not(
    start: Any, server: Server, device: Device
) -> None:
    agent = start("--realtime")
    await renews_armed(server)
    for pid in (agent.process.pid, agent.loop()):
        assert (locked_kib(pid) > 0) is not agent.says("memory is not locked")
    without = start()
    await eventually(lambda: without.says("took over from the agent"))
    assert (locked_kib(without.process.pid), locked_kib(without.loop())) == (0, 0)

"""Agents as they are started, keeper and loop, one beside the other on one node: who owns it when one of them goes?

An API server of one Lease, and the lab's stand-in for the watchdog.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quorate.agent.api import Refused
from quorate.api import attestation
from quorate.core.types import ATTESTATION_ANNOTATION
from quorate.core.world import Attestation
from quorate.lab.watchdog import RefusedError, Watchdog
from quorate.lab.watchdog import _Connection as Connection
from tests.lab.waiting import eventually
from tests.unit.agent.fakes import FakeApi

NODE = {
    "metadata": {"name": "n1", "uid": "node"},
    "status": {
        "arming": {"generation": 1, "wanted": True},
        "orders": {"renewEvery": "1s", "timeout": "5s", "watchdog": "60s"},
    },
}


class Server:
    """Answers over HTTP as the fake does, one question after the other."""

    def __init__(self) -> None:
        self.fake, lock = FakeApi(), threading.Lock()
        fake = self.fake

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path, code = self.path.partition("?")[0], 200
                try:
                    with lock:
                        found = (
                            NODE if path.endswith("/nodes/n1") else fake.request(self.command, path, body, timeout_s=1)
                        )
                except Refused as error:
                    code, found = error.code, error.body
                data = json.dumps(found).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = _answer  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def said(self) -> Attestation | None:
        annotations = (self.fake.lease or {})["metadata"].get("annotations") or {}
        return attestation.decode(annotations.get(ATTESTATION_ANNOTATION))


class Agent:
    def __init__(self, directory: Path, name: str, url: str, watchdog: str, *more: str, **environment: str) -> None:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                }
            )
        )
        command = [
            sys.executable,
            "-m",
            "quorate.agent",
            "--node=n1",
            f"--kubeconfig={kubeconfig}",
            "--listen=127.0.0.1:0",
        ]
        command += [f"--api-server={url}", f"--run-dir={directory / 'run'}", f"--watchdog={watchdog}"]
        command += [f"--runtime=pids:{directory}", f"--system-uuid-file={kubeconfig}", "--grace=600", *more]
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stderr=output, start_new_session=True, env={**os.environ, **environment}
            )

    def says(self, words: str) -> bool:
        return words in self.log.read_text()

    def loop(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[Watchdog]:
    killed: list[str] = []

    async def kill(node: str) -> None:
        killed.append(node)

    made = Watchdog(kill)
    await made.start(tmp_path / "watchdog.sock")
    yield made
    await made.stop()
    assert killed == [], "a healthy node was reset"


@pytest.fixture
def guest(tmp_path: Path, server: Server) -> Callable[[str], None]:
    """A guest that runs on the node; called, its runtime says another state of it."""
    record = tmp_path / "guest" / "main.json"
    record.parent.mkdir()

    def says(state: str) -> None:
        record.write_text(json.dumps({"state": state}))

    says("running")
    server.fake.pods = ["guest"]
    return says


@pytest.fixture
def start(tmp_path: Path, server: Server, device: Watchdog) -> Iterator[Any]:
    started: list[Agent] = []

    def begin(watchdog: str = f"external:{tmp_path / 'watchdog.sock'}") -> Agent:
        url = f"http://127.0.0.1:{server.http.server_port}"
        started.append(Agent(tmp_path, f"agent-{len(started)}", url, watchdog))
        return started[-1]

    yield begin
    end(started)


def end(agents: list[Agent]) -> None:
    """Nothing of them is left."""
    for one in agents:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


class Refusing:
    """The stand-in opens nothing and takes no pet, until `over`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self._over = False
        serve = Connection._serve

        def refuse(connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
            if self._over:
                return serve(connection, request)
            self.asked += 1
            raise RefusedError("out of order")

        patch.setattr(Connection, "_serve", refuse)

    def over(self) -> None:
        self._over = True


async def renews_armed(server: Server) -> None:
    """From now on, more than once."""
    before = server.said()
    sequence = before.sequence if before is not None else 0

    def on() -> bool:
        said = server.said()
        return said is not None and said.armed and said.sequence >= sequence + 2

    await eventually(on, "renewals, armed")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_when_the_new_agent_goes_first_the_old_one_takes_the_node_back(
    start: Any, server: Server, device: Watchdog, how: signal.Signals
) -> None:
    """An upgrade is rolled back, or the new agent does not stay alive."""
    old = start()
    await renews_armed(server)
    new = start()
    await eventually(lambda: new.says("took over from the agent"))
    await renews_armed(server)
    os.killpg(new.process.pid, how) if how is signal.SIGKILL else new.process.terminate()
    await eventually(lambda: new.process.poll() is not None)
    await eventually(lambda: old.says("going on in its place"))
    await renews_armed(server)
    assert device.armed("n1")

    loop = old.loop()
    assert loop is not None
    os.kill(loop, signal.SIGKILL)  # it is the owner in every respect
    await eventually(lambda: old.loop() not in {None, loop})
    await renews_armed(server)
    third = start()
    await eventually(lambda: third.says("took over from the agent"))
    await renews_armed(server)


async def test_an_agent_without_a_driver_for_the_armed_device_leaves_the_node_to_the_old_one(
    start: Any, server: Server, device: Watchdog
) -> None:
    start()
    await renews_armed(server)
    new = start("none")
    await eventually(lambda: new.says("nobody would pet it"))
    await renews_armed(server)
    assert device.armed("n1")


async def test_a_loop_that_dies_while_it_leaves_goes_on_renewing_for_the_guests(
    start: Any, server: Server, device: Watchdog, guest: Callable[[str], None]
) -> None:
    """It is told again before it can hear: dying of that, again and again, would cost the node."""
    agent = start()
    await renews_armed(server)
    agent.process.terminate()
    await renews_armed(server)
    loop = agent.loop()
    assert loop is not None
    os.kill(loop, signal.SIGKILL)
    await eventually(lambda: agent.loop() not in {None, loop})
    await renews_armed(server)
    guest("exited")
    await eventually(lambda: agent.process.poll() == 0)
    assert not device.armed("n1")


@pytest.mark.parametrize("told", [True, False])
async def test_a_loop_that_dies_just_when_its_device_has_failed_is_started_again(
    start: Any,
    server: Server,
    device: Watchdog,
    guest: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    """Nobody holds the device then, and it counts on: the next loop must take it up, also of an agent that is to go."""
    agent = start()
    await renews_armed(server)
    if told:
        agent.process.terminate()
        await renews_armed(server)
    loop = agent.loop()
    assert loop is not None
    refused = Refusing(monkeypatch)
    await eventually(lambda: refused.asked)
    os.kill(loop, signal.SIGKILL)
    await eventually(lambda: agent.loop() not in {None, loop})
    refused.over()
    await renews_armed(server)
    assert device.armed("n1")


async def test_an_agent_that_waits_for_its_turn_goes_when_it_is_told(start: Any, server: Server) -> None:
    start()
    await renews_armed(server)
    new = start("none")
    await eventually(lambda: new.says("nobody would pet it"))
    new.process.terminate()
    await eventually(lambda: new.process.poll() == 0)
    await renews_armed(server)

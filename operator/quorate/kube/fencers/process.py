"""One fence agent as a process, by the rules of ClusterLabs' FenceAgentAPI.

What it is told goes to its standard input, one `name=value` a line, and never onto its command line, which everybody on
the machine can read. It ends with 0 (done, or on), 2 (off) or 1 (failed). Whoever awaits it and is cancelled leaves nothing
of it running, not even what it had started itself. Nor does who is stopped or killed, once its time is over: coreutils'
`timeout` is between the two. An `off` that comes when the node has booted again would hit guests.
"""

import asyncio
import base64
import html
import json
import os
import re
import shlex
import signal
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

DIRECTORY: Final = Path("/usr/sbin")
"""Where Debian and Red Hat install fence agents."""
TIMEOUT: Final = "/usr/bin/timeout"
KEPT: Final = 65_536
"""Bytes of output that are looked at: the last ones. More is read and thrown away."""
SHOWN: Final = 160
CLOSED_S: Final = 0.5
"""All who could write are dead: what is on its way comes within that."""
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108 it owns none
"""All that it inherits: no token, no address of the API server."""
HIDDEN: Final = "***"
_WHEN: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
"""Fence agents begin each line with the time: two equal failures shall be told as one."""


class FenceAgentError(Exception):
    """It cannot be asked, or it failed; the message says what to look at, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a fence agent ended: its exit code, negative for a signal, and what it printed last, without the secrets."""

    code: int
    words: str


@dataclass(frozen=True, slots=True)
class FenceAgents:
    """The fence agents that are installed in a directory."""

    directory: Path = DIRECTORY

    async def run(
        self, agent: str, action: str, parameters: Mapping[str, str], timeout_s: float, hide: Collection[str] = ()
    ) -> Ended:
        """Ask it one thing, `timeout_s` at most. `hide`: what must not come back in its words. Raises FenceAgentError."""
        told = "".join(f"{name}={_line(name, value)}\n" for name, value in {**parameters, "action": action}.items())
        tail = bytearray()
        async with _pipe(tail) as (output, reading):
            try:
                program = self.directory / agent
                program.stat()
                process = await asyncio.create_subprocess_exec(
                    *(TIMEOUT, "-s", "KILL", f"{timeout_s:g}", program),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd="/",
                    env=ENVIRONMENT,
                )
            except OSError as error:
                raise FenceAgentError(
                    f"{agent} cannot be started in {self.directory} ({error.strerror}): is it installed where the manager "
                    "runs?"
                ) from error
            finally:
                os.close(output)
            try:
                await _tell(process, told.encode())
                code = await process.wait()
            finally:
                _end(process)
                await process.wait()
                _reap(process.pid)
            await asyncio.wait({reading}, timeout=CLOSED_S)
        return Ended(code, shown(bytes(tail), hide))


@asynccontextmanager
async def _pipe(tail: bytearray) -> AsyncIterator[tuple[int, "asyncio.Task[None]"]]:
    """One of our own: asyncio's would count a process as running for as long as anybody has the other end.

    Gives that end, and what reads ours: everything, so that nobody waits for us. The last of it is kept in `tail`.
    """
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb"))

    async def read() -> None:
        while some := await reader.read(KEPT):
            tail.extend(some)
            del tail[:-KEPT]

    reading = asyncio.create_task(read())
    try:
        yield theirs, reading
    finally:
        reading.cancel()
        transport.close()


def _line(name: str, value: str) -> str:
    """Raises FenceAgentError for what would be read as another parameter."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name + value) or "=" in name:
        raise FenceAgentError(f"parameter {name!r}: line breaks and other control characters are not allowed")
    return value


async def _tell(process: asyncio.subprocess.Process, told: bytes) -> None:
    """One that ends without listening is judged by its exit code."""
    if process.stdin is None:
        return
    with suppress(ConnectionError):
        process.stdin.write(told)
        await process.stdin.drain()
    process.stdin.close()


def _end(process: asyncio.subprocess.Process) -> None:
    """The agent and all that it started: they are a group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reap(group: int) -> None:
    """Those of the group that came to us as orphans: the manager may be the first process of its container."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG) != (0, 0):
            pass


def _forms(secret: str) -> set[str]:
    """A secret as it may be written: in a URL, a header, a message of Python's, in JSON, for a shell, in HTML or XML."""
    encoded = base64.b64encode(secret.encode()).decode()
    python, shell = repr(secret)[1:-1], shlex.quote(secret)
    return {secret, quote(secret, safe=""), encoded, python, json.dumps(secret)[1:-1], shell, html.escape(secret)}


def shown(output: bytes, hide: Collection[str] = ()) -> str:
    """The last words of an output: one line, printable, without what is to be hidden, however it was encoded."""
    text = _WHEN.sub("", output.decode(errors="replace"))
    for secret in sorted((one for one in hide if one), key=len, reverse=True):
        for form in sorted(_forms(secret), key=len, reverse=True):
            text = text.replace(form, HIDDEN)
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return words if len(words) <= SHOWN else f"...{words[-SHOWN:]}"

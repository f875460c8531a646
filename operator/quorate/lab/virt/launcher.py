"""virt-launcher and its QEMU: the guest is this process's child, and ends with it.

    python -m quorate.lab.virt.launcher

A launcher waits until its node's handler has it start the guest, or take one over. In a live migration the source sends its
guest's memory to the target for a while; then it ends the guest here, says `go`, and only then the target lets it run: that
is the moment at which the guest moves, and before it the target runs nothing. What is lost in that moment is lost: a source
never runs the guest again. The two talk past the API server, as real ones do.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from quorate.lab import processes
from quorate.lab.virt.orders import (
    ADDRESS,
    COMMAND,
    ENDED,
    MOVED,
    RUNNING,
    Migration,
    Orders,
    Report,
    orders_in,
    read_orders,
    report_in,
    write,
)

_LOOKS_EVERY_S: Final = 0.05
_ANSWER_S: Final = 5.0
"""A target that says nothing for that long has failed."""
_CHUNK_S: Final = 0.1
_IDLE: Final = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait; done"
_DEAF: Final = "trap '' TERM INT; while :; do sleep 86400 & wait; done"


class Launcher:
    """One launcher, from its start to its end."""

    def __init__(self, root: Path, address: str, command: str) -> None:
        self._orders_file, self._report_file = orders_in(root), report_in(root)
        self._report = Report(boot=os.environ.get(processes.BOOT, ""))
        self._address, self._command = address, command
        self._guest: asyncio.subprocess.Process | None = None
        self._orders = Orders()
        self._server: asyncio.Server | None = None
        self._moving: asyncio.Task[None] | None = None
        self._gone = False
        """The guest was handed over, or may have been: it never runs here again."""

    async def run(self) -> int:
        """Until the guest has ended, or moved; returns the exit code."""
        told: list[int] = []
        # Not the loop's own handler: that is gone with the loop, and handler and kubelet may both ask for the end.
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
        self._say()
        while self._report.state not in {ENDED, MOVED}:
            self._orders = read_orders(self._orders_file)
            if told or self._orders.stop:
                await self._stop()
            elif self._orders.start and self._guest is None and not self._gone:
                await self._start()
            elif self._orders.incoming and self._server is None:
                await self._listen()
            self._migrate_if_asked()
            if self._guest is not None and self._guest.returncode is not None and not self._gone:
                self._end(self._guest.returncode)
            await asyncio.sleep(_LOOKS_EVERY_S)
        return 1 if self._report.exit_code else 0

    def _say(self, **changes: object) -> None:
        self._report = replace(self._report, **changes)  # type: ignore[arg-type]
        write(self._report_file, self._report)

    def _end(self, code: int) -> None:
        self._say(state=ENDED, exit_code=128 - code if code < 0 else code)

    async def _start(self, *, resumed: bool = False) -> None:
        """The guest begins to run. Its mark says that it does: only now is it seen from outside."""
        command = "exit 1" if self._orders.how == "fails" else self._command or _IDLE
        if self._orders.stops == "hangs":
            command = _DEAF
        environ = {**os.environ, processes.ROLE: "main", **({processes.RESUMED: "1"} if resumed else {})}
        argv = [sys.executable, "-m", "quorate.lab.leash", str(os.getpid()), "sh", "-c", command]
        self._guest = await asyncio.create_subprocess_exec(*argv, env=environ, start_new_session=True)
        self._say(state=RUNNING)

    async def _stop(self) -> None:
        """Press the power button; the kubelet has the last word."""
        if self._guest is None:
            self._end(0)
        elif self._guest.returncode is None and not self._gone:
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._guest.wait(), _ANSWER_S)
                self._end(0)

    def _signal(self, number: int) -> None:
        if self._guest is not None and self._guest.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._guest.pid, number)

    # -- as the target ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take_over, self._address or "127.0.0.1", 0)
        self._say(port=self._server.sockets[0].getsockname()[1])

    async def _take_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each piece of memory, and run the guest once it is all here and stands still where it came from."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                if line == b"go\n" and self._guest is None:
                    await self._start(resumed=True)
                writer.write(b"runs\n" if line == b"go\n" else b"ok\n")
                await writer.drain()
        writer.close()

    # -- as the source ----------------------------------------------------------------------------------------------

    def _migrate_if_asked(self) -> None:
        wanted = self._orders.migration
        if wanted is None or self._guest is None or self._gone or wanted.uid == self._report.migration:
            return
        if self._moving is None or self._moving.done():
            self._say(migration=wanted.uid, failure="")
            self._moving = asyncio.create_task(self._migrate(wanted))

    async def _migrate(self, wanted: Migration) -> None:
        try:
            await self._send(wanted)
        except (OSError, TimeoutError, EOFError) as error:
            self._failed(f"the target does not answer: {str(error) or type(error).__name__}")

    async def _send(self, wanted: Migration) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(wanted.address, wanted.port), _ANSWER_S)
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            while wanted.how == "hangs" or clock() - begun < wanted.takes_s:
                await _asked(reader, writer, b"memory\n")
                if self._orders.abort == wanted.uid:
                    return self._failed("migration was aborted")
                if wanted.how == "fails" and clock() - begun > wanted.takes_s / 2:
                    return self._failed("the target has closed the connection")
                if wanted.how == "dies" and clock() - begun > wanted.takes_s / 2:
                    return self._signal(signal.SIGKILL)
                await asyncio.sleep(_CHUNK_S)
            await self._hand_over(reader, writer)
        finally:
            writer.close()

    async def _hand_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The guest ends here first: from then on it is the target's, or nobody's."""
        self._gone = True
        self._signal(signal.SIGKILL)
        if self._guest is not None:
            await self._guest.wait()
        try:
            said = await _asked(reader, writer, b"go\n")
        except (OSError, TimeoutError, EOFError):
            said = b""
        self._say(state=MOVED) if said == b"runs\n" else self._end(1)

    def _failed(self, why: str) -> None:
        self._say(failure=why)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    """Raises OSError, TimeoutError or EOFError."""
    writer.write(line)
    await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), _ANSWER_S)
    if not answer:
        raise EOFError("it closed the connection")
    return answer


def main() -> None:
    """Run until the guest has ended."""
    root = Path(os.environ.get("QUORATE_ROOT", "."))
    launcher = Launcher(root, os.environ.get(ADDRESS, ""), os.environ.get(COMMAND, ""))
    sys.exit(asyncio.run(launcher.run()))


if __name__ == "__main__":
    main()

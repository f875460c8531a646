"""A process of the lab outside of its nodes: API server, watchdog, manager replicas. Marked, on a leash, logged."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_GROWTH: Final = 2
_LONGEST_DELAY_S: Final = 10.0
_SETTLED_S: Final = 20.0
_STOP_S: Final = 10.0
_PASSED_ON: Final = (
    *("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ"),
    *("KUBEBUILDER_ASSETS", "QUORATE_CACHE", "XDG_CACHE_HOME"),
)


def environment(marks: Mapping[str, str]) -> dict[str, str]:
    """What a process of the lab finds in its environment: the marks, and nothing of the person's but the usual."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **marks}


class Child:
    """One process and, with `restart_s`, its successors: after that pause, and one that grows while they end soon."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        log: Path,
        marks: Mapping[str, str],
        *,
        restart_s: float | None = None,
        growing: bool = True,
    ) -> None:
        self.name = name
        self._argv = argv
        self._log = log
        self._marks = marks
        self._restart_s = restart_s
        self._growth = _GROWTH if growing else 1
        self._process: asyncio.subprocess.Process | None = None
        self._attending: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.returncode if self._process is not None else None

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    async def start(self) -> None:
        """Start it, and if asked to again whenever it ends."""
        await self._spawn()
        self._attending = asyncio.get_running_loop().create_task(self._attend())

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        if self._attending is not None:
            self._attending.cancel()
            with suppress(asyncio.CancelledError):
                await self._attending
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "quorate.lab.leash",
                str(os.getpid()),
                *self._argv,
                env=environment(self._marks),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _attend(self) -> None:
        delay_s = self._restart_s or 0.0
        while self._process is not None:
            started_s = time.monotonic()
            await self._process.wait()
            if self._restart_s is None:
                return
            if time.monotonic() - started_s > _SETTLED_S:
                delay_s = self._restart_s
            await asyncio.sleep(delay_s)
            delay_s = min(self._growth * delay_s, _LONGEST_DELAY_S)
            self.restarts += 1
            await self._spawn()

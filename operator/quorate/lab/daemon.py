"""The process that owns a lab, behind a control socket (`control.py`). `quorate lab up` starts it, `down` ends it."""

import argparse
import asyncio
import json
import logging
import os
import signal
from contextlib import suppress
from typing import Any

from quorate.lab.apiclient import UNREACHABLE, describe
from quorate.lab.control import FAILED, READY, STARTING, answer_lines
from quorate.lab.errors import LabError, MisuseError, unknown
from quorate.lab.files import LabFiles, lab_files
from quorate.lab.lab import Lab
from quorate.lab.options import Options

_log = logging.getLogger("quorate.lab")


class Daemon:
    """A lab and its control socket."""

    def __init__(self, lab: Lab, files: LabFiles) -> None:
        self._lab = lab
        self._files = files
        self._phase = STARTING
        self._problem = ""
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Until told to end, by a client or a signal; the lab's files go with it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        self._lab.prepare()
        server = await asyncio.start_unix_server(self._serve, str(self._files.control))
        starting = asyncio.create_task(self._start())
        await self._end.wait()
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await self._lab.stop()
        server.close()
        self._files.remove()

    async def _start(self) -> None:
        try:
            await self._lab.start()
        except (LabError, *UNREACHABLE) as error:
            _log.exception("the lab did not start")
            self._phase, self._problem = FAILED, describe(error)
        else:
            self._phase = READY

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_lines(reader, writer, self._answer)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, **await self._act(json.loads(line))}
        except MisuseError as error:
            return {"ok": False, "error": str(error), "misuse": True}
        except (LabError, OSError) as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            return {"ok": False, "error": f"not a request: {error!r}"}

    async def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["verb"]:
            case "status":
                return {"phase": self._phase, "problem": self._problem, **self._lab.status()}
            case "node":
                node = self._lab.node(request["node"])
                await node.act(request["action"])
                return node.status()
            case "down":
                self._end.set()
                return {}
            case verb:
                raise unknown("verb", verb, ["status", "node", "down"])


def main() -> None:
    """Run one lab. Options come as JSON; what it says goes to its log."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.daemon")
    parser.add_argument("options", type=json.loads)
    options = Options(**parser.parse_args().options)
    files = lab_files(options.name)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    os.chdir("/")
    asyncio.run(Daemon(Lab(options, files), files).run())


if __name__ == "__main__":
    main()

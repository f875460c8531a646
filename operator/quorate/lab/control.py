"""What a lab's daemon and its clients say to each other, over the lab's control socket: one JSON object a line each way.

{"verb": "status"}                                             {"ok": true, "phase": "ready", "nodes": [...], ...}
{"verb": "node", "node": "node1", "action": "power-off"}       {"ok": true, "power": "off", ...}
{"verb": "down"}                                               {"ok": true}
what failed                                                    {"ok": false, "error": "..."}
what does not exist                                            {"ok": false, "error": "...", "misuse": true}
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

STARTING: Final = "starting"
READY: Final = "ready"
FAILED: Final = "failed"
"""Phases of a lab; `problem` says why it failed."""


async def answer_lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[bytes], Awaitable[dict[str, Any]]]
) -> None:
    """Serve one connection of such a socket: an answer to each line, until the other side goes."""
    with suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(json.dumps(await answer(line)).encode() + b"\n")
            await writer.drain()
    writer.close()

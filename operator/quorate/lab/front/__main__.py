"""The front as a process, between the API server of a kubeconfig and the clients that are named:

    python -m quorate.lab.front --socket PATH --lab ID --kubeconfig FILE [--keys DIR] CLIENT...

It tells the ports over its socket (`control.py`). With `--keys` (apiserver.crt, apiserver.key: the API server's own) it
serves TLS as the API server does. Credentials are the clients'; it passes them on.
"""

import argparse
import asyncio
import json
import re
import signal
import ssl
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import aiohttp

from quorate.lab import processes
from quorate.lab.apiclient import read_kubeconfig
from quorate.lab.control import answer_lines
from quorate.lab.errors import LabError, unknown
from quorate.lab.front.listener import Listener
from quorate.lab.front.proxy import Proxy
from quorate.lab.front.rules import Book, rule_of

_LINE_BYTES: Final = 1 << 20
_OPS: Final = ("add", "calls", "clear", "counts", "drop", "outage", "ports")


class Process:
    """All listeners and the control socket."""

    def __init__(self, listeners: list[Listener], proxy: Proxy) -> None:
        self._listeners = listeners
        self._proxy = proxy

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_lines(reader, writer, self._answer)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, **await self._act(json.loads(line))}
        except LabError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, KeyError, TypeError, re.error) as error:
            return {"ok": False, "error": f"not a request: {error!r}"}

    async def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        book = self._proxy.book
        match request["op"]:
            case "ports":
                return {"ports": {one.client: one.port for one in self._listeners}}
            case "add":
                rule = rule_of(request["rule"])
                book.add(rule)
                self._proxy.apply(rule)
            case "clear" if "name" in request:
                book.clear(request["name"])
            case "clear":
                book.clear_all()
            case "counts":
                return {"counts": book.counts()}
            case "calls":
                return {"calls": [asdict(call) for call in book.calls[int(request["after"]) :]]}
            case "outage":
                for one in self._meant(request["client"]):
                    await one.suffer(request["how"])
            case "drop":
                for one in self._meant(request["client"]):
                    one.drop()
            case op:
                raise unknown("op", op, _OPS)
        return {}

    def _meant(self, client: str) -> list[Listener]:
        """Raises MisuseError when it is nobody."""
        found = [one for one in self._listeners if re.fullmatch(client, one.client)]
        if not found:
            raise unknown("client", client, [one.client for one in self._listeners])
        return found


class Killer:
    """Kills clients by the marks of their processes. It blocks: meanwhile the front forwards nothing of anybody."""

    def __init__(self, lab: str) -> None:
        self._lab = lab

    def __call__(self, client: str) -> None:
        """A manager, or a whole node. Raises LabError when there is no such process, or it will not die."""
        for mark in (processes.SERVICE, processes.NODE):
            if processes.kill_all({processes.LAB: self._lab, mark: client}):
                return
        raise LabError(f"no process of the lab is marked as {client}: it cannot be killed")


async def _run(arguments: argparse.Namespace) -> None:
    access = read_kubeconfig(arguments.kubeconfig)
    trusted = ssl.create_default_context(cadata=access.authority) if access.authority else True
    secure = None
    if arguments.keys is not None:
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secure.load_cert_chain(arguments.keys / "apiserver.crt", arguments.keys / "apiserver.key")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        session._retry_connection = False  # noqa: SLF001 no option: it would send a call twice that was made once
        proxy = Proxy(access.server, session, Book(), Killer(arguments.lab))
        listeners = [Listener(client, proxy, secure) for client in arguments.clients]
        for one in listeners:
            await one.start()
        process = Process(listeners, proxy)
        control = await asyncio.start_unix_server(process.serve, str(arguments.socket), limit=_LINE_BYTES)
        await stop.wait()
        control.close()
        for one in listeners:
            await one.stop()
        await proxy.stop()


def main() -> None:
    """Run one front until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.front", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--lab", required=True, help="the lab's id, which its processes are marked with")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the way to the API server")
    parser.add_argument("--keys", type=Path, help="serve TLS with apiserver.crt and apiserver.key of this directory")
    parser.add_argument("clients", nargs="+", metavar="CLIENT")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""What stands between the nodes of a lab and an NFS server: it can keep one of them from reaching it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from quorate.lab import processes

ESTABLISHED = "01"


class Gate:
    """Passes connections on to a server, but for those of the nodes that it `refuses`."""

    def __init__(self, lab_id: str, address: str, port: int) -> None:
        self.lab_id = lab_id
        self.server = address, port
        self.refuses: set[str] = set()
        self.port = 0

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        peer = writer.get_extra_info("peername")
        node = await asyncio.to_thread(self._node, peer[1]) if self.refuses else ""
        if node in self.refuses:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self.server)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    def _node(self, port: int) -> str:
        """The node whose process has a connection from that port; all of them share one network."""
        inode = _inode(port)
        for process in processes.scan({processes.LAB: self.lab_id}):
            for descriptor in Path(f"/proc/{process.pid}/fd").glob("*"):
                with suppress(OSError):
                    if inode and str(descriptor.readlink()) == f"socket:[{inode}]":
                        return _mark(process.pid)
        return ""


def _inode(port: int) -> str:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[1].endswith(f":{port:04X}") and words[3] == ESTABLISHED:
                return words[9]
    return ""


def _mark(pid: int) -> str:
    environment = (processes.read_bytes(f"/proc/{pid}/environ") or b"").split(b"\0")
    prefix = f"{processes.NODE}=".encode()
    return next((one.removeprefix(prefix).decode() for one in environment if one.startswith(prefix)), "")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def gate(lab_id: str, address: str, port: int) -> AsyncIterator[Gate]:
    """One that listens on loopback."""
    made = Gate(lab_id, address, port)
    server = await asyncio.start_server(made.pass_on, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()

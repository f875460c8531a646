"""The lab's machines: power, network and freeze of each virtual node, as `quorate lab node` switches them."""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from quorate.dashboard.board import Board
from quorate.dashboard.guards import session_of
from quorate.lab import client
from quorate.lab.errors import LabError

LOOK_S: Final = 1.0
VERBS: Final = frozenset({"power-off", "power-on", "network-off", "network-on", "freeze", "thaw"})
SHOWN: Final = ("name", "power", "state", "network")
_log = logging.getLogger(__name__)


class Switches:
    """Of one lab; of none when its name is empty."""

    def __init__(self, lab: str, board: Board) -> None:
        self._lab = lab
        self._board = board
        self._task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/switch/{node}/{verb}", self.switch)] if self._lab else []

    def start(self) -> None:
        if self._lab:
            self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def switch(self, request: web.Request) -> web.Response:
        """Use one. A lab belongs to who started it, and who has no right to change nodes is not that."""
        if not session_of(request).rights.nodes:
            raise web.HTTPForbidden(text="you may not change nodes, so you may not switch them either\n")
        node, verb = request.match_info["node"], request.match_info["verb"]
        if verb not in VERBS:
            raise web.HTTPNotFound
        try:
            found = await asyncio.to_thread(client.act, self._lab, node, verb)
        except LabError as error:
            return web.Response(text=str(error), status=409)
        await self._once()
        state = "power off" if found["power"] == "off" else f"power on, {found['state']}"
        return web.Response(text=f"{node}: {state}, network {found['network']}")

    async def _look(self) -> None:
        while True:
            await self._once()
            await asyncio.sleep(LOOK_S)

    async def _once(self) -> None:
        try:
            found = await asyncio.to_thread(client.status, self._lab)
        except LabError as error:
            _log.debug("the lab does not answer: %s", error)
            return
        self._board.switched(tuple(_shown(one) for one in found["nodes"]))


def _shown(node: dict[str, Any]) -> dict[str, Any]:
    return {name: node[name] for name in SHOWN}

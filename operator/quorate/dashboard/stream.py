"""The panels of a look as server-sent events: each when it has changed, and a pulse that says that the page is live."""

import asyncio
import json
from time import monotonic
from typing import Final

from aiohttp import web

from quorate.dashboard.board import Board
from quorate.dashboard.look import Look
from quorate.dashboard.panels import NAMES, Panels, Seen
from quorate.dashboard.sessions import STREAMS, Session, Sessions

PULSE_S: Final = 1.0
SLOW_S: Final = 15.0
"""A browser that takes nothing for so long is gone."""
ENDING: Final = web.AppKey("ending", asyncio.Event)
"""Set when the server ends: open pages do not keep it."""


def event(name: str, data: str) -> bytes:
    """One server-sent event; a line of data for each line."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines()) or "data:\n"
    return f"event: {name}\n{lines}\n".encode()


class Stream:
    """One open page."""

    def __init__(self, board: Board, panels: Panels, session: Session, look: Look, lab: str) -> None:
        self._board = board
        self._panels = panels
        self._session = session
        self._look = look
        self._lab = lab
        self._sent: dict[str, str] = {}
        self._shown: object = None
        self.version = -1
        """Of the picture that it shows."""

    def news(self) -> bytes:
        """What this page does not show yet."""
        now = (self._board.picture.version, self._session.rights)
        if now == self._shown:
            return b""
        self._shown, self.version = now, now[0]
        seen = Seen(self._board.picture, self._look, self._session.rights, self._board.switches, self._lab)
        found = []
        for name in NAMES:
            drawn = self._panels.draw(name, seen)
            if self._sent.get(name) != drawn:
                self._sent[name] = drawn
                found.append(event(name, drawn))
        return b"".join(found)

    def pulse(self) -> bytes:
        told = {"now": int(self._board.mirror.connection.now()), "beats": self._board.beats()}
        return event("pulse", json.dumps(told))


async def stream(
    request: web.Request, page: Stream, board: Board, sessions: Sessions, session: Session
) -> web.StreamResponse:
    """Until the browser goes, its session is over, or the server ends."""
    if sessions.streams[session.user] >= STREAMS:
        raise web.HTTPTooManyRequests(text=f"{STREAMS} pages of {session.user} are open already: close some\n")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    sessions.streams[session.user] += 1
    board.watched += 1
    try:
        await response.prepare(request)
        board.refresh()
        await _tell(request, response, page, board, sessions, session)
    except TimeoutError:
        # It would be waited for again, for ever, to hear that the answer ends.
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass
    finally:
        board.watched -= 1
        sessions.streams[session.user] -= 1
    return response


async def _tell(
    request: web.Request, response: web.StreamResponse, page: Stream, board: Board, sessions: Sessions, session: Session
) -> None:
    """Raises ConnectionError and TimeoutError for a browser that is gone."""
    while not request.app[ENDING].is_set():
        if not await sessions.still(session):
            await asyncio.wait_for(response.write(event("pulse", json.dumps({"now": 0, "over": True}))), SLOW_S)
            break
        session.used = monotonic()  # who has the page before them is not idle
        await asyncio.wait_for(response.write(page.news() + page.pulse()), SLOW_S)
        await board.later(page.version, PULSE_S)

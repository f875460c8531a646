"""Dialogs over HTTP: shown by GET, carried out by POST in the name of whoever is signed in."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from quorate.access.errors import CliError, UsageError
from quorate.api.parse import UnreadableError
from quorate.dashboard.actions import Action, Dialog, Subject
from quorate.dashboard.board import Board
from quorate.dashboard.guards import session_of
from quorate.dashboard.guest_actions import GUEST_ACTIONS
from quorate.dashboard.mirror import Remembered
from quorate.dashboard.node_actions import NODE_ACTIONS
from quorate.dashboard.panels import Panels
from quorate.dashboard.sessions import Session
from quorate.view import words

ACTIONS: Final[Mapping[str, Action]] = {**GUEST_ACTIONS, **NODE_ACTIONS}
ABOUT: Final = ("guest", "node", "cluster")
LONGEST: Final = 2000
_log = logging.getLogger(__name__)


class Dialogs:
    """All of them."""

    def __init__(self, board: Board, panels: Panels) -> None:
        self._board = board
        self._panels = panels

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/dialog/{action}", self.show), web.post("/do/{action}", self.do)]

    async def show(self, request: web.Request) -> web.Response:
        """What it would mean."""
        name = request.match_info["action"]
        subject = self._subject(request.query)
        action = _allowed(name, session_of(request), subject)
        return await self._shown(name, action, subject)

    async def do(self, request: web.Request) -> web.Response:
        """Carry it out. A refusal comes back in the dialog, beside what it would have meant."""
        name, session = request.match_info["action"], session_of(request)
        form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        subject = self._subject(form)
        action = _allowed(name, session, subject)
        if action.do is None:
            raise web.HTTPNotFound
        try:
            said = await asyncio.to_thread(action.do, session.api(), subject)
        except (CliError, UnreadableError) as error:
            return await self._shown(name, action, subject, str(error))
        said = words.line(said)  # it is shown as text, and by a log on a terminal
        _log.info("%s by %s: %s", name, words.line(session.user), said)
        return web.Response(headers={"HX-Trigger": json.dumps({"quorate:done": said}), "HX-Reswap": "none"})

    async def _shown(self, name: str, action: Action, subject: Subject, problem: str = "") -> web.Response:
        try:
            dialog = await asyncio.to_thread(action.show, subject)
        except (CliError, UnreadableError) as error:
            dialog = Dialog("It cannot be done", refused=problem or str(error))
            problem = ""
        about = {key: subject.said[key] for key in ABOUT if key in subject.said and key not in _names(dialog)}
        text = self._panels.render(
            "dialog.html", dialog=dialog, action=name, about=about, problem=problem, said=subject.said
        )
        return web.Response(text=text, content_type="text/html")

    def _subject(self, said: Mapping[str, str]) -> Subject:
        short = {key: value[:LONGEST] for key, value in said.items()}
        return Subject(short, self._board.picture, Remembered(self._board.mirror))


def _names(dialog: Dialog) -> set[str]:
    return {one.name for one in dialog.fields}


def _allowed(name: str, session: Session, subject: Subject) -> Action:
    """The action, if there is one and it may be done. The API server judges it again."""
    action = ACTIONS.get(name)
    if action is None:
        raise web.HTTPNotFound
    try:
        allowed = action.may(session.rights, subject)
    except UsageError as error:
        raise web.HTTPGone(text=f"{error}: somebody else was faster\n") from error
    if not allowed:
        raise web.HTTPForbidden(text=f"{session.user} may not do that: ask who manages the cluster for the right\n")
    return action

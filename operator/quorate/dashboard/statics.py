"""The files of the page, read once: nothing else below them can be asked for, whatever the path."""

import hashlib
from importlib import resources
from typing import Final

from aiohttp import web

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NAMES: Final = ("app.css", "app.js", "icon.svg", "icons.svg", "vendor/htmx.min.js", "vendor/sse.min.js")


class Statics:
    """By path, with a mark by which a browser keeps them until they change."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["path"]
        if name not in NAMES:
            raise web.HTTPNotFound
        body, kind, mark = self._read(name)
        headers = {"ETag": f'"{mark}"', "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == f'"{mark}"':
            return web.Response(status=304, headers=headers)
        response = web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)
        response.enable_compression()
        return response

    def _read(self, name: str) -> tuple[bytes, str, str]:
        if name not in self._files:
            body = resources.files("quorate.dashboard").joinpath("static", name).read_bytes()
            self._files[name] = (body, TYPES[name[name.rindex(".") :]], hashlib.sha256(body).hexdigest()[:16])
        return self._files[name]


STATICS: Final = Statics()

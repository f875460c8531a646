"""What the agent answers on its port: its metrics, and to the start gate of Pods that share the node's kernel which boot
this is.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from quorate.agent.boot import Boot

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Server(ThreadingHTTPServer):
    allow_reuse_port = True
    """An agent that takes over answers beside the one that goes: both say the same."""


def serve(listen: str, node: str, boot: Boot, metrics: Callable[[], bytes]) -> ThreadingHTTPServer:
    """Answer `GET /boot`, `/healthz` and `/metrics` on HOST:PORT from a thread.

    Raises OSError when it is taken, ValueError when it is no address.
    """
    host, _, port = listen.rpartition(":")
    identity = json.dumps({"node": node, "nonce": boot.nonce}).encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            match self.path:
                case "/boot" | "/healthz":
                    self._answer("application/json", identity)
                case "/metrics":
                    self._answer(METRICS_TYPE, metrics())
                case _:
                    self.send_error(404)

        def _answer(self, content_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Not a line for each Pod that starts."""

    server = _Server((host.strip("[]"), int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="answer", daemon=True).start()
    return server

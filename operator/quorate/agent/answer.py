"""What the agent answers on its port: which boot this is, to the start gate of Pods that share the node's kernel."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from quorate.agent.boot import Boot


class _Server(ThreadingHTTPServer):
    allow_reuse_port = True
    """An agent that takes over answers beside the one that goes: both say the same."""


def serve(listen: str, node: str, boot: Boot) -> ThreadingHTTPServer:
    """Answer `GET /boot` on HOST:PORT from a thread. Raises OSError when it is taken, ValueError when it is no address."""
    host, _, port = listen.rpartition(":")
    body = json.dumps({"node": node, "nonce": boot.nonce}).encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            if self.path not in {"/boot", "/healthz"}:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Not a line for each Pod that starts."""

    server = _Server((host.strip("[]"), int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="answer", daemon=True).start()
    return server

"""The power switch of kind nodes: as much of docker's API over TCP as fence_docker uses, for the nodes of one cluster.

docker itself listens at a Unix socket, which no Pod reaches; and whoever reaches it may do anything. Here a node can be
looked at, killed and started. A machine that loses power loses its watchdog with it. fence_docker insists on TLS: the
certificate is made anew each time, and nobody is to trust it (ssl_insecure).
"""

import asyncio
import logging
import ssl
import subprocess
import tempfile
from collections.abc import Callable

from aiohttp import web

_log = logging.getLogger("quorate.e2e.power")
Docker = Callable[..., str]


def _certified() -> ssl.SSLContext:
    """A certificate of its own. Raises CalledProcessError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")
        made = ("openssl", *new, "-subj", "/CN=power switch", "-keyout", key, "-out", certificate)
        subprocess.run(made, check=True, capture_output=True)
        context.load_cert_chain(certificate, key)
    return context


class PowerSwitch:
    """Serves until its process ends. `docker` runs one command of it; `unplug` takes a node's watchdog away."""

    def __init__(self, cluster: str, docker: Docker, unplug: Callable[[str], object]) -> None:
        self.cluster = cluster
        self.docker = docker
        self.unplug = unplug

    async def serve(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        app = web.Application()
        app.router.add_get("/{version}/containers/{node}/json", self._look)
        app.router.add_post("/{version}/containers/{node}/kill", self._off)
        app.router.add_post("/{version}/containers/{node}/start", self._on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=await asyncio.to_thread(_certified)).start()

    async def _state(self, request: web.Request) -> tuple[str, bool]:
        """The node that is meant, and whether it is on."""
        node = request.match_info["node"]
        named = ("--filter", f"label=io.x-k8s.kind.cluster={self.cluster}", "--filter", f"name=^{node}$")
        found = await asyncio.to_thread(self.docker, "ps", "-a", "--format", "{{.State}}", *named)
        if not found:
            raise web.HTTPNotFound(text=f"cluster {self.cluster} has no node {node}")
        return node, found != "exited"

    async def _look(self, request: web.Request) -> web.Response:
        _, on = await self._state(request)
        return web.json_response({"State": {"Running": on}})

    async def _off(self, request: web.Request) -> web.Response:
        node, on = await self._state(request)
        if on:
            _log.info("%s: power off", node)
            await asyncio.to_thread(self.docker, "kill", node)
            await asyncio.to_thread(self.unplug, node)
        return web.Response(status=204)

    async def _on(self, request: web.Request) -> web.Response:
        node, on = await self._state(request)
        if not on:
            _log.info("%s: power on", node)
            await asyncio.to_thread(self.docker, "start", node)
        return web.Response(status=204)

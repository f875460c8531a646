"""/healthz, /readyz, /metrics: does the loop make progress; has the store synced, and are changes watched; and numbers.

None of them asks the API server: a manager that cannot reach it is not ill, and restarting it would only lose its timers.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from quorate.kube.store import Store

STUCK_AFTER_S: Final = 60.0
"""Longer than any sleep of a loop and any plan it carries out."""


def application(
    store: Store, oldest_progress_s: Callable[[], float], exposition: Callable[[], bytes]
) -> web.Application:
    """`oldest_progress_s`: when the loop that is furthest behind ended its last round, on the store's clock.

    `exposition`: the answer of /metrics.
    """

    async def healthz(_: web.Request) -> web.Response:
        behind_s = store.clock() - oldest_progress_s()
        if behind_s > STUCK_AFTER_S:
            return web.Response(status=503, text=f"a loop has made no progress for {behind_s:.0f}s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if not store.synced:
            return web.Response(status=503, text="not everything has been listed yet\n")
        if store.unlisted:
            return web.Response(status=503, text=f"not everything can be listed: {store.unlisted}\n")
        if not store.watching:
            return web.Response(status=503, text="changes are not being watched\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def serve(app: web.Application, listen: str) -> web.AppRunner:
    """Listen on HOST:PORT. Raises OSError when it is taken."""
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    return runner

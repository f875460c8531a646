"""`quorate manager`: one replica. All replicas observe; for each Cluster the one that holds its Lease plans and acts."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from quorate import __version__
from quorate.kube import health
from quorate.kube.client import Api, LoginError, login
from quorate.kube.fencers.process import DIRECTORY, FenceAgents
from quorate.kube.fencers.runner import Fencers
from quorate.kube.guests.pod import Gate
from quorate.kube.observe import watch
from quorate.kube.observe_workloads import watch_workloads
from quorate.kube.replica import Replica

log = logging.getLogger(__name__)


class Manager(Replica):
    """One replica and the process around it: what it watches, whom it answers, and when it ends."""

    def __init__(self, api: Api, identity: str, gate: Gate, agents: FenceAgents | None = None) -> None:
        super().__init__(api, identity, gate)
        self.fencers = Fencers(self.store, api, agents or FenceAgents())
        self.connection = api
        self.stop = asyncio.Event()
        api.observe = self.metrics.request

    async def run(self, listen: str) -> None:
        """Observe and act until told to end, by `stop` or a signal; then give the Leases back."""
        self._claim_signals()
        app = health.application(self.store, self._oldest_progress, self.metrics.exposition)
        runner = await health.serve(app, listen)
        watching = asyncio.create_task(self._watch())
        self.begin()
        try:
            await self.stop.wait()
        finally:
            await self.end()
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(watching, 5)
            await runner.cleanup()
            await self.connection.close()

    async def _watch(self) -> None:
        """From the first complete list on: kopf begins with a list of its own, and the two would hold each other up."""
        ends = [asyncio.create_task(event.wait()) for event in (self.store.opened, self.stop)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        settle_down()
        beside = asyncio.create_task(watch_workloads(self.store, self.connection, self.stop, self._claim_signals))
        try:
            await watch(self.store, self.connection, self.stop, self._claim_signals)
        finally:
            beside.cancel()
            with suppress(asyncio.CancelledError):
                await beside

    def _claim_signals(self) -> None:
        """Told to end, we first give the Leases back; kopf, which takes the signals as well, would just end itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)

    def _oldest_progress(self) -> float:
        return min((ticker.progress_s for ticker in self.tickers.values()), default=self.store.clock())


def settle_down() -> None:
    """What is there by now lives as long as this process: no collection of garbage need look through it in every round."""
    gc.collect()
    gc.freeze()


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="quorate manager", description="Run one replica of the manager: observe, and act where it leads."
    )
    parser.add_argument("--kubeconfig", help="path of a kubeconfig (default: $KUBECONFIG, or the Pod's ServiceAccount)")
    parser.add_argument("--context", help="context of the kubeconfig")
    parser.add_argument(
        "--identity",
        default=os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        help="name of this replica (default: $POD_NAME, or host and process)",
    )
    parser.add_argument("--listen", default="0.0.0.0:8080", help="HOST:PORT of /healthz, /readyz and /metrics")
    parser.add_argument(
        "--gate-image",
        default=os.environ.get("QUORATE_IMAGE", "quorate/operator:dev"),
        help="image of the start gate: the agent's own (default: $QUORATE_IMAGE)",
    )
    parser.add_argument("--agent-port", type=int, default=9471, help="port on which agents answer the start gate")
    parser.add_argument(
        "--fence-agents", type=Path, default=DIRECTORY, metavar="DIR", help=f"where they are installed ({DIRECTORY})"
    )
    parser.add_argument("--log-format", choices=("json", "text"), default="json")
    parser.add_argument("--log-level", choices=("debug", "info", "warning"), default="info")
    return parser.parse_args(argv)


def _log(style: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=names))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


async def _serve(arguments: argparse.Namespace) -> int:
    try:
        where = await login(arguments.kubeconfig, arguments.context)
    except LoginError as error:
        log.error("%s", error)
        return 64
    gate = Gate(arguments.gate_image, arguments.agent_port)
    manager = Manager(Api(where), arguments.identity, gate, FenceAgents(arguments.fence_agents))
    log.info("quorate %s, manager %s, API server by %s", __version__, arguments.identity, where.source)
    await manager.run(arguments.listen)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    _log(arguments.log_format, arguments.log_level)
    return asyncio.run(_serve(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""Serve on the loopback until SIGTERM. The kubeconfig is written when requests are answered; --data names a file in which
every change is written down before its client hears of it, so that a server that starts there again knows it.
"""

import argparse
import asyncio
import json
import signal
import time
import uuid
from pathlib import Path

from aiohttp import web

from quorate.core.types import Instant
from quorate.lab.apiserver.kinds import served
from quorate.lab.apiserver.server import Server
from quorate.sim.garbage import Garbage
from quorate.sim.store import Event, Store, place_of

_LONGEST = 64 * 2**20  # bytes of changes that are kept before only their result is


def _keep(store: Store, path: Path) -> None:
    """Restore what the file says, and write down in it what happens from now on: one line of JSON a change."""
    found, version = {}, 0
    for line in path.read_text().splitlines() if path.exists() else ():
        version, table, gone, one = json.loads(line)
        found[table, place_of(one)] = None if gone else one
    store.restore([(store.resources[table], one) for (table, _), one in found.items() if one], version)
    file = path.open("a", buffering=1)

    def write(event: Event) -> None:
        nonlocal file
        file.write(json.dumps([event.version, event.resource.table, event.new is None, event.new or event.old]) + "\n")
        if file.tell() > _LONGEST:
            lines = [json.dumps([store.version, kind.table, False, one]) for kind, one in store.everything()]
            path.with_suffix(".new").write_text("\n".join(lines) + "\n")
            file = path.with_suffix(".new").replace(path).open("a", buffering=1)

    store.listeners.append(write)


def _furnish(store: Store, port: int, kubeconfig: Path) -> None:
    """What a cluster has from the start: its namespaces, the address of its API server, and a kubeconfig."""
    slices, known = store.resources["endpointslices.discovery.k8s.io"], [place_of(one) for _, one in store.everything()]
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        if ("", name) not in known:
            store.create(store.resources["namespaces"], "", {"metadata": {"name": name}})
    if ("default", "kubernetes") in known:
        store.delete(slices, ("default", "kubernetes"))
    meta = {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    content = {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": port}]}
    store.create(slices, "default", {"metadata": meta} | content)
    store.restore((), store.version)  # watches from before this start must list again
    clusters = [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}"}}]
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "lab", "clusters": clusters}
    contexts = [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}]
    kubeconfig.write_text(json.dumps(config | {"contexts": contexts, "users": [{"name": "admin", "user": {}}]}))


async def _serve(port: int, kubeconfig: Path, data: Path | None) -> None:
    kinds = served()
    stored = [kind for kind in kinds if not kind.renamed]
    store = Store(stored, lambda: Instant(time.time_ns() // 1_000_000), lambda: str(uuid.uuid4()))
    if data:
        _keep(store, data)
    Garbage(store)
    app = web.Application(client_max_size=8 * 2**20)
    app.router.add_route("*", "/{path:.*}", Server(store, kinds).answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _furnish(store, runner.addresses[0][1], kubeconfig)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.apiserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    asyncio.run(_serve(**vars(parser.parse_args())))

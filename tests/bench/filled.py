"""A real API server with a large Cluster in it, as managers and agents would keep it, and none of them at work.

Objects are only told of, with the statuses that a manager would write; heartbeats go on for as long as `beating` lasts.
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE, NodeName
from quorate.kube.resources import CLUSTERS, HARESOURCES, KUBE_NODES, LEASES, NAMESPACES, NODES, Resource
from quorate.lab.control_plane import ControlPlane, find_programs
from tests.bench.lines import tell
from tests.control_plane.client import Api
from tests.control_plane.servers import install
from tests.unit.view import pictures

NAMESPACE: Final = "shop"
PARALLEL: Final = 8
BEAT_S: Final = 2.0
Json = dict[str, Any]


def guest_name(number: int) -> str:
    """Of the guest of that number."""
    return f"g{number:04}"


def fill(kubeconfig: Path, nodes: int, guests: int) -> None:
    """Everything, with the status that it has when all is well."""
    api = Api(kubeconfig)
    install(api)
    for name in (NAMESPACE, AGENT_NAMESPACE, SYSTEM_NAMESPACE):
        create(api, NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    create(api, CLUSTERS, pictures.cluster())
    for name in names(nodes):
        create(api, KUBE_NODES, pictures.kube_node(name))
        create(api, NODES, pictures.node(name))
        create(api, LEASES, pictures.as_object(_lease(name, "boot"), AGENT_NAMESPACE))
    create(api, LEASES, pictures.as_object(_lease("manager-prod", "quorate-0"), SYSTEM_NAMESPACE))
    began = time.monotonic()
    parts = [range(one, guests, PARALLEL) for one in range(PARALLEL)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda part: _guests(kubeconfig, nodes, part), parts))
    tell(f"{guests} guests are there after {time.monotonic() - began:.0f}s")


def _guests(kubeconfig: Path, nodes: int, numbers: range) -> None:
    api, known = Api(kubeconfig), names(nodes)
    for number in numbers:
        name = guest_name(number)
        status = pictures.guest_status(guest=f"ct:{NAMESPACE}/{name}", node=NodeName(known[number % nodes]))
        create(api, HARESOURCES, pictures.guest(status, name=name))


def names(count: int) -> list[str]:
    """Of so many nodes."""
    return [f"n{number:02}" for number in range(1, count + 1)]


def create(api: Api, resource: Resource, raw: Any) -> None:
    """The object, and then its status."""
    name, namespace = raw["metadata"]["name"], raw["metadata"].get("namespace", "")
    api.post(resource.path(namespace=namespace), {key: value for key, value in raw.items() if key != "status"}).ok()
    if raw.get("status") and resource in {CLUSTERS, NODES, HARESOURCES}:
        api.merge(resource.path(name, namespace, "status"), {"status": raw["status"]}).ok()


def _lease(name: str, holder: str) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder, "renewTime": _now(), "leaseDurationSeconds": 15},
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def beating(kubeconfig: Path, nodes: int) -> Iterator[None]:
    """Every node renews its Lease, and so does the manager."""
    api, end = Api(kubeconfig), threading.Event()
    paths = [LEASES.path(name, AGENT_NAMESPACE) for name in names(nodes)]
    paths.append(LEASES.path("manager-prod", SYSTEM_NAMESPACE))

    def beat() -> None:
        while not end.is_set():
            for path in paths:
                with suppress(Exception):  # one beat that is lost is no beat of a benchmark
                    api.merge(path, {"spec": {"renewTime": _now()}})
                end.wait(BEAT_S / len(paths))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def control_plane(directory: Path) -> Iterator[Path]:
    """A real API server with nothing in it: its kubeconfig."""
    server = ControlPlane(directory / "control-plane", find_programs(os.environ), os.environ)
    try:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(server.start())
        yield kubeconfig
    finally:
        server.stop()

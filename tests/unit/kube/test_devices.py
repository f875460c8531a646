"""Looking after quorum devices: one GET for each that is named, and nothing else."""

import pytest

from quorate.kube.calls import Conflict, NotFound
from quorate.kube.devices import look
from quorate.kube.resources import CLUSTERS
from quorate.kube.store import Store
from tests.unit.kube.test_store import device_lease

PATH = "/apis/coordination.k8s.io/v1/namespaces/quorate-system/leases/quorum-device-third"


class Server:
    """Answers GETs from `answers`, or refuses."""

    def __init__(self, answer):
        self.answer = answer
        self.paths = []

    async def get(self, path):
        self.paths.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def store_with(*devices) -> Store:
    made = Store(lambda: None, clock=lambda: 100.0)
    for number, device in enumerate(devices):
        metadata = {"name": f"c{number}", "uid": f"u{number}", "resourceVersion": "1"}
        spec = {"quorum": {"device": {"name": device}}} if device else {}
        made.put(CLUSTERS, {"kind": "Cluster", "metadata": metadata, "spec": spec})
    return made


async def test_each_device_is_asked_for_once_and_no_other_lease():
    server, store = Server(device_lease("2026-01-01T00:00:00Z")), store_with("third", "", "third")
    await look(store, server)
    assert server.paths == [PATH]
    assert store.devices["third"].seen_s == 100.0


async def test_without_a_device_nothing_is_asked():
    server = Server({})
    await look(store_with(""), server)
    assert server.paths == []


@pytest.mark.parametrize("error", [NotFound("GET", 404, "", ""), Conflict("GET", 409, "", "")])
async def test_what_cannot_be_read_says_nothing(error):
    store = store_with("third")
    await look(store, Server(error))
    assert store.devices == {}

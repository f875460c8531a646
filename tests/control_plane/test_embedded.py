"""What is only the embedded server's: its command, and what it remembers over a restart."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.control_plane.client import Api
from tests.control_plane.objects import NODES, cluster, node
from tests.control_plane.servers import Embedded


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    server = Embedded(tmp_path, "--data", str(tmp_path / "data"))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("kill", [False, True], ids=["terminated", "killed"])
def test_it_knows_after_a_restart_what_it_knew(embedded, kill):
    before = Api(embedded.kubeconfig)
    before.post(NODES, node("gone")).ok()
    before.delete(f"{NODES}/gone").ok()
    before.post(NODES, node("kept")).ok()
    kept = before.merge(f"{NODES}/kept", {"spec": {"votes": 2}}).ok()
    embedded.stop(kill=kill)
    embedded.start(port=urlsplit(before.server).port)
    after = Api(embedded.kubeconfig)
    assert after.server == before.server
    assert after.get(NODES).ok()["items"] == [kept]
    new = after.merge(f"{NODES}/kept", {"spec": {"votes": 3}}).ok()
    assert int(new["metadata"]["resourceVersion"]) > int(kept["metadata"]["resourceVersion"])


def test_a_watch_from_before_a_restart_is_gone(embedded):
    api = Api(embedded.kubeconfig)
    seen = api.post(NODES, node("one")).ok()["metadata"]["resourceVersion"]
    embedded.stop()
    embedded.start()
    api = Api(embedded.kubeconfig)
    with api.watch(NODES, resourceVersion=seen) as events:
        assert next(events)["object"]["code"] == 410
    with api.watch(NODES, resourceVersion=api.get(NODES).ok()["metadata"]["resourceVersion"]) as events:
        api.merge(f"{NODES}/one", {"spec": {"votes": 2}}).ok()
        assert next(events)["type"] == "MODIFIED"


def test_it_ends_on_sigterm_although_somebody_watches(embedded):
    with Api(embedded.kubeconfig).watch(NODES):
        assert embedded.stop() == 0
    embedded.start()


def test_its_address_can_be_looked_up(embedded):
    api = Api(embedded.kubeconfig)
    found = api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").ok()
    addresses = [address for endpoint in found["endpoints"] for address in endpoint["addresses"]]
    assert (addresses, found["ports"][0]["port"]) == (["127.0.0.1"], urlsplit(api.server).port)


def test_what_it_does_not_do_it_refuses(embedded):
    api = Api(embedded.kubeconfig)
    apply = "application/apply-patch+yaml"
    api.call("PATCH", f"{NODES}/one", node("one"), content=apply, fieldManager="a").refused(415, "UnsupportedMediaType")
    words = api.post("/api/v1/namespaces", b"k8s\0protobuf").refused(415, "UnsupportedMediaType")
    assert "kubectl apply -f" in words
    api.post("/apis/quorate.dev/v1alpha1/clusters/one", cluster("one")).refused(405, "MethodNotAllowed")

"""What is made of Storages, in the hands of Kubernetes' own volume controller: bound, made anew, provisioned for a node."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.core import volumes as core
from quorate.core.actions import RemoveVolume
from quorate.core.quick import replace
from quorate.core.storage import NfsExport, VolumeClass, nfs_volume, own_claim
from quorate.core.types import GuestKey, NodeName, StorageType, Uid
from quorate.core.world import StorageView
from quorate.kube.client import Api as Client
from quorate.kube.client import login
from quorate.kube.resources import CLAIMS, STORAGE_CLASSES, VOLUMES
from quorate.kube.volumes import Look, own_claims, provide, remove
from quorate.lab import control_plane
from tests import real
from tests.control_plane.client import Api
from tests.control_plane.servers import served

pytestmark = pytest.mark.real
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
"""Kubernetes puts it on a claim for whose volume it is time."""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a real server of one's own, with the controller that binds claims."""
    if real.programs().kube_controller_manager is None:
        real.cannot("kube-controller-manager is neither in $KUBEBUILDER_ASSETS nor on PATH nor in the cache")
    more = (*control_plane._CONTROLLERS, "persistentvolume-binder-controller")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane, "_CONTROLLERS", more)
        with served("real", tmp_path_factory.mktemp("volumes")) as path:
            yield path


@pytest.fixture
def api(kubeconfig: Path) -> Api:
    return Api(kubeconfig)


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[Client]:
    made = Client(await login(str(kubeconfig), None))
    yield made
    await made.close()


async def until(found: Callable[[], Any], what: str) -> Any:
    for _ in range(1200):
        if answer := found():
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"it did not happen within 60s: {what}")


class House:
    """The housekeeper's part of the work, for one Storage that guests of one namespace use."""

    def __init__(self, api: Api, client: Client, namespace: str) -> None:
        self.api, self.client, self.namespace = api, client, namespace
        self.storage = StorageView(
            namespace,
            Uid("s"),
            StorageType.NFS,
            namespaces=(namespace,),
            nfs=NfsExport("nas.example.org", "/export/guests", ("nfsvers=4.2",)),
            held=True,
            used_by=(f"ct:{namespace}/web",),
        )

    async def round(self) -> None:
        """Look, record, do."""
        sight = await Look(self.client, lambda: 0.0).sight([self.storage])
        made = core.recorded(self.storage, sight)
        self.storage = replace(self.storage, status=replace(self.storage.status, volumes=made))
        for deed in core.deeds(self.storage, sight):
            if isinstance(deed, RemoveVolume):
                await remove(self.client, deed)
            else:
                await provide(self.client, self.storage, deed)

    async def until(self, problem: str | None) -> None:
        """Round after round until guests can use it (""), or nothing is left of it (None)."""
        for _ in range(600):
            await self.round()
            found = self.storage.status.volumes
            if (found[0].problem if found else None) == problem:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.storage.status.volumes} instead of {problem!r}")

    @property
    def volume(self) -> str:
        return VOLUMES.path(nfs_volume(self.namespace, self.namespace))

    @property
    def claim(self) -> str:
        return CLAIMS.path(f"quorate-{self.namespace}", self.namespace)


@pytest.fixture
async def house(api: Api, client: Client, namespace: str) -> House:
    made = House(api, client, namespace)
    await made.until("")
    return made


async def test_kubernetes_binds_the_two_to_each_other(house: House) -> None:
    volume, claim = house.api.get(house.volume).ok(), house.api.get(house.claim).ok()
    assert (volume["status"]["phase"], claim["status"]["phase"]) == ("Bound", "Bound")
    assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]


async def test_a_claim_that_somebody_deletes_comes_back_with_a_volume_of_its_own(house: House) -> None:
    before = house.api.get(house.volume).ok()["metadata"]["uid"]
    house.api.delete(house.claim).ok()
    await until(lambda: house.api.get(house.claim).code == 404, "the claim to go")
    await until(lambda: house.api.get(house.volume).ok()["status"]["phase"] == "Released", "the volume to be released")
    await house.until("")
    assert house.api.get(house.volume).ok()["metadata"]["uid"] != before


async def test_a_volume_that_somebody_deletes_is_given_back_to_its_claim(house: House) -> None:
    claim = house.api.get(house.claim).ok()["metadata"]["uid"]
    house.api.delete(house.volume).ok()

    def away() -> bool:
        found = house.api.get(house.volume)
        if found.code == 404:
            return True
        house.api.merge(house.volume, {"metadata": {"finalizers": None}})
        return False

    await until(away, "the volume to go")
    await house.until("")
    assert house.api.get(house.claim).ok()["metadata"]["uid"] == claim
    await until(lambda: house.api.get(house.claim).ok()["status"]["phase"] == "Bound", "it to be bound")


async def test_when_no_guest_is_left_both_go(house: House) -> None:
    house.storage = replace(house.storage, used_by=())
    await house.until(None)
    assert (house.api.get(house.volume).code, house.api.get(house.claim).code) == (404, 404)


async def test_a_claim_of_a_guest_is_provisioned_for_the_node_without_a_scheduler(
    api: Api, client: Client, namespace: str
) -> None:
    late = {"provisioner": "example.org/csi", "volumeBindingMode": "WaitForFirstConsumer"}
    body = {"apiVersion": STORAGE_CLASSES.api_version, "kind": "StorageClass", "metadata": {"name": namespace}, **late}
    api.post(STORAGE_CLASSES.path(), body).ok()
    fast = StorageView(
        "fast",
        Uid("f"),
        StorageType.STORAGE_CLASS,
        volume_class=VolumeClass(namespace, "1Gi", "ReadWriteOnce"),
    )
    told, untold = GuestKey(namespace, "told"), GuestKey(namespace, "untold")
    await own_claims(client, told, [fast], NodeName("node1"))
    paths = [CLAIMS.path(own_claim(one, "fast"), namespace) for one in (told, untold)]
    plain = api.get(paths[0]).ok()
    metadata = {"name": own_claim(untold, "fast"), "namespace": namespace}
    api.post(CLAIMS.path(namespace=namespace), {**plain, "metadata": metadata, "status": {}}).ok()

    def provisioned(path: str) -> bool:
        return PROVISIONER in (api.get(path).ok()["metadata"].get("annotations") or {})

    await until(lambda: provisioned(paths[0]), "its provisioner to be asked")
    await own_claims(client, told, [fast], NodeName("node2"))
    annotations = api.get(paths[0]).ok()["metadata"]["annotations"]
    assert annotations["volume.kubernetes.io/selected-node"] == "node2"
    assert not provisioned(paths[1]), "without a node nobody is asked"

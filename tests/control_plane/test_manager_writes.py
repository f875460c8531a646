"""What a manager writes over, against somebody who writes the same object before each of its calls."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from quorate.api import attestation
from quorate.api.crd import UNSEEN
from quorate.core.actions import Plan, StatusWrite, TakeLease
from quorate.core.status import GuestStatus
from quorate.core.types import AGENT_NAMESPACE, ATTESTATION_ANNOTATION, GuestKey, GuestState, Ref
from quorate.kube.act import Actor
from quorate.kube.calls import Conflict
from quorate.kube.client import Api as Client
from quorate.kube.client import login
from quorate.kube.deeds import Deeds
from quorate.kube.resources import HARESOURCES, LEASES, Resource
from quorate.kube.store import Store
from tests.control_plane.client import Api
from tests.control_plane.objects import guest, guests
from tests.unit.kube.test_store import said

Json = dict[str, Any]
SEEN = GuestStatus(state=GuestState.QUEUED, message="seen", since=1)
JUDGED = GuestStatus(state=GuestState.STOPPED, message="judged", since=2)
RIVAL = GuestStatus(state=GuestState.ERROR, message="a rival's", since=3)


class Nonsense(StrEnum):
    """A state that the schema does not know."""

    NONSENSE = "Nonsense"


@dataclass
class Place:
    """An object, its manager's store and its manager's way to the API server."""

    api: Api
    client: Client
    store: Store
    resource: Resource
    name: str
    namespace: str

    @property
    def path(self) -> str:
        return self.resource.path(self.name, self.namespace)

    def now(self) -> Json:
        return self.api.get(self.path).ok()

    def seen(self) -> None:
        self.store.put(self.resource, self.now())

    def before(self, method: str, rival: Callable[[], Any]) -> None:
        """Somebody comes just before each such call, always."""
        request = self.client.request

        async def raced(called: str, *arguments: Any, **more: Any) -> Json:
            if called == method:
                rival()
            return await request(called, *arguments, **more)

        self.client.request = raced  # type: ignore[method-assign]

    def label(self) -> None:
        version = self.now()["metadata"]["resourceVersion"]
        self.api.merge(self.path, {"metadata": {"labels": {"at": version}}}).ok()


class Guest(Place):
    """A guest, whose status is written."""

    @property
    def ref(self) -> Ref:
        return GuestKey(self.namespace, self.name).ref

    async def write(self, status: GuestStatus) -> bool:
        """What a plan would do that judged the guest as it is in the store."""
        actor = Actor(self.client, self.store, None, lambda: True)  # type: ignore[arg-type]
        version = self.store.raw[self.resource][self.namespace, self.name]["metadata"]["resourceVersion"]
        return not (await actor.carry_out(Plan(statuses=(StatusWrite(self.ref, version, status),)))).again

    def rival_status(self) -> None:
        found = {"state": RIVAL.state, "message": RIVAL.message, "since": "2026-01-01T00:00:00Z"}
        self.api.merge(f"{self.path}/status", {"status": found}).ok()


class NodeLease(Place):
    """A node's Lease, held by its agent and taken from it."""

    def renew(self) -> None:
        """What its agent does: look, and attest the next sequence."""
        found = self.now()
        said = attestation.decode(found["metadata"]["annotations"][ATTESTATION_ANNOTATION])
        assert said is not None
        found["metadata"]["annotations"][ATTESTATION_ANNOTATION] = attested(said.sequence + 1)
        self.api.put(self.path, found).ok()

    async def take(self) -> bool:
        """What a plan would do that judged the Lease as it is in the store."""
        metadata = self.store.raw[LEASES][self.namespace, self.name]["metadata"]
        action = TakeLease(self.name, "n-x", "boot", metadata["uid"], metadata["resourceVersion"])
        deeds = Deeds(self.client, self.store, None, "prod", "m1")  # type: ignore[arg-type]
        return not (await Actor(self.client, self.store, deeds, lambda: True).carry_out(Plan(actions=(action,)))).again


def attested(sequence: int) -> str:
    return attestation.encode(said("n", sequence))


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[Client]:
    made = Client(await login(str(kubeconfig)))
    yield made
    await made.close()


@pytest.fixture
async def place(client: Client, api: Api, namespace: str) -> Guest:
    api.post(guests(namespace), guest("web")).ok()
    made = Guest(api, client, Store(lambda: None), HARESOURCES, "web", namespace)
    made.seen()
    assert await made.write(SEEN)
    return made


@pytest.fixture
def lease(client: Client, api: Api, unique: str) -> NodeLease:
    api.post("/api/v1/namespaces", {"metadata": {"name": AGENT_NAMESPACE}})
    metadata = {"name": unique, "annotations": {ATTESTATION_ANNOTATION: attested(7)}}
    body = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": {"holderIdentity": "boot"}}
    api.post(LEASES.path(namespace=AGENT_NAMESPACE), body).ok()
    made = NodeLease(api, client, Store(lambda: None), LEASES, unique, AGENT_NAMESPACE)
    made.seen()
    return made


async def test_whoever_writes_labels_before_each_replacement_does_not_keep_it_from_being_written(place: Guest):
    place.before("PUT", place.label)
    assert await place.write(JUDGED)
    now = place.now()
    assert now["status"]["message"] == JUDGED.message
    assert now["metadata"]["labels"]["at"], "and theirs stays"
    assert place.store.status(place.ref) == JUDGED


async def test_a_status_of_somebody_else_is_never_written_over(place: Guest):
    place.before("PUT", place.label)
    place.before("PATCH", place.rival_status)
    assert not await place.write(JUDGED)
    assert place.now()["status"]["message"] == RIVAL.message


async def test_a_deletion_is_judged_anew(place: Guest):
    place.api.merge(place.path, {"metadata": {"finalizers": ["test.quorate.dev/held"]}}).ok()
    place.seen()
    place.before("PUT", place.label)
    place.before("PATCH", lambda: place.api.delete(place.path).ok())
    assert not await place.write(JUDGED)
    assert place.now()["status"]["message"] == SEEN.message
    place.api.merge(place.path, {"metadata": {"finalizers": None}}).ok()


async def test_another_of_the_same_name_is_another_one(place: Guest):
    def replace() -> None:
        place.api.delete(place.path).ok()
        place.api.post(guests(place.namespace), guest("web")).ok()

    place.before("PUT", place.label)
    place.before("PATCH", replace)
    assert not await place.write(JUDGED)
    assert place.now()["status"] == UNSEEN


async def test_what_the_schema_refuses_is_said_in_its_words(place: Guest):
    turns = iter([True])

    def once() -> None:
        if next(turns, False):
            place.label()

    place.before("PUT", once)
    assert not await place.write(replace(JUDGED, state=Nonsense.NONSENSE))  # type: ignore[arg-type]
    assert place.now()["status"]["message"] == SEEN.message
    assert "status.state" in place.store.guests()[0].trouble


async def test_a_lease_that_somebody_labels_all_the_time_is_taken(lease: NodeLease):
    lease.before("PUT", lease.label)
    lease.before("PATCH", lease.label)
    assert await lease.take()
    now = lease.now()
    assert now["spec"] == {"holderIdentity": "fenced/n-x/boot"}
    assert now["metadata"]["annotations"][ATTESTATION_ANNOTATION] == attested(7), "what the old boot said is kept"
    assert lease.store.beats[lease.name].holder == "fenced/n-x/boot"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_lease_that_is_renewed_meanwhile_is_not_taken(lease: NodeLease, method: str):
    lease.before("PUT", lease.label)
    lease.before(method, lease.renew)
    assert not await lease.take()
    assert lease.now()["spec"] == {"holderIdentity": "boot"}
    assert lease.store.beats[lease.name].attestation == attestation.decode(attested(8)), "the next plan sees it"


async def test_a_lease_that_somebody_else_took_meanwhile_is_not_taken(lease: NodeLease):
    lease.before("PUT", lease.label)
    lease.before("PATCH", lambda: lease.api.merge(lease.path, {"spec": {"holderIdentity": "fenced/other/boot"}}).ok())
    assert not await lease.take()
    assert lease.now()["spec"] == {"holderIdentity": "fenced/other/boot"}


async def test_a_lease_that_was_renewed_before_it_was_to_be_taken_is_not_taken(lease: NodeLease):
    """The store has moved on since the plan was made: only the version that was judged may be written over."""
    judged = lease.store.raw[LEASES][lease.namespace, lease.name]
    lease.renew()
    lease.seen()
    lease.before("PUT", lease.label)
    metadata = judged["metadata"]
    action = TakeLease(lease.name, "n-x", "boot", metadata["uid"], metadata["resourceVersion"])
    with pytest.raises(Conflict):
        await Deeds(lease.client, lease.store, None, "prod", "m1").take_lease(action)  # type: ignore[arg-type]
    assert lease.now()["spec"] == {"holderIdentity": "boot"}

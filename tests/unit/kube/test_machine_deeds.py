"""Deeds on virtual machines: one patch of exactly what was judged, nothing of others' lost, and all of it given back."""

import copy
from typing import Any

import pytest

from quorate.core.actions import (
    BeginMigration,
    BindLauncher,
    EndMigration,
    HaltMachine,
    ReturnMachine,
    RunMachine,
    TakeMachine,
)
from quorate.core.status import Instance
from quorate.core.types import InstanceId, Instant, MachineKey, NodeName, Nonce, Uid
from quorate.kube.calls import Conflict, NotFound, Permanent
from quorate.kube.deeds import Deeds
from quorate.kube.guests.pod import Gate
from quorate.kube.store import Store
from quorate.sim.patch import merge_patch

Json = dict[str, Any]
KEY = MachineKey("shop", "win")
VM, POD = "/apis/kubevirt.io/v1/namespaces/shop/virtualmachines/win", "/api/v1/namespaces/shop/pods/launcher"
INSTANCE = Instance(InstanceId("i1"), NodeName("n1"), Nonce("n1.1"), "", Instant(1))
JUDGED = ("win", Uid("vm"), "3")


def vm(**spec: Any) -> Json:
    template = {"metadata": {"labels": {"app": "win"}}, "spec": {"domain": {}}}
    meta = {"name": "win", "namespace": "shop", "uid": "vm", "resourceVersion": "3", "annotations": {"team": "a"}}
    return {"metadata": meta, "spec": {"runStrategy": "Always", "template": template, **spec}}


class Server:
    """What the API server has, by path."""

    def __init__(self) -> None:
        self.has: dict[str, Json] = {VM: vm(), POD: {"metadata": {"name": "launcher", "namespace": "shop", "uid": "u"}}}
        self.merged: list[Json] = []
        self.bound: list[Json] = []
        self.refuses: Exception | None = None
        self.makes: Json = {"kind": "Status"}
        self.deleted: list[tuple[str, str]] = []

    async def get(self, path: str, query: object = None) -> Json:
        if path not in self.has:
            raise NotFound(f"GET {path}", 404, "NotFound", "not found")
        return copy.deepcopy(self.has[path])

    async def merge(self, path: str, body: Json) -> Json:
        if body["metadata"]["resourceVersion"] != self.has[path]["metadata"]["resourceVersion"]:
            raise Conflict(f"PATCH {path}", 409, "Conflict", "another version")
        self.merged.append(body)
        self.has[path] = merge_patch(self.has[path], body)
        version = int(self.has[path]["metadata"]["resourceVersion"]) + 1
        self.has[path]["metadata"]["resourceVersion"] = str(version)
        return copy.deepcopy(self.has[path])

    async def create(self, path: str, body: Json, query: object = None) -> Json:
        if self.refuses is not None:
            raise self.refuses
        self.bound.append(body)
        return self.makes

    async def delete(self, path: str, *, uid: str) -> Json:
        self.deleted.append((path, uid))
        return {"kind": "Status"}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def deeds(server: Server) -> Deeds:
    return Deeds(server, Store(lambda: None, lambda: 100.0), Gate("gate", 1), "prod", "m1")


async def test_a_start_is_one_patch(server, deeds):
    await deeds.machines.run(RunMachine(KEY, *JUDGED, INSTANCE))
    assert len(server.merged) == 1
    found = server.has[VM]
    assert (found["spec"]["runStrategy"], found["spec"]["template"]["spec"]["schedulerName"]) == ("Once", "quorate")
    assert found["spec"]["template"]["metadata"] == {
        "labels": {"app": "win"},
        "annotations": {
            "quorate.dev/instance": "i1",
            "quorate.dev/node": "n1",
            "quorate.dev/boot-nonce": "n1.1",
        },
    }
    assert found["metadata"]["annotations"] == {"team": "a", "quorate.dev/run-strategy": "Always"}
    assert (server.merged[0]["metadata"]["uid"], server.merged[0]["metadata"]["resourceVersion"]) == ("vm", "3")


async def test_what_is_kept_is_what_was_there_first(server, deeds):
    await deeds.machines.take(TakeMachine(KEY, *JUDGED))
    await deeds.machines.halt(HaltMachine(KEY, "win", Uid("vm"), "4"))
    assert server.has[VM]["metadata"]["annotations"]["quorate.dev/run-strategy"] == "Always"
    assert server.has[VM]["spec"]["runStrategy"] == "Halted"


@pytest.mark.parametrize("spec", [{}, {"runStrategy": None, "running": True}, {"runStrategy": "Manual"}])
@pytest.mark.parametrize("scheduler", [None, "mine"])
async def test_given_back_it_is_as_it_was(server, deeds, spec, scheduler):
    before = vm(**spec)
    before["spec"] = {name: value for name, value in before["spec"].items() if value is not None}
    if scheduler:
        before["spec"]["template"]["spec"]["schedulerName"] = scheduler
    server.has[VM] = copy.deepcopy(before)
    await deeds.machines.run(RunMachine(KEY, *JUDGED, INSTANCE))
    kept = server.has[VM]["metadata"]["annotations"]["quorate.dev/run-strategy"]
    assert server.has[VM]["spec"].get("running") is None, "KubeVirt takes one of running and runStrategy"
    await deeds.machines.give_back(ReturnMachine(KEY, "win", Uid("vm"), "4", kept))
    after = server.has[VM]
    after["spec"]["template"]["metadata"].pop("annotations")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == {"team": "a"}


async def test_another_version_is_not_changed(server, deeds):
    with pytest.raises(Conflict):
        await deeds.machines.halt(HaltMachine(KEY, "win", Uid("vm"), "2"))
    with pytest.raises(Conflict):
        await deeds.machines.halt(HaltMachine(KEY, "win", Uid("other"), "3"))
    assert server.merged == []


async def test_one_that_is_gone_is_known_to_be(server, deeds):
    del server.has[VM]
    with pytest.raises(NotFound):
        await deeds.machines.halt(HaltMachine(KEY, *JUDGED))


async def test_exactly_that_launcher_is_bound(server, deeds):
    await deeds.machines.bind(BindLauncher(KEY, "launcher", Uid("u"), "5", NodeName("n1"), InstanceId("i1")))
    (body,) = server.bound
    assert (body["metadata"]["uid"], body["target"]["name"]) == ("u", "n1")


async def test_a_refused_binding_looks_what_is_there(server, deeds):
    server.refuses = Conflict("POST", 409, "Conflict", "being deleted")
    del server.has[POD]
    with pytest.raises(Conflict):
        await deeds.machines.bind(BindLauncher(KEY, "launcher", Uid("u"), "5", NodeName("n1"), InstanceId("i1")))


MIGRATION = "/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstancemigrations/win-m1"
BEGIN = BeginMigration(KEY, "win-m1", "win", InstanceId("m1"))


async def test_a_migration_is_made_under_a_name_of_its_own(server, deeds):
    server.makes = {"metadata": {"name": "win-m1", "namespace": "shop", "uid": "job"}}
    await deeds.machines.migrate(BEGIN)
    (body,) = server.bound
    assert (body["metadata"]["name"], body["spec"]) == ("win-m1", {"vmiName": "win"})
    assert "quorate.dev/guest" in body["metadata"]["labels"]


async def test_one_that_is_there_is_looked_at(server, deeds):
    server.refuses = Conflict("POST", 409, "AlreadyExists", "there")
    server.has[MIGRATION] = {"metadata": {"name": "win-m1", "namespace": "shop", "uid": "job"}}
    await deeds.machines.migrate(BEGIN)


async def test_what_the_api_server_says_against_it_is_kept(server, deeds):
    server.refuses = Permanent("POST", 403, "Forbidden", "in-flight migration detected")
    await deeds.machines.migrate(BEGIN)
    assert deeds.store.refusals[InstanceId("m1")].message == "in-flight migration detected"


async def test_exactly_that_migration_is_called_off(server, deeds):
    await deeds.machines.end_migration(EndMigration(KEY, "win-m1", Uid("job")))
    assert server.deleted == [(MIGRATION, "job")]

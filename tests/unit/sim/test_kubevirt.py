"""KubeVirt's stand-in: what it makes of a machine, and what it does not do."""

from typing import Any

import pytest

from quorate.kube.machines import JOB_LABEL
from quorate.sim import kubevirt
from quorate.sim.errors import ApiError
from quorate.sim.kinds import KINDS
from quorate.sim.server import PODS, bind
from quorate.sim.store import Store

Json = dict[str, Any]


def vm(strategy: str = "Once", **meta: Any) -> Json:
    return {
        "metadata": {"name": "win", "namespace": "shop", "uid": "vm", **meta},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"annotations": {"a": "b"}}, "spec": {}}},
        "status": {"printableStatus": "Stopped", "ready": False},
    }


def run(phase: str = "Pending", **meta: Any) -> Json:
    made = kubevirt.run_of(vm())
    return made | {"metadata": made["metadata"] | {"uid": "run"} | meta, "status": {"phase": phase}}


def launcher(phase: str = "Pending", node: str | None = None, **meta: Any) -> Json:
    made = kubevirt.launcher_of(run())
    spec = made["spec"] | ({"nodeName": node} if node else {})
    return made | {"metadata": made["metadata"] | {"name": "l", **meta}, "spec": spec, "status": {"phase": phase}}


def done(machines: list[Json], runs: list[Json], pods: list[Json]) -> list[tuple[str, str]]:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    nodes = [{"metadata": {"name": "n1", "labels": kubevirt.schedulable({})}, "spec": {}, **ready}]
    steps = kubevirt.steps(kubevirt.Seen(machines, runs, pods, nodes))
    return [(one.verb, one.kind) for one in steps if one.kind != "VirtualMachine"]


@pytest.mark.parametrize("strategy", ["Once", "Always", "RerunOnFailure"])
def test_a_machine_that_is_to_run_gets_a_run(strategy):
    assert done([vm(strategy)], [], []) == [("create", "VirtualMachineInstance")]


@pytest.mark.parametrize("strategy", ["Halted", "Manual"])
def test_another_one_does_not(strategy):
    assert done([vm(strategy)], [], []) == []


def test_a_run_gets_one_launcher_and_never_another():
    assert ("create", "Pod") in done([vm()], [run()], [])
    assert ("create", "Pod") not in done([vm()], [run("Running")], [])


def test_annotations_reach_the_launcher():
    assert launcher()["metadata"]["annotations"]["a"] == "b"


def test_a_run_that_ended_is_begun_again_only_with_always():
    assert done([vm("Once")], [run("Failed")], []) == []
    assert done([vm("Always")], [run("Failed")], []) == [("delete", "VirtualMachineInstance")]


def test_a_run_that_is_deleted_stays_until_its_launchers_are_gone():
    ending = run("Running", deletionTimestamp="x")
    assert done([vm("Halted")], [ending], [launcher("Running", "n1")]) == [("delete", "Pod")]
    assert done([vm("Halted")], [ending], [launcher("Running", "n1", deletionTimestamp="x")]) == []
    assert done([vm("Halted")], [ending], []) == [("release", "VirtualMachineInstance")]


def test_a_launcher_of_ours_waits_for_us():
    ours = launcher()
    ours["spec"]["schedulerName"] = "quorate"
    assert ("bind", "Pod") not in done([], [run("Scheduling")], [ours])
    assert ("bind", "Pod") in done([], [run("Scheduling")], [launcher()])


def test_a_pod_is_bound_once_and_not_while_it_is_deleted():
    uids = iter("abcdef")
    store = Store(KINDS, lambda: 0, lambda: next(uids))
    store.create(store.resources["namespaces"], "", {"metadata": {"name": "shop"}, "spec": {}})
    pod = store.create(PODS, "shop", {"metadata": {"name": "l", "finalizers": ["x"]}, "spec": {}})
    to = lambda node, uid: {"metadata": {"uid": uid}, "target": {"name": node}}  # noqa: E731
    with pytest.raises(ApiError, match="uid"):
        bind(store, ("shop", "l"), to("n1", "other"))
    bind(store, ("shop", "l"), to("n1", pod["metadata"]["uid"]))
    with pytest.raises(ApiError, match="already assigned"):
        bind(store, ("shop", "l"), to("n2", ""))
    store.create(PODS, "shop", {"metadata": {"name": "m", "finalizers": ["x"]}, "spec": {}})
    store.delete(PODS, ("shop", "m"))
    with pytest.raises(ApiError, match="being deleted"):
        bind(store, ("shop", "m"), to("n1", ""))


# -- migrations ---------------------------------------------------------------------------------------------------------


def job(phase: str = "") -> Json:
    meta = {"name": "m1", "namespace": "shop", "uid": "job"}
    return {"metadata": meta, "spec": {"vmiName": "win"}, "status": {"phase": phase}}


def target(phase: str = "Pending", node: str | None = None) -> Json:
    made = launcher(phase, node, name="t")
    return made | {"metadata": made["metadata"] | {"labels": made["metadata"]["labels"] | {JOB_LABEL: "job"}}}


def told(phase: str, pods: list[Json], **outcomes: bool) -> list[str]:
    here = run("Running") | {"status": {"phase": "Running", "nodeName": "n1"}}
    steps = kubevirt.steps(kubevirt.Seen([vm()], [here], pods, [], [job(phase)], outcomes))
    return [f"{one.verb} {one.body.get('phase', '')}" for one in steps if one.kind == "VirtualMachineInstanceMigration"]


def test_a_migration_goes_step_by_step():
    source = launcher("Running", "n1")
    assert told("", [source]) == ["status Scheduling"]
    assert told("Scheduling", [source, target()]) == []
    assert told("Scheduling", [source, target("Pending", "n2")]) == ["status Scheduled"]
    assert told("Scheduled", [source, target("Running", "n2")]) == ["status Running"]
    assert told("Running", [source, target("Running", "n2")], job=True) == ["status Succeeded"]
    assert told("Running", [source, target("Running", "n2")], job=False) == ["status Failed"]
    assert told("Running", [source, target("Failed", "n2")]) == ["status Failed"]


def test_what_was_handed_over_runs_there_although_its_source_has_ended():
    here = run("Running") | {"status": {"phase": "Running", "nodeName": "n1"}}
    pods = [launcher("Succeeded", "n1"), target("Running", "n2")]
    steps = kubevirt.steps(kubevirt.Seen([vm()], [here], pods, [], [job("Running")], {"job": True}))
    (said,) = [one.body for one in steps if one.kind == "VirtualMachineInstance"]
    assert (said["phase"], said["nodeName"]) == ("Running", "n2")


def test_the_target_of_a_migration_that_is_gone_is_deleted():
    here = run("Running") | {"status": {"phase": "Running", "nodeName": "n1"}}
    steps = kubevirt.steps(kubevirt.Seen([vm()], [here], [launcher("Running", "n1"), target("Running", "n2")], []))
    assert ("delete", "t") in [(one.verb, one.name) for one in steps]

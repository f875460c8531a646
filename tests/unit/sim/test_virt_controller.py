"""The stand-in for virt-controller: who gets an instance, who gets a launcher, and how a migration goes its way."""

from typing import Any

from quorate.sim import virt_objects as virt
from quorate.sim.virt_controller import Seen, steps
from quorate.sim.virt_objects import INSTANCE, MIGRATION, Step

Json = dict[str, Any]
READY = [{"type": "Ready", "status": "True"}]


def meta(name: str, **more: Any) -> Json:
    return {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "1", **more}


def machine(strategy: str = "Always", **more: Any) -> Json:
    spec = {"runStrategy": strategy, "template": {"metadata": {"annotations": {"a": "1"}}, "spec": domain()}}
    return {"metadata": meta("win", finalizers=[virt.MACHINE_FINALIZER], **more), "spec": spec}


def domain() -> Json:
    return {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}, "schedulerName": "quorate"}


def instance(phase: str = "Running", node: str = "node1", **status: Any) -> Json:
    made = virt.instance_of(machine())
    kept = {"phase": phase, **({"nodeName": node} if node else {}), **status}
    return {**made, "metadata": {**made["metadata"], **meta("win")}, "status": kept}


def pod(node: str = "node1", migration: Json | None = None, phase: str = "Running") -> Json:
    made = virt.launcher(instance(), (), migration)
    made["metadata"] |= {"uid": f"uid-{made['metadata']['name']}", "resourceVersion": "1"}
    spec = made["spec"] | ({"nodeName": node} if node else {})
    return {**made, "spec": spec, "status": {"phase": phase, "conditions": READY if node else []}}


def migration(phase: str = "", **more: Any) -> Json:
    held = {"finalizers": [virt.MIGRATION_FINALIZER], **more}
    return {"metadata": meta("move", **held), "spec": {"vmiName": "win"}, "status": {"phase": phase}}


def asked(**seen: Any) -> list[tuple[str, str]]:
    return [(one.verb, one.kind) for one in look(**seen)]


def look(**seen: Any) -> list[Step]:
    rest: Json = {"machines": [], "instances": [], "migrations": [], "pods": [], "nodes": [], "now": "now"}
    return steps(Seen(**(rest | seen)))


def test_a_machine_has_an_instance_by_its_run_strategy() -> None:
    for strategy, starts in (("Always", True), ("Once", True), ("Halted", False), ("Manual", False)):
        assert (("create", INSTANCE) in asked(machines=[machine(strategy)])) is starts
    ended = instance("Failed")
    assert ("delete", INSTANCE) in asked(machines=[machine()], instances=[ended])
    assert ("delete", INSTANCE) not in asked(machines=[machine("Once")], instances=[ended])
    assert ("delete", INSTANCE) in asked(machines=[machine("Halted")], instances=[instance()], pods=[pod()])


def test_what_is_said_in_the_template_reaches_the_launcher() -> None:
    made = pod(node="")
    assert made["metadata"]["annotations"]["a"] == "1"
    assert made["spec"]["schedulerName"] == "quorate"
    assert made["spec"]["nodeSelector"] == {"kubevirt.io/schedulable": "true"}
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"memory": "64Mi"}}


def test_an_instance_gets_one_launcher_and_never_another() -> None:
    new = instance("Pending", node="")
    assert ("create", "Pod") in asked(instances=[new])
    assert ("create", "Pod") not in asked(instances=[new], pods=[pod(node="")])
    for phase in ("Scheduling", "Scheduled", "Running"):
        (step,) = look(instances=[instance(phase)])
        assert step.body["status"]["phase"] == "Failed"


def test_it_is_scheduled_once_its_launcher_is_ready() -> None:
    (step,) = look(instances=[instance("Scheduling", node="")], pods=[pod()])
    assert (step.body["status"]["phase"], step.body["status"]["nodeName"]) == ("Scheduled", "node1")
    (step,) = look(instances=[instance("Scheduling", node="")], pods=[pod(phase="Failed")])
    assert step.body["status"]["phase"] == "Failed"


def test_it_goes_when_its_launchers_have_gone() -> None:
    going = instance()
    going["metadata"]["deletionTimestamp"] = "now"
    assert ("delete", "Pod") in asked(instances=[going], pods=[pod()])
    ended = instance("Failed")
    assert look(instances=[ended], pods=[pod(phase="Failed")]) == []
    (step,) = look(instances=[ended])
    assert step.body["metadata"]["finalizers"] == []


def test_a_migration_gets_a_target_and_is_handed_over() -> None:
    job = migration("Pending")
    step = next(one for one in look(instances=[instance()], pods=[pod()], migrations=[job]) if one.kind == "Pod")
    assert step.body["metadata"]["labels"][virt.MIGRATION_LABEL] == "uid-move"
    there = pod("node2", job)
    assert there["metadata"]["name"] != pod()["metadata"]["name"]
    scheduled = look(instances=[instance()], pods=[pod(), there], migrations=[migration("Scheduled")])
    state = next(one for one in scheduled if one.kind == INSTANCE and "migrationState" in one.body["status"])
    assert state.body["status"]["migrationState"]["targetNode"] == "node2"
    assert state.body["status"]["migrationState"]["sourceNode"] == "node1"


def test_a_migration_whose_target_ends_fails_and_its_instance_hears_of_it() -> None:
    job, state = migration("Running"), {"migrationUid": "uid-move", "targetNode": "node2"}
    over = pod("node2", job, phase="Failed")
    found = look(instances=[instance(migrationState=state)], pods=[pod(), over], migrations=[job])
    assert [one.body["status"]["phase"] for one in found if one.kind == MIGRATION] == ["Failed"]
    assert any((one.body["status"].get("migrationState") or {}).get("failed") for one in found if one.kind == INSTANCE)


def test_a_migration_that_is_deleted_is_given_up_by_its_source() -> None:
    job = migration("Running", deletionTimestamp="now")
    state = {"migrationUid": "uid-move", "targetNode": "node2"}
    running = {"pods": [pod(), pod("node2", job)], "migrations": [job]}
    found = look(instances=[instance(migrationState=state)], **running)
    assert any((one.body["status"].get("migrationState") or {}).get("abortRequested") for one in found)
    given_up = {**state, "abortRequested": True, "completed": True, "failed": True}
    found = look(instances=[instance(migrationState=given_up)], **running)
    assert [one.body["status"]["phase"] for one in found if one.kind == MIGRATION] == ["Failed"]


def test_what_names_its_own_scheduler_is_not_bound() -> None:
    ready = {"conditions": READY}
    labels = {virt.SCHEDULABLE_LABEL: "true"}
    nodes = [{"metadata": {"name": name, "labels": labels}, "spec": {}, "status": ready} for name in ("node1", "node2")]
    waits = pod(node="")
    assert ("bind", "Pod") not in asked(instances=[instance("Scheduling", node="")], pods=[waits], nodes=nodes)
    del waits["spec"]["schedulerName"]
    (step,) = [one for one in look(pods=[waits], nodes=nodes) if one.verb == "bind"]
    assert step.body["metadata"]["uid"] == waits["metadata"]["uid"]
    target = pod(node="", migration=migration())
    del target["spec"]["schedulerName"]
    (step,) = [one for one in look(pods=[pod(), target], nodes=nodes) if one.verb == "bind"]
    assert step.body["target"]["name"] == "node2"

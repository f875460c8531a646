"""The kubelet stand-in's decisions and statuses, case by case, as Kubernetes 1.34 has them."""

from pathlib import Path
from typing import Any

import pytest

from quorate.lab.kubelet import spec
from quorate.lab.kubelet.admission import admit
from quorate.lab.kubelet.decide import Finish, Json, Rest, Start, Stop, grace_s, next_step
from quorate.lab.kubelet.spec import Place, UnsupportedError
from quorate.lab.kubelet.status import Seen, pod_status
from quorate.lab.records import EXITED, RUNNING, STARTING, Record, decode, encode

NOW = "2026-11-22T18:00:00Z"
BOOT = 2


def pod(*, policy: str = "Never", init: bool = False, mains: int = 1, status: Json | None = None, **meta: Any) -> Json:
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", **meta},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": f"main{number}", "image": "lab"} for number in range(mains)],
            **({"initContainers": [{"name": "gate", "image": "lab"}]} if init else {}),
        },
        "status": status or {},
    }


def record(name: str = "main0", state: str = RUNNING, code: int | None = None, boot: int = BOOT, **more: Any) -> Record:
    reason = {None: "", 0: "Completed"}.get(code, "Error")
    ids = {"pod": "u-1", "container": name, "id": f"id-{name}", "boot": boot, "attempt": 0, "log": "/dev/null"}
    return Record(
        **{**ids, "state": state, "exit_code": code, "reason": reason, "started_at": NOW, "finished_at": NOW, **more}
    )


def known(*found: Record) -> dict[str, Record]:
    return {one.container: one for one in found}


def reported(
    of: Json,
    *found: Record,
    before: Json | None = None,
    waiting: dict[str, tuple[str, str]] | None = None,
    final: bool = False,
) -> Json:
    seen = Seen(known(*found), BOOT, NOW, "127.77.1.1", before or {}, NOW, waiting=waiting or {})
    return pod_status(of, seen, final=final)


def names(step: object) -> list[str]:
    assert isinstance(step, Start)
    return [one["name"] for one in step.containers]


def test_a_new_pod_starts_its_first_init_container_alone() -> None:
    assert names(next_step(pod(init=True, mains=2), {}, BOOT, ending=False)) == ["gate"]


def test_after_the_init_containers_all_others_start_together() -> None:
    done = known(record("gate", EXITED, 0))
    assert names(next_step(pod(init=True, mains=2), done, BOOT, ending=False)) == ["main0", "main1"]


def test_a_failed_init_container_of_never_is_the_end() -> None:
    failed = known(record("gate", EXITED, 86))
    assert next_step(pod(init=True), failed, BOOT, ending=False) == Rest()
    assert reported(pod(init=True), *failed.values())["phase"] == "Failed"


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Never", 1, False), ("Never", 0, False), ("OnFailure", 1, True), ("OnFailure", 0, False), ("Always", 0, True)],
)
def test_the_restart_policy_says_what_is_started_again(policy: str, code: int, again: bool) -> None:
    step = next_step(pod(policy=policy), known(record(state=EXITED, code=code)), BOOT, ending=False)
    assert isinstance(step, Start) is again


@pytest.mark.parametrize("state", [RUNNING, STARTING])
def test_what_runs_or_may_run_is_stopped_before_it_is_finished(state: str) -> None:
    assert next_step(pod(), known(record(state=state)), BOOT, ending=True) == Stop()
    assert next_step(pod(), known(record(state=EXITED, code=0)), BOOT, ending=True) == Finish()
    assert next_step(pod(), {}, BOOT, ending=True) == Finish()


@pytest.mark.parametrize("state", [STARTING, RUNNING, EXITED])
def test_nothing_starts_again_of_what_any_container_began_in_an_earlier_boot(state: str) -> None:
    earlier = known(record("gate", state, 0, boot=1))
    assert next_step(pod(init=True), earlier, BOOT, ending=False) == Rest()


def test_a_restartable_pod_begins_from_the_start_in_a_new_boot() -> None:
    earlier = known(record("gate", EXITED, 0, boot=1), record(boot=1))
    assert names(next_step(pod(policy="Always", init=True), earlier, BOOT, ending=False)) == ["gate"]


@pytest.mark.parametrize(
    ("asked", "wished", "expected"), [(None, None, 30), (None, 7, 7), (3, 7, 3), (0, 7, 1), (None, 0, 1)]
)
def test_the_grace_period_is_the_deletions_else_the_pods_and_a_second_at_least(
    asked: int | None, wished: int | None, expected: int
) -> None:
    one = pod(**({"deletionGracePeriodSeconds": asked} if asked is not None else {}))
    if wished is not None:
        one["spec"]["terminationGracePeriodSeconds"] = wished
    assert grace_s(one) == expected


def test_one_that_runs_and_one_that_ended_make_a_running_pod() -> None:
    status = reported(pod(mains=2), record("main0"), record("main1", EXITED, 0))
    assert status["phase"] == "Running"
    assert [one["ready"] for one in status["containerStatuses"]] == [True, False]


def test_one_that_runs_and_one_that_waits_make_a_pending_pod() -> None:
    assert reported(pod(mains=2), record("main0"))["phase"] == "Pending"


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_when_all_have_ended_their_codes_decide(code: int, phase: str) -> None:
    status = reported(pod(mains=2), record("main0", EXITED, 0), record("main1", EXITED, code))
    assert status["phase"] == phase


def test_a_reset_is_an_end_with_code_255() -> None:
    ended = reported(pod(), record(boot=1))["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["startedAt"]) == (255, "Unknown", NOW)


RUNNING_BEFORE = {
    "phase": "Running",
    "containerStatuses": [
        {"name": "main0", "restartCount": 0, "state": {"running": {"startedAt": NOW}}, "lastState": {}}
    ],
}


def test_a_container_that_the_runtime_lost_is_guessed_to_have_ended() -> None:
    status = reported(pod(status=RUNNING_BEFORE), before=RUNNING_BEFORE)
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    final = reported(pod(status=RUNNING_BEFORE), before=status, final=True)
    assert final["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_one_that_was_never_reported_running_is_not_guessed_about() -> None:
    """And so a kubelet without records starts it: the case that only the start gate covers."""
    status = reported(pod(status={"phase": "Pending"}), before={"phase": "Pending"})
    assert status["phase"] == "Pending"
    assert "waiting" in status["containerStatuses"][0]["state"]


def test_a_pod_that_ends_before_its_gate_ran_keeps_its_main_container_waiting() -> None:
    status = reported(pod(init=True, deletionTimestamp=NOW), final=True)
    assert status["phase"] == "Failed"
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert "waiting" in status["containerStatuses"][0]["state"]


def test_a_pod_that_ends_after_its_gate_has_its_main_container_guessed_ended() -> None:
    waiting = {"main0": ("ImagePullBackOff", "no such image")}
    status = reported(pod(init=True, deletionTimestamp=NOW), record("gate", EXITED, 0), waiting=waiting, final=True)
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_final_phase_is_never_left() -> None:
    before = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
    status = reported(pod(), record(state=EXITED, code=0), before=before, final=True)
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")


def test_a_condition_s_time_moves_only_with_its_status() -> None:
    earlier = "2026-01-01T00:00:00Z"
    before = {
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": earlier} for kind in ("Ready", "Initialized")
        ]
    }
    conditions = {
        one["type"]: one for one in reported(pod(), record(state=EXITED, code=1), before=before)["conditions"]
    }
    assert conditions["Initialized"]["lastTransitionTime"] == earlier
    assert conditions["Ready"]["lastTransitionTime"] == NOW


NODE = {"metadata": {"name": "node1", "labels": {"disk": "ssd"}}, "spec": {}}


def test_admission_looks_at_selectors_affinity_and_noexecute_taints() -> None:
    one = pod()
    assert admit(one, NODE) is None
    rejection = admit({**one, "spec": {**one["spec"], "nodeSelector": {"disk": "hdd"}}}, NODE)
    assert rejection is not None
    assert rejection.reason == "NodeAffinity"
    tainted = {**NODE, "spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoSchedule"}]}}
    rejection = admit(one, tainted)
    assert rejection is not None
    assert rejection.reason == "TaintToleration"
    tolerant = {**one, "spec": {**one["spec"], "tolerations": [{"operator": "Exists"}]}}
    assert admit(tolerant, tainted) is None


def test_pinning_by_name_of_the_node_is_understood() -> None:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node2"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    one = pod()
    one["spec"]["affinity"] = {"nodeAffinity": required}
    assert admit(one, NODE) is not None
    assert admit(one, {**NODE, "metadata": {"name": "node2"}}) is None


def test_a_node_that_shuts_down_admits_nothing() -> None:
    rejection = admit(pod(), NODE, shutting_down=True)
    assert rejection is not None
    assert rejection.reason == "NodeShutdown"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(NAME)", "web"),
        ("$$(NAME)", "$(NAME)"),
        ("$$$(NAME)", "$web"),
        ("$(OTHER)", "$(OTHER)"),
        ("a $NAME ${NAME} $(NAME", "a $NAME ${NAME} $(NAME"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expanded: str) -> None:
    assert spec.expand(text, {"NAME": "web"}) == expanded


def test_what_is_not_played_is_named(tmp_path: Path) -> None:
    place = Place("node1", "127.77.1.1", tmp_path, tmp_path)
    one = pod()
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    with pytest.raises(UnsupportedError, match=r"env A: valueFrom\.secretKeyRef"):
        spec.order(one, {"name": "main0", "image": "lab", "env": [variable]}, place, None, init=False)
    one["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "c"}}]
    mounted = {"name": "main0", "image": "lab", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    with pytest.raises(UnsupportedError, match="volume v: configMap"):
        spec.order(one, mounted, place, None, init=False)


def test_records_survive_being_written() -> None:
    one = record(pid=7, start_ticks=8, last={"terminated": {"exitCode": 1}})
    assert decode(encode(one)) == one

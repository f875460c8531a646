"""The kubelet stand-in against an API server: everything that Quorate's safety rests on, as a real kubelet does it."""

import json
import os
import signal
import sys

import pytest

from quorate.core.types import INSTANCE_ANNOTATION
from quorate.lab import processes
from quorate.lab.kubelet.node import LEASES
from tests.lab.clusters import Cluster, Json, condition, container, shell, state_of, status_of
from tests.lab.waiting import eventually, still

HOLD = {"metadata": {"finalizers": ["quorate.dev/instance"]}}
SLEEP = "trap 'exit 0' TERM; sleep 600 & wait"


async def test_it_registers_its_node_as_a_kubelet_does(cluster: Cluster) -> None:
    node = await cluster.until_ready()
    name = cluster.node.name
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == name
    assert {"type": "InternalIP", "address": cluster.node.address} in node["status"]["addresses"]
    ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "True"
    info = node["status"]["nodeInfo"]
    assert info["systemUUID"] == cluster.node.files.system_uuid.read_text().strip()
    assert not node.get("spec", {}).get("taints")
    lease = await eventually(lambda: cluster.get(f"{LEASES}/{name}"))
    assert lease["spec"]["holderIdentity"] == name


async def test_a_reset_shows_as_another_boot_of_the_same_machine(cluster: Cluster) -> None:
    before = (await cluster.until_ready())["status"]["nodeInfo"]
    await cluster.node.power_off()
    await cluster.node.power_on()
    after = (await cluster.until_ready())["status"]["nodeInfo"]
    assert after["bootID"] != before["bootID"]
    assert after["systemUUID"] == before["systemUUID"]


async def test_a_pod_runs_as_a_real_process_and_is_reported_ready(cluster: Cluster) -> None:
    path = await cluster.create(shell(SLEEP), metadata={"annotations": {INSTANCE_ANNOTATION: "i-1"}})
    pod = await cluster.until_running(path)
    (process, *_) = cluster.processes_of(pod)
    assert process.marks[processes.GUEST] == f"default/{pod['metadata']['name']}"
    assert process.marks[processes.INSTANCE] == "i-1"
    assert process.marks[processes.NODE] == cluster.node.name
    status = status_of(pod)
    assert status["state"]["running"]["startedAt"]
    assert status["ready"] is True
    assert status["started"] is True
    assert status["restartCount"] == 0
    assert status["containerID"].startswith("lab://")
    assert [condition(pod, kind) for kind in ("Initialized", "ContainersReady", "Ready")] == ["True"] * 3
    assert pod["status"]["hostIP"] == pod["status"]["podIP"] == cluster.node.address
    assert pod["status"]["startTime"]
    records = cluster.node.files.run / "pods" / pod["metadata"]["uid"]
    pid = int((records / "main.pid").read_text())
    record = json.loads((records / "main.json").read_text())
    assert processes.start_ticks(pid) == record["startTicks"]
    assert record["pid"] == pid


async def test_init_containers_run_one_after_another_before_the_others(cluster: Cluster) -> None:
    order = cluster.rack.directory / "order"
    path = await cluster.create(
        shell(f"echo main >> {order}; {SLEEP}"),
        initContainers=[
            shell(f"sleep 0.2; echo first >> {order}", "first"),
            shell(f"echo second >> {order}; while [ ! -e {order}.go ]; do sleep 0.02; done", "second"),
        ],
    )
    pod = await cluster.until(path, lambda one: "running" in state_of(one, "second"))
    assert state_of(pod, "first")["terminated"]["exitCode"] == 0
    assert state_of(pod, "first")["terminated"]["reason"] == "Completed"
    assert state_of(pod)["waiting"]["reason"] == "PodInitializing"
    assert pod["status"]["phase"] == "Pending"
    assert condition(pod, "Initialized") == "False"
    order.with_name("order.go").touch()
    pod = await cluster.until_running(path)
    assert condition(pod, "Initialized") == "True"
    assert status_of(pod, "second")["ready"] is True
    assert order.read_text().split() == ["first", "second", "main"]


async def test_a_failed_init_container_fails_the_pod_and_the_main_container_never_starts(cluster: Cluster) -> None:
    """The start gate's word: exit code 86, and the last version says that main is still waiting."""
    path = await cluster.create(
        shell(SLEEP),
        initContainers=[shell("echo another boot >&2; exit 86", "gate", terminationMessagePolicy=FALL_BACK)],
    )
    pod = await cluster.until_phase(path, "Failed")
    gate = state_of(pod, "gate")["terminated"]
    assert (gate["exitCode"], gate["reason"], gate["message"]) == (86, "Error", "another boot\n")
    assert state_of(pod)["waiting"]["reason"] == "PodInitializing"
    assert cluster.processes_of(pod) == []


FALL_BACK = "FallbackToLogsOnError"


@pytest.mark.parametrize(
    ("script", "phase", "exit_code", "reason"),
    [
        ("exit 0", "Succeeded", 0, "Completed"),
        ("echo what it said; exit 3", "Failed", 3, "Error"),
        ("kill -KILL $$$$", "Failed", 137, "Error"),
    ],
)
async def test_the_end_of_a_container_is_reported_as_it_was(
    cluster: Cluster, script: str, phase: str, exit_code: int, reason: str
) -> None:
    path = await cluster.create(shell(script, terminationMessagePolicy=FALL_BACK))
    pod = await cluster.until_phase(path, phase)
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (exit_code, reason)
    assert ended["startedAt"]
    assert ended["finishedAt"]
    assert ended["containerID"]
    assert ended.get("message", "") == ("what it said\n" if exit_code == 3 else "")
    assert condition(pod, "Ready") == "False"


async def test_a_command_that_does_not_exist_is_a_start_error(cluster: Cluster) -> None:
    path = await cluster.create(container("/no/such/command"))
    pod = await cluster.until_phase(path, "Failed")
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such/command" in ended["message"]


async def test_processes_that_a_container_leaves_behind_end_with_it(cluster: Cluster) -> None:
    """Also those that made a session of their own: when it is reported terminated nothing of it runs."""
    path = await cluster.create(shell("sleep 600 & setsid sleep 600 & sleep 0.3; exit 0"))
    pod = await cluster.until_phase(path, "Succeeded")
    assert cluster.processes_of(pod) == []


async def test_the_downward_api_and_references_in_commands(cluster: Cluster) -> None:
    fields = {
        "NAME": "metadata.name",
        "NAMESPACE": "metadata.namespace",
        "POD": "metadata.uid",
        "NOTE": "metadata.annotations['example.org/note']",
        "LABEL": "metadata.labels['app']",
        "NODE": "spec.nodeName",
        "HOST": "status.hostIP",
        "OWN": "status.podIP",
    }
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    env += [{"name": "BOTH", "value": "$(NAME)/$(LABEL) $$(NAME) $(UNKNOWN)"}]
    out = cluster.rack.directory / "out"
    code = f"import json, os, sys; json.dump([dict(os.environ), sys.argv[1:]], open({str(out)!r}, 'w'))"
    path = await cluster.create(
        container("python3", "-c", code, args=["$(NODE)", "$$(NODE)"], env=env),
        metadata={"annotations": {"example.org/note": "hello"}, "labels": {"app": "web"}},
    )
    pod = await cluster.until_phase(path, "Succeeded")
    environ, arguments = json.loads(out.read_text())
    name, uid, address = pod["metadata"]["name"], pod["metadata"]["uid"], cluster.node.address
    assert {key: environ[key] for key in fields} == {
        "NAME": name,
        "NAMESPACE": "default",
        "POD": uid,
        "NOTE": "hello",
        "LABEL": "web",
        "NODE": cluster.node.name,
        "HOST": address,
        "OWN": address,
    }
    assert environ["BOTH"] == f"{name}/web $(NAME) $(UNKNOWN)"
    assert arguments == [cluster.node.name, "$(NODE)"]
    assert environ["PATH"].split(":")[0] == os.path.dirname(sys.executable)  # noqa: PTH120


async def test_volumes_are_directories_under_the_root_and_a_claim_is_shared(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"claim-{cluster.node.name}"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    name = claim["metadata"]["name"]  # type: ignore[index]
    volumes = [
        {"name": "shared", "persistentVolumeClaim": {"claimName": name}},
        {"name": "own", "hostPath": {"path": "/srv/own"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [
        {"name": "shared", "mountPath": "/data"},
        {"name": "own", "mountPath": "/var/own"},
        {"name": "scratch", "mountPath": "/tmp/scratch"},
    ]
    write = "echo 1 > $QUORATE_ROOT/data/file; echo 2 > var/own/file; echo 3 > tmp/scratch/file"
    pod_path = await cluster.create(shell(f"{write}; {SLEEP}", volumeMounts=mounts), volumes=volumes)
    waiting = await cluster.until(pod_path, lambda one: "waiting" in state_of(one))
    assert state_of(waiting)["waiting"]["reason"] == "ContainerCreating"  # the claim does not exist yet
    await cluster.api.post(path, claim)
    await cluster.api.patch(f"{path}/{name}/status", {"status": {"phase": "Bound"}})
    pod = await cluster.until_running(pod_path)
    disk, shared = cluster.node.files.disk, cluster.rack.directory / "claims" / "default" / str(name)
    await eventually((shared / "file").exists)
    await eventually((disk / "host" / "srv" / "own" / "file").exists)
    uid = pod["metadata"]["uid"]
    await eventually((disk / "pods" / uid / "volumes" / "scratch" / "file").exists)
    await cluster.api.delete(pod_path)
    await cluster.until_gone(pod_path)
    await eventually(lambda: not (disk / "pods" / uid).exists())
    assert (shared / "file").read_text() == "1\n"


async def test_an_image_that_cannot_be_pulled_only_waits(cluster: Cluster) -> None:
    path = await cluster.create({**shell(SLEEP), "image": "registry.example/missing:1"})
    pod = await cluster.until(path, lambda one: state_of(one).get("waiting", {}).get("reason") == "ImagePullBackOff")
    assert pod["status"]["phase"] == "Pending"
    assert "missing:1" in state_of(pod)["waiting"]["message"]


async def test_a_container_without_a_command_idles_and_ends_well(cluster: Cluster) -> None:
    path = await cluster.create({"name": "main", "image": "nginx:1.29"}, **HOLD)
    await cluster.until_running(path)
    await cluster.api.delete(path)
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    assert state_of(pod)["terminated"]["exitCode"] == 0
    await let_go(cluster, path)


async def test_a_deleted_pod_gets_sigterm_and_its_last_words_before_it_goes(cluster: Cluster) -> None:
    path = await cluster.create(shell("trap 'exit 7' TERM; sleep 600 & wait"), **HOLD)
    await cluster.until_running(path)
    await cluster.api.delete(path)
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    assert state_of(pod)["terminated"]["exitCode"] == 7
    assert cluster.processes_of(pod) == []
    # It deletes with grace 0 then, and a finalizer of somebody else keeps the object all the same.
    await cluster.until(path, lambda one: one["metadata"]["deletionGracePeriodSeconds"] == 0)
    await let_go(cluster, path)


async def test_one_that_ignores_sigterm_is_killed_after_its_grace_period(cluster: Cluster) -> None:
    path = await cluster.create(
        shell("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=1, **HOLD
    )
    await cluster.until_running(path)
    await cluster.api.delete(path)
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    assert state_of(pod)["terminated"]["exitCode"] == 137
    assert pod["status"]["phase"] == "Failed"
    await let_go(cluster, path)


async def test_without_finalizers_a_deleted_pod_is_gone_in_the_end(cluster: Cluster) -> None:
    path = await cluster.create(shell(SLEEP))
    pod = await cluster.until_running(path)
    await cluster.api.delete(path)
    await cluster.until_gone(path)
    assert cluster.processes_of(pod) == []
    await eventually(lambda: not (cluster.node.files.run / "pods" / pod["metadata"]["uid"]).exists())


async def test_a_pod_that_was_deleted_by_force_is_stopped_all_the_same(cluster: Cluster) -> None:
    """The object is gone at once, the process lives on for a moment: an absent object proves nothing."""
    path = await cluster.create(shell("trap '' TERM; while :; do sleep 0.1; done"))
    pod = await cluster.until_running(path)
    await cluster.api.delete(path, {"gracePeriodSeconds": 0})
    assert await cluster.get(path) is None
    await eventually(lambda: cluster.processes_of(pod) == [])
    await eventually(lambda: not (cluster.node.files.run / "pods" / pod["metadata"]["uid"]).exists())


async def test_a_readiness_probe_decides_when_it_is_ready(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    path = await cluster.create(shell(SLEEP, readinessProbe=probe))
    pod = await cluster.until_running(path)
    assert condition(pod, "Ready") == "False"
    assert status_of(pod)["ready"] is False
    flag = cluster.node.files.disk / "pods" / pod["metadata"]["uid"] / "root" / "main" / "ready"
    flag.touch()
    await cluster.until(path, lambda one: condition(one, "Ready") == "True")
    flag.unlink()
    pod = await cluster.until(path, lambda one: condition(one, "Ready") == "False")
    await restart_kubelet(cluster)
    await cluster.until_ready()
    again = await cluster.api.get(path)
    assert condition(again, "Ready") == "False"
    assert times(again)["Ready"] == times(pod)["Ready"]  # not even for a moment


async def test_a_readiness_probe_over_http(cluster: Cluster) -> None:
    serve = ["python3", "-m", "http.server", "--bind", cluster.node.address, "18080"]
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    path = await cluster.create(
        container(*serve, readinessProbe=probe, ports=[{"name": "web", "containerPort": 18080}])
    )
    await cluster.until(path, lambda one: condition(one, "Ready") == "True")


async def test_with_another_restart_policy_a_container_is_started_again(cluster: Cluster) -> None:
    path = await cluster.create(shell("[ -e again ] && sleep 600; touch again; exit 4"), restartPolicy="OnFailure")
    pod = await cluster.until(path, lambda one: status_of(one).get("restartCount") == 1)
    pod = await cluster.until_running(path)
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 4


async def test_it_refuses_what_an_untolerated_noexecute_taint_keeps_away(cluster: Cluster) -> None:
    taint = [{"key": "example.org/drain", "effect": "NoExecute", "value": "now"}]
    await cluster.api.patch(f"/api/v1/nodes/{cluster.node.name}", {"spec": {"taints": taint}})
    path = await cluster.create(shell(SLEEP))
    tolerant = await cluster.create(shell(SLEEP), tolerations=[{"key": "example.org/drain", "operator": "Exists"}])
    pod = await cluster.until_phase(path, "Failed")
    assert pod["status"]["reason"] == "TaintToleration"
    assert pod["status"]["message"].startswith("Pod was rejected: Predicate TaintToleration failed")
    assert not pod["status"].get("containerStatuses")
    await cluster.until_running(tolerant)


async def test_it_does_not_mind_noschedule_taints(cluster: Cluster) -> None:
    taint = [{"key": "example.org/cordon", "effect": "NoSchedule"}]
    await cluster.api.patch(f"/api/v1/nodes/{cluster.node.name}", {"spec": {"taints": taint}})
    await cluster.until_running(await cluster.create(shell(SLEEP)))


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"disk": "ssd"}},
        {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
                    }
                }
            }
        },
    ],
)
async def test_it_refuses_what_is_selected_for_other_nodes(cluster: Cluster, spec: dict[str, object]) -> None:
    path = await cluster.create(shell(SLEEP), **spec)
    pod = await cluster.until_phase(path, "Failed")
    assert pod["status"]["reason"] == "NodeAffinity"


async def test_a_final_phase_that_somebody_else_writes_ends_the_containers(cluster: Cluster) -> None:
    """PodGC sets Failed while containers run: the phase proves nothing, the containers end after it."""
    path = await cluster.create(shell("trap 'exit 5' TERM; sleep 600 & wait"))
    pod = await cluster.until_running(path)
    await cluster.api.patch(f"{path}/status", {"status": {"phase": "Failed"}})
    assert state_of(await cluster.api.get(path)).get("running") or not cluster.processes_of(pod)
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    assert state_of(pod)["terminated"]["exitCode"] == 5
    assert pod["status"]["phase"] == "Failed"


async def test_conditions_of_others_are_kept(cluster: Cluster) -> None:
    path = await cluster.create(shell("while [ ! -e go ]; do sleep 0.02; done"))
    pod = await cluster.until_running(path)
    foreign = {"type": "example.org/Foreign", "status": "True"}
    conditions = [*pod["status"]["conditions"], foreign]
    await cluster.api.patch(f"{path}/status", {"status": {"conditions": conditions}})
    (cluster.node.files.disk / "pods" / pod["metadata"]["uid"] / "root" / "main" / "go").touch()
    pod = await cluster.until_phase(path, "Succeeded")
    assert condition(pod, "example.org/Foreign") == "True"


async def test_a_kubelet_that_is_started_again_adopts_what_runs(cluster: Cluster) -> None:
    path = await cluster.create(shell(SLEEP))
    pod = await cluster.until_running(path)
    first = first_process(cluster, pod)
    await restart_kubelet(cluster)
    await still(lambda: first_process(cluster, pod) == first, 0.5)
    again = await cluster.until_running(path)
    assert status_of(again)["containerID"] == status_of(pod)["containerID"]
    await cluster.api.delete(path)
    await cluster.until_gone(path)
    assert cluster.processes_of(pod) == []


async def test_an_end_that_no_kubelet_saw_is_known_to_the_next_one(cluster: Cluster) -> None:
    path = await cluster.create(shell("while [ ! -e go ]; do sleep 0.02; done; exit 9"))
    pod = await cluster.until_running(path)
    kubelet = await eventually(cluster.kubelet)
    processes.send(kubelet, signal.SIGSTOP)
    (cluster.node.files.disk / "pods" / pod["metadata"]["uid"] / "root" / "main" / "go").touch()
    await eventually(lambda: cluster.processes_of(pod) == [])
    processes.send(kubelet, signal.SIGKILL)
    pod = await cluster.until_phase(path, "Failed")
    assert state_of(pod)["terminated"]["exitCode"] == 9


async def test_a_kubelet_that_is_started_again_stops_pods_that_are_gone(cluster: Cluster) -> None:
    path = await cluster.create(shell(SLEEP))
    pod = await cluster.until_running(path)
    kubelet = await eventually(cluster.kubelet)
    processes.send(kubelet, signal.SIGSTOP)
    await cluster.api.delete(path, {"gracePeriodSeconds": 0})
    processes.send(kubelet, signal.SIGKILL)
    await eventually(lambda: cluster.processes_of(pod) == [])
    await eventually(lambda: not (cluster.node.files.run / "pods" / pod["metadata"]["uid"]).exists())


async def test_a_kubelet_that_is_started_again_refuses_a_running_pod_that_no_longer_fits(cluster: Cluster) -> None:
    """Measured on real ones: it fails the Pod while it still runs, and only then stops it."""
    path = await cluster.create(shell(SLEEP))
    pod = await cluster.until_running(path)
    taint = [{"key": "example.org/drain", "effect": "NoExecute"}]
    await cluster.api.patch(f"/api/v1/nodes/{cluster.node.name}", {"spec": {"taints": taint}})
    await restart_kubelet(cluster)
    pod = await cluster.until_phase(path, "Failed")
    assert pod["status"]["reason"] == "TaintToleration"
    assert not pod["status"].get("containerStatuses")
    await eventually(lambda: cluster.processes_of(pod) == [])


async def test_cut_off_it_keeps_its_pods_running_and_goes_on_with_them(cluster: Cluster) -> None:
    path = await cluster.create(shell("while [ ! -e go ]; do sleep 0.02; done; exit 6"))
    pod = await cluster.until_running(path)
    first = first_process(cluster, pod)
    await cluster.node.network_off()
    await cluster.api.delete(path)
    await still(lambda: first_process(cluster, pod) == first, 1.0)
    await cluster.node.network_on()
    await cluster.until_gone(path)
    assert cluster.processes_of(pod) == []


async def test_cut_off_it_remembers_what_it_has_to_say(cluster: Cluster) -> None:
    path = await cluster.create(shell("while [ ! -e go ]; do sleep 0.02; done; exit 6"))
    pod = await cluster.until_running(path)
    await cluster.node.network_off()
    (cluster.node.files.disk / "pods" / pod["metadata"]["uid"] / "root" / "main" / "go").touch()
    await eventually(lambda: cluster.processes_of(pod) == [])
    assert "running" in state_of(await cluster.api.get(path))
    await cluster.node.network_on()
    pod = await cluster.until_phase(path, "Failed")
    assert state_of(pod)["terminated"]["exitCode"] == 6


async def test_a_clean_shutdown_stops_the_guests_gracefully_and_says_so(cluster: Cluster) -> None:
    path = await cluster.create(shell("trap 'exit 0' TERM; sleep 600 & wait"), **HOLD)
    await cluster.until_running(path)
    await cluster.node.shutdown()
    assert cluster.rack.running(cluster.node.name) == []
    pod = await cluster.api.get(path)
    assert state_of(pod)["terminated"]["exitCode"] == 0
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Terminated")
    await let_go(cluster, path)


def times(pod: Json) -> Json:
    """Since when each condition has been as it is."""
    return {one["type"]: one["lastTransitionTime"] for one in pod["status"]["conditions"]}


async def restart_kubelet(cluster: Cluster) -> None:
    """End the kubelet's process and wait for its successor."""
    kubelet = await eventually(cluster.kubelet)
    processes.send(kubelet, signal.SIGKILL)
    await eventually(lambda: (other := cluster.kubelet()) is not None and other.pid != kubelet.pid)


def first_process(cluster: Cluster, pod: Json) -> tuple[int, int | None]:
    """Pid and start time of the container's first process, which runs."""
    pid = int((cluster.node.files.run / "pods" / pod["metadata"]["uid"] / "main.pid").read_text())
    assert pid in {process.pid for process in cluster.processes_of(pod)}
    return pid, processes.start_ticks(pid)


async def let_go(cluster: Cluster, path: str) -> None:
    """Take our finalizer off, as the manager does, and see the object gone."""
    pod = await cluster.get(path)
    if pod is not None and pod["metadata"].get("finalizers"):
        await cluster.api.patch(path, {"metadata": {"finalizers": None}})
    if pod is not None and "deletionTimestamp" in pod["metadata"]:
        await cluster.until_gone(path)

"""What a rebooted kubelet does with the pods bound to its node (safety: an instance never starts in another boot)."""

import asyncio
from pathlib import Path
from shutil import rmtree

from quorate.lab.kubelet.decide import Json
from quorate.lab.watchdog import kill_node
from tests.lab.clusters import Cluster, container, shell, state_of, status_of
from tests.lab.test_kubelet import HOLD, SLEEP, let_go
from tests.lab.waiting import eventually, still

LONG_S = 0.5
"""Long enough for a kubelet that is Ready to start what it means to start."""


async def reset(cluster: Cluster) -> None:
    """Power off and on again, until the kubelet of the new boot has reported."""
    await cluster.node.power_off()
    await cluster.node.power_on()
    await cluster.until_ready()


def marks(cluster: Cluster) -> Path:
    """A file in which guests leave a mark with each start."""
    return cluster.rack.directory / "starts"


def starts(cluster: Cluster) -> list[str]:
    path = marks(cluster)
    return path.read_text().split() if path.exists() else []


def marking(cluster: Cluster, word: str, rest: str, name: str = "main") -> Json:
    return shell(f"echo {word} >> {marks(cluster)}; {rest}", name)


async def test_what_ran_is_reported_terminated_and_never_runs_again(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP))
    await cluster.until_running(path)
    await reset(cluster)
    pod = await cluster.until_phase(path, "Failed")
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (255, "Unknown")
    assert ended["containerID"]
    await still(lambda: starts(cluster) == ["main"], LONG_S)


async def test_when_the_runtime_lost_its_records_the_end_is_only_guessed(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP))
    await cluster.until_running(path)
    await cluster.node.power_off()
    rmtree(cluster.node.files.disk / "containers")
    await cluster.node.power_on()
    pod = await cluster.until_phase(path, "Failed")
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    await still(lambda: starts(cluster) == ["main"], LONG_S)


async def test_what_never_started_is_started_init_containers_first(cluster: Cluster) -> None:
    """That is what the start gate is for."""
    await cluster.node.power_off()
    path = await cluster.create(
        marking(cluster, "main", SLEEP), initContainers=[marking(cluster, "gate", "exit 0", "gate")]
    )
    await cluster.node.power_on()
    await cluster.until_running(path)
    assert starts(cluster) == ["gate", "main"]


async def test_a_gate_that_says_no_keeps_it_from_running_at_all(cluster: Cluster) -> None:
    await cluster.node.power_off()
    path = await cluster.create(
        marking(cluster, "main", SLEEP), initContainers=[marking(cluster, "gate", "exit 86", "gate")]
    )
    await cluster.node.power_on()
    pod = await cluster.until_phase(path, "Failed")
    assert state_of(pod, "gate")["terminated"]["exitCode"] == 86
    assert "waiting" in state_of(pod)
    await still(lambda: starts(cluster) == ["gate"], LONG_S)


async def test_what_was_deleted_before_it_ever_started_is_not_started(cluster: Cluster) -> None:
    await cluster.node.power_off()
    path = await cluster.create(marking(cluster, "main", SLEEP), **HOLD)
    await cluster.api.delete(path)
    await cluster.node.power_on()
    await cluster.until_phase(path, "Failed")
    await still(lambda: starts(cluster) == [], LONG_S)
    await let_go(cluster, path)


async def test_what_ran_and_was_deleted_meanwhile_is_reported_and_let_go(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP), **HOLD)
    await cluster.until_running(path)
    await cluster.node.power_off()
    await cluster.api.delete(path)
    await cluster.node.power_on()
    pod = await cluster.until(path, lambda one: "terminated" in state_of(one))
    assert state_of(pod)["terminated"]["exitCode"] == 255
    await cluster.until(path, lambda one: one["metadata"]["deletionGracePeriodSeconds"] == 0)
    await let_go(cluster, path)
    assert starts(cluster) == ["main"]


async def test_one_past_its_gate_does_not_start_in_the_next_boot(cluster: Cluster) -> None:
    """The init container ended well, the main one never started: a sandbox of `Never` is not made a second time."""
    path = await cluster.create(
        {**marking(cluster, "main", SLEEP), "image": "missing"},
        initContainers=[marking(cluster, "gate", "exit 0", "gate")],
    )
    await cluster.until(path, lambda one: state_of(one).get("waiting", {}).get("reason") == "ImagePullBackOff")
    await reset(cluster)
    await still(lambda: starts(cluster) == ["gate"], LONG_S)
    pod = await cluster.api.get(path)
    assert pod["status"]["phase"] == "Pending"
    assert "waiting" in state_of(pod)


async def test_with_restart_policy_always_it_runs_again(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP), restartPolicy="Always")
    await cluster.until_running(path)
    await reset(cluster)
    pod = await cluster.until(path, lambda one: status_of(one)["restartCount"] == 1 and "running" in state_of(one))
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 255
    assert starts(cluster) == ["main", "main"]


async def test_a_taint_set_before_the_boot_keeps_out_what_never_started(cluster: Cluster) -> None:
    await cluster.node.power_off()
    taint = [{"key": "example.org/fence", "effect": "NoExecute"}]
    await cluster.api.patch(f"/api/v1/nodes/{cluster.node.name}", {"spec": {"taints": taint}})
    path = await cluster.create(marking(cluster, "main", SLEEP))
    await cluster.node.power_on()
    pod = await cluster.until_phase(path, "Failed")
    assert pod["status"]["reason"] == "TaintToleration"
    await still(lambda: starts(cluster) == [], LONG_S)


async def test_without_the_api_server_a_rebooted_kubelet_starts_nothing(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP), restartPolicy="Always")
    await cluster.until_running(path)
    await cluster.node.network_off()
    await cluster.node.power_off()
    await cluster.node.power_on()
    await eventually(cluster.kubelet)
    await still(lambda: starts(cluster) == ["main"], LONG_S)


async def test_a_busy_guest_on_a_frozen_node_never_writes_again(cluster: Cluster) -> None:
    """Frozen, then killed from outside: not one more line, however busy it was."""
    journal = cluster.rack.directory / "journal"
    path = await cluster.create(container("python3", "-m", "quorate.lab.guest", "--file", str(journal), "--every", "0"))
    await cluster.until_running(path)
    await eventually(lambda: journal.exists() and journal.stat().st_size > 0)
    await cluster.node.freeze()
    size = journal.stat().st_size
    await kill_node(cluster.rack.lab, cluster.node.name)
    await eventually(lambda: cluster.node.boot == 2)
    await cluster.until_phase(path, "Failed")
    assert journal.stat().st_size == size


async def test_a_thawed_node_goes_on_where_it_was(cluster: Cluster) -> None:
    path = await cluster.create(marking(cluster, "main", SLEEP))
    pod = await cluster.until_running(path)
    await cluster.node.freeze()
    await asyncio.sleep(LONG_S)
    await cluster.node.thaw()
    await cluster.api.delete(path)
    await cluster.until_gone(path)
    assert cluster.processes_of(pod) == []
    assert cluster.node.boot == 1

"""Whose is a process, by its cgroup: the machine's observer for kind nodes."""

import subprocess

import pytest

from quorate.lab import processes
from quorate.lab.observer import Instance
from tests.e2e.eyes import NodeEye

NODE, OTHER = "4c3f6ec7" * 8, "aaaaaaaa" * 8
CONTAINER = "678b9e08" * 8
POD = "e19cbc11-2338-4aec-9e45-bbf9639ef5de"
SLICE = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice"
COMMAND = ["sleep", "61"]


@pytest.mark.parametrize(
    "cgroups",
    [
        f"3:cpuset:/docker/{NODE}/{SLICE}/cri-containerd-{CONTAINER}.scope\n",
        f"0::/system.slice/docker-{NODE}.scope/kubelet.slice/{SLICE}/cri-containerd-{CONTAINER}.scope\n",
        f"0::/docker/{NODE}/kubepods/burstable/pod{POD}/{CONTAINER}\n",
    ],
)
def test_a_process_is_told_by_node_pod_and_container(cgroups: str) -> None:
    eye = NodeEye("web", COMMAND, {"worker": NODE})
    assert eye.instance(cgroups) == Instance("web", CONTAINER, "worker", POD)


@pytest.mark.parametrize(
    "cgroups",
    [
        f"0::/docker/{NODE}/init.scope\n",
        f"0::/docker/{OTHER}/{SLICE}/cri-containerd-{CONTAINER}.scope\n",
        "0::/user.slice\n",
    ],
    ids=["the node itself", "a Pod of another cluster", "this machine"],
)
def test_what_is_no_guest_of_these_nodes_is_not_seen(cgroups: str) -> None:
    assert NodeEye("web", COMMAND, {"worker": NODE}).instance(cgroups) is None


def test_the_same_command_outside_of_the_nodes_is_not_the_guest() -> None:
    with subprocess.Popen(COMMAND) as child:
        assert processes.inspect(child.pid) is not None
        assert NodeEye("web", COMMAND, {"worker": NODE}).look() == {}
        child.kill()

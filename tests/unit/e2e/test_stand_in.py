"""The killer of the watchdog stand-in for kind: which cgroup is a node's, and is it frozen."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e import stand_in
from tests.e2e.stand_in import StandInError

ID = "4c3f6ec7422cf6f074a0ce9eebbf58fc13174a5bd6c82aaa65d4ced09e00f7b1"
V1 = f"9:name=systemd:/docker/{ID}/init.scope\n6:freezer:/docker/{ID}\n"
V2 = f"0::/system.slice/docker-{ID}.scope/init.scope\n"
HYBRID = f"0::/docker/{ID}/init.scope\n{V1}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (V1, f"freezer/docker/{ID}"),
        (V2, f"system.slice/docker-{ID}.scope"),
        (HYBRID, f"freezer/docker/{ID}"),
    ],
    ids=["v1", "v2", "hybrid"],
)
def test_a_nodes_cgroup_is_the_one_that_docker_freezes(tmp_path: Path, text: str, found: str) -> None:
    assert stand_in.freezer_of(ID, text, tmp_path) == tmp_path / found


def test_a_process_that_is_in_no_container_is_not_killed_for_one(tmp_path: Path) -> None:
    with pytest.raises(StandInError, match="its cgroup is not in"):
        stand_in.freezer_of(ID, "0::/user.slice\n", tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "frozen"),
    [
        ("freezer.state", "FROZEN\n", True),
        ("freezer.state", "FREEZING\n", True),
        ("freezer.state", "THAWED\n", False),
        ("cgroup.events", "populated 1\nfrozen 1\n", True),
        ("cgroup.events", "populated 1\nfrozen 0\n", False),
    ],
)
def test_both_versions_say_whether_a_node_is_frozen(tmp_path: Path, file: str, text: str, frozen: bool) -> None:
    (tmp_path / file).write_text(text)
    assert stand_in.is_frozen(tmp_path) is frozen


def test_a_node_that_has_ended_is_not_frozen(tmp_path: Path) -> None:
    assert not stand_in.is_frozen(tmp_path / "gone")


def test_everything_in_a_frozen_node_and_below_is_killed(tmp_path: Path) -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    below = tmp_path / "kubepods.slice"
    below.mkdir()
    try:
        (tmp_path / "cgroup.procs").write_text(f"{children[0].pid}\n")
        (below / "cgroup.procs").write_text(f"{children[1].pid}\n{children[0].pid}\n")
        assert stand_in.kill_frozen(tmp_path) == 2
        assert [child.wait(timeout=30) for child in children] == [-9, -9]
    finally:
        for child in children:
            child.kill()


def test_a_node_that_is_off_needs_no_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def docker(*arguments: str) -> str:
        asked.append(arguments[0])
        return f"{ID} 0"

    monkeypatch.setattr(stand_in, "docker", docker)
    stand_in.kill("node1")
    assert asked == ["inspect"]

"""The kind cluster's own promises: nothing is left behind in silence, and its files agree with each other."""

import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e import cluster
from tests.e2e.cluster import CONFIG, IMAGE, OVERLAY, KindCluster, watchdog_directory
from tests.e2e.machine import ROOT, KindError, Machine


def made(directory: Path) -> KindCluster:
    machine = Machine(kind=Path("kind"), kubectl=Path("kubectl"), rig=None)
    return KindCluster(machine, "some-cluster", directory, directory / "kubeconfig")


def test_a_cluster_that_cannot_be_removed_is_tried_again_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def run(*command: str | Path, **_: object) -> str:
        if "delete" in command:
            tries.append(command)
            raise KindError("kind delete: busy")
        return "4c3f6ec7422c\n"

    monkeypatch.setattr(cluster, "run", run)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: None)
    with pytest.raises(KindError, match=r"4c3f6ec7422c.*kind delete cluster --name some-cluster.*busy"):
        made(tmp_path).down()
    assert len(tries) > 1


@pytest.mark.parametrize(
    ("words", "asked"), [("dial tcp: connect: connection refused", 2), ("pods is forbidden: User cannot get", 1)]
)
def test_what_nobody_has_answered_is_asked_again_and_a_refusal_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, asked: int
) -> None:
    answers = [KindError(words), "yes"]
    said = []

    def run(*_: str | Path, **__: object) -> str:
        said.append(answers.pop(0))
        if isinstance(said[-1], KindError):
            raise said[-1]
        return str(said[-1])

    monkeypatch.setattr(cluster, "run", run)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: None)
    if asked == 1:
        with pytest.raises(KindError, match="forbidden"):
            made(tmp_path).kubectl("get", "pods")
    else:
        assert made(tmp_path).kubectl("get", "pods") == "yes"
    assert len(said) == asked


def test_what_is_waited_for_is_returned_and_the_last_error_is_told(tmp_path: Path) -> None:
    def fail() -> str:
        raise KindError("no such Pod")

    assert made(tmp_path).eventually("it answers", lambda: "pod-1", limit_s=1) == "pod-1"
    with pytest.raises(KindError, match=r"not within 0.01s: it answers \(last: no such Pod\)"):
        made(tmp_path).eventually("it answers", fail, limit_s=0.01)


def test_a_stand_in_is_ended_only_if_it_is_one(tmp_path: Path) -> None:
    """The number in its file may long be another process's."""
    with subprocess.Popen(["sleep", "60"]) as another:
        (tmp_path / "stand-in.pid").write_text(f"{another.pid}\n")
        made(tmp_path).stop_stand_in()
        assert not (tmp_path / "stand-in.pid").exists()
        another.kill()
        assert another.wait() == -signal.SIGKILL


def test_what_kind_mounts_is_where_the_agents_look() -> None:
    nodes = yaml.safe_load(CONFIG.read_text())["nodes"]
    mounted = {mount["containerPath"] for node in nodes for mount in node["extraMounts"]}
    overlay = yaml.safe_load((OVERLAY / "kustomization.yaml").read_text())
    added = [one["value"] for patch in overlay["patches"] for one in yaml.safe_load(patch["patch"])]
    paths = {value["hostPath"]["path"] for value in added if isinstance(value, dict) and "hostPath" in value}
    assert paths == mounted
    assert watchdog_directory().is_absolute()
    assert len(nodes) == 4


def test_the_image_that_is_loaded_is_the_one_that_runs() -> None:
    base = ROOT / "manifests/base"
    (image,) = yaml.safe_load((base / "kustomization.yaml").read_text())["images"]
    assert f"{image['name']}:{image['newTag']}" == IMAGE
    manager = next(
        one for one in yaml.safe_load_all((base / "manager.yaml").read_text()) if one["kind"] == "Deployment"
    )
    environment = manager["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "QUORATE_IMAGE", "value": IMAGE} in environment

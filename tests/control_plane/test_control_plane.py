"""How a real control plane is found, started, started again, and ended."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from quorate.lab.control_plane import ControlPlane, find, find_programs
from quorate.lab.errors import LabError
from tests import real
from tests.control_plane.client import Api
from tests.control_plane.objects import config_maps
from tests.control_plane.servers import eventually


def program(directory: Path, name: str) -> Path:
    """One that can be run."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.touch()
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_programs_are_found_where_people_put_them(tmp_path):
    cached = [
        program(tmp_path / "cache" / f"k8s-{release}" / "bin", "etcd") for release in ("1.9.9", "1.34.4", "1.34.10")
    ]
    environ = {"QUORATE_CACHE": str(tmp_path / "cache"), "PATH": f"{tmp_path}/path"}
    assert find("etcd", environ) == cached[2], "the newest of the cache"
    on_path = program(tmp_path / "path", "etcd")
    assert find("etcd", environ) == on_path
    assets = program(tmp_path / "assets", "etcd")
    assert find("etcd", environ | {"KUBEBUILDER_ASSETS": f"{tmp_path}/assets"}) == assets
    assert find("etcd", {"HOME": str(tmp_path)}) is None
    usual = program(tmp_path / ".cache" / "quorate" / "k8s-1.34.4" / "bin", "etcd")
    assert find("etcd", {"HOME": str(tmp_path)}) == usual


def test_what_is_missing_is_named_with_the_remedy(tmp_path):
    program(tmp_path / "assets", "etcd")
    with pytest.raises(LabError) as error:
        find_programs({"KUBEBUILDER_ASSETS": f"{tmp_path}/assets", "QUORATE_CACHE": f"{tmp_path}/cache"})
    assert str(error.value).startswith(
        f"a real control plane needs kube-apiserver: not found in KUBEBUILDER_ASSETS ({tmp_path}/assets), on PATH, "
        f"or in {tmp_path}/cache/k8s-*/bin. Get them with setup-envtest"
    )


def marked(mark: str) -> list[int]:
    """The processes that carry this in their environment."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if f"QUORATE_TEST={mark}".encode() in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.real
def test_it_is_started_again_where_it_was(tmp_path, unique):
    control_plane = ControlPlane(tmp_path / "cp", real.programs(), {**os.environ, "QUORATE_TEST": unique})
    kubeconfig = tmp_path / "kubeconfig"
    try:
        kubeconfig.write_text(control_plane.start())
        Api(kubeconfig).post(config_maps("default"), {"metadata": {"name": "kept"}}).ok()
        assert len(marked(unique)) >= 2
        assert all(os.getpgid(pid) != os.getpgid(0) for pid in marked(unique)), "in groups of their own"
        control_plane.stop()
        assert marked(unique) == []
        assert control_plane.start() == kubeconfig.read_text()
        assert Api(kubeconfig).get(f"{config_maps('default')}/kept").code == 200
    finally:
        control_plane.stop()


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_command(tmp_path, unique, number):
    real.programs()
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "quorate.lab.control_plane", "--dir", str(tmp_path / "cp"), "--kubeconfig"]
    with subprocess.Popen([*command, str(kubeconfig)], env={**os.environ, "QUORATE_TEST": unique}) as running:
        eventually(lambda: running.poll() is not None or (kubeconfig.exists() and kubeconfig.read_text()))
        assert Api(kubeconfig).get("/readyz").code == 200
        running.send_signal(number)
        assert running.wait(30) == (0 if number == signal.SIGTERM else -number)
    eventually(lambda: marked(unique) == [], limit_s=20)


def pid_of(unique: str, name: str) -> int:
    """The pid of one of its programs; the kernel keeps 15 letters of its name."""
    return next((pid for pid in marked(unique) if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]), 0)


@pytest.mark.real
@pytest.mark.parametrize("name", ["etcd", "kube-apiserver"])
def test_a_component_that_is_killed_is_started_again_where_it_was(tmp_path, unique, name):
    real.programs()
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "quorate.lab.control_plane", "--dir", str(tmp_path / "cp"), "--kubeconfig"]
    with subprocess.Popen([*command, str(kubeconfig)], env={**os.environ, "QUORATE_TEST": unique}) as running:
        eventually(lambda: running.poll() is not None or (kubeconfig.exists() and kubeconfig.read_text()))
        api = Api(kubeconfig)
        api.post(config_maps("default"), {"metadata": {"name": "kept"}}).ok()
        first = pid_of(unique, name)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: pid_of(unique, name) not in {0, first})
        eventually(lambda: answers(api, f"{config_maps('default')}/kept"), limit_s=60)
        assert running.poll() is None
        running.terminate()
        assert running.wait(30) == 0


def answers(api: Api, path: str) -> bool:
    """Does it find the object? For a moment nobody listens, and then it does not yet know whom to trust."""
    try:
        return api.get(path).code == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.mark.real
def test_a_component_that_gives_up_by_itself_ends_it_with_its_last_words(tmp_path, unique):
    real.programs()
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "quorate.lab.control_plane", "--dir", str(tmp_path / "cp"), "--kubeconfig"]
    environ = {**os.environ, "QUORATE_TEST": unique}
    with subprocess.Popen([*command, str(kubeconfig)], env=environ, stderr=subprocess.PIPE, text=True) as running:
        eventually(lambda: running.poll() is not None or (kubeconfig.exists() and kubeconfig.read_text()))
        os.kill(pid_of(unique, "kube-apiserver"), signal.SIGTERM)
        _, said = running.communicate(timeout=40)
    assert running.returncode == 1
    assert "kube-apiserver ended (0), its log:" in said
    assert marked(unique) == []

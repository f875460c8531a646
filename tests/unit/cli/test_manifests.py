"""What is installed and what an uninstall looks for are held together here."""

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from quorate import __version__
from quorate.agent import drivers
from quorate.agent.arguments import parse
from quorate.agent.linux_watchdog import LinuxWatchdog
from quorate.cli.install import Overlay
from quorate.cli.removal.found import COMPONENT_LABEL, CRDS, REST, SELECTOR, WORKLOADS
from quorate.kube.resources import NAMESPACES
from tests import real

ROOT = Path(__file__).parents[3]
BASE = ROOT / "manifests/base"
LOOKED_FOR = {(one.api_version, one.kind) for one in (*WORKLOADS, *REST, CRDS, NAMESPACES)}
KEY, _, VALUE = SELECTOR.partition("=")


def documents():
    """Every object of the base, as it is written."""
    for name in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]:
        if name.endswith(".yaml"):
            yield from (one for one in yaml.safe_load_all((BASE / name).read_text()) if one)
    for file in (ROOT / "crds").glob("quorate.dev_*.yaml"):
        yield yaml.safe_load(file.read_text())


def test_every_kind_that_is_installed_is_looked_for():
    assert {(one["apiVersion"], one["kind"]) for one in documents()} - LOOKED_FOR == set()


def test_everything_gets_the_label_and_no_selector_does():
    (labels,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["labels"]
    assert labels == {"pairs": {KEY: VALUE}, "includeSelectors": False, "includeTemplates": True}


def test_crds_carry_the_label_however_they_are_applied():
    crds = [one for one in documents() if one["kind"] == CRDS.kind]
    assert len(crds) == 4
    assert {one["metadata"]["labels"][KEY] for one in crds} == {VALUE}


def made_by_kustomize(where):
    command = [real.kubectl(), "kustomize", str(ROOT / "manifests" / where)]
    return list(
        yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    )


@pytest.mark.parametrize(
    ("where", "kinds", "realtime"),
    [
        ("base", set(), False),
        ("overlays/kind", {"External"}, False),
        ("overlays/production", {"Hardware", "Softdog", "VirtualHardware", "VirtualSoftdog"}, True),
    ],
)
def test_the_agent_understands_how_it_is_called(where, kinds, realtime):
    (agent,) = [one for one in made_by_kustomize(where) if one["kind"] == "DaemonSet"]
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    arguments = parse(["--node=n1", *container["args"]])
    assert drivers.kinds(arguments.watchdog) == kinds
    assert arguments.realtime is realtime
    device = drivers.named(arguments.watchdog, "n1", shared_kernel=False)
    if isinstance(device, LinuxWatchdog):
        assert device.machine.root == Path("/proc/1/root"), "what it reads is the host's"
        assert container["securityContext"]["privileged"]
        assert agent["spec"]["template"]["spec"]["hostPID"]


def sorted_objects(made):
    return sorted(made, key=lambda one: (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]))


@pytest.mark.parametrize("overlay", list(Overlay))
def test_what_install_prints_is_what_kustomize_makes(run, overlay):
    ended = run("install", "--print", "--overlay", overlay)
    assert (ended.code, ended.err) == (0, "")
    printed = list(yaml.safe_load_all(ended.out))
    assert sorted_objects(printed) == sorted_objects(made_by_kustomize(f"overlays/{overlay}"))
    kinds = [one["kind"] for one in printed]
    assert kinds[0] == "Namespace"
    assert kinds[-2:] == ["Deployment", "DaemonSet"], "what they need is there before them"


def test_install_says_what_it_is_told_to(run):
    own = ("--image", "r/q:1", "--watchdog", "linux:/dev/watchdog1", "--managers", "1")
    ended = run("install", "--print", *own)
    *_, managers, agents = yaml.safe_load_all(ended.out)
    assert "a single manager" in ended.err
    assert managers["spec"]["replicas"] == 1
    (manager,), (agent,) = (one["spec"]["template"]["spec"]["containers"] for one in (managers, agents))
    assert (manager["image"], agent["image"]) == ("r/q:1", "r/q:1")
    assert {"name": "QUORATE_IMAGE", "value": "r/q:1"} in manager["env"]
    assert "--watchdog=linux:/dev/watchdog1" in agent["args"]
    assert len([one for one in agent["args"] if one.startswith("--watchdog")]) == 1
    *_, managers, _ = yaml.safe_load_all(run("install", "--print", "--image", "q:1", "--manager-image", "q:2").out)
    (manager,) = managers["spec"]["template"]["spec"]["containers"]
    assert manager["image"] == "q:2"
    assert {"name": "QUORATE_IMAGE", "value": "q:1"} in manager["env"]


def test_install_refuses_what_would_not_run(run):
    wrong = run("install", "--print", "--watchdog", "ipmi")
    assert (wrong.code, wrong.out) == (64, "")
    assert "use linux:DEVICE, linux:DIRECTORY, external:SOCKET or none" in wrong.err
    bare = run("install")
    assert (bare.code, "quorate install --print | kubectl apply -f -" in bare.err) == (64, True)


def test_production_runs_this_version_and_its_managers_have_fence_agents():
    made = made_by_kustomize("overlays/production")
    found = {one["kind"]: one["spec"] for one in made if one["kind"] in {"DaemonSet", "Deployment"}}
    (manager,), (agent,) = (found[kind]["template"]["spec"]["containers"] for kind in ("Deployment", "DaemonSet"))
    assert agent["image"] == f"quorate/operator:{__version__}"
    assert manager["image"] == f"quorate/operator:{__version__}-fencing"
    assert {"name": "QUORATE_IMAGE", "value": agent["image"]} in manager["env"]
    assert found["Deployment"]["replicas"] == 3


def test_the_image_and_the_wheel_hold_the_manifests():
    """`quorate install` in the image reads them there."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = told["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    copied = (ROOT / "operator/Dockerfile").read_text()
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for name in ("manifests", "crds"):
        assert included[name] == f"quorate/{name}"
        assert f"COPY {name} {name}\n" in copied
        assert f"!{name}" in let_in


@pytest.mark.parametrize("where", ["base", "overlays/kind", "overlays/production"])
def test_as_kustomize_makes_it(where):
    made = made_by_kustomize(where)
    assert len(made) > 20
    for one in made:
        assert one["metadata"]["labels"][KEY] == VALUE, one["kind"]
        if one["kind"] in {"DaemonSet", "Deployment"}:
            pods = one["spec"]["template"]["metadata"]["labels"]
            assert (pods[KEY], pods[COMPONENT_LABEL]) == (VALUE, one["metadata"]["labels"][COMPONENT_LABEL])
            assert KEY not in one["spec"]["selector"]["matchLabels"]

"""What is installed and what an uninstall looks for are held together here."""

import subprocess
from pathlib import Path

import pytest
import yaml

from quorate.agent import drivers
from quorate.agent.arguments import parse
from quorate.agent.linux_watchdog import LinuxWatchdog
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

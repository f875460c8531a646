"""What is installed and what an uninstall looks for are held together here."""

import subprocess
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.parametrize("where", ["base", "overlays/kind"])
def test_as_kustomize_makes_it(where):
    command = [real.kubectl(), "kustomize", str(ROOT / "manifests" / where)]
    made = list(
        yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    )
    assert len(made) > 20
    for one in made:
        assert one["metadata"]["labels"][KEY] == VALUE, one["kind"]
        if one["kind"] in {"DaemonSet", "Deployment"}:
            pods = one["spec"]["template"]["metadata"]["labels"]
            assert (pods[KEY], pods[COMPONENT_LABEL]) == (VALUE, one["metadata"]["labels"][COMPONENT_LABEL])
            assert KEY not in one["spec"]["selector"]["matchLabels"]

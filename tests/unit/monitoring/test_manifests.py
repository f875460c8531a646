"""manifests/monitoring as kustomize makes it."""

import json
import subprocess
from typing import Final

import pytest
import yaml

from tests import real
from tests.unit.monitoring.test_alerts import ROOT
from tests.unit.monitoring.test_dashboard import DASHBOARD

MONITORING: Final = ROOT / "manifests" / "monitoring"
BASE: Final = ROOT / "manifests" / "base"


@pytest.fixture(scope="module")
def made() -> dict[str, dict]:
    command = [real.kubectl(), "kustomize", str(MONITORING)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {one["kind"]: one for one in yaml.safe_load_all(printed)}


def test_grafana_finds_the_dashboard(made) -> None:
    found = made["ConfigMap"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["quorate.json"]) == DASHBOARD
    assert {one["metadata"]["namespace"] for one in made.values()} == {"quorate-system"}


def test_the_managers_port_is_the_one_that_they_declare(made) -> None:
    (manager,) = [one for one in yaml.safe_load_all((BASE / "manager.yaml").read_text()) if one["kind"] == "Deployment"]
    monitor = made["PodMonitor"]["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (container,) = manager["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert monitor["selector"]["matchLabels"].items() <= manager["spec"]["template"]["metadata"]["labels"].items()


def test_the_agents_are_where_they_are_looked_for(made) -> None:
    (agent,) = [one for one in yaml.safe_load_all((BASE / "agent.yaml").read_text()) if one["kind"] == "DaemonSet"]
    scraped = made["ScrapeConfig"]["spec"]
    (discovered,) = scraped["kubernetesSDConfigs"]
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    assert discovered["namespaces"]["names"] == [agent["metadata"]["namespace"]]
    address = scraped["relabelings"][1]["replacement"]
    assert any(argument.endswith(address.removeprefix("$1")) for argument in container["args"])

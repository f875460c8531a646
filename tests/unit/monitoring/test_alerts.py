"""The alerts of manifests/monitoring: each fires when it should and keeps quiet when it should, and has its runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_metrics_documented import documented

ROOT = Path(__file__).parents[3]
CASES = {case["alert"]: case for case in yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())}
RULES = yaml.safe_load((ROOT / "manifests" / "monitoring" / "rules.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
SUFFIXES = ("_bucket", "_count", "_sum")


def promtool(*arguments: str | Path) -> str:
    """What Prometheus' own tool (Debian's package prometheus) says; an error of its own fails the test."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics in it, without what a histogram adds to its name."""
    found = set(re.findall(r"\bquorate_\w+", expression))
    for suffix in SUFFIXES:
        found = {name.removesuffix(suffix) for name in found}
    return found


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(RULES))
    return path


def test_prometheus_takes_the_rules(rules: Path) -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", rules)


def _tried(case: dict[str, Any], *, fires: bool) -> dict[str, Any]:
    rule = ALERTS[case["alert"]]
    expected = [{"exp_labels": {**case["labels"], **rule["labels"]}}] if fires else []
    series = case["fires" if fires else "quiet"]
    return {
        "name": f"{case['alert']} {'fires' if fires else 'is quiet'}",
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": expected}],
    }


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_and_keeps_quiet(alert: str, rules: Path, tmp_path: Path) -> None:
    case = CASES[alert]
    tests = [_tried(case, fires=True), _tried(case, fires=False)]
    for one in tests[0]["alert_rule_test"][0]["exp_alerts"]:
        one["exp_annotations"] = {
            name: text if "{{" not in text else _rendered(text, one["exp_labels"])
            for name, text in ALERTS[alert]["annotations"].items()
        }
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": tests}))
    promtool("test", "rules", path)


def _rendered(text: str, labels: dict[str, str]) -> str:
    """As Prometheus fills in its template: what the tests need of it."""
    text = re.sub(
        r"\{\{ if \$labels\.cluster \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}",
        r"\1" if "cluster" in labels else r"\2",
        text,
    )
    text = text.replace("{{ $value }}", "1")
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)


def test_each_alert_is_tried() -> None:
    assert list(CASES) == list(ALERTS)


def test_each_alert_asks_for_metrics_that_there_are() -> None:
    known = {*documented(agent=False), *documented(agent=True)}
    for alert, rule in ALERTS.items():
        asked = metrics_in(rule["expr"])
        assert asked, alert
        assert asked <= known, alert


def test_each_alert_has_its_runbook() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert sections == list(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"].endswith(f"/runbooks#{alert.lower()}")
        assert rule["labels"]["severity"] in {"critical", "warning"}

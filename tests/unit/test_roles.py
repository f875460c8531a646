"""What no role of ours may say, whoever writes the next one. Who uses what: tests/lab/test_rights.py."""

from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
ROLES = [
    one
    for file in sorted(MANIFESTS.glob("*/*-rbac.yaml"))
    for one in yaml.safe_load_all(file.read_text())
    if one["kind"] in {"Role", "ClusterRole"}
]
NEVER = {
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/ephemeralcontainers",
    "nodes/proxy",
    "serviceaccounts/token",
}


def rules(*kinds: str) -> list[dict[str, Any]]:
    return [rule for role in ROLES if role["kind"] in kinds for rule in role["rules"]]


def test_there_are_roles() -> None:
    assert len(rules("ClusterRole")) > 5
    assert len(rules("Role")) > 3


@pytest.mark.parametrize("rule", rules("Role", "ClusterRole"), ids=lambda rule: "-".join(rule["resources"]))
def test_no_rule_says_everything_or_takes_over(rule: dict[str, Any]) -> None:
    said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
    assert [one for one in said if "*" in one] == []
    assert said & NEVER == set()
    assert said & {"escalate", "bind", "impersonate", "deletecollection"} == set()
    assert "rbac.authorization.k8s.io" not in said
    assert "nonResourceURLs" not in rule


def test_secrets_are_read_by_name_in_one_namespace_and_by_nobody_else() -> None:
    assert [rule for rule in rules("ClusterRole") if "secrets" in rule["resources"]] == []
    (holder,) = [role for role in ROLES if any("secrets" in rule["resources"] for rule in role["rules"])]
    assert holder["metadata"] == {"name": "quorate-manager", "namespace": "quorate-system"}
    (rule,) = [rule for rule in holder["rules"] if "secrets" in rule["resources"]]
    assert (rule["resources"], rule["verbs"]) == (["secrets"], ["get"])


def test_an_agent_writes_nothing_but_leases() -> None:
    agents = [rule for role in ROLES if role["metadata"]["name"] == "quorate-agent" for rule in role["rules"]]
    writing = [rule for rule in agents if set(rule["verbs"]) - {"get", "list", "watch"}]
    assert [rule["resources"] for rule in writing] == [["leases"]]


def test_the_dashboard_writes_nothing_and_reads_no_secret() -> None:
    mine = [rule for role in ROLES if role["metadata"]["name"] == "quorate-dashboard" for rule in role["rules"]]
    assert len(mine) > 4
    assert {verb for rule in mine for verb in rule["verbs"]} == {"list", "watch"}
    assert not {resource for rule in mine for resource in rule["resources"]} & {"secrets", "pods", "configmaps"}

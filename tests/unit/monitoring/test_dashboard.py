"""The Grafana dashboard of manifests/monitoring: each query is one that Prometheus takes, over metrics that there are."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import yaml

from tests.unit.monitoring.test_alerts import ROOT, metrics_in, promtool
from tests.unit.test_metrics_documented import documented

DASHBOARD: Final = json.loads((ROOT / "manifests" / "monitoring" / "quorate.json").read_text())
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
FILLED_IN: Final = {"$cluster": "prod", "$__rate_interval": "5m"}


def queries() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def filled_in(query: str) -> str:
    for variable, value in FILLED_IN.items():
        query = query.replace(variable, value)
    return query


def test_prometheus_takes_each_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": filled_in(query)} for number, query in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_each_query_asks_for_metrics_that_there_are_and_every_variable_is_known() -> None:
    known = {*documented(agent=False), *documented(agent=True)}
    for query in queries():
        assert metrics_in(query), query
        assert metrics_in(query) <= known, query
        assert "$" not in filled_in(query), query


def test_what_is_a_clusters_is_asked_of_the_chosen_cluster() -> None:
    by_cluster = {name for name, (_, labels) in documented(agent=False).items() if "cluster" in labels}
    for query in queries():
        if metrics_in(query) & by_cluster:
            assert 'cluster="$cluster"' in query, query


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    return (
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )


def test_no_panel_lies_on_another_and_each_says_what_it_shows() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert not [(a["title"], b["title"]) for a, b in combinations(DASHBOARD["panels"], 2) if _overlap(a, b)]
    assert all(panel["description"] for panel in PANELS)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)

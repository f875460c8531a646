"""Replays of other systems' answers. The data is not ours: where it is absent the tests say so and skip."""

import json
from pathlib import Path

import pytest

from tests.peers import replay, rules

PEERS = Path(__file__).parents[3] / "shared" / "peer"


def test_the_rules_of_proxmox_are_judged_as_proxmox_judges_them(capsys):
    file = PEERS / "proxmox-rules-cases.json"
    if not file.exists():
        pytest.skip(f"no data of other systems: {file} is not there")
    assert replay.main(["rules", str(file)]) == 0
    assert rules.run(file).agree == rules.run(file).total
    assert ", differ 0, of " in capsys.readouterr().out.splitlines()[-1]


def case(rules, *, dropped=None, **effective):
    effect = {"node_priority": {}, "together": {}, "apart": {}, **effective}
    return {"name": "one", "nodes": ["n1", "n2"], "rules": rules, "dropped": dropped or {}, "effective": effect}


def apart(*guests):
    return {"type": "resource-affinity", "affinity": "negative", "resources": list(guests)}


def written(tmp_path, *cases):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(list(cases)))
    return file


def test_another_answer_is_told_and_is_the_exit_code(tmp_path, capsys):
    file = written(tmp_path, case({"r": apart("vm:1", "vm:2")}, apart={"vm:1": ["vm:2"], "vm:2": ["vm:3"]}))
    assert replay.main(["rules", str(file)]) == 1
    told, last = capsys.readouterr().out.splitlines()
    assert told.startswith("differs: one: apart: ")
    assert last == "agree 0, listed deviations 0, differ 1, of 1"


def test_what_is_listed_is_recognised_by_what_is_in_the_case(tmp_path):
    pairs = [("vm:1", "vm:2"), ("vm:1", "vm:3"), ("vm:2", "vm:3")]
    near = {"vm:1": ["vm:2", "vm:3"], "vm:2": ["vm:1", "vm:3"], "vm:3": ["vm:1", "vm:2"]}
    found = rules.run(written(tmp_path, case({f"r{at}": apart(*one) for at, one in enumerate(pairs)}, apart=near)))
    assert found.deviations == {"one": "infeasible-sets-found"}
    assert found.line == "agree 0, listed deviations 1, differ 0, of 1"


def test_a_file_of_another_form_is_named(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text("[1]")
    assert replay.main(["rules", str(file)]) == 2
    assert str(file) in capsys.readouterr().err

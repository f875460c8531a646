"""Replays of other systems' answers. The data is not ours: where it is absent the tests say so and skip."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import outcome, pacemaker, proxmox, quorum, replay, rules

ROOT = Path(__file__).parents[2]
PEERS = ROOT.parent / "shared" / "peer"


def theirs(name: str) -> Path:
    file = PEERS / name
    if not file.exists():
        pytest.skip(f"no data of other systems: {file} is not there")
    return file


def test_the_rules_of_proxmox_are_judged_as_proxmox_judges_them(capsys):
    file = theirs("proxmox-rules-cases.json")
    assert replay.main(["rules", str(file)]) == 0
    assert rules.run(file).agree == rules.run(file).total
    assert ", differ 0, of " in capsys.readouterr().out.splitlines()[-1]


def test_proxmox_decides_the_same_or_it_is_listed_why_not(capsys):
    file = theirs("proxmox-scenarios.json")
    assert replay.main(["proxmox", str(file)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert ", differ 0, of " in last
    assert int(last.split()[1].rstrip(",")) >= 87


def scenario_of_proxmox(tmp_path, **given):
    power = {node: {"power": "off", "network": "off"} for node in ("node1", "node2", "node3")}
    empty = dict.fromkeys(("manager_status", "rules", "datacenter", "static_usage", "dynamic_usage"))
    on = [f"power {node} on" for node in power]
    case = {
        "name": "one",
        "purpose": "",
        "nodes": list(power),
        "hardware_status": power,
        **empty,
        "service_config": {"vm:101": {"node": "node1", "state": "started"}},
        "cmdlist": [on, ["power node1 off"]],
        **given,
    }
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps({"scenarios": [case]}))
    return proxmox.run(file)


def test_facts_are_compared_fences_places_and_states(tmp_path):
    recovered = {"vm:101": {"node": "node2", "state": "started", "running_on": ["node2"]}}
    same = scenario_of_proxmox(tmp_path, expect={"final": {"fenced_nodes": ["node1"], "services": recovered}})
    assert (same.agree, same.differ) == (1, {})
    found = scenario_of_proxmox(tmp_path, expect={"final": {"fenced_nodes": ["node2"], "services": recovered}})
    assert found.differ == {"one": "fenced: ['node2'] there, ['node1'] here"}
    gone = {"vm:101": {"node": "node1", "state": "stopped", "running_on": []}}
    found = scenario_of_proxmox(tmp_path, expect={"final": {"fenced_nodes": ["node1"], "services": gone}})
    assert found.differ == {"one": "vm:101 on [] there, on ['node2'] here"}


def test_a_command_that_cannot_be_played_differs(tmp_path):
    final = {"fenced_nodes": [], "services": {}}
    found = scenario_of_proxmox(tmp_path, cmdlist=[["service vm:101 dance"]], expect={"final": final})
    assert found.differ == {"one": "not played: vm:101 dance"}


def test_pacemaker_decides_the_same_or_it_is_listed_why_not(capsys):
    file = theirs("pacemaker-cases.json")
    assert replay.main(["pacemaker", str(file)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert ", differ 0, of " in last
    assert int(last.split()[1].rstrip(",")) >= 55


def lost_node(**input_):
    nodes = {"n1": {}, "n2": {"state": "lost"}, "n3": {}}
    rounds = [{"inject": [], "decisions": [{"do": "Fence (reboot)", "node": "n2"}], "final": {"g1": ["n3"]}}]
    return {
        "id": "one",
        "note": "",
        "input": {"nodes": nodes, "guests": {"g1": {"on": "n2"}}, **input_},
        "rounds": rounds,
    }


def cases_of_pacemaker(tmp_path, *cases):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"format": {}, "more": list(cases)}))
    return pacemaker.run(file)


def test_a_tie_is_agreement_and_a_rule_is_not_a_tie(tmp_path):
    assert cases_of_pacemaker(tmp_path, lost_node()).agree == 1
    found = cases_of_pacemaker(tmp_path, lost_node(rules=[["location", "g1", "n3", "-INFINITY"]]))
    assert found.differ == {"one": "g1 on n3 there, on n1 here"}


def test_a_case_that_cannot_begin_as_it_says_differs(tmp_path):
    found = cases_of_pacemaker(tmp_path, lost_node(guests={"g1": {"on": "n9"}}))
    assert "does not go as the case begins" in found.differ["one"]


def case(rules, *, dropped=None, **effective):
    effect = {"node_priority": {}, "together": {}, "apart": {}, **effective}
    return {"name": "one", "nodes": ["n1", "n2"], "rules": rules, "dropped": dropped or {}, "effective": effect}


def apart(*guests):
    return {"type": "resource-affinity", "affinity": "negative", "resources": list(guests)}


def written(tmp_path, *cases):
    return saved(tmp_path, list(cases))


def saved(tmp_path, data):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(data))
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


def node(partition: int, *, quorate: bool, total: int, needed: int = 2, expected: int = 3) -> dict:
    return {
        "partition": partition,
        "quorate": quorate,
        "votes": 1,
        "expected_votes": expected,
        "highest_expected": expected,
        "total_votes": total,
        "quorum": needed,
    }


def timeline(*, cut_off_is_quorate: bool = False) -> dict:
    """Three nodes; the third is cut off, and comes back."""
    whole = {str(number): node(0, quorate=True, total=3) for number in (1, 2, 3)}
    split = {str(number): node(0, quorate=True, total=2) for number in (1, 2)}
    split["3"] = node(1, quorate=cut_off_is_quorate, total=1)
    steps = [
        ({"type": "initial"}, whole),
        ({"type": "split", "groups": [[1, 2], [3]]}, split),
        ({"type": "join", "partitions": [0, 1]}, whole),
    ]
    return {
        "id": f"cut-off-{cut_off_is_quorate}",
        "config": {"nodes": {"1": 1, "2": 1, "3": 1}},
        "start": "all nodes up together",
        "steps": [{"event": event, "result": "ok", "nodes": nodes, "repeatable": True} for event, nodes in steps],
    }


def test_every_timeline_of_votequorum_is_answered_alike(capsys):
    file = theirs("quorum-cases.json")
    assert replay.main(["quorum", "--verbose", str(file)]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert int(first.removesuffix(" facts compared")) > 10_000
    total = len(json.loads(file.read_text())["cases"])
    assert last == f"agree {total}, listed deviations 0, differ 0, of {total}"


def test_it_is_a_program_whose_last_line_sums_up(tmp_path):
    program = [sys.executable, ROOT / "tests/peers/replay.py", "quorum", saved(tmp_path, {"cases": [timeline()]})]
    ran = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines()[-1] == "agree 1, listed deviations 0, differ 0, of 1"
    assert ran.returncode == 0


def test_another_count_is_told_step_by_step(tmp_path, capsys):
    cases = {"cases": [timeline(), timeline(cut_off_is_quorate=True)]}
    assert replay.main(["quorum", str(saved(tmp_path, cases))]) == 1
    told, last = capsys.readouterr().out.splitlines()
    assert told == "differs: cut-off-True: step 1 split: node 3 quorate: peer True, ours False"
    assert last == "agree 1, listed deviations 0, differ 1, of 2"


def test_an_event_that_is_none_is_named(tmp_path, capsys):
    cases = {"cases": [{**timeline(), "steps": [{"event": {"type": "flood"}}]}]}
    assert replay.main(["quorum", str(saved(tmp_path, cases))]) == 2
    assert "event 'flood' is not known; known are initial, up" in capsys.readouterr().err


def test_every_rule_that_explains_a_difference_is_listed_with_its_reason():
    assert quorum.MESSAGE_ORDER in outcome.listed("quorum")
    assert all(len(reason.split()) > 10 for kind in replay.KINDS for reason in outcome.listed(kind).values())


def test_a_file_of_another_form_is_named(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text("[1]")
    assert replay.main(["rules", str(file)]) == 2
    assert str(file) in capsys.readouterr().err

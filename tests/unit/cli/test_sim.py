"""`quorate sim`: what it says and how it ends."""

import json

import pytest

from quorate.sim.crash import prepare
from quorate.sim.scenario import read

TINY = "profile: Fast\ntimeline:\n  5s: expect web on n1\nlasts: 8s\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tiny"
    made.mkdir()
    (made / "scenario.yaml").write_text(TINY)
    return made


def test_a_scenario_is_played_and_its_log_compared(run, folder):
    missing = run("sim", "run", str(folder))
    assert (missing.code, "expected.log is missing: write it with --update" in missing.err) == (1, True)
    assert run("sim", "run", str(folder), "--update").code == 0
    good = run("sim", "run", str(folder), "-v")
    assert good.code == 0
    assert "n1       runs web" in good.out
    assert f"ok     {folder}  8s in " in good.out
    log = folder / "expected.log"
    log.write_text(log.read_text().replace("runs web", "runs db"))
    other = run("sim", "run", str(folder))
    assert other.code == 1
    assert "-    3.6 n1       runs db" in other.err


def test_what_is_not_as_expected_fails(run, folder):
    (folder / "scenario.yaml").write_text(TINY.replace("on n1", "on n2"))
    ended = run("sim", "run", str(folder), "--update")
    assert ended.code == 1
    assert "5.000s: expect web on n2: no" in ended.err


def test_a_word_that_is_unknown_is_a_wrong_command_line(run, folder):
    (folder / "scenario.yaml").write_text(TINY + "nods: 3\n")
    ended = run("sim", "run", str(folder))
    assert ended.code == 64
    assert "scenario.yaml:5: 'nods' is unknown" in ended.err


def test_chaos_ends_with_numbers(run, tmp_path):
    ended = run("sim", "chaos", "--seeds", "1:3", "--nodes", "3:4", "--guests", "2", "--write", str(tmp_path), "--json")
    assert ended.code == 0
    found = json.loads(ended.out.splitlines()[-1])
    assert set(found) == {"seeds", "steps", "simulated_s", "wall_s", "faults", "violations", "stuck"}
    assert (found["seeds"], found["violations"], found["stuck"]) == (2, 0, 0)
    assert sum(found["faults"].values()) > 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "a"), "--seeds a: write a number"),
        (("--seeds", "5:5"), "--seeds 5:5: there must be some"),
        (("--nodes", "0"), "--nodes 0: there must be some, from 1 to 32"),
        (("--nodes", "3:33"), "--nodes 3:33"),
    ],
)
def test_chaos_out_of_range(run, words, said):
    ended = run("sim", "chaos", *words)
    assert (ended.code, said in ended.err) == (64, True)


def test_crash_ends_with_numbers(run, folder):
    ended = run("sim", "crash", str(folder), "--every", "20")
    assert ended.code == 0
    found = json.loads(ended.out.splitlines()[-1])
    assert found["failed"] == 0
    assert found["replays"] > 1
    assert f"{found['replays']} replays of " in ended.err


def test_renewals_of_the_leaders_leases_can_be_left_out(folder):
    every, fewer = prepare(read(folder)), prepare(read(folder), renewals=False)
    assert every.numbers == tuple(range(1, len(every.numbers) + 1))
    assert 0 < len(fewer.numbers) < len(every.numbers)
    assert set(fewer.numbers) < set(every.numbers)

"""What a scenario may say, and what is said of one that says something else: file, line, finding, and what is allowed."""

from pathlib import Path

import pytest

from quorate.sim import chaos
from quorate.sim.hopes import HOPES
from quorate.sim.outside import Measuring
from quorate.sim.scenario import Expect, ScenarioError, read
from quorate.sim.shrink import as_yaml
from quorate.sim.words import WORDS


def scenario(folder: Path, text: str):
    (folder / "scenario.yaml").write_text(text)
    return read(folder)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as found:
        scenario(folder, text)
    return str(found.value)


def test_an_empty_one_is_three_nodes_two_managers_and_a_guest(tmp_path):
    setting = scenario(tmp_path, "{}").setting
    assert (setting.nodes, setting.managers, list(setting.guests)) == (("n1", "n2", "n3"), 2, ["web"])


def test_its_sentences_are_understood_in_the_order_of_time(tmp_path):
    lines = "1m: [freeze n1 for 20s, expect web on n2]", "5s: await n1 is Online within 3s", "6s: expect 1 votes"
    first, second, third = scenario(tmp_path, "timeline:\n  " + "\n  ".join(lines)).timeline
    assert (first.at_s, second.at_s, third.at_s) == (5.0, 6.0, 60.0)
    assert (first.what[0].within_s, third.what[0].lasts_s, third.what[0].values) == (3.0, 20.0, ("n1",))
    assert isinstance(third.what[1], Expect)
    assert second.what[0].word.pattern == "expect NUMBER votes"


def test_guests_and_cluster_may_say_what_their_kinds_may(tmp_path):
    text = "guests:\n  db: {priority: 5, ready: 3s, fails: true}\n  web:\ncluster: {quorum: {}}\nclocks: {m1: -0.5%}\n"
    setting = scenario(tmp_path, text).setting
    assert setting.guests["db"].spec == {"priority": 5}
    assert (setting.guests["db"].behaviour.ready_s, setting.guests["db"].behaviour.fails) == (3.0, True)
    assert setting.rates == {"m1": 0.995}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("seed: 1\nnods: 3\n", 2, "'nods' is unknown in a scenario. Allowed: seed, nodes,"),
        ("timeline:\n  1s: freze n1\n", 2, "'freze n1' is unknown. Allowed: GUEST crashes; "),
        ("timeline:\n  1s: freeze n9\n", 2, "n9 is no NODE: n1, n2, n3"),
        ("timeline:\n  1s: reset n1 for 3s\n", 2, "'reset NODE' does not end by itself"),
        ("timeline:\n  1s: freeze n1 for ever\n", 2, "'ever' is no time: write 500ms"),
        ("timeline:\n  1s:\n    - power on n1\n    - await web on n1\n", 4, "write `await ... within TIME`"),
        ("timeline:\n  1s: expect web upside down\n", 2, "GUEST on NODE; "),
        ("timeline:\n  1s: expect web is Dead\n", 2, "Dead is no GUESTSTATE: Error,"),
        ("timeline:\n  1s: lose 500% of answers to n1\n", 2, "500% is no share"),
        ("timeline:\n  soon: power off n1\n", 2, "'soon' is no time"),
        ("timeline: []\n", 1, "timeline is a mapping"),
        ("nodes: 0\n", 1, "'0' is no number from 1 to 32"),
        ("nodes: [a, a]\n", 1, "nodes have different names"),
        ("profile: Quick\n", 1, "'Quick' is unknown. Allowed: Auto, Fast,"),
        ("clocks:\n  n1: +2%\n", 2, "'+2%' is no drift"),
        ("guests:\n  web:\n    maxRestarts: 1\n", 3, "'maxRestarts' is unknown in a guest"),
        ("guests:\n  web: {maxRestart: -1}\n", 2, "maxRestart: Input should be greater than or equal to 0, found -1"),
        ("cluster:\n  quorums: {}\n", 2, "quorums: Extra inputs are not permitted"),
        ("sizes:\n  n9: {memory: 1Gi}\n", 2, "'n9' is unknown in sizes. Allowed: n1, n2, n3"),
        ("sizes:\n  n1: {memory: much}\n", 2, "'much' is no quantity"),
        ("guests:\n  web: {uses: {disk: 1Gi}}\n", 2, "'disk' is unknown in a size. Allowed: cpu, memory"),
        ("storages:\n  data: {type: Tape}\n", 2, "type: Input should be "),
        ("measurements: {every: 0s}\n", 1, "measurements.every: must be longer than 0s"),
        ("timeline:\n  1s: schedule by Luck\n", 2, "Luck is no MODE: Basic, Dynamic, Static"),
        ("timeline:\n  1s: count by heads\n", 2, "heads is no OPTION: autoTieBreaker, "),
        ("then: rest\n", 1, "'rest' is unknown. Allowed: mend"),
        ("seed: 1\nseed: 2\n", 2, "'seed' comes twice"),
        ("seed: [\n", 2, "expected the node content"),
        ("- a\n", 1, "a scenario is a mapping with seed,"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, line, said):
    found = refused(tmp_path, text)
    assert found.startswith(f"{tmp_path}/scenario.yaml:{line}: ")
    assert said in found


def test_a_folder_without_one(tmp_path):
    with pytest.raises(ScenarioError, match=r"a scenario is a folder with scenario\.yaml in it"):
        read(tmp_path / "none")


def test_nodes_have_sizes_guests_take_what_they_take_and_somebody_measures_it(tmp_path):
    text = (
        "sizes: {n1: {memory: 4Gi}}\nmeasurements: {lag: 40s}\nguests:\n  db: {requests: {cpu: 1}, uses: {memory: 1Gi}}"
    )
    setting = scenario(tmp_path, text).setting
    assert (setting.sizes, setting.measuring) == ({"n1": {"memory": "4Gi"}}, Measuring(15.0, 40.0))
    assert (setting.guests["db"].requests, setting.guests["db"].uses) == ({"cpu": "1"}, {"memory": "1Gi"})


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_has_its_size_whatever_others_are_played(seed):
    nodes, guests = chaos.sizes(seed, range(3, 8), range(1, 21))
    assert 3 <= nodes <= 7
    assert 1 <= guests <= 20
    assert chaos.sizes(seed, range(5, 6), range(4, 5)) == (5, 4)
    assert chaos.sizes(seed, range(3, 8), range(1, 21)) == (nodes, guests)


@pytest.mark.parametrize("seed", range(12))
def test_what_chaos_made_is_written_so_that_it_is_read_again(tmp_path, seed):
    """To the last bit: what is found at one rate of a clock need not be there at another."""
    made = chaos.scenario(seed, 3, 2)
    found = scenario(tmp_path, as_yaml(made))
    assert [(one.at_s, [deed.text for deed in one.deeds]) for one in found.timeline] == [
        (one.at_s, [deed.text for deed in one.deeds]) for one in made.timeline
    ]
    assert found.setting == made.setting
    assert found.mend


def test_the_documentation_has_every_sentence_and_no_other():
    page = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
    listed = {line.strip() for line in page.splitlines() if line.startswith("    ")}
    words = {word.pattern + ("  *" if word.undo else "") for word in (*WORDS, *HOPES)}
    assert words <= listed
    looks_like_one = {
        line for line in listed if line.removesuffix("  *").split()[-1].isupper() and "quorate" not in line
    }
    assert looks_like_one <= words

"""Some seeds of chaos, each with every kind of fault, and crashes of the leading manager in the story.

`quorate sim chaos` plays as many as one likes; QUORATE_CHAOS_SEEDS says how many here.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from quorate.sim import shrink
from quorate.sim.chaos import play, scenario
from quorate.sim.crash import crashes, prepare
from quorate.sim.machine import Machine
from quorate.sim.scenario import read
from quorate.sim.words import WORDS

SEEDS = int(os.environ.get("QUORATE_CHAOS_SEEDS", "30"))
STORY = Path(__file__).parents[1] / "scenarios" / "story"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_guest_runs_twice_and_none_is_left_down(seed: int) -> None:
    ruin = play(scenario(seed, 3 + seed % 5, 4))
    texts = "\n".join(f"{one.at_s:.3f}s: {one.text}" for one in ruin.violations)
    assert ruin.good, f"quorate sim chaos --seeds {seed} --nodes {3 + seed % 5} --guests 4\n{texts}"


def test_every_kind_of_fault_comes_up() -> None:
    total: Counter[str] = Counter()
    for seed in range(60):
        for moment in scenario(seed, 3, 4).timeline:
            total.update(one.word.fault for one in moment.deeds)
    assert {word.fault for word in WORDS if word.fault} <= set(total)


def test_the_manager_may_die_at_any_of_its_calls() -> None:
    found = list(crashes(prepare(read(STORY), every=60)))
    assert len(found) > 10
    assert [(one.number, one.moment, one.outcome.violations) for one in found if not one.outcome.good] == []
    assert any(one.call.startswith("PUT /apis/quorate.dev/v1alpha1/") for one in found)


def test_a_failing_seed_is_made_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that loses its containers when it is frozen: that one fault is all that is left."""

    def freeze(self: Machine) -> None:
        self.around.truth.broken(self.engine.now_s, f"{self.name} was frozen")

    monkeypatch.setattr(Machine, "freeze", freeze)
    ruin = next(one for one in (play(scenario(seed, 3, 2)) for seed in range(20)) if not one.good)
    small = shrink.shrink(ruin)
    assert [deed.word.fault for moment in small.scenario.timeline for deed in moment.deeds] == ["freeze"]
    shrink.write(small, tmp_path)
    assert not play(read(tmp_path)).good

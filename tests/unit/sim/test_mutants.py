"""The bugs of `make mutants` can still be planted, and their catchers are there."""

import pytest

from tests.mutants.catalogue import ROOT, Mutant, MutantError, mutants

FOUND = mutants()


def test_there_are_enough_of_them():
    assert len(FOUND) >= 30


@pytest.mark.parametrize("mutant", FOUND, ids=lambda mutant: mutant.name)
def test_it_can_be_planted_and_caught(mutant: Mutant):
    compile(mutant.source(), mutant.file, "exec")
    assert mutant.old != mutant.new
    for catcher in mutant.catchers:
        kind, what = catcher.split(maxsplit=1)
        if kind == "scenario":
            assert (ROOT / "tests" / "scenarios" / what / "scenario.yaml").exists()
        elif kind == "test":
            assert (ROOT / what.partition("::")[0]).exists()
        else:
            assert kind == "chaos"


def test_a_bug_whose_place_is_gone_is_an_error():
    gone = Mutant("gone", "rule", "core/quorum.py", "no such line", "", ())
    with pytest.raises(MutantError, match=r"gone: core/quorum\.py has its old text 0 times, not once"):
        gone.source()


def test_an_unknown_name_is_an_error():
    with pytest.raises(MutantError, match="no such mutant: nobody"):
        mutants(["nobody"])

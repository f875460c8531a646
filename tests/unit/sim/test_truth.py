"""The judge: it must find what is wrong, or nothing that it passes is worth anything."""

from dataclasses import dataclass

import pytest

from quorate.core import selffence
from quorate.core.timing import Timing
from quorate.core.types import GuestKey, Uid
from quorate.sim import machine, manager
from quorate.sim.chaos import names_of
from quorate.sim.play import Outcome, Player
from quorate.sim.scenario import Moment, Scenario, sentence
from quorate.sim.server import PODS
from quorate.sim.truth import Truth
from quorate.sim.world import Setting, Simulation

KEY = GuestKey("default", "web")


@dataclass(eq=False)
class Box:
    name: str
    frozen: bool = False


def played(*timeline: tuple[float, str], mend: bool = False, **setting: object) -> Outcome:
    made = Setting(profile="Fast", **setting)
    moments = tuple(Moment(at_s, (sentence(text, names_of(made)),)) for at_s, text in timeline)
    return Player(Scenario(made, moments, mend=mend)).play()


def test_a_guest_that_runs_on_two_machines_runs_twice():
    truth = Truth()
    truth.started(KEY, Uid("a"), Box("n1"), 1.0)
    truth.started(KEY, Uid("b"), Box("n2"), 2.0)
    assert [one.text for one in truth.violations] == ["ct:default/web runs twice, on n1 and n2"]


def test_what_is_frozen_does_not_run_until_it_goes_on():
    truth, box = Truth(), Box("n1", frozen=True)
    truth.started(KEY, Uid("a"), box, 1.0)
    truth.started(KEY, Uid("b"), Box("n2"), 2.0)
    assert truth.violations == []
    box.frozen = False
    truth.thawed(box, 3.0)
    assert len(truth.violations) == 1


def test_what_has_ended_does_not_count():
    truth = Truth()
    truth.started(KEY, Uid("a"), Box("n1"), 1.0)
    truth.ended(KEY, Uid("a"))
    truth.started(KEY, Uid("b"), Box("n2"), 2.0)
    assert truth.violations == []
    assert truth.where(KEY) == ["n2"]


class TestByForce:
    """A deletion that names another uid than the Pod has deletes nothing: a retry of one that was right, for example."""

    @pytest.fixture
    def made(self):
        simulation = Simulation(Setting(profile="Fast"))
        simulation.run(10.0)
        yield simulation
        simulation.end()

    @pytest.mark.parametrize(("same", "found"), [(True, 1), (False, 0)])
    def test_only_of_the_pod_that_is_there(self, made, same, found):
        pod = made.find(PODS, "default", "web")
        uid = pod["metadata"]["uid"] if same else "another"
        held = {"preconditions": {"uid": uid, "resourceVersion": "1"}, "gracePeriodSeconds": 0}
        made.bargain.called("m1", "DELETE", "/api/v1/namespaces/default/pods/web", held)
        assert [one.text.startswith("m1 deletes Pod web by force") for one in made.truth.violations] == [True] * found


class TestItSeesWhenTheProductIsBroken:
    def test_a_lease_taken_before_the_watchdog_must_have_fired(self, monkeypatch):
        monkeypatch.setattr(Timing, "release_after_s", 3.0)
        monkeypatch.setattr(Timing, "suspect_after_s", 2.0)
        found = played((10, "cut n1"), (30, "expect quorum"))
        assert any("runs twice, on n1 and n2" in one.text for one in found.violations)

    def test_a_watchdog_petted_without_a_renewal_that_was_confirmed_in_time(self, monkeypatch):
        monkeypatch.setattr(selffence, "may_pet", lambda *_: True)
        found = played((10, "stall agent of n1 by 3s"), (30, "expect n1 booted 2 times"))
        assert any("expect n1 booted 2 times: no" in one.text for one in found.violations)

    def test_a_plan_that_breaks_an_invariant(self, monkeypatch):
        @dataclass
        class Breach:
            invariant: int = 2
            subject: str = "Node n1"
            text: str = "made up"

        monkeypatch.setattr(manager, "check", lambda *_: (Breach(),))
        found = played((3, "expect quorum"))
        assert any("invariant 2: Node n1: made up" in one.text for one in found.violations)

    def test_an_exception_that_production_code_survived(self, monkeypatch):
        def broken(*_: object) -> None:
            raise ZeroDivisionError("made up")

        monkeypatch.setattr("quorate.kube.tick.plan", broken)
        found = played((3, "expect no quorum"))
        assert any("a bug in quorate.kube.tick" in one.text for one in found.violations)

    def test_a_guest_that_is_left_down(self, monkeypatch):
        monkeypatch.setattr(machine.Machine, "_gate_ends", lambda *_: None)
        found = played((10, "reset n1"), mend=True)
        assert [one.stuck for one in found.violations] == [True]
        assert "web is wanted Started, is Starting, runs nowhere" in found.violations[0].text


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(seed):
    def lines(seed: int) -> tuple[str, ...]:
        return played((10, "commit 50% of n1 late for 10s"), (40, "expect quorum"), seed=seed, jitter=True).lines

    assert lines(seed) == lines(seed)
    assert lines(seed) != lines(seed + 1)

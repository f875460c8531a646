"""A drill, step by step: what it is refused for, what proves a level, and what makes it fail."""

from dataclasses import replace

import pytest

from quorate.core.actions import AskDevice
from quorate.core.brakes import Brakes
from quorate.core.fencing import node_round
from quorate.core.liveness import read
from quorate.core.sequence import Drilled, FenceDevice, Power, Purpose, Report, Said, Sequence, Step, Verb, spec_of
from quorate.core.status import Orders, ResetRequest
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Answer, NodeState
from tests.unit.core.worlds import NOW, WALL, beat, incident, instance, node, world

FAST = PROFILES[Profile.FAST]
IPMI, SECOND = FenceDevice("ipmi", "a"), FenceDevice("second", "b", level=2)


def drilling(step=Step.OFF, **changes):
    spec = spec_of((IPMI,), 1)
    found = Sequence("seq", 3, Purpose.DRILL, "d1", "n1.1", 1, spec, 1, step, WALL - 9000, WALL - 1000)
    return Power(replace(found, **changes))


def one(power=None, *, devices=(IPMI,), **changes):
    status = {"power": power, "guests": 0, **changes.pop("status", {})}
    return node("n1", devices=devices, drill="d1", status=status, **changes)


def judge(view, *instances, others=(), quorate=True, live=3, **changes):
    made = world(nodes=(view, *others))
    silent = frozenset(other.name for other in others if read(other, FAST, NOW).alive is Answer.NO)
    brakes = Brakes(frozenset({"n1"}), silent=silent, live=live, needed=2)
    return node_round(made, view, read(view, FAST, NOW), instances, quorate=quorate, brakes=brakes, **changes)


SECOND_INCIDENTS = [
    node("n2", status={"incident": incident("n2")}),
    node("n2", beat=beat("n2", 9)),
    node("n2", status={"reset_request": ResetRequest("n2-r", "n2.1", "ct:default/web", WALL)}),
]


def asked(outcome):
    return [(ask.order.device, ask.order.verb) for ask in outcome.actions if isinstance(ask, AskDevice)]


class TestRefused:
    def refused(self, outcome):
        drilled = outcome.status.power.drilled
        assert asked(outcome) == []
        assert (drilled.id, drilled.passed) == ("d1", False)
        assert outcome.status.power.sequence is None
        return drilled.result

    def test_with_guests(self):
        assert "guests run there" in self.refused(judge(one(), instance()))
        assert "guests run there" in self.refused(judge(one(status={"guests": 1})))

    def test_beside_an_incident_or_another_sequence(self):
        for lost in SECOND_INCIDENTS:
            assert "n2: another incident" in self.refused(judge(one(), others=(lost,)))
        busy = node("n2", status={"power": drilling()})
        assert "n2: another sequence" in self.refused(judge(one(), others=(busy,)))

    def test_without_quorum(self):
        assert "without quorum" in self.refused(judge(one(), quorate=False))

    def test_when_it_would_cost_quorum(self):
        assert "1 vote would be left" in self.refused(judge(one(), live=2))

    def test_a_node_that_is_not_there(self):
        assert "it is " in self.refused(judge(one(beat=beat("n1", 60), status={"state": NodeState.UNKNOWN})))

    @pytest.mark.parametrize(
        "before",
        [None, drilling(), Power(drilled=Drilled("d1", passed=True, result="", at=WALL))],
        ids=["never", "under way", "passed"],
    )
    def test_for_good_when_the_devices_are_taken_away(self, before):
        """Who gives it devices again, weeks later, must not have it switched off by a request of long ago."""
        gone = judge(one(before, devices=())).status.power
        assert gone.drilled.id == "d1"
        assert judge(one(gone, devices=())).status.power == gone
        assert asked(judge(one(gone))) == []

    def test_once(self):
        before = Power(drilled=Drilled("d1", passed=False, result="refused", at=WALL))
        outcome = judge(one(before))
        assert outcome.status.power == before
        assert asked(outcome) == []


class TestItsSteps:
    def test_off_and_no_guest_may_start_there(self):
        outcome = judge(one())
        assert outcome.status.state is NodeState.MAINTENANCE
        assert outcome.status.power.sequence.purpose is Purpose.DRILL
        assert asked(outcome) == [("ipmi", Verb.OFF)]

    def test_not_while_another_node_is_late(self):
        view = one()
        made = world(nodes=(view,))
        brakes = Brakes(frozenset({"n1"}), late=frozenset({"n2"}), live=3, needed=2)
        outcome = node_round(made, view, read(view, FAST, NOW), (), quorate=True, brakes=brakes)
        assert (asked(outcome), outcome.status.power, outcome.wake_at_s) == ([], None, NOW + 1)

    def test_the_first_level_that_is_not_proven(self):
        done = judge(one(devices=(IPMI, SECOND), power=None)).status.power.sequence
        assert done.level == 1

    def test_off_twice_waits_for_silence(self):
        assert judge(one(drilling(Step.IS_OFF))).status.power.sequence.step is Step.SILENT
        assert judge(one(drilling(Step.SILENT))).status.power.sequence.step is Step.SILENT

    def test_silent_it_is_switched_on(self):
        outcome = judge(one(drilling(Step.SILENT), beat=beat("n1", 60)))
        assert outcome.status.power.sequence.step is Step.ON
        assert asked(outcome) == [("ipmi", Verb.ON)]

    def test_one_that_renews_on_is_not_off_and_its_devices_are_distrusted(self):
        outcome = judge(one(drilling(Step.SILENT, since=WALL - 60_000)))
        power = outcome.status.power
        assert not power.drilled.passed
        assert [bad.why for bad in power.distrusted] == ["it said off twice, and the node renews its Lease"]
        assert power.sequence.purpose is Purpose.POWER_ON

    def test_a_new_boot_proves_the_level(self):
        outcome = judge(one(drilling(Step.BOOT), beat=beat("n1", holder="n1.2")))
        power = outcome.status.power
        (proven,) = power.proven
        assert (proven.level, proven.spec, proven.lost, proven.back) == (1, spec_of((IPMI,), 1), "n1.1", "n1.2")
        assert power.drilled.passed
        assert power.sequence is None
        assert outcome.status.state is NodeState.ONLINE

    @pytest.mark.parametrize("step", [Step.SILENT, Step.ON, Step.BOOT])
    def test_the_boot_of_another_machine_proves_nothing(self, step):
        """Its disks were put into another one while it was off: the device is still the first one's."""
        view = one(drilling(step), beat=beat("n1", holder="n1.2", system_uuid="machine-other"))
        outcome = judge(view)
        power = outcome.status.power
        assert (power.proven, power.drilled.passed) == ((), False)
        assert "another machine renews under this name" in power.drilled.result
        assert judge(replace(view, status=outcome.status)).status.power.proven == ()

    def test_the_same_boot_proves_nothing(self):
        assert judge(one(drilling(Step.BOOT))).status.power.proven == ()

    def test_one_that_does_not_come_back_fails_it(self):
        outcome = judge(one(drilling(Step.BOOT, since=WALL - 900_000), beat=beat("n1", 60)))
        assert not outcome.status.power.drilled.passed

    @pytest.mark.parametrize("step", [Step.OFF, Step.STATUS])
    def test_a_device_that_fails_twice_fails_it_and_power_comes_on_in_any_case(self, step):
        view = one(drilling(step, attempt=2))
        asks = [ask for ask in judge(view).actions if isinstance(ask, AskDevice)]
        outcome = judge(replace(view, reports=tuple(Report(ask.order, Said.FAILED, NOW, NOW) for ask in asks)))
        assert not outcome.status.power.drilled.passed
        assert outcome.status.power.sequence.purpose is Purpose.POWER_ON

    @pytest.mark.parametrize("step", [Step.OFF, Step.STATUS, Step.SILENT, Step.ON, Step.BOOT])
    def test_a_device_that_is_changed_meanwhile_fails_it(self, step):
        view = one(drilling(step), devices=(FenceDevice("ipmi", "z"),), beat=beat("n1", holder="n1.2"))
        power = judge(view).status.power
        assert not power.drilled.passed
        assert power.proven == ()

    def test_after_a_change_of_leader_it_begins_anew_unless_it_was_seen_silent(self):
        for step, then in (
            (Step.STATUS, Step.OFF),
            (Step.SILENT, Step.OFF),
            (Step.ON, Step.ON),
            (Step.BOOT, Step.BOOT),
        ):
            view = one(drilling(step, term=2), beat=beat("n1", 60))
            made = world(nodes=(view,))
            outcome = node_round(made, view, read(view, FAST, NOW), (), quorate=True, brakes=Brakes(frozenset({"n1"})))
            sequence = outcome.status.power.sequence
            assert (sequence.step, sequence.term, sequence.nonce) == (then, 3, "n1.1"), step


class TestItIsBrokenOff:
    """Whatever ends it before it is switched on: it is failed, that is said, and power comes on again."""

    def ended(self, outcome, why):
        power = outcome.status.power
        assert not power.drilled.passed
        assert why in power.drilled.result
        assert power.sequence.purpose is Purpose.POWER_ON
        assert asked(outcome) == [("ipmi", Verb.ON)]
        assert "DrillFailed" in [note.reason for note in outcome.notes]
        assert outcome.status.state is NodeState.MAINTENANCE

    @pytest.mark.parametrize("lost", SECOND_INCIDENTS)
    def test_by_a_second_incident_before_each_off(self, lost):
        for changes in ({}, {"attempt": 2}, {"term": 2}):
            view = one(drilling(**changes))
            self.ended(judge(view, others=(lost,)), "n2: another incident")

    def test_by_a_lack_of_votes_before_each_off(self):
        self.ended(judge(one(drilling()), live=2), "1 vote would be left")
        off_already = one(drilling(attempt=2), beat=beat("n1", 60))
        assert asked(judge(off_already, live=2)) == [("ipmi", Verb.OFF)]

    def test_not_by_an_incident_after_it(self):
        outcome = judge(one(drilling(Step.STATUS)), others=SECOND_INCIDENTS[:1])
        assert asked(outcome) == [("ipmi", Verb.STATUS)]

    @pytest.mark.parametrize("step", [Step.OFF, Step.STATUS, Step.SILENT])
    @pytest.mark.parametrize("how", [{"quorate": False}, {"hands_off": True}, {"quorate": False, "live": 1}])
    def test_without_quorum_or_with_hands_off(self, step, how):
        for changes in ({}, {"term": 2}):
            self.ended(judge(one(drilling(step, **changes)), **how), "without quorum, or while HA is disarmed")

    @pytest.mark.parametrize("step", [Step.OFF, Step.STATUS, Step.SILENT])
    def test_by_who_takes_the_request_away(self, step):
        for drill in ("", "d0"):
            before = replace(drilling(step), drilled=Drilled("d0", passed=True, result="", at=WALL))
            outcome = judge(replace(one(before), drill=drill))
            assert outcome.status.power.drilled.id == "d1"
            self.ended(outcome, "called off")

    def test_by_who_takes_the_devices_away(self):
        outcome = judge(one(drilling(Step.STATUS), devices=()))
        assert outcome.status.power.sequence is None
        assert [(note.reason, note.warning) for note in outcome.notes] == [
            ("NodeStaysOff", True),
            ("DrillFailed", True),
        ]

    def test_switching_on_goes_on_without_quorum(self):
        assert asked(judge(one(drilling(Step.ON)), quorate=False)) == [("ipmi", Verb.ON)]
        for before in (
            drilling(Step.ON, purpose=Purpose.POWER_ON),
            drilling(Step.ON, purpose=Purpose.POWER_ON, term=2),
        ):
            assert asked(judge(one(before), quorate=False)) == [("ipmi", Verb.ON)]

    def test_no_guest_starts_before_it_is_known_what_became_of_its_boot(self):
        """It was switched off and on again within S, so its old boot still counts as heard."""
        on = drilling(Step.OVER, purpose=Purpose.POWER_ON, since=WALL - 200)
        on = replace(on, drilled=Drilled("d1", passed=False, result="", at=WALL))
        asked_on = judge(one(on))
        assert asked_on.status.state is NodeState.MAINTENANCE
        assert asked_on.wake_at_s is not None
        for heard in (beat("n1", 0.1), beat("n1", 0.1, holder="n1.2")):
            assert judge(one(on, beat=heard)).status.power.sequence is None
        silent = judge(one(on, beat=beat("n1", 60)))
        assert (silent.status.power.sequence, silent.status.state) == (None, NodeState.UNKNOWN)


class TestWhatItProves:
    """Off was said 20 s ago and it is back. Of n2 something may still be open: its S may be longer."""

    def other(self, age_s, **changes):
        return node("n2", beat=beat("n2", age_s, **changes), status={"orders": Orders(1, 1.5, 5)})

    def back(self, other, *, answered=True, status=()):
        began = {"began": WALL - 21_000, "since": WALL - 8000}
        view = one(drilling(Step.BOOT, **began), beat=beat("n1", holder="n1.2"), status=dict(status))
        asks = [ask.order for ask in judge(one(drilling())).actions if isinstance(ask, AskDevice)]
        reports = tuple(Report(order, Said.OFF, NOW - 21, NOW - 20) for order in asks if answered)
        return judge(replace(view, reports=reports), others=(other,)).status.power

    def test_another_node_that_fell_silent_fails_it_for_good(self):
        power = self.back(self.other(20))
        assert [bad.why for bad in power.distrusted] == ["n2 fell silent when it said off"]
        assert not power.drilled.passed
        assert power.proven == ()

    @pytest.mark.parametrize("answered", [True, False])
    def test_it_is_awaited_whether_another_node_is_hit(self, answered):
        late = self.back(self.other(20, watchdog_s=30), answered=answered)
        assert late.sequence.step is Step.BOOT
        assert (late.proven, late.drilled) == ((), None)
        assert self.back(self.other(0.5, watchdog_s=30), answered=answered).drilled.passed

    def test_a_later_leader_cannot_tell_who_hit_it(self):
        power = self.back(self.other(20), answered=False)
        assert "n2 fell silent, and nobody can tell" in power.drilled.result
        assert (power.proven, power.distrusted, power.sequence) == ((), (), None)
        lost = replace(self.other(60), status=node("n2", status={"state": NodeState.UNKNOWN, "since": 0}).status)
        assert self.back(lost, answered=False).drilled.passed

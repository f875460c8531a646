"""Fence devices: what is asked of them next, what their answers are worth, and what holds them back."""

from dataclasses import replace

import pytest

from quorate.core.actions import AskDevice, Plan, StatusWrite
from quorate.core.brakes import Brakes, judge
from quorate.core.fencing import node_round
from quorate.core.invariants import check
from quorate.core.liveness import read
from quorate.core.sequence import (
    FenceDevice,
    Power,
    Proven,
    Purpose,
    Report,
    Said,
    Sequence,
    Step,
    Verb,
    spec_of,
)
from quorate.core.status import Evidence, Orders
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import EvidenceKind, NodeState, Stage, node_ref
from tests.unit.core.worlds import NOW, WALL, beat, incident, instance, node, world

FAST = PROFILES[Profile.FAST]
S, T = FAST.suspect_after_s, FAST.release_after_s
IPMI = FenceDevice("ipmi", "a")
PDU_A, PDU_B = FenceDevice("pdu-a", "b"), FenceDevice("pdu-b", "c")
SECOND = FenceDevice("second", "d", level=2)
MAY = Brakes(frozenset({"n1"}))
DRILLED = Proven(1, spec_of((IPMI,), 1), WALL, 1, "n1.0", "n1.1")


def sequence(step=Step.OFF, *, devices=(IPMI,), **changes):
    spec = spec_of(devices, changes.get("level", 1))
    found = Sequence("seq", 3, Purpose.INCIDENT, "n1-x", "n1.1", 1, spec, 1, step, WALL - 2000, WALL - 1000)
    return replace(found, **changes)


def lost(*devices, age_s=S + 1, power=None, case=None, **changes):
    status = {"state": NodeState.FENCE, "incident": case or incident(), "power": power}
    return node("n1", beat=beat("n1", age_s), devices=devices or (IPMI,), status=status, **changes)


def off(view, *, brakes=MAY, quorate=True, others=(), **changes):
    """One round of n1."""
    made = world(nodes=(view, *others), **changes)
    how = {"quorate": quorate, "brakes": brakes}
    return node_round(made, view, read(view, FAST, NOW), (instance(),), **how)


def asked(outcome):
    return [(one.order.device, one.order.verb) for one in outcome.actions if isinstance(one, AskDevice)]


def said(sent, word, asked_s=NOW - 2, at_s=NOW):
    """The answer to every order of a round."""
    return tuple(Report(one.order, word, asked_s, at_s) for one in sent.actions if isinstance(one, AskDevice))


def going_on(*devices, step=Step.OFF, words=(), **changes):
    """A sequence that has come so far, with the answers to the orders of the steps before."""
    devices = devices or (IPMI,)
    reports = ()
    for before, word in zip((Step.OFF, Step.STATUS), words, strict=False):
        reports += said(off(lost(*devices, power=Power(sequence(before)), reports=reports)), word)
    power = replace(changes.pop("power", Power()), sequence=sequence(step))
    return lost(*devices, power=power, reports=reports, **changes)


OFF_TWICE = {"step": Step.IS_OFF, "words": (Said.OFF, Said.OFF)}


def kinds(outcome):
    return [one.kind for one in outcome.status.incident.evidence]


def why(outcome):
    return next(one.why for one in outcome.status.incident.tried if one.kind is EvidenceKind.POWER_OFF)


class TestASequence:
    def test_it_is_recorded_with_its_first_order(self):
        outcome = off(lost())
        made = outcome.status.power.sequence
        assert (made.term, made.purpose, made.subject, made.nonce, made.step) == (3, "Incident", "n1-x", "n1.1", "Off")
        assert asked(outcome) == [("ipmi", Verb.OFF)]

    def test_all_devices_of_a_level_are_asked_and_all_must_say_off(self):
        two = (PDU_A, PDU_B)
        first = off(lost(*two, power=Power(sequence(devices=two))))
        assert asked(first) == [("pdu-a", Verb.OFF), ("pdu-b", Verb.OFF)]
        one = off(lost(*two, power=Power(sequence(devices=two)), reports=said(first, Said.OFF)[:1]))
        assert asked(one) == [("pdu-b", Verb.OFF)]
        both = off(lost(*two, power=Power(sequence(devices=two)), reports=said(first, Said.OFF)))
        assert asked(both) == [("pdu-a", Verb.STATUS), ("pdu-b", Verb.STATUS)]

    def test_off_counts_when_it_was_said_twice(self):
        once = off(going_on(words=(Said.OFF,), step=Step.STATUS, power=Power(proven=(DRILLED,))))
        assert kinds(once) == []
        twice = off(going_on(**OFF_TWICE, power=Power(proven=(DRILLED,))))
        assert kinds(twice) == [EvidenceKind.POWER_OFF]
        assert twice.status.incident.stage is Stage.PROVEN

    @pytest.mark.parametrize("word", [Said.ON, Said.FAILED, Said.TIMED_OUT])
    def test_any_other_answer_is_a_failed_try(self, word):
        again = off(lost(power=Power(sequence()), reports=said(off(lost(power=Power(sequence()))), word)))
        made = again.status.power.sequence
        assert (made.attempt, made.step, made.level) == (2, Step.OFF, 1)
        assert "level 1, try 1: off: ipmi" in made.failures[0]
        assert asked(again) == [("ipmi", Verb.OFF)]

    def test_a_shell_that_says_nothing_is_not_waited_for_for_ever(self):
        silent = off(lost(power=Power(sequence(since=WALL - 26_000))))
        assert silent.status.power.sequence.attempt == 2
        assert off(lost(power=Power(sequence(since=WALL - 24_000)))).status.power.sequence.attempt == 1

    def test_after_two_tries_the_next_level_and_after_the_last_a_pause(self):
        def fails(level, *devices):
            before = Power(sequence(attempt=2, level=level, devices=devices))
            return off(lost(*devices, power=before, reports=said(off(lost(*devices, power=before)), Said.FAILED)))

        after = fails(1, IPMI, SECOND)
        assert (after.status.power.sequence.level, after.status.power.sequence.attempt) == (2, 1)
        assert asked(after) == [("second", Verb.OFF)]
        last = fails(2, IPMI, SECOND)
        assert last.status.power.sequence.step is Step.PAUSED
        assert asked(last) == []

    def test_after_the_pause_it_begins_anew(self):
        paused = Power(sequence(Step.PAUSED, level=2, devices=(IPMI, SECOND), since=WALL - 60_000, failures=("x",)))
        made = off(lost(IPMI, SECOND, power=paused)).status.power.sequence
        assert (made.step, made.level, made.failures) == (Step.OFF, 1, ("x",))
        assert made.id != "seq"
        young = Power(sequence(Step.PAUSED, since=WALL - 59_000))
        assert off(lost(power=young)).status.power.sequence.step is Step.PAUSED

    def test_a_later_leader_begins_it_anew(self):
        for step in (Step.OFF, Step.STATUS, Step.IS_OFF):
            outcome = off(lost(power=Power(sequence(step, term=2))))
            made = outcome.status.power.sequence
            assert (made.term, made.step, made.id) == (3, Step.OFF, "n1-entropy"), step
            assert asked(outcome) == [("ipmi", Verb.OFF)]

    def test_answers_to_another_sequence_term_incident_or_boot_mean_nothing(self):
        view = going_on(**OFF_TWICE, power=Power(proven=(DRILLED,)))
        for wrong in (
            {"sequence": "x"},
            {"term": 2},
            {"subject": "n1-y"},
            {"nonce": "n1.0"},
            {"level": 2},
            {"attempt": 2},
        ):
            reports = tuple(replace(one, order=replace(one.order, **wrong)) for one in view.reports)
            assert kinds(off(replace(view, reports=reports))) == [], wrong

    def test_nothing_is_switched_without_quorum_or_with_hands_off(self):
        assert asked(off(lost(), quorate=False)) == []
        view = lost()
        made = world(nodes=(view,))
        held = node_round(made, view, read(view, FAST, NOW), (), quorate=True, hands_off=True, brakes=MAY)
        assert asked(held) == []

    def test_a_sign_of_life_calls_it_off(self):
        outcome = off(lost(power=Power(sequence()), case=incident(sequence=49)))
        assert outcome.status.incident is None
        assert asked(outcome) == []

    def test_another_boot_is_not_shot_for_the_one_before(self):
        view = replace(lost(power=Power(sequence())), beat=beat("n1", holder="n1.2", system_uuid="other"))
        outcome = off(view)
        assert asked(outcome) == []
        assert outcome.status.power is None


class TestPowerOn:
    fenced = incident(stage=Stage.FENCED, evidence=(Evidence(EvidenceKind.POWER_OFF, WALL, 50, ""),))

    def after(self, step=Step.IS_OFF, **changes):
        view = lost(power=Power(sequence(step)), case=changes.pop("case", self.fenced))
        return replace(view, beat=replace(view.beat, holder="fenced/n1-x/n1.1"), **changes)

    def test_when_the_lease_is_taken_its_power_comes_on_again(self):
        outcome = off(self.after())
        assert outcome.status.power.sequence.purpose is Purpose.POWER_ON
        assert asked(outcome) == [("ipmi", Verb.ON)]

    def test_by_policy(self):
        made = world()
        spec = replace(made.cluster.spec, power_on=False)
        assert asked(off(self.after(), cluster=replace(made.cluster, spec=spec))) == []

    expired = replace(fenced, evidence=(Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, ""),))

    @pytest.mark.parametrize("step", [Step.OFF, Step.STATUS, Step.IS_OFF, Step.PAUSED, Step.OVER])
    def test_so_does_what_was_asked_off_and_then_released_by_other_evidence(self, step):
        outcome = off(self.after(step, case=self.expired))
        assert outcome.status.power.sequence.purpose is Purpose.POWER_ON
        assert asked(outcome) == [("ipmi", Verb.ON)]

    @pytest.mark.parametrize("word", [Said.ON, Said.FAILED])
    def test_so_do_the_levels_that_were_tried_before_it(self, word):
        """One of them may have done it after its time was up."""
        devices = (IPMI, SECOND)
        on = {"purpose": Purpose.POWER_ON, "devices": devices}
        second = Power(sequence(Step.ON, level=2, attempt=2, **on))
        view = replace(self.after(case=self.expired), devices=devices)
        view = replace(view, status=replace(view.status, power=second))
        outcome = off(replace(view, reports=said(off(view), word)))
        assert asked(outcome) == [("ipmi", Verb.ON)]
        assert ("NodeStaysOff" in [note.reason for note in outcome.notes]) is (word is Said.FAILED)
        last = replace(view, status=outcome.status)
        assert off(replace(last, reports=said(off(last), Said.ON))).status.power.sequence.step is Step.OVER

    @pytest.mark.parametrize("failures", [(), ("level 1, try 2: on: ipmi failed",)])
    def test_once_and_not_by_each_new_leader(self, failures):
        """Who has switched it off again, to mend it, must not be surprised; one that did not come on is tried again."""
        on = Power(sequence(Step.OVER, purpose=Purpose.POWER_ON, term=2, failures=failures))
        view = self.after(case=self.expired)
        view = replace(view, status=replace(view.status, power=on))
        made = world(nodes=(view, node("n2"), node("n3")))
        brakes = judge(made, {one.name: read(one, FAST, NOW) for one in made.nodes})
        assert brakes.may_begin == ({"n1"} if failures else set())
        assert asked(off(view)) == ([("ipmi", Verb.ON)] if failures else [])

    def test_so_does_one_whose_devices_were_changed_meanwhile(self):
        """Or could not be read for a while: that it was asked off is remembered, and what was answered is not."""
        other = FenceDevice("ipmi", "z")
        waits = off(replace(going_on(**OFF_TWICE), devices=(other,)), brakes=Brakes())
        kept = waits.status.power.sequence
        assert (kept.step, kept.subject) == (Step.OVER, "n1-x")
        made = world(nodes=(replace(lost(other), status=waits.status), node("n2"), node("n3")))
        assert judge(made, {one.name: read(one, FAST, NOW) for one in made.nodes}).may_begin == {"n1"}
        view = replace(self.after(case=self.expired), devices=(other,))
        view = replace(view, status=replace(view.status, power=waits.status.power))
        assert asked(off(view)) == [("ipmi", Verb.ON)]

    def test_what_is_on_takes_nobodys_place(self):
        on = self.after(Step.OVER, case=self.expired)
        over = Power(sequence(Step.OVER, purpose=Purpose.POWER_ON))
        on = replace(on, status=replace(on.status, power=over))
        made = world(nodes=(on, node("n2"), node("n3")))
        assert judge(made, {one.name: read(one, FAST, NOW) for one in made.nodes}).may_begin == frozenset()

    def test_not_what_was_never_asked_off(self):
        view = self.after(case=self.expired)
        assert asked(off(replace(view, status=replace(view.status, power=None)))) == []

    def test_what_stays_off_by_policy_is_not_asked_off_any_more_and_holds_up_nobody(self):
        made = world()
        cluster = replace(made.cluster, spec=replace(made.cluster.spec, power_on=False))
        view = self.after(Step.OFF, case=self.expired)
        outcome = off(view, cluster=cluster)
        assert asked(outcome) == []
        view = replace(view, status=outcome.status)
        made = world(nodes=(view, node("n2")), cluster=cluster)
        assert judge(made, {one.name: read(one, FAST, NOW) for one in made.nodes}).may_begin == frozenset()
        assert asked(off(view)) == [("ipmi", Verb.ON)]  # the policy was changed

    def test_also_without_quorum_and_in_a_storm(self):
        """It takes nothing from anybody, and its vote may be the one that is missing."""
        view = self.after(case=self.expired)
        assert asked(off(view, quorate=False)) == [("ipmi", Verb.ON)]
        storm = replace(MAY, storms={"n1": "2 of 3 votes vanished together"})
        assert asked(off(view, brakes=storm)) == [("ipmi", Verb.ON)]

    def test_a_storm_does_not_take_its_place_from_it(self):
        view = self.after(case=self.expired)
        view = replace(view, status=replace(view.status, guests=1))
        made = world(nodes=(view, node("n2", beat=beat("n2", 60)), node("n3")))
        found = judge(made, {one.name: read(one, FAST, NOW) for one in made.nodes})
        assert (set(found.storms), found.may_begin) == ({"n1", "n2"}, {"n1"})

    def test_not_before_the_lease_is_taken(self):
        assert asked(off(lost(power=Power(sequence(Step.IS_OFF)), case=replace(self.fenced, stage=Stage.PROVEN)))) == []

    def test_it_is_over_when_it_is_back(self):
        back = replace(self.after(), beat=beat("n1", holder="n1.2"))
        view = replace(back, status=replace(back.status, power=Power(sequence(Step.ON, purpose=Purpose.POWER_ON))))
        assert asked(off(view)) == []


class TestBrakes:
    def five(self, *gone, votes=1, since=WALL):
        nodes = []
        for name in ("n1", "n2", "n3", "n4", "n5"):
            quiet = name in gone
            status = {"state": NodeState.FENCE, "since": since, "incident": incident(name)} if quiet else {}
            nodes.append(node(name, beat=beat(name, 60 if quiet else 0.5), devices=(IPMI,), status=status, votes=votes))
        return nodes

    def brakes(self, nodes, **changes):
        made = world(nodes=tuple(nodes), **changes)
        return judge(made, {one.name: read(one, FAST, NOW) for one in nodes})

    def test_two_of_five_together_are_a_storm_and_one_is_none(self):
        assert self.brakes(self.five("n1")).storms == {}
        storms = self.brakes(self.five("n1", "n2")).storms
        assert storms == dict.fromkeys(("n1", "n2"), "2 of 5 votes vanished together (n1, n2)")

    def test_a_third_exactly_is_none(self):
        nodes = [*self.five("n1", "n2"), node("n6")]
        assert self.brakes(nodes).storms == {}

    def test_not_what_vanished_long_before(self):
        nodes = self.five("n1", "n2")
        nodes[0] = replace(nodes[0], status=replace(nodes[0].status, since=WALL - 121_000))
        assert self.brakes(nodes).storms == {}

    def test_one_that_is_silent_and_not_recorded_yet_counts_as_vanished_now(self):
        nodes = self.five("n1")
        nodes[1] = node("n2", beat=beat("n2", 60))
        assert set(self.brakes(nodes).storms) == {"n1", "n2"}

    def late(self, age_s, **changes):
        """n1 is lost, and of n2 nothing was heard for so long: Fast renews every second, within 1.5 s."""
        nodes = self.five("n1")
        nodes[1] = node("n2", beat=beat("n2", age_s, **changes.pop("beat", {})), **changes)
        return nodes

    def test_the_second_of_a_storm_has_missed_a_beat_when_the_first_is_suspected(self):
        for nodes in (self.late(2.6), self.late(8.5), self.late(0.1, beat={"moved": False})):
            found = self.brakes(nodes)
            assert found.storms == {}
            assert found.doubts == {
                "n1": "2 of 5 votes may be vanishing together (n1, n2): it waits until n2 is heard or suspected"
            }

    def test_where_all_beats_are_fresh_nothing_waits(self):
        assert self.brakes(self.late(2.4)).doubts == {}

    @pytest.mark.parametrize(
        "changes",
        [
            {"votes": 0},
            {"beat": {"going": "PowerOff"}},
            {"status": {"state": NodeState.UNKNOWN}, "beat": {"moved": False}},
            {"status": {"orders": Orders(5, 1.5, 5)}},
        ],
    )
    def test_nor_for_one_of_which_no_beat_is_missed(self, changes):
        assert self.brakes(self.late(3, **changes)).doubts == {}

    def test_nor_where_it_would_be_no_storm(self):
        assert self.brakes([*self.late(3), node("n6")]).doubts == {}
        old = self.late(3)
        old[0] = replace(old[0], status=replace(old[0].status, since=WALL - 121_000))
        assert self.brakes(old).doubts == {}

    def test_in_doubt_no_sequence_begins_and_it_looks_again_soon(self):
        doubt = replace(MAY, doubts={"n1": "2 of 5 votes may be vanishing together"})
        paused = Power(sequence(Step.PAUSED, since=WALL - 60_000))
        for power in (None, Power(sequence(term=2)), paused):
            outcome = off(lost(power=power), brakes=doubt)
            assert asked(outcome) == []
            assert outcome.wake_at_s == NOW + 1
        assert off(lost(), brakes=doubt).status.power.blocked.startswith("2 of 5 votes may be vanishing together; ")
        assert asked(off(lost(power=Power(sequence())), brakes=doubt)) == [("ipmi", Verb.OFF)]

    def test_it_is_a_storm_still_when_the_first_of_it_is_released(self):
        nodes = self.five("n1", "n2")
        nodes[0] = replace(nodes[0], status=replace(nodes[0].status, incident=incident("n1", stage=Stage.FENCED)))
        assert set(self.brakes(nodes).storms) == {"n1", "n2"}

    def test_in_a_storm_nothing_is_switched_off_and_it_says_until_when(self):
        storm = replace(MAY, storms={"n1": "2 of 5 votes vanished together (n1, n2)"})
        outcome = off(lost(case=incident(release_by=WALL + 5000)), brakes=storm)
        assert asked(outcome) == []
        assert outcome.status.power.blocked == (
            "2 of 5 votes vanished together (n1, n2): a person must look; without them its guests are released no later "
            "than 00:16:45 UTC"
        )
        begun = off(lost(power=Power(sequence())), brakes=replace(storm, may_begin=frozenset()))
        assert asked(begun) == []

    def test_so_many_at_a_time_the_oldest_incident_first(self):
        nodes = self.five("n2", "n1", since=WALL - 500_000)
        nodes[1] = replace(nodes[1], status=replace(nodes[1].status, incident=incident("n2", opened=WALL - 9), since=0))
        assert self.brakes(nodes).may_begin == {"n2"}
        made = world(nodes=tuple(nodes))
        more = replace(made.cluster, spec=replace(made.cluster.spec, max_concurrent=2))
        assert self.brakes(nodes, cluster=more).may_begin == {"n1", "n2"}

    def test_one_that_is_at_work_keeps_its_place(self):
        nodes = self.five("n1", "n2", since=WALL - 500_000)
        nodes[1] = replace(
            nodes[1],
            status=replace(
                nodes[1].status, power=Power(sequence(subject="n2-x", nonce="n2.1")), since=WALL - 1_000_000
            ),
        )
        assert self.brakes(nodes).may_begin == {"n2"}

    def test_who_must_wait_says_so(self):
        outcome = off(lost(), brakes=Brakes())
        assert asked(outcome) == []
        assert outcome.status.power.blocked.startswith("not more than 1 at a time (maxConcurrent)")

    def test_a_level_with_more_devices_than_the_limit_goes_alone(self):
        nodes = self.five("n1")
        nodes[0] = replace(nodes[0], devices=(PDU_A, PDU_B))
        assert self.brakes(nodes).may_begin == {"n1"}


class TestBreaches:
    """The manager checks its own plans: what must never be asked of a device."""

    def breaches(self, view, **order):
        made = world(nodes=(view, node("n2"), node("n3")))
        outcome = off(view)
        asks = [one for one in outcome.actions if isinstance(one, AskDevice)]
        wrong = tuple(replace(one, order=replace(one.order, **order)) for one in asks)
        return [one.invariant for one in check(made, Plan(actions=wrong))]

    def test_a_sound_order(self):
        assert self.breaches(lost(power=Power(sequence()))) == []

    @pytest.mark.parametrize("wrong", [{"sequence": "x"}, {"term": 2}, {"nonce": "n1.2"}, {"subject": "n1-y"}])
    def test_one_of_another_sequence_term_boot_or_incident(self, wrong):
        assert self.breaches(lost(power=Power(sequence())), **wrong) != []

    def test_the_first_one_while_another_node_may_be_vanishing_as_well(self):
        late = node("n2", beat=beat("n2", 3))
        for power, then in ((None, [9]), (Power(sequence()), [])):
            view = lost(power=power)
            made = world(nodes=(view, late, node("n3")))
            outcome = off(view)
            statuses = (StatusWrite(node_ref("n1"), "1", outcome.status),)
            asks = tuple(one for one in outcome.actions if isinstance(one, AskDevice))
            assert [one.invariant for one in check(made, Plan(statuses=statuses, actions=asks))] == then

    def test_a_node_that_renews(self):
        view = lost(power=Power(sequence()))
        made = world(nodes=(replace(view, beat=beat("n1", sequence=51)), node("n2"), node("n3")))
        assert [one.invariant for one in check(made, Plan(actions=tuple(off(view).actions)))] == [9]


class TestBesideAnotherRemediator:
    """medik8s or Cluster API: two that switch one machine off and on do not know of each other."""

    WORDS = "medik8s is at work on it (taint medik8s.io/remediation)"

    def beside(self, view):
        return replace(view, kube=replace(view.kube, remediator=self.WORDS))

    def test_its_devices_wait_and_say_so(self):
        view = self.beside(lost())
        others = (node("n2"), node("n3"))
        made = world(nodes=(view, *others))
        pulses = {one.name: read(one, FAST, NOW) for one in made.nodes}
        outcome = off(view, brakes=judge(made, pulses), others=others)
        assert asked(outcome) == []
        assert outcome.status.power.blocked.startswith(self.WORDS)

    def test_so_does_a_drill(self):
        view = self.beside(node("n1", devices=(IPMI,), drill="d1", beat=beat("n1"), status={"guests": 0}))
        drilled = off(view).status.power.drilled
        assert drilled.result == f"refused: {self.WORDS}"

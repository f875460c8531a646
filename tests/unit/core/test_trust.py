"""What the word of a fence device is worth: has it switched off its node, and no other one?"""

from dataclasses import replace
from typing import Final

import pytest

from quorate.core.liveness import read
from quorate.core.sequence import (
    Distrust,
    FenceDevice,
    Power,
    Proven,
    Purpose,
    Said,
    Step,
    Verb,
    spec_of,
)
from quorate.core.status import Orders, ResetRequest
from quorate.core.types import Answer, EvidenceKind, Going, NodeState, Stage
from quorate.core.world import Sighting
from tests.unit.core import test_devices, worlds
from tests.unit.core.test_devices import (
    DRILLED,
    FAST,
    IPMI,
    MAY,
    OFF_TWICE,
    SECOND,
    T,
    asked,
    going_on,
    kinds,
    lost,
    off,
    said,
    sequence,
    why,
)
from tests.unit.core.worlds import NOW, WALL, beat, incident, node


class TestTrust:
    def test_an_unproven_level_counts_beside_t_of_an_armed_node(self):
        early = off(going_on(**OFF_TWICE))
        assert kinds(early) == []
        assert "no drill has proven" in why(early)
        assert early.wake_at_s <= NOW + T
        late = off(going_on(**OFF_TWICE, age_s=T + 1))
        assert EvidenceKind.POWER_OFF in kinds(late)

    def test_an_unproven_level_of_a_node_that_was_not_armed_never_counts(self):
        view = going_on(**OFF_TWICE)
        view = replace(view, beat=beat("n1", 1000, armed=False))
        assert kinds(off(view)) == []
        assert "was not armed" in why(off(view))

    def test_what_was_proven_was_that_spec_of_it(self):
        other = replace(DRILLED, spec="ipmi=z")
        assert kinds(off(going_on(**OFF_TWICE, power=Power(proven=(other,))))) == []
        second = replace(DRILLED, level=2)
        assert kinds(off(going_on(**OFF_TWICE, power=Power(proven=(second,))))) == []

    def test_what_was_said_of_a_device_is_nothing_about_one_that_was_changed_since(self):
        """Even if that one was proven, long ago: another machine may have been switched off meanwhile."""
        other = FenceDevice("ipmi", "z")
        known = Proven(1, spec_of((other,), 1), WALL, 1, "n1.0", "n1.1")
        view = replace(going_on(**OFF_TWICE, power=Power(proven=(known,))), devices=(other,))
        outcome = off(replace(view, status=replace(view.status, power=replace(view.status.power, proven=(known,)))))
        assert kinds(outcome) == []
        assert outcome.status.power.sequence.step is Step.OFF
        assert outcome.status.power.sequence.id != "seq"

    def test_said_off_and_the_node_renews(self):
        view = going_on(**OFF_TWICE, power=Power(proven=(DRILLED,)), case=incident(sequence=49))
        outcome = off(view)
        assert outcome.status.incident is None
        assert [one.why for one in outcome.status.power.distrusted] == [
            "it said off twice, and the node renews its Lease"
        ]
        assert outcome.status.power.proven == ()
        assert "DeviceDistrusted" in [note.reason for note in outcome.notes]

    def test_a_distrusted_level_is_not_used_and_does_not_count(self):
        bad = Distrust(1, spec_of((IPMI,), 1), "x", WALL)
        assert asked(off(lost(power=Power(distrusted=(bad,))))) == []
        assert asked(off(lost(IPMI, SECOND, power=Power(distrusted=(bad,))))) == [("second", Verb.OFF)]
        late = off(going_on(**OFF_TWICE, age_s=T + 1, power=Power(distrusted=(bad,))))
        assert EvidenceKind.POWER_OFF not in kinds(late)

    def test_until_its_spec_changes(self):
        old = Distrust(1, "ipmi=old", "x", WALL)
        outcome = off(lost(power=Power(distrusted=(old,))))
        assert outcome.status.power.distrusted == ()
        assert asked(outcome) == [("ipmi", Verb.OFF)]


class TestWhomItHit:
    """Off was asked 12 s ago and said 10 s ago. n2 renews every second, and is suspected after S."""

    ORDERS = Orders(1, 1.5, 5)
    LONG = worlds.said("n2", watchdog_s=30)
    """Its S is longer."""

    def other(self, age_s=10.0, *, status=(), **changes):
        seen = {"beat": beat("n2", age_s), **changes}
        return node("n2", status={"orders": self.ORDERS, **dict(status)}, **seen)

    def after(self, other, view=None):
        view = view or going_on(**OFF_TWICE)
        view = replace(view, reports=tuple(replace(one, asked_s=NOW - 12, at_s=NOW - 10) for one in view.reports))
        silent = frozenset({"n2"}) if read(other, FAST, NOW).alive is Answer.NO else frozenset()
        return off(view, brakes=replace(MAY, silent=silent), others=(other,))

    def distrusted(self, outcome):
        return [one.why for one in outcome.status.power.distrusted]

    HIT: Final = ["n2 fell silent when it said off"]

    @pytest.mark.parametrize("age_s", [9.1, 10, 12, 13.9])
    def test_whoever_was_heard_last_between_off_and_the_answer_and_is_silent(self, age_s):
        assert self.distrusted(self.after(self.other(age_s))) == self.HIT

    @pytest.mark.parametrize("age_s", [8.9, 14.1, 60])
    def test_not_who_was_heard_after_it_or_was_silent_before(self, age_s):
        assert self.distrusted(self.after(self.other(age_s))) == []

    def test_nor_one_whose_lease_a_manager_has_just_taken(self):
        """That is no heartbeat: it was heard last half a minute ago."""
        last = Sighting("n2.1", NOW - 400, NOW - 40, 1, 50)
        mark = Sighting("fenced/n2-x/n2.1", NOW - 13, NOW - 13, 1)
        taken = replace(beat("n2", 13, holder=mark.holder), sightings=(last, mark))
        status = {"state": NodeState.FENCE, "incident": incident("n2", stage=Stage.FENCED)}
        assert self.distrusted(self.after(self.other(beat=taken, status=status))) == []
        near = replace(taken, sightings=(replace(last, last_s=NOW - 13.5), mark))
        assert self.distrusted(self.after(self.other(beat=near, status=status))) == self.HIT

    def test_nor_one_whose_lease_somebody_deleted(self):
        gone = self.other(beat=None, missed=beat("n2", 40), lease_missing_s=NOW - 11)
        assert self.distrusted(self.after(gone)) == []

    def test_nor_one_that_was_lost_before_and_whose_lease_was_only_found(self):
        found = replace(beat("n2", 13, moved=False), sightings=(Sighting("n2.1", NOW - 13, NOW - 13, 1, 50),))
        lost = {"state": NodeState.FENCE, "since": WALL - 20_000}
        assert self.distrusted(self.after(self.other(beat=found, status=lost))) == []
        assert self.distrusted(self.after(self.other(beat=found))) == self.HIT

    @pytest.mark.parametrize(
        "explained",
        [
            {"beat": beat("n2", 10, going="PowerOff")},
            {"status": {"going": Going.REBOOT}},
            {"status": {"reset_request": ResetRequest("r", "n2.1", "ct:default/web", WALL)}},
            {"status": {"power": Power(sequence(Step.STATUS))}},
        ],
    )
    def test_nor_one_whose_silence_is_explained(self, explained):
        assert self.distrusted(self.after(self.other(**explained))) == []

    def test_it_is_open_while_one_is_neither_heard_nor_suspected(self):
        """The incident is over by then: n1 is back."""
        back = beat("n1", holder="n1.2")
        fresh = replace(going_on(**OFF_TWICE), beat=back)
        fresh = replace(fresh, status=replace(fresh.status, incident=None, nonce="n1.2"))
        late = self.other(beat=beat("n2", 10, attestation=self.LONG))
        outcome = self.after(late, view=fresh)
        kept = outcome.status.power
        assert (kept.sequence.step, kept.sequence.id) == (Step.OVER, "seq")
        assert outcome.status.state is NodeState.ONLINE
        assert outcome.wake_at_s == NOW + 1
        assert asked(outcome) == []
        assert self.after(self.other(0.5), view=fresh).status.power is None
        assert self.distrusted(self.after(self.other(10), view=fresh)) == self.HIT

    def test_it_stays_open_while_power_comes_on_again(self):
        case = replace(test_devices.TestPowerOn.fenced, id="n1-x")
        late = self.other(beat=beat("n2", 10, attestation=self.LONG))
        view = going_on(**OFF_TWICE, case=case)
        view = replace(view, beat=replace(view.beat, holder="fenced/n1-x/n1.1"))
        on = self.after(late, view=view)
        assert (on.status.power.sequence.purpose, on.status.power.sequence.id) == (Purpose.POWER_ON, "seq")
        view = replace(view, status=on.status)
        assert self.distrusted(self.after(self.other(10), view=view)) == self.HIT

    def test_one_that_has_booted_again_is_known_at_once(self):
        seen = (Sighting("n2.1", NOW - 400, NOW - 11, 1, 50), Sighting("n2.2", NOW - 1, NOW - 1, 1, 1))
        again = replace(beat("n2", 1, holder="n2.2"), sightings=seen)
        assert self.distrusted(self.after(self.other(beat=again))) == self.HIT

    def test_a_new_incident_does_not_take_what_is_still_open_for_its_own(self):
        open_still = Power(sequence(Step.OVER, subject="n1-old", nonce="n1.0"))
        made = off(lost(power=open_still)).status.power.sequence
        assert (made.subject, made.nonce, made.step) == ("n1-x", "n1.1", Step.OFF)

    def test_the_next_level_is_not_blamed_for_the_one_before(self):
        devices = (IPMI, SECOND)
        failed = said(off(lost(*devices, power=Power(sequence(devices=devices)))), Said.FAILED, NOW - 30, NOW - 14.5)
        before = Power(sequence(level=2, devices=devices))
        second = said(off(lost(*devices, power=before)), Said.OFF, NOW - 12, NOW - 10)
        for age_s, then in ((25, []), (12, self.HIT)):
            view = lost(*devices, power=before, reports=(*failed, *second))
            outcome = off(view, brakes=replace(MAY, silent=frozenset({"n2"})), others=(self.other(age_s),))
            assert self.distrusted(outcome) == then

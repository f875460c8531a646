"""Ways in which what a device says could have been worth more than it is."""

from dataclasses import replace

from quorate.core.brakes import Brakes, judge
from quorate.core.fencing import node_round
from quorate.core.liveness import read
from quorate.core.sequence import Distrust, FenceDevice, Health, Power, Proven, Said, Step, spec_of
from quorate.core.status import Evidence
from quorate.core.types import EvidenceKind, NodeState, Stage
from tests.unit.core import test_devices as devices
from tests.unit.core import test_drill as drills
from tests.unit.core.worlds import NOW, WALL, beat, incident, node, said, world

IPMI = devices.IPMI


class TestBesideT:
    """Unproven, it counts beside T of an armed node: by its own last word, as an answer to the order that stands."""

    def test_not_by_what_the_status_remembers_of_a_lease_that_is_gone(self):
        view = devices.going_on(**devices.OFF_TWICE, age_s=devices.T + 5)
        view = replace(view, beat=None, missed=None, lease_missing_s=NOW - devices.T - 1)
        assert devices.kinds(devices.off(view)) == []

    def test_not_by_a_last_word_about_an_older_order(self):
        view = devices.going_on(**devices.OFF_TWICE, age_s=devices.T + 5)
        arming = replace(view.status.arming, generation=2)
        missed, status = view.beat, replace(view.status, arming=arming)
        view = replace(view, beat=None, missed=missed, lease_missing_s=NOW - devices.T - 1, status=status)
        assert devices.kinds(devices.off(view)) == []


class TestWhatADrillHasShown:
    def test_was_of_the_machine_before(self):
        proven = Proven(1, spec_of((IPMI,), 1), WALL, 1, "n1.0", "n1.1")
        other = beat("n1", holder="n1.9", attestation=said("n1", system_uuid="machine-new"))
        view = node("n1", devices=(IPMI,), beat=other, status={"power": Power(proven=(proven,))})
        made = world(nodes=(view,))
        after = node_round(made, view, read(view, devices.FAST, NOW), (), quorate=True).status
        assert (after.system_uuid, after.power) == ("machine-new", None)

    def test_was_of_the_devices_that_were_asked_whoever_leads_now(self):
        changed = FenceDevice("ipmi", "another")
        view = drills.one(drills.drilling(Step.BOOT, term=2), devices=(changed,), beat=beat("n1", holder="n1.2"))
        made, brakes = world(nodes=(view,)), Brakes(frozenset({"n1"}))
        for _ in range(3):
            seen = node_round(made, view, read(view, drills.FAST, NOW), (), quorate=True, brakes=brakes)
            view = replace(view, status=seen.status)
        assert view.status.power.proven == ()

    def test_a_drill_may_prove_a_level_that_was_distrusted_before(self):
        bad = Distrust(1, spec_of((IPMI,), 1), "it lied", WALL - 99_999)
        after = drills.judge(drills.one(replace(drills.drilling(Step.IS_OFF), distrusted=(bad,)))).status
        assert after.power.drilled is None

    def test_not_one_that_switched_another_machine(self):
        bad = Distrust(1, spec_of((IPMI,), 1), "n3 fell silent when it said off", WALL)
        power = replace(drills.drilling(Step.BOOT), distrusted=(bad,))
        after = drills.judge(drills.one(power, beat=beat("n1", holder="n1.2"))).status
        assert after.power.proven == ()


class TestSecrets:
    """What a device is, its Secret says as well, and a leader that was just elected has read none."""

    UNREAD = replace(IPMI, secret="bmc").with_secret("")
    READ = replace(IPMI, secret="bmc").with_secret("uid.7")
    PROVEN = Proven(1, spec_of((READ,), 1), WALL, 1, "n1.0", "n1.1")

    def test_what_a_drill_has_shown_outlives_the_moment_until_it_is_read(self):
        view = node("n1", devices=(self.UNREAD,), beat=beat("n1"), status={"power": Power(proven=(self.PROVEN,))})
        assert drills.judge(view).status.power.proven == (self.PROVEN,)
        read_as = replace(view, devices=(replace(IPMI, secret="bmc").with_secret("uid.8"),))
        assert drills.judge(read_as).status.power is None

    def test_and_proves_nothing_meanwhile(self):
        case = devices.going_on(self.UNREAD, **devices.OFF_TWICE, power=Power(proven=(self.PROVEN,)))
        assert devices.kinds(devices.off(case)) == []

    def test_a_drill_waits_for_it(self):
        view = replace(drills.one(None), devices=(self.UNREAD,), drill="d1")
        assert drills.judge(view).status.power is None

    def test_and_is_refused_when_it_cannot_be_read(self):
        health = Health(
            "ipmi", self.UNREAD.spec, Said.FAILED, "Secret quorate-system/bmc does not exist: create it", NOW
        )
        view = replace(drills.one(None), devices=(self.UNREAD,), drill="d1", health=(health,))
        drilled = drills.judge(view).status.power.drilled
        assert drilled.result == "refused: ipmi: Secret quorate-system/bmc does not exist: create it"


class TestAnIncident:
    def test_begins_with_off_where_a_drill_had_come_further(self):
        view = replace(devices.lost(power=drills.drilling(Step.BOOT, term=2)), drill="d1")
        assert devices.off(view).status.power.sequence.step is Step.OFF
        assert devices.asked(devices.off(replace(devices.lost(power=drills.drilling(Step.ON)), drill="d1"))) == [
            ("ipmi", "Off")
        ]

    def test_that_is_proven_by_other_evidence_switches_nothing_off(self):
        case = replace(incident(), stage=Stage.PROVEN, evidence=(Evidence(EvidenceKind.DRAINED, WALL, 50, ""),))
        assert not devices.asked(devices.off(devices.lost(case=case)))

    def test_whose_node_is_back_takes_no_turn_from_others(self):
        back = replace(devices.lost(), beat=beat("n1", holder="n1.2"))
        case = replace(incident("n2"), opened=WALL + 1)
        lost = node("n2", beat=beat("n2", 20), devices=(IPMI,), status={"state": NodeState.FENCE, "incident": case})
        made = world(nodes=(back, lost, *(node(f"n{number}") for number in range(3, 8))))
        assert "n2" in judge(made, {view.name: read(view, devices.FAST, NOW) for view in made.nodes}).may_begin

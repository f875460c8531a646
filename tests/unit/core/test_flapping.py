"""The way back of a node that was lost: at once, later each time it flaps, or by a person's word without a reboot."""

from dataclasses import replace

import pytest

from quorate.core.actions import GiveLease, SetTaint
from quorate.core.fencing import node_round
from quorate.core.flapping import LONGEST_MS, QUIET_MS, came_back, delay_ms, held_until, lately
from quorate.core.invariants import check
from quorate.core.liveness import read
from quorate.core.plan import plan
from quorate.core.selectors import Taint
from quorate.core.status import Evidence, Returns
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import FENCE_TAINT, EvidenceKind, NodeState, Stage
from tests.unit.core.worlds import NOW, WALL, beat, guest, incident, instance, node, world

FIRST_MS = 60_000
PROOF = Evidence(EvidenceKind.LEASE_EXPIRED, WALL, 50, "armed and silent")
FENCED = incident(stage=Stage.FENCED, evidence=(PROOF,))


def judge(view, *instances, **how):
    made = world(nodes=(view, node("n2")))
    return node_round(made, view, read(view, PROFILES[Profile.FAST], NOW), instances, **{"quorate": True, **how})


def back(returns=None, *, boot="n1.2", case=FENCED, **changes):
    """n1 was fenced, renews in another boot, and our taint is on it."""
    status = {"state": NodeState.FENCE, "incident": case, "returns": returns}
    view = node("n1", beat=beat("n1", holder=boot), status=status, **changes)
    return replace(view, kube=replace(view.kube, taints=(Taint(FENCE_TAINT, "NoSchedule", "n1-x"),)))


def returned(number, ago_ms=0, boot="n1.1", until=WALL):
    return Returns(number, boot, WALL - ago_ms, until)


def untaints(outcome):
    return SetTaint("n1", None) in outcome.actions


class TestTheWait:
    def test_it_grows_and_is_bounded(self):
        waits = [delay_ms(number, 60) for number in range(1, 40)]
        assert waits[:4] == [0, FIRST_MS, 2 * FIRST_MS, 4 * FIRST_MS]
        assert waits == sorted(waits)
        assert waits[-1] == LONGEST_MS

    def test_each_quiet_hour_takes_one_return_off(self):
        assert [lately(returned(3, hours * QUIET_MS), WALL) for hours in range(5)] == [3, 2, 1, 0, 0]
        assert lately(None, WALL) == 0
        assert lately(returned(3, -QUIET_MS), WALL) == 3

    def test_a_boot_is_counted_once(self):
        first = came_back(None, FENCED, "n1.2", WALL, 60)
        assert (first.number, first.until) == (1, WALL)
        assert came_back(first, FENCED, "n1.2", WALL + 9, 60) is first
        second = came_back(first, FENCED, "n1.3", WALL + 9, 60)
        assert (second.number, second.until) == (2, WALL + 9 + FIRST_MS)

    def test_a_clean_shutdown_counts_nothing(self):
        drained = replace(FENCED, evidence=(Evidence(EvidenceKind.DRAINED, WALL, 50, ""),))
        assert came_back(None, drained, "n1.2", WALL, 60) is None

    def test_it_is_about_that_boot_and_ends(self):
        wait = returned(2, boot="n1.2", until=WALL + FIRST_MS)
        assert held_until(wait, "n1.2", WALL) == WALL + FIRST_MS
        assert held_until(wait, "n1.3", WALL) is None
        assert held_until(wait, "n1.2", WALL + FIRST_MS) is None

    def test_nobody_waits_for_an_end_that_a_wrong_clock_wrote(self):
        assert held_until(returned(2, boot="n1.2", until=WALL + LONGEST_MS + 1), "n1.2", WALL) is None


class TestANodeThatIsBack:
    def test_the_first_time_our_taint_goes_at_once(self):
        outcome = judge(back())
        assert untaints(outcome)
        assert outcome.status.returns == Returns(1, "n1.2", WALL, WALL)

    def test_the_second_time_it_stays_for_a_while_and_says_so(self):
        outcome = judge(back(returned(1)))
        assert not untaints(outcome)
        assert outcome.status.incident is not None
        assert outcome.status.state is NodeState.FENCE
        assert outcome.status.returns.until == WALL + FIRST_MS
        assert [note.reason for note in outcome.notes] == ["NodeHeldBack"]
        assert outcome.wake_at_s == pytest.approx(NOW + FIRST_MS / 1000, abs=0.1)

    def test_it_says_so_once(self):
        waits = returned(2, boot="n1.2", until=WALL + FIRST_MS)
        assert judge(back(waits)).notes == ()

    def test_it_is_over_by_itself(self):
        assert untaints(judge(back(returned(2, 2 * FIRST_MS, "n1.2", WALL - 1))))

    def test_a_person_ends_it_for_that_boot_of_that_incident(self):
        waits = returned(2, boot="n1.2", until=WALL + FIRST_MS)
        assert untaints(judge(back(waits, release="n1-x/n1.2/anna")))
        for wrong in ("n1-x/n1.1/anna", "n1-y/n1.2/anna", "n1-x/n1.2/", "n1-x"):
            assert not untaints(judge(back(waits, release=wrong))), wrong

    def test_no_guest_starts_there_meanwhile_and_the_message_says_until_when(self):
        waits = returned(2, boot="n1.2", until=WALL + FIRST_MS)
        fresh = guest(status={"node": None, "instance": None, "ready": False, "state": "Queued"}, pod=None)
        made = world(nodes=(back(waits), node("n2", kube=None), node("n3", kube=None)), guests=(fresh,))
        found = plan(made)
        status = next(write.status for write in found.statuses if write.ref.name == "n1")
        assert status.message.startswith("held back until 00:17:40 UTC: it was lost and came back 2 times lately")
        assert "quorate fence release n1" in status.message
        assert check(made, found) == ()


class TestABootThatNeverEnded:
    def fenced(self, release="n1-x/n1.1/anna", **changes):
        held = replace(beat("n1", 60), holder="fenced/n1-x/n1.1")
        return node(
            "n1",
            beat=held,
            status={"state": NodeState.FENCE, "incident": changes.pop("case", FENCED)},
            release=release,
            **changes,
        )

    def gives(self, outcome):
        return [one for one in outcome.actions if isinstance(one, GiveLease)]

    def test_a_persons_word_gives_it_its_lease_back(self):
        outcome = judge(self.fenced())
        assert outcome.status.incident.stage is Stage.RELEASED
        assert self.gives(outcome) == [GiveLease("n1", "n1-x", "n1.1", "lease-n1", "77")]

    def test_not_while_an_instance_of_it_is_left(self):
        outcome = judge(self.fenced(), instance())
        assert outcome.status.incident.stage is Stage.FENCED
        assert self.gives(outcome) == []

    def test_not_without_quorum_and_not_while_hands_are_off(self):
        assert judge(self.fenced(), quorate=False).status.incident.stage is Stage.FENCED
        assert judge(self.fenced(), hands_off=True).status.incident.stage is Stage.FENCED

    def test_not_before_it_is_fenced(self):
        case = replace(FENCED, stage=Stage.PROVEN)
        view = replace(self.fenced(case=case), beat=beat("n1", 60))
        assert self.gives(judge(view)) == []

    @pytest.mark.parametrize("wrong", ["", "n1-x/n1.2/anna", "n1-y/n1.1/anna", "n1-x/n1.1"])
    def test_a_word_for_another_boot_or_incident_means_nothing(self, wrong):
        assert judge(self.fenced(wrong)).status.incident.stage is Stage.FENCED

    def test_what_was_released_is_given_whoever_leads_then(self):
        released = replace(FENCED, stage=Stage.RELEASED)
        assert len(self.gives(judge(self.fenced("", case=released)))) == 1

    def test_it_is_back_when_it_renews_again_and_not_before(self):
        released = replace(FENCED, stage=Stage.RELEASED)
        empty = self.fenced(case=released)
        empty = replace(empty, beat=replace(empty.beat, holder=""))
        assert judge(empty).status.incident is not None
        renews = judge(replace(empty, beat=beat("n1", sequence=51)))
        assert renews.status.incident is None
        assert renews.status.returns is None
        assert renews.status.state is NodeState.ONLINE

    def test_it_is_a_breach_without_the_word_or_with_an_instance_left(self):
        released = self.fenced(case=replace(FENCED, stage=Stage.RELEASED))
        made = world(nodes=(released, node("n2"), node("n3")))
        found = plan(made)
        assert self.gives(found) != []
        assert check(made, found) == ()
        fenced = world(nodes=(self.fenced(""), node("n2"), node("n3")))
        assert check(fenced, replace(found, statuses=())) != ()
        assert check(replace(made, guests=(guest(),)), found) != ()

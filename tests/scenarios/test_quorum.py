"""The options of quorum in a cluster that lives: who acts, who does not, and who remembers."""

import pytest

from quorate.core.quorum_options import QuorumOptions
from quorate.core.types import GuestState
from tests.toy import Toy

S = GuestState
SILENT_S = 30.0
"""Long enough to be found silent, whatever the beats."""


def cluster(nodes: int, options: QuorumOptions) -> Toy:
    made = Toy(nodes)
    made.wish_quorum(options)
    made.manager()
    made.run_until(lambda: made.cluster.status.quorate, 10, "quorum")
    return made


def another_leader(toy: Toy) -> None:
    for manager in toy.managers:
        manager.stopped = True
    toy.managers.clear()
    toy.manager()


def lose(toy: Toy, *names: str) -> None:
    for name in names:
        toy.power_off(name)
    toy.run(SILENT_S)


def test_the_last_men_standing_recover_what_the_lost_ran():
    toy = cluster(5, QuorumOptions(wait_for_all=True, last_man_standing_s=10.0))
    web = toy.add_guest()
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "start")
    lose(toy, "n4", "n5")
    assert toy.cluster.status.votes.text == "3/3"
    toy.power_off("n1")
    toy.run_until(lambda: toy.running(web) in (["n2"], ["n3"]), 40, "recovery by two of five")
    assert toy.cluster.status.quorate
    assert "the rest stopped counting" in toy.cluster.status.message


def test_without_that_option_two_of_five_do_nothing():
    toy = cluster(5, QuorumOptions())
    web = toy.add_guest()
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "start")
    lose(toy, "n4", "n5")
    lose(toy, "n1")
    assert not toy.cluster.status.quorate
    assert toy.running(web) == []


def test_a_shrunken_cluster_survives_its_manager_and_no_more():
    """The window is over and the total is three: a new leader knows, and does not take two strangers for them."""
    toy = cluster(5, QuorumOptions(wait_for_all=True, last_man_standing_s=10.0))
    lose(toy, "n4", "n5")
    another_leader(toy)
    toy.run(SILENT_S)
    assert toy.cluster.status.votes.text == "3/3"
    for name in ("n1", "n2", "n3"):
        toy.power_off(name)
    toy.power_on("n4")
    toy.power_on("n5")
    toy.run(SILENT_S)
    assert not toy.cluster.status.quorate


def test_nothing_starts_before_all_were_there_and_a_new_leader_knows_it():
    toy = Toy(3)
    toy.wish_quorum(QuorumOptions(wait_for_all=True))
    toy.power_off("n3")
    toy.manager()
    web = toy.add_guest()
    toy.run(SILENT_S)
    another_leader(toy)
    toy.run(SILENT_S)
    assert not toy.cluster.status.quorate
    assert "waits until all 3 have been heard at once" in toy.cluster.status.message
    assert toy.running(web) == []
    toy.power_on("n3")
    toy.run_until(lambda: toy.running(web) == ["n1"], 30, "start")


def test_who_has_not_restarted_need_not_wait_for_all_again():
    toy = cluster(3, QuorumOptions(wait_for_all=True))
    lose(toy, "n2", "n3")
    assert not toy.cluster.status.quorate
    toy.power_on("n2")
    toy.run_until(lambda: toy.cluster.status.quorate, 20, "quorum with n1, which was there before")


def test_after_a_start_of_everybody_all_are_waited_for_again():
    toy = cluster(3, QuorumOptions(wait_for_all=True))
    lose(toy, "n1", "n2", "n3")
    toy.power_on("n1")
    toy.power_on("n2")
    toy.run(SILENT_S)
    assert not toy.cluster.status.quorate


def test_it_is_a_start_of_everybody_too_when_no_manager_saw_it():
    """The last that was written is "quorate", and a majority boots before a new leader has given up the third."""
    toy = cluster(3, QuorumOptions(wait_for_all=True))
    web = toy.add_guest()
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "start")
    toy.managers.clear()
    lose(toy, "n1", "n2", "n3")
    toy.power_on("n2")
    toy.power_on("n3")
    toy.run(5.0)
    toy.manager()
    toy.run(60.0)
    assert not toy.cluster.status.quorate
    assert toy.running(web) == []
    toy.power_on("n1")
    toy.run_until(lambda: len(toy.running(web)) == 1, 60, "recovery when all are there")


def test_who_lived_on_while_no_manager_did_need_not_wait():
    toy = cluster(3, QuorumOptions(wait_for_all=True))
    toy.managers.clear()
    lose(toy, "n1", "n3")
    toy.power_on("n1")
    toy.run(5.0)
    toy.manager()
    toy.run_until(lambda: toy.cluster.status.quorate, 30, "quorum with n2, which was there before")


@pytest.mark.parametrize(("lost", "quorate"), [(("n3", "n4"), True), (("n1", "n2"), False)])
def test_the_half_with_the_tie_breaker_goes_on(lost, quorate):
    toy = cluster(4, QuorumOptions(auto_tie_breaker=True))
    web = toy.add_guest()
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "start")
    lose(toy, *lost)
    assert toy.cluster.status.quorate is quorate
    another_leader(toy)
    toy.run(SILENT_S)
    assert toy.cluster.status.quorate is quorate


def test_one_of_two_nodes_recovers_the_guests_of_the_other():
    toy = cluster(2, QuorumOptions(two_node=True))
    web = toy.add_guest()
    toy.run_until(lambda: toy.running(web) == ["n1"], 20, "start")
    toy.power_off("n1")
    toy.run_until(lambda: toy.running(web) == ["n2"], 40, "recovery by one of two")


def test_a_word_for_one_node_does_not_hold_for_less_than_has_come_since():
    """`expected 1` for n5; n4 comes and goes again: one of the two that count now is no majority."""
    toy = cluster(5, QuorumOptions())
    lose(toy, "n1", "n2", "n3", "n4")
    toy.expect_votes(1)
    toy.run_until(lambda: toy.cluster.status.quorate, 10, "quorum by a person's word")
    toy.power_on("n4")
    toy.run_until(lambda: toy.cluster.status.votes.text == "2/2", 20, "the second vote")
    lose(toy, "n4")
    assert not toy.cluster.status.quorate

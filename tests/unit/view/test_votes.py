from dataclasses import replace

from quorate.core.quorum import Rule, majority
from quorate.core.status import DeviceStatus, VotesStatus
from quorate.core.types import NodeName
from quorate.view.build import build
from quorate.view.pve import pvecm
from quorate.view.votes import drawing, enough, largest_total, wished_options
from tests.unit.view import pictures
from tests.unit.view.test_table import drawn


def test_drawing_shows_who_carries_the_majority():
    cluster = build(pictures.node_lost(), pictures.NOW).clusters[0]
    assert drawing(cluster).splitlines() == [
        "n2  x",
        "n3  x",
        "    ^ 2 of 3 are a majority",
        "n1  -",
        "yes: 2 of 3 votes, need 2",
    ]


def test_largest_total_is_the_largest_of_which_the_live_votes_are_a_majority():
    for live in range(1, 40):
        total = largest_total(live)
        assert live >= majority(total)
        assert live < majority(total + 1)
    assert largest_total(0) == 0


def with_status(**changes):
    """Three nodes, of which n1 is lost."""
    status = pictures.cluster_status(**changes)
    return replace(pictures.node_lost(), clusters=(pictures.cluster(status),))


def test_a_device_and_why_it_is_so_are_drawn():
    snapshot = with_status(
        votes=VotesStatus(4, 4, 2, 3, "2/4", Rule.TIE_BREAKER, NodeName("n2")), device=DeviceStatus("third", 1, False)
    )
    assert drawing(build(snapshot, pictures.NOW).clusters[0]).splitlines() == [
        "n2     x  (breaks ties)",
        "n3     x",
        "n1     -",
        "       ^ 3 of 4 are a majority",
        "third  -  (device)",
        "yes: 2 of 4 votes, need 3; half of them and the tie breaker n2",
    ]


def test_status_says_what_a_cluster_waits_for_and_what_a_person_can_do():
    votes = VotesStatus(3, 3, 2, 2, "2/3", Rule.WAITING_FOR_ALL)
    text = " ".join(drawn(with_status(quorate=False, votes=votes), verbose=True).split())
    assert "not quorate (2 of 3 votes, need 2, and waits until all 3 have been heard at once)" in text
    assert "quorate cluster expected 2 --reason TEXT" in text
    assert "no: 2 of 3 votes, need 2, and waits until all 3 have been heard at once" in text


def test_enough_is_what_makes_it_quorate():
    assert enough(VotesStatus(5, 5, 2, 3)) == largest_total(2)
    assert enough(VotesStatus(5, 5, 3, 3, rule=Rule.WAITING_FOR_ALL)) == 3


def test_options_are_the_flags_of_corosync():
    spec = {"waitForAll": True, "twoNode": True, "autoTieBreaker": False, "device": None, "expectedVotes": {"votes": 1}}
    assert wished_options(spec) == ("2Node", "WaitForAll")
    cluster = pictures.cluster()
    snapshot = replace(pictures.whole(), clusters=({**cluster, "spec": {"quorum": spec}},))
    assert "Flags:            2Node Quorate WaitForAll" in pvecm(build(snapshot, pictures.NOW))

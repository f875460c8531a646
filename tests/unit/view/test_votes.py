from quorate.core.quorum import majority
from quorate.view.build import build
from quorate.view.votes import drawing, largest_total
from tests.unit.view import pictures


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

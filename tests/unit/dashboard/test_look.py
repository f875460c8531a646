"""What a person wants to see, as an address."""

from urllib.parse import parse_qsl

import pytest

from quorate.dashboard.look import Look, page_of
from quorate.view.report import GuestReport, Health


def guest(
    name: str, node: str = "n1", state: str = "Started", health: Health = Health.HEALTHY, why: str = ""
) -> GuestReport:
    return GuestReport(name, "Started", state, True, node, "", False, "0/1 0/1", why, health=health)


GUESTS = [guest(f"ct:shop/g{number:03}", f"n{number % 3 + 1}") for number in range(120)]


@pytest.mark.parametrize(
    "look",
    [
        Look(),
        Look(q="a&b=c", node="n1", state="fence", sort="node", down=True, page=3),
        Look(cluster="prod", open=("n1", "n2")),
    ],
)
def test_there_and_back(look):
    assert Look.of(dict(parse_qsl(look.query()))) == look


@pytest.mark.parametrize(
    "query", [{"page": "-1"}, {"page": "x"}, {"page": "9" * 40}, {"sort": "nothing"}, {"down": "2"}, {"page": "²"}]
)
def test_nonsense_is_left_out(query):
    assert Look.of(query) == Look()


def test_pages():
    page = page_of(GUESTS, Look(page=3))
    assert (page.number, page.count, len(page.rows), page.first, page.found) == (3, 3, 20, 101, 120)
    assert page_of(GUESTS, Look(page=99)).number == 3
    assert page_of([], Look()).first == 0


def test_filters():
    assert page_of(GUESTS, Look(node="n2")).found == 40
    assert [one.guest for one in page_of(GUESTS, Look(q="G007")).rows] == ["ct:shop/g007"]
    lost = guest("ct:shop/x", state="Fence", health=Health.CRITICAL, why="waiting for n1")
    assert [one.guest for one in page_of([*GUESTS, lost], Look(state="attention")).rows] == ["ct:shop/x"]
    assert page_of([*GUESTS, lost], Look(state="fence")).found == 1
    assert page_of([*GUESTS, lost], Look(q="waiting")).found == 1


def test_another_filter_begins_at_the_first_page():
    look = Look(q="web", page=4)
    assert "page" not in look.query(q="db")
    assert "page=2" in look.query(page=2)


def test_sorting_goes_both_ways():
    look = Look()
    assert look.sorted_by("node") == "/?sort=node"
    assert Look(sort="node").sorted_by("node") == "/?sort=node&down=1"
    nodes = [one.node for one in page_of(GUESTS, Look(sort="node", down=True)).rows]
    assert nodes == sorted(nodes, reverse=True)

"""The command line as somebody at a terminal meets it: pictures that follow, questions, and Ctrl-C, in tmux."""

import pytest

from tests.unit.cli.conftest import fill
from tests.unit.cli.terminals import ENDED
from tests.unit.view import pictures

EXPECTED = "quorate cluster expected 1 --reason lost"


@pytest.fixture
def halved(stub):
    """Two of three nodes are gone."""
    fill(stub, pictures.quorum_lost())
    for one in stub.objects.values():
        one["metadata"]["resourceVersion"] = "7"
    return stub


def test_watching_follows_and_leaves_the_last_picture_behind(prod, tmux):
    terminal = tmux("quorate status -w")
    terminal.until("quorate  3 of 3 votes", "ct:shop/web")
    fill(prod, pictures.node_lost())
    terminal.until("! Node n1: lost", "fence")
    terminal.type("C-c")
    shown = terminal.until(f"{ENDED} 2")
    assert "! Node n1: lost" in shown
    assert "Traceback" not in shown
    assert shown.count("Cluster     prod") == 1


def test_watching_goes_on_without_an_api_server_and_says_of_when_it_is(prod, tmux):
    terminal = tmux("quorate status -w")
    terminal.until("quorate  3 of 3 votes")
    prod.before_read = lambda *_: (_ for _ in ()).throw(ConnectionResetError)
    terminal.until("! cannot reach the API server", "this is what was at", "quorate  3 of 3 votes")
    prod.before_read = None
    terminal.until("quorate  3 of 3 votes", gone=["! cannot reach the API server"])


def test_a_window_that_becomes_narrow_cuts_nothing_off(prod, tmux):
    terminal = tmux("quorate status -w", columns=160)
    terminal.until("quorate  3 of 3 votes")
    terminal.resize(80)
    shown = terminal.until("released after 14.7s", "need 2", "Fencing")
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("keys", [("n", "Enter"), ("Enter",), ("C-c",)])
def test_what_is_dangerous_asks_and_anything_but_yes_is_no(halved, tmux, keys):
    terminal = tmux(EXPECTED)
    terminal.until("[y/N]")
    terminal.type(*keys)
    assert "Traceback" not in terminal.until(f"{ENDED} 130", "interrupted")
    assert halved.writes == []


def test_yes_does_it(halved, tmux):
    terminal = tmux(EXPECTED)
    terminal.until("[y/N]")
    terminal.type("y", "Enter")
    terminal.until(f"{ENDED} ")
    assert [write.path.rpartition("/")[2] for write in halved.writes] == ["prod"]

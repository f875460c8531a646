"""What tenants and other programs write is shown, and does nothing to the terminal or to the form of the output."""

import io
import json
from dataclasses import replace

import pytest
import yaml

from quorate.cli.output import console
from quorate.core.status import Termination
from tests.unit.cli.conftest import fill
from tests.unit.view import pictures
from tests.unit.view.test_history import event

CLEAR, BACK = "\x1b[2J\x1b]0;owned\x07", "\r"
FORGED = f"fine{CLEAR}{BACK}\n! node1  fence  by me\u202e"
VERBS = (
    ("list",),
    ("status",),
    ("status", "-v", "-A"),
    ("nodes",),
    ("history",),
    ("rules", "list"),
    ("explain", "web"),
)
JSON_VERBS = (("list",), ("status",), ("nodes",), ("history",))


@pytest.fixture
def hostile(stub):
    """A guest whose comment and last words are its owner's, a node that says what it wants, and an Event of anybody."""
    ended = Termination("n1", "i1", FORGED, pictures.ago(60), 1, FORGED, True)
    status = pictures.guest_status(message=FORGED, last_termination=ended)
    whole = pictures.whole()
    guest = pictures.guest(status, comment=FORGED)
    fill(stub, replace(whole, guests=(guest,), nodes=(pictures.node("n1", pictures.node_status(message=FORGED)),)))
    told = {"apiVersion": "events.k8s.io/v1", "kind": "Event", **event("HAResource", FORGED, FORGED, 5, FORGED)}
    stub.put(told | {"metadata": {"name": "forged", "namespace": "shop"}})
    return stub


def unsafe(text: str) -> list[str]:
    return sorted({one for one in text if one != "\n" and not one.isprintable()})


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_for_people(run, hostile, verb):
    ended = run(*verb)
    assert ended.code in {0, 1, 2}, ended.err
    assert unsafe(ended.out + ended.err) == []
    assert [one for one in ended.out.splitlines() if one.startswith("! node1  fence  by me")] == []


@pytest.mark.parametrize("verb", JSON_VERBS, ids=" ".join)
def test_for_programs_it_is_what_it_was(run, hostile, verb):
    ended = run(*verb, "-o", "json")
    assert json.loads(ended.out)
    assert unsafe(ended.out) == []
    assert yaml.safe_load(run(*verb, "-o", "yaml").out)


def test_the_comment_is_shown_all_the_same(run, hostile):
    assert "fine\\x1b[2J" in run("list").out
    (guest,) = json.loads(run("list", "-o", "json").out)["guests"]
    assert guest["comment"] == FORGED


def test_colours_of_our_own_stay(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = console()
    screen.file = io.StringIO()
    screen.print("[red]red[/red] \x1b[31mforged")
    text = screen.file.getvalue()
    assert "\\x1b[31mforged" in text
    assert "\x1b[31mred" in text


def test_no_tenant_adds_a_guest_for_scripts_that_read_proxmoxs_lines(run, hostile):
    hostile.put(pictures.guest(comment="mine\nct:other/db\n\tstate disabled"))
    lines = run("list", "-o", "pve").out.splitlines()
    assert lines[0] == "ct:shop/web"
    assert [one for one in lines if not one.startswith("\t")] == ["ct:shop/web"]
    assert lines[1] == "\tcomment mine\\nct:other/db\\n\\tstate disabled"

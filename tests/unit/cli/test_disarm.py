"""`disarm` and `arm`."""

from dataclasses import replace

import pytest

from quorate.api.wire import from_wire, parse_instant, to_wire
from quorate.core.status import ClusterStatus, DisarmState, DisarmStatus, NodeStatus
from quorate.core.types import DisarmMode, Instant
from tests.unit.view import pictures

PROD = "/apis/quorate.dev/v1alpha1/clusters/prod"
NODE = "/apis/quorate.dev/v1alpha1/nodes/n1"
END = Instant(pictures.NOW + 1_800_000)
WISH = {"mode": "Freeze", "reason": "new switch", "until": "2026-01-01T12:30:00Z"}


@pytest.fixture
def said(prod):
    """What the manager says of it."""

    def tell(state=DisarmState.DISARMED, message="disarmed until 12:30:00 UTC (new switch)", until=END):
        found = from_wire(ClusterStatus, prod.objects[PROD]["status"])
        status = DisarmStatus(state, DisarmMode.FREEZE, "new switch", until, pictures.NOW, hands_off=True)
        prod.objects[PROD]["status"] = to_wire(replace(found, disarm=status, message=message))

    return tell


def bodies(stub):
    return [write.body for write in stub.writes]


def disarm(run, *more, mode="freeze", ends=("--for", "30m"), yes=True):
    return run("disarm", mode, *ends, "--reason", "new switch", *(["-y"] if yes else []), *more)


def test_it_is_a_wish_in_the_spec_with_its_reason_and_its_end(run, prod):
    ended = disarm(run)
    assert ended.code == 0, ended
    (body,) = bodies(prod)
    wish = body["spec"]["disarm"]
    assert (wish["mode"], wish["reason"]) == ("Freeze", "new switch")
    assert "Do not begin before quorate status says that it is disarmed" in ended.out
    assert "its silence proves nothing" in ended.err


def test_the_end_is_counted_by_the_clock_of_the_api_server(run, prod):
    disarm(run)
    assert abs(parse_instant(bodies(prod)[0]["spec"]["disarm"]["until"]) - END) < 5_000


def test_ignore_until_a_time(run, prod):
    disarm(run, mode="ignore", ends=("--until", "2126-01-31T14:00:00Z"))
    assert bodies(prod) == [
        {"spec": {"disarm": {"mode": "Ignore", "reason": "new switch", "until": "2126-01-31T14:00:00Z"}}}
    ]


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((), "say when it ends, with --for 30m or --until TIME: a disarm without an end is one that is forgotten"),
        (("--for", "1h", "--until", "2126-01-31T14:00:00Z"), "use one of them"),
        (("--for", "soon"), "--for: 'soon'"),
        (("--for", "0s"), "--for: "),
        (("--until", "tomorrow"), "--until: "),
        (("--until", "2006-01-31T14:00:00Z"), "is over already"),
    ],
)
def test_without_an_end_that_is_one_it_is_refused(run, prod, ends, text):
    ended = disarm(run, ends=ends)
    assert ended.code == 64
    assert text in ended.err
    assert not prod.writes


def test_it_asks_and_without_a_terminal_does_nothing(run, prod):
    ended = disarm(run, yes=False)
    assert ended.code == 64
    assert "There is no terminal to ask on, so nothing was done" in ended.err
    assert not prod.writes


def test_wait_ends_when_every_watchdog_is_released(run, prod, said, monkeypatch):
    monkeypatch.setattr("quorate.access.disarming.moment", lambda *_: END)
    said()
    ended = disarm(run, "--wait")
    assert ended.code == 0, ended
    assert ended.out == "Cluster prod: disarmed until 12:30:00 UTC (new switch). Afterwards: quorate arm\n"


@pytest.mark.parametrize(
    ("state", "until"), [(DisarmState.DISARMING, END), (DisarmState.DISARMED, Instant(END - 60_000))]
)
def test_wait_says_what_it_waits_for(run, prod, said, monkeypatch, state, until):
    """Also where it is still disarmed by an earlier word with another end."""
    monkeypatch.setattr("quorate.access.disarming.moment", lambda *_: END)
    said(state, "disarming until 12:30:00 UTC (new switch): waits for n1 to release the watchdog", until)
    ended = disarm(run, "--wait", "--timeout", "100ms")
    assert ended.code == 1
    assert "Cluster prod is not disarmed after 0.1s, and goes on with it: disarming" in ended.err
    assert "waits for n1 to release the watchdog" in ended.err


def test_arm_takes_the_wish_back(run, prod):
    prod.objects[PROD]["spec"]["disarm"] = dict(WISH)
    assert run("arm").out == "Cluster prod: HA arms itself. Next: quorate status\n"
    assert bodies(prod) == [{"spec": {"disarm": None}}]


def test_arm_of_what_is_armed_changes_nothing(run, prod):
    assert run("arm").out == "Cluster prod: HA is not disarmed, nothing was changed\n"
    assert not prod.writes


def test_arm_and_wait_names_who_is_not_armed(run, prod, said):
    prod.objects[PROD]["spec"]["disarm"] = dict(WISH)
    said()
    ended = run("arm", "--wait", "--timeout", "100ms")
    assert ended.code == 1
    assert "no manager has taken notice of it yet" in ended.err
    prod.objects[PROD]["status"].pop("disarm")
    node = from_wire(NodeStatus, prod.objects[NODE]["status"])
    prod.objects[NODE]["status"] = to_wire(replace(node, guests=1, watchdog=replace(node.watchdog, armed=False)))
    prod.objects[PROD]["spec"]["disarm"] = dict(WISH)
    ended = run("arm", "--wait", "--timeout", "100ms")
    assert "n1 has not armed its watchdog" in ended.err
    prod.objects[NODE]["status"] = to_wire(replace(node, guests=1, watchdog=replace(node.watchdog, armed=True)))
    prod.objects[PROD]["spec"]["disarm"] = dict(WISH)
    assert run("arm", "--wait").out == "Cluster prod: HA is armed\n"

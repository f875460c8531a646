"""The lines of Proxmox VE's own tools. The shapes are theirs: scripts out there read them with patterns like these."""

import re
from dataclasses import replace

import pytest

from quorate.core.status import DisarmState, DisarmStatus
from quorate.core.types import DisarmMode, GuestState, Instant, NodeState, Wanted
from quorate.view import pve
from quorate.view.build import build
from quorate.view.report import GuestReport, NodeReport
from tests.unit.view import pictures

DATE = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"
SHAPES = (
    r"quorum (OK|No quorum on node '\S+'!)",
    rf"master \S+ \((active|old timestamp - dead\?|detected time drift!), {DATE}\)",
    r"fencing (armed|standby) \(CRM watchdog (active|standby)\)",
    r"fencing (disarming|disarmed), resource mode: (freeze|ignore) \(CRM watchdog (active|released)\)",
    rf"lrm \S+ \((active|idle|wait_for_agent_lock|old timestamp - dead\?|detected time drift!), {DATE}\)",
    r"lrm \S+ \(unable to read lrm status\)",
    r"service (ct|vm):\S+ \((\S+), ([a-z_ ]+)\)",
)


def lines(snapshot):
    return pve.ha_manager(build(snapshot, pictures.NOW))


def disarm(state, mode):
    return DisarmStatus(state, mode, "new switch", Instant(pictures.NOW + 60_000), pictures.NOW, hands_off=True)


@pytest.mark.parametrize("picture", [pictures.whole, pictures.node_lost, pictures.quorum_lost])
def test_every_line_has_a_shape_of_ha_manager(picture):
    for line in lines(picture()):
        assert any(re.fullmatch(shape, line) for shape in SHAPES), line


def test_everything_as_wished():
    assert lines(pictures.whole()) == [
        "quorum OK",
        "master quorate-0 (active, Wed Nov 18 11:06:39 2026)",
        "fencing armed (CRM watchdog active)",
        "lrm n1 (active, Wed Nov 18 11:06:39 2026)",
        "lrm n2 (active, Wed Nov 18 11:06:39 2026)",
        "lrm n3 (active, Wed Nov 18 11:06:38 2026)",
        "service ct:shop/web (n1, started)",
    ]


def test_a_lost_node_and_its_guest():
    found = lines(pictures.node_lost())
    assert any(line.startswith("lrm n1 (old timestamp - dead?, ") for line in found)
    assert "service ct:shop/web (n1, fence)" in found


def test_without_quorum():
    assert lines(pictures.quorum_lost())[0] == "quorum No quorum on node 'quorate-0'!"


def test_a_manager_that_is_silent_is_dead_and_one_that_never_was_has_no_line():
    silent = replace(pictures.whole(), leaders=pictures.leader(age_s=60))
    assert lines(silent)[1].startswith("master quorate-0 (old timestamp - dead?, ")
    never = replace(pictures.whole(), clusters=(pictures.cluster(pictures.cluster_status(manager="")),))
    assert not [line for line in lines(never) if line.startswith("master")]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"fencing": "Standby"}, "fencing standby (CRM watchdog standby)"),
        (
            {"disarm": disarm(DisarmState.DISARMING, DisarmMode.IGNORE)},
            "fencing disarming, resource mode: ignore (CRM watchdog active)",
        ),
        (
            {"disarm": disarm(DisarmState.DISARMED, DisarmMode.FREEZE)},
            "fencing disarmed, resource mode: freeze (CRM watchdog released)",
        ),
    ],
)
def test_whether_a_lost_node_would_be_fenced(changes, line):
    seen = replace(pictures.whole(), clusters=(pictures.cluster(pictures.cluster_status(**changes)),))
    assert lines(seen)[2] == line


def test_a_day_of_one_digit_stands_as_in_perl():
    moved = replace(pictures.whole(), leases=pictures.leases(n1=15 * 86_400))
    assert "lrm n1 (old timestamp - dead?, Tue Nov  3 11:06:40 2026)" in lines(moved)


def node(state: NodeState, watchdog: str, guests: int, age_s: float = 1.0) -> NodeReport:
    renewed = Instant(pictures.NOW - round(age_s * 1000))
    return NodeReport("n1", str(state), 1, True, False, watchdog, watchdog, guests, "", renewed=renewed)


class TestAgents:
    @pytest.mark.parametrize(
        ("state", "watchdog", "guests", "word"),
        [
            (NodeState.ONLINE, "armed", 1, "active"),
            (NodeState.ONLINE, "armed", 0, "active"),
            (NodeState.ONLINE, "standby", 1, "wait_for_agent_lock"),
            (NodeState.ONLINE, "standby", 0, "idle"),
            (NodeState.ONLINE, "none", 0, "idle"),
            (NodeState.FENCE, "armed", 1, "old timestamp - dead?"),
            (NodeState.UNKNOWN, "standby", 0, "old timestamp - dead?"),
            (NodeState.GONE, "-", 0, "old timestamp - dead?"),
        ],
    )
    def test_word(self, state, watchdog, guests, word):
        assert pve.agent_word(node(state, watchdog, guests), pictures.NOW) == word

    def test_clocks(self):
        assert pve.agent_word(node(NodeState.ONLINE, "armed", 1, 31), pictures.NOW) == "old timestamp - dead?"
        assert pve.agent_word(node(NodeState.ONLINE, "armed", 1, -3), pictures.NOW) == "detected time drift!"

    def test_every_state_of_a_node_has_a_row(self):
        assert {row[0] for row in pve.AGENT_WORDS} == set(NodeState)


def guest(want: str, state: GuestState, *, is_ready: bool = False) -> GuestReport:
    return GuestReport("ct:shop/web", want, str(state), is_ready, "", "", preview=False, tries="", why="")


class TestServices:
    @pytest.mark.parametrize(
        ("want", "state", "ready", "word"),
        [
            ("Deleted", GuestState.STARTED, True, "deleting"),
            (Wanted.IGNORED, GuestState.IGNORED, True, "ignored"),
            (Wanted.STARTED, GuestState.QUEUED, False, "queued"),
            (Wanted.STARTED, GuestState.STARTING, False, "starting"),
            (Wanted.STARTED, GuestState.STARTED, True, "started"),
            (Wanted.STARTED, GuestState.STARTED, False, "starting"),
            (Wanted.STOPPED, GuestState.STARTED, True, "stopping"),
            (Wanted.STOPPED, GuestState.REQUEST_STOP, True, "request_stop"),
            (Wanted.STOPPED, GuestState.STOPPED, False, "stopped"),
            (Wanted.STARTED, GuestState.STOPPED, False, "starting"),
            (Wanted.DISABLED, GuestState.STOPPED, False, "disabled"),
            (Wanted.STARTED, GuestState.ERROR, False, "error"),
            (Wanted.DISABLED, GuestState.ERROR, False, "clearing error flag"),
            (Wanted.STARTED, GuestState.FENCE, False, "fence"),
            (Wanted.STARTED, GuestState.RECOVERY, False, "recovery"),
            (Wanted.STARTED, GuestState.RELOCATE, False, "relocate"),
        ],
    )
    def test_word(self, want, state, ready, word):
        assert pve.service_word(guest(want, state, is_ready=ready)) == word

    def test_a_guest_without_a_node(self):
        (line,) = [
            line for line in lines(replace(pictures.whole(), guests=(pictures.guest(_queued()),))) if "ct:" in line
        ]
        assert line == "service ct:shop/web (---, queued)"


def _queued():
    return pictures.guest_status(state=GuestState.QUEUED, node=None, instance=None, ready=False)


class TestPvecm:
    def test_the_votes_and_who_carries_them(self):
        found = pve.pvecm(build(pictures.node_lost(), pictures.NOW))
        for line in (
            "Name:             prod",
            "Quorate:          Yes",
            "Expected votes:   3",
            "Highest expected: 3",
            "Total votes:      2",
            "Quorum:           2",
            "Flags:            Quorate",
            "    Nodeid      Votes Name",
        ):
            assert line in found
        # Who is not heard is no member; a node keeps its number.
        assert found[-2:] == ["0x00000002          1 n2", "0x00000003          1 n3"]

    def test_without_quorum_its_activity_is_blocked(self):
        found = pve.pvecm(build(pictures.quorum_lost(), pictures.NOW))
        assert {"Quorate:          No", "Quorum:           2 Activity blocked", "Flags:"} <= set(found)

"""The report as text, at the widths that terminals have."""

import io
import re
from dataclasses import replace
from textwrap import dedent

import pytest
from rich.console import Console

from quorate.core.status import StorageStatus, Timeline
from quorate.core.types import GuestState
from quorate.view.build import build
from quorate.view.snapshot import Snapshot
from quorate.view.table import SHOWN_GUESTS, StatusView
from tests.unit.view import pictures
from tests.unit.view.pictures import NOW


def drawn(snapshot: Snapshot, width: int | None = 120, **how: bool) -> str:
    """The text on a terminal of that width, or (None) in a pipe."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=width is not None, color_system=None, highlight=False)
    console.print(StatusView(build(snapshot, NOW), **how), soft_wrap=True)
    return file.getvalue()


def text(picture: str) -> str:
    return dedent(picture).lstrip("\n")


def test_all_is_well_at_120_columns():
    assert drawn(pictures.whole()) == text(
        """
        Cluster     prod  quorate  3 of 3 votes, need 2    Fencing     armed 3/3 (watchdog 5s, released after 14.7s)
        Manager     quorate-0, term 4, 1s ago              Storage     1 available
        Guests      1 started
        Now         quorate (3 of 3 votes, need 2), guests: 1 started

          NODE  STATE   VOTES  BEAT  WATCHDOG  GUESTS
          n1    online  1      0s    armed     1
          n2    online  1      0s    armed     0
          n3    online  1      1s    armed     0

        HA RESOURCE (1, all as wished)
          GUEST        WANT     STATE    NODE  -> NODE  TRIES
          ct:shop/web  started  started  n1             0/1 0/1
        """
    )


def test_a_lost_node_at_120_columns():
    assert drawn(pictures.node_lost()) == text(
        """
        Cluster     prod  quorate  2 of 3 votes, need 2    Fencing     armed 3/3 (watchdog 5s, released after 14.7s)
        Manager     quorate-0, term 4, 1s ago              Storage     1 available
        Guests      1 fence

        ! Node n1: lost (no heartbeat for 8.7s), 1 guest waits for proof that it is off, no later than 11:06:52 UTC (in 12s);
          then it recovers elsewhere

          NODE  STATE   VOTES  BEAT  WATCHDOG  GUESTS  WHY
        ! n1    fence   1      11s   12s left  1       waiting for its Lease to expire
          n2    online  1      0s    armed     1
          n3    online  1      1s    armed     0

        HA RESOURCE (1 of 1 need attention)
          GUEST        WANT     STATE  NODE  -> NODE  TRIES    WHY
        ! ct:shop/web  started  fence  n1    (n2)     0/1 0/1  waiting for proof that n1 is off, at the latest 11:06:52 UTC
        """  # noqa: E501 - this is what 120 columns and the indent look like
    )


def test_at_80_columns_reasons_stand_below_their_rows():
    assert drawn(pictures.node_lost(), 80) == text(
        """
        Cluster     prod  quorate  2 of 3 votes, need 2
        Manager     quorate-0, term 4, 1s ago
        Guests      1 fence
        Fencing     armed 3/3 (watchdog 5s, released after 14.7s)
        Storage     1 available

        ! Node n1: lost (no heartbeat for 8.7s), 1 guest waits for proof that it is off,
          no later than 11:06:52 UTC (in 12s); then it recovers elsewhere

          NODE  STATE   VOTES  BEAT  WATCHDOG  GUESTS
        ! n1    fence   1      11s   12s left  1
            waiting for its Lease to expire
          n2    online  1      0s    armed     1
          n3    online  1      1s    armed     0

        HA RESOURCE (1 of 1 need attention)
          GUEST        WANT     STATE  NODE  -> NODE  TRIES
        ! ct:shop/web  started  fence  n1    (n2)     0/1 0/1
            waiting for proof that n1 is off, at the latest 11:06:52 UTC
        """
    )


def test_no_quorum_and_why_at_200_columns():
    assert drawn(pictures.quorum_lost(), 200, verbose=True) == text(
        """
        Cluster     prod  not quorate  1 of 3 votes, need 2    Fencing     armed 3/3 (watchdog 5s, released after 14.7s)
        Manager     quorate-0, term 4, 1s ago                  Storage     1 available
        Guests      1 fence
        Now         not quorate (1 of 3 votes, need 2): nothing is fenced, recovered, started or moved

        ! Cluster prod: not quorate (1 of 3 votes, need 2): nothing is fenced, recovered, started or moved. Bring nodes back, or if they are lost for good: quorate cluster expected 1 --reason TEXT
        ! Node n1: lost (no heartbeat for 8.7s), 1 guest waits for proof that it is off; nothing is done without quorum

        Votes       n3  x
                    n1  -
                        ^ 2 of 3 are a majority
                    n2  -
                    no: 1 of 3 votes, need 2
        Timing      Fast (chosen in spec.timing.profile): renewed every 1s, time-out 1.5s, watchdog 5s; suspected after 8.6s, released after 14.7s
        Conditions  Ready no (NotQuorate): not quorate (1 of 3 votes, need 2): nothing is fenced, recovered, started or moved

          NODE  STATE    VOTES  BEAT  WATCHDOG           GUESTS  WHY
        ! n1    fence    1      61s   12s left           1       nothing is done without quorum
        ! n2    unknown  1      40s   Hardware 5s armed  1       no heartbeat
          n3    online   1      1s    Hardware 5s armed  0

        HA RESOURCE (1 of 1 need attention)
          GUEST        WANT     STATE  NODE  -> NODE  TRIES    WHY
        ! ct:shop/web  started  fence  n1    (n2)     0/1 0/1  waiting for proof that n1 is off, at the latest 11:06:52 UTC

          STORAGE  TYPE   SHARED  NODES  STATE      WHY
          media    Claim  yes     3/3    available  used by 1 guest
        """  # noqa: E501 - this is what 200 columns look like
    )


def test_nothing_there_yet():
    assert drawn(Snapshot()) == "! Quorate: there is no Cluster. Make one: quorate cluster create NAME\n"


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("snapshot", [pictures.whole(), pictures.node_lost(), pictures.quorum_lost()])
def test_lines_fit_the_terminal_and_nothing_is_cut_off(snapshot, width):
    lines = drawn(snapshot, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if line != line.rstrip() or "…" in line]


def test_in_a_pipe_what_belongs_together_is_on_one_line():
    lines = drawn(pictures.node_lost(), None).splitlines()
    (attention,) = [line for line in lines if line.startswith("! Node")]
    assert attention.endswith("then it recovers elsewhere")
    assert {line[0] for line in lines if "ct:shop/web" in line} == {"!"}


@pytest.mark.parametrize("width", [None, 80, 120])
def test_there_are_no_boxes(width):
    assert drawn(pictures.quorum_lost(), width, verbose=True, everything=True).isascii()


def test_colours_are_beside_words_and_change_no_text():
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system="standard", highlight=False)
    console.print(StatusView(build(pictures.node_lost(), NOW)), soft_wrap=True)
    coloured = file.getvalue()
    assert "\x1b[1;31mfence" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == drawn(pictures.node_lost())


class TestManyGuests:
    def many(self) -> Snapshot:
        fine = [
            pictures.guest(pictures.guest_status(guest=f"ct:shop/g{i}"), name=f"g{i}") for i in range(SHOWN_GUESTS + 1)
        ]
        return replace(pictures.whole(), guests=(*fine, pictures.guest(pictures.in_error(), name="api")))

    def test_only_those_that_need_attention_are_shown(self):
        shown = drawn(self.many())
        assert f"HA RESOURCE (1 of {SHOWN_GUESTS + 2} need attention, -A shows all)" in shown
        assert "ct:shop/api" in shown
        assert "ct:shop/g1 " not in shown

    def test_all_of_them_on_request_with_those_first(self):
        shown = drawn(self.many(), everything=True)
        assert shown.index("ct:shop/api") < shown.index("ct:shop/g0 ")

    def test_a_few_are_always_shown(self):
        assert "ct:shop/web" in drawn(pictures.whole())


class TestDetails:
    def test_a_storage_is_shown_when_something_is_wrong_with_it(self):
        missing = StorageStatus(
            shared=True, nodes="3/3", state="Missing", message="the claim does not exist: create it"
        )
        snapshot = replace(pictures.whole(), storages=(pictures.storage("media", missing), pictures.storage("ok")))
        shown = drawn(snapshot)
        assert "Storage     1 available  1 missing" in shown
        assert "! media    Claim  yes     3/3    missing  the claim does not exist: create it" in shown
        assert "  ok " not in shown

    def test_a_silent_manager_is_called_silent(self):
        shown = drawn(replace(pictures.whole(), leaders=pictures.leader(age_s=40)))
        assert "Manager     quorate-0, term 4, 40s ago  silent" in shown

    def test_a_lease_that_was_taken_has_no_beat(self):
        taken = (pictures.lease("n1", "fenced/n1-abc/boot", NOW),)
        assert "! n1    fence   1      taken" in drawn(replace(pictures.node_lost(), leases=taken))

    def test_the_last_recovery_is_told_on_request(self):
        done = Timeline("n1-abc", "n1", NOW, duration_s=9.3)
        snapshot = replace(pictures.whole(), guests=(pictures.guest(pictures.guest_status(recovery=done)),))
        assert "recovered from n1 in 9.3s" in drawn(snapshot, verbose=True)
        assert "recovered from" not in drawn(snapshot)

    def test_a_guest_without_a_cluster_is_shown_apart(self):
        clusters = (pictures.cluster(), pictures.cluster(name="lab"))
        stray = pictures.guest(pictures.guest_status(cluster_name="", conditions=(), message="name one of them"))
        shown = drawn(replace(pictures.whole(), clusters=clusters, guests=(stray,)))
        assert "HA RESOURCE WITHOUT A CLUSTER (1 of 1 need attention)" in shown
        assert "name one of them" in shown

    def test_markup_in_messages_is_text(self):
        status = pictures.guest_status(message="[red]x[/red]", conditions=pictures.ready(holds=False))
        shown = drawn(replace(pictures.whole(), guests=(pictures.guest(status),)))
        assert "[red]x[/red]" in shown

    def test_proxmox_names_of_states(self):
        status = pictures.guest_status(state=GuestState.REQUEST_STOP, conditions=pictures.ready(holds=False))
        assert "request_stop" in drawn(replace(pictures.whole(), guests=(pictures.guest(status),)))

"""The loop and a watchdog that does not quite do as it is told: one that rounds up, falls short, or cannot be let go."""

from dataclasses import replace

import pytest

from quorate.agent.lease import Outcome
from quorate.agent.loop import Leave
from quorate.agent.watchdog import (
    ClosedWatchdogError,
    StuckWatchdogError,
    UnchangedWatchdogError,
    UnusableWatchdogError,
    WatchdogError,
)
from quorate.core.selffence import Orders
from quorate.core.timing import PROFILES, Profile, Timing
from quorate.core.types import Uid
from tests.unit.agent import test_loop
from tests.unit.agent.fakes import FakeWatchdog
from tests.unit.agent.test_loop import ARM, FAST, STAND_DOWN, armed, said

clock, api, fakes_loop = test_loop.clock, test_loop.api, test_loop.loop
RELAXED = PROFILES[Profile.RELAXED]
RELEASE = Orders(member=True, generation=6, released=True, timing=FAST)


class Odd(FakeWatchdog):
    """What it is asked for becomes what `gives` says. `stuck`: it cannot be closed; `refuses`: nor set."""

    def __init__(self) -> None:
        super().__init__()
        self.gives = lambda asked_s: asked_s
        self.stuck = self.refuses = False
        self.has_s = 0.0

    def open(self, timeout_s: float) -> float:
        if self.stuck and self.refuses:
            raise StuckWatchdogError("cannot be set, and not be let go", 60)
        super().open(timeout_s)
        self.has_s = self.gives(timeout_s)
        return self.has_s

    def set_timeout(self, timeout_s: float) -> float:
        if self.refuses:
            raise UnchangedWatchdogError("cannot be set")
        super().set_timeout(timeout_s)
        self.has_s = self.gives(timeout_s)
        return self.has_s

    def descriptor(self) -> int | None:
        return 7

    def close(self) -> None:
        if self.stuck:
            raise StuckWatchdogError("nowayout: goes on petting it", self.has_s)
        super().close()


@pytest.fixture
def loop(fakes_loop):
    fakes_loop.watchdog = Odd()
    return fakes_loop


class TestOneThatRoundsUp:
    @pytest.fixture
    def rounds(self, loop):
        loop.watchdog.gives = lambda asked_s: -(-asked_s // 8) * 8
        return loop

    def test_what_was_read_back_is_attested(self, rounds, api):
        armed(rounds)
        rounds.cycle()
        assert (said(api).armed, said(api).watchdog_s) == (True, 8)
        assert rounds.watchdog.told == ["pet"], "and it is not set again and again"

    def test_a_longer_time_is_attested_before_it_counts_even_if_it_turns_out_longer_still(self, rounds, api):
        armed(rounds)
        rounds.orders.current = replace(ARM, timing=Timing(2, 2, 9))
        rounds.cycle()
        assert said(api).watchdog_s == 9
        assert rounds.watchdog.told == ["set 9", "set 5"], "16s had not been attested"
        assert (rounds.watchdog.has_s, rounds.device.timeout_s, rounds.timing) == (8, 8, FAST)
        rounds.cycle()
        assert said(api).watchdog_s == 16
        assert rounds.watchdog.has_s == 16
        assert rounds.timing == Timing(2, 2, 9)
        rounds.cycle()
        assert rounds.watchdog.told == ["set 9", "set 5", "set 9", "pet"]

    def test_nor_is_it_worked_by_when_the_orders_change_back(self, rounds, api):
        armed(rounds)
        rounds.orders.current = replace(ARM, timing=Timing(2, 2, 9))
        rounds.cycle()
        rounds.orders.current = ARM
        rounds.cycle()
        rounds.cycle()
        assert (said(api).watchdog_s, rounds.device.needs_s, rounds.watchdog.told[-1]) == (8, 0, "pet")

    def test_one_that_cannot_be_set_back_is_at_least_attested(self, rounds, api):
        armed(rounds)
        rounds.orders.current = replace(ARM, timing=Timing(2, 2, 9))
        sets = rounds.watchdog.set_timeout

        def once(timeout_s):
            given_s = sets(timeout_s)
            rounds.watchdog.refuses = True
            return given_s

        rounds.watchdog.set_timeout = once
        rounds.cycle()
        rounds.cycle()
        assert said(api).watchdog_s == 16


class TestOneThatFallsShort:
    def test_is_not_armed(self, loop, api):
        loop.watchdog.gives = lambda _: 4
        loop.orders.current = ARM
        loop.cycle()
        loop.cycle()
        assert not said(api).armed
        assert loop.watchdog.told == ["open 5", "close"] * 2
        assert "asked for 5s it counts only 4s, and one lost request must not cost the node" in said(api).trouble

    def test_is_armed_when_a_lost_request_costs_nothing(self, loop, api):
        loop.watchdog.gives = lambda _: 7
        loop.orders.current = replace(ARM, timing=PROFILES[Profile.BALANCED])
        loop.cycle()
        loop.cycle()
        assert (said(api).armed, said(api).watchdog_s, said(api).trouble) == (True, 8, "")

    @pytest.mark.parametrize("refuses", [True, False])
    def test_the_times_before_stand_when_it_cannot_follow_longer_ones(self, loop, api, refuses, caplog):
        armed(loop)
        if refuses:
            loop.watchdog.refuses = True
        else:
            loop.watchdog.gives = lambda asked_s: min(asked_s, 6)
        loop.orders.current = replace(ARM, timing=RELAXED)
        for _ in range(3):
            loop.cycle()
        assert (said(api).armed, loop.device.timeout_s, loop.timing) == (True, 5, FAST)
        assert loop.watchdog.told == [*([] if refuses else ["set 30", "set 5"]), "pet", "pet", "pet"], "tried once"
        assert said(api).trouble
        assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1, "and said once"
        loop.orders.current = ARM
        loop.cycle()
        assert loop.watchdog.told[-1] == "pet"
        loop.watchdog.refuses = False
        loop.watchdog.gives = lambda asked_s: asked_s
        loop.orders.current = replace(ARM, timing=PROFILES[Profile.BALANCED])
        loop.cycle()
        loop.cycle()
        assert (loop.device.timeout_s, loop.timing, said(api).trouble) == (8, PROFILES[Profile.BALANCED], "")


class TestOneThatCannotBeLetGo:
    @pytest.fixture
    def stuck(self, loop):
        armed(loop)
        loop.watchdog.stuck = True
        loop.orders.current = STAND_DOWN
        loop.cycle()
        loop.watchdog.told.clear()
        return loop

    def test_guards_nobody_and_says_so(self, stuck, api):
        stuck.cycle()
        assert not said(api).armed
        assert "goes on petting it" in said(api).trouble
        assert stuck.holder.held

    def test_is_petted_whatever_becomes_of_the_renewals(self, stuck, api):
        """HA is disarmed: no node is to reset itself because the API server is away."""
        api.silent = True
        for _ in range(3):
            assert stuck.cycle().outcome is Outcome.FAILED
        assert stuck.watchdog.told == ["pet"] * 3

    def test_is_no_reason_to_reset_a_node_that_lost_its_lease(self, stuck, api):
        api.take("another")
        assert stuck.cycle().outcome is Outcome.LOST

    def test_is_armed_anew_by_setting_it(self, stuck, api):
        stuck.orders.current = ARM
        stuck.cycle()
        assert (said(api).armed, stuck.watchdog.told) == (False, ["set 5"])
        stuck.cycle()
        assert (said(api).armed, said(api).trouble) == (True, "")
        api.silent = True
        stuck.watchdog.told.clear()
        stuck.cycle()
        assert stuck.watchdog.told == [], "from here on only a renewal pets it"

    def test_is_not_petted_without_a_renewal_once_it_is_to_guard(self, stuck, api):
        stuck.orders.current = ARM
        api.silent = True
        stuck.cycle()
        assert stuck.watchdog.told == []

    def test_keeps_the_agent_here_when_it_is_told_to_go(self, stuck):
        stuck.leave = Leave(stuck.clock(), 30)
        assert not stuck.gone(stuck.cycle())
        assert stuck.watchdog.told == ["pet", "pet"]

    def test_is_not_armed_on_the_way_out_because_nobody_answers(self, stuck, api):
        stuck.leave = Leave(stuck.clock(), 30)
        api.silent = True
        stuck.cycle()
        assert (stuck.device.stuck, stuck.watchdog.told) == (True, ["pet"])

    def test_may_be_one_that_could_not_even_be_armed(self, loop, api):
        """Open it is all the same, and would reset the node."""
        loop.watchdog.stuck = loop.watchdog.refuses = True
        loop.orders.current = ARM
        for _ in range(3):
            loop.cycle()
            assert not said(api).armed
        assert loop.watchdog.told == ["pet", "pet"]
        assert loop.device.timeout_s == 60
        loop.orders.current = STAND_DOWN
        api.silent = True
        loop.cycle()
        assert loop.watchdog.told == ["pet"] * 3

    def test_that_fails_a_pet_is_opened_again(self, stuck, api):
        stuck.watchdog.fails = True
        stuck.cycle()
        assert stuck.device.adrift
        stuck.watchdog.fails = False
        stuck.cycle()
        stuck.cycle()
        assert stuck.device.stuck
        assert "open 5" in stuck.watchdog.told

    def test_guests_do_not_arm_it_where_ha_is_disarmed(self, stuck, api):
        stuck.runtime.here.add("pod-1")
        stuck.orders.guests = frozenset({Uid("pod-1")})
        stuck.orders.current = RELEASE
        stuck.cycle()
        assert not said(api).armed
        assert stuck.watchdog.told == ["pet", "pet"]


class TestOneThatFailed:
    def test_and_was_disarmed_when_it_was_opened_again_counts_no_more(self, loop, api):
        armed(loop)
        loop.watchdog.fails = True
        loop.cycle()
        assert loop.device.adrift

        def opens(_):
            raise ClosedWatchdogError("EIO as it was petted")

        loop.watchdog.open = opens
        loop.cycle()
        assert not loop.device.counts
        loop.leave = Leave(loop.clock(), 30)
        assert loop.gone(loop.cycle()), "nothing holds the agent back"
        assert said(api).trouble == "EIO as it was petted"

    def test_is_not_spoken_of_once_it_was_let_go(self, loop, api):
        armed(loop)
        loop.watchdog.fails = True
        loop.cycle()
        loop.watchdog.fails = False
        loop.orders.current = STAND_DOWN
        loop.cycle()
        loop.cycle()
        assert (said(api).armed, said(api).trouble, loop.device.counts) == (False, "", False)


class TestWhatIsSaid:
    def test_what_the_device_says_of_itself_as_long_as_it_lasts(self, loop, api):
        loop.watchdog.trouble, loop.watchdog.kind = "there is none", None
        loop.orders.current = STAND_DOWN
        loop.cycle()
        assert (said(api).watchdog, said(api).trouble) == ("", "there is none")
        loop.watchdog.trouble, loop.watchdog.kind = "", "Hardware"
        loop.cycle()
        assert (said(api).watchdog, said(api).trouble) == ("Hardware", "")

    def test_one_that_cannot_be_opened_is_said_once(self, loop, api, caplog):
        loop.orders.current = ARM

        def opens(_):
            raise UnusableWatchdogError("busy: it is open in systemd (PID 1)")

        loop.watchdog.open = opens
        loop.cycle()
        loop.cycle()
        assert caplog.text.count("busy") == 1
        assert said(api).trouble == "", "it would outlast the reason"

    def test_a_failure_until_it_does_as_it_is_told(self, loop, api):
        armed(loop)
        pets = loop.watchdog.pet

        def fails():
            raise WatchdogError("EIO")

        loop.watchdog.pet = fails
        loop.cycle()
        loop.watchdog.pet = pets
        loop.cycle()
        assert (said(api).armed, said(api).trouble) == (False, "EIO")
        loop.cycle()
        assert (said(api).armed, said(api).trouble) == (True, "")

    def test_no_more_than_the_lease_can_take(self, loop, api):
        loop.watchdog.trouble = "x" * 10_000
        loop.cycle()
        assert len(said(api).trouble) == 1024

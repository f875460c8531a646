"""The loop: pets only on a fresh renewal, arms and disarms in the order that is safe, leaves without a lie."""

import threading
from dataclasses import replace

import pytest

from quorate.agent.boot import Boot
from quorate.agent.lease import NodeLease, Outcome
from quorate.agent.loop import Leave, Loop
from quorate.agent.mark import Seen, remembered, remembered_orders
from quorate.agent.orders import OrdersReader
from quorate.api import attestation
from quorate.core.selffence import Device, Guard, Orders
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Going, Nonce, Uid
from tests.unit.agent.fakes import Clock, FakeApi, FakeWatchdog

FAST, RELAXED = PROFILES[Profile.FAST], PROFILES[Profile.RELAXED]
ARM = Orders(member=True, generation=4, armed=True, timing=FAST)
STAND_DOWN = Orders(member=True, generation=5, armed=False, timing=FAST)

RUNS = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}
ENDED = {"terminated": {"exitCode": 0, "startedAt": "2027-01-15T08:00:00Z"}}

RESET = Loop._reset
"""As it is: the tests replace it, by one that only says so."""


class Resetting(Exception):
    """The node is being reset."""


class FakeRuntime:
    def __init__(self) -> None:
        self.here: set[str] = set()
        self.records: set[str] = set()

    def running(self):
        return frozenset(Uid(uid) for uid in self.here)

    def known(self):
        return frozenset(Uid(uid) for uid in self.here | self.records)


class Holder:
    def __init__(self) -> None:
        self.held = self.lost = False

    def hold(self, descriptor, timeout_s, *, stuck=False):
        self.held = True

    def drop(self):
        self.held = self.lost = False

    def lose(self):
        self.held, self.lost = False, True

    def retire(self):
        self.held = False

    def own(self, descriptor):
        pass


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def loop(clock, api, tmp_path, monkeypatch):
    made = Loop(
        boot=Boot(Nonce("me"), 0.0, "machine", shared_kernel=True),
        lease=NodeLease(api, "n1", Guard(Nonce("me")), clock),
        watchdog=FakeWatchdog(),
        runtime=FakeRuntime(),
        orders=OrdersReader(api, "n1", lambda: None, known=True),
        holder=Holder(),
        mark=tmp_path / "agent.json",
        clock=clock,
        timing=FAST,
    )

    def reset(self, why):
        self.watchdog.told.append("reset")
        raise Resetting(why)

    monkeypatch.setattr(Loop, "_reset", reset)
    return made


def said(api):
    return attestation.decode(api.lease["metadata"]["annotations"]["quorate.dev/attestation"])


def armed(loop):
    loop.orders.current = ARM
    loop.cycle()
    loop.cycle()
    loop.watchdog.told.clear()
    return loop


def test_it_renews_first_opens_after_and_attests_armed_only_then(loop, api):
    loop.orders.current = ARM
    loop.cycle()
    assert loop.watchdog.told == ["open 5"]
    assert (said(api).armed, said(api).watchdog_s) == (False, 5)
    loop.cycle()
    assert (said(api).armed, said(api).generation) == (True, 4)
    assert loop.watchdog.told == ["open 5", "pet"]


def test_nothing_is_armed_unasked(loop, api):
    loop.orders.current = STAND_DOWN
    loop.cycle()
    assert loop.watchdog.told == []
    assert not said(api).armed


def test_a_failed_renewal_does_not_pet(loop, api):
    armed(loop)
    api.silent = True
    assert loop.cycle().outcome is Outcome.FAILED
    assert loop.watchdog.told == []


def test_a_renewal_confirmed_after_d_does_not_pet(loop, api, clock):
    armed(loop)

    def slow(body):
        clock.now_s += FAST.timeout_s + 0.01

    api.next_put = slow
    assert loop.cycle().outcome is Outcome.FAILED
    assert loop.watchdog.told == []


def test_a_stall_between_check_and_pet_resets_at_once(loop, clock):
    armed(loop)
    pet = loop.watchdog.pet

    def stalled():
        clock.now_s += FAST.timeout_s + 0.01
        pet()

    loop.watchdog.pet = stalled
    with pytest.raises(Resetting, match="stalled"):
        loop.cycle()


def test_finding_itself_fenced_it_resets_before_anything_else(loop, api):
    armed(loop)
    api.take("fenced/i/me")
    with pytest.raises(Resetting, match="fenced/i/me"):
        loop.cycle()
    assert loop.watchdog.told == ["reset"]


def test_a_node_without_a_watchdog_is_reset_by_the_kernel(loop, api, monkeypatch):
    """Its guests run there by its fence devices, or because the Cluster takes the risk. It never goes on."""
    loop.cycle()
    tried = []

    def fails():
        tried.append("sysrq")
        return ["/proc/sysrq-trigger: Permission denied"]

    def slept(_):
        if len(tried) == 2:
            raise Resetting("again and again")

    monkeypatch.setattr(Loop, "_reset", RESET)
    monkeypatch.setattr("quorate.agent.loop.time.sleep", slept)
    loop.watchdog, loop.bare_reset = None, fails
    api.take("fenced/i/me")
    with pytest.raises(Resetting, match="again and again"):
        loop.cycle()


def test_asked_to_reset_this_boot_it_does_so_once_it_has_renewed(loop, api):
    armed(loop)
    loop.orders.current = replace(ARM, reset=Nonce("the boot before"))
    loop.cycle()
    assert loop.watchdog.told == ["pet"]
    loop.watchdog.told.clear()
    loop.orders.current = replace(ARM, reset=Nonce("me"))
    api.silent = True
    assert loop.cycle().outcome is Outcome.FAILED
    api.silent = False
    with pytest.raises(Resetting, match="the manager asks for it"):
        loop.cycle()
    assert loop.watchdog.told == ["reset"]


def test_disarming_is_attested_before_the_device_is_closed(loop, api):
    armed(loop)
    loop.orders.current = STAND_DOWN
    seen = []
    close = loop.watchdog.close
    loop.watchdog.close = lambda: (seen.append(said(api).armed), close())
    loop.cycle()
    assert seen == [False]
    assert not loop.device.open


def test_it_is_not_disarmed_under_a_running_guest(loop, api):
    armed(loop)
    loop.runtime.here = {"pod-1"}
    loop.orders.guests = frozenset({Uid("pod-1")})
    loop.orders.current = STAND_DOWN
    loop.cycle()
    assert said(api).armed
    assert loop.watchdog.told == ["pet"]


def test_a_person_who_disarms_ha_disarms_it_under_a_running_guest_too(loop, api):
    armed(loop)
    loop.runtime.here = {"pod-1"}
    loop.orders.guests = frozenset({Uid("pod-1")})
    loop.orders.current = replace(STAND_DOWN, released=True)
    seen = []
    close = loop.watchdog.close
    loop.watchdog.close = lambda: (seen.append(said(api).armed), close())
    loop.cycle()
    assert seen == [False], "attested first, for the order that was given"
    assert said(api).generation == STAND_DOWN.generation
    loop.cycle()
    assert loop.watchdog.told == ["close"], "and it goes on renewing, with nothing to pet"
    loop.orders.current = ARM
    loop.cycle()
    loop.cycle()
    assert said(api).armed


def test_a_longer_timeout_is_attested_before_it_is_set(loop, api):
    armed(loop)
    loop.orders.current = replace(ARM, timing=RELAXED)
    seen = []
    change = loop.watchdog.set_timeout
    loop.watchdog.set_timeout = lambda timeout_s: (seen.append(said(api).watchdog_s), change(timeout_s))[1]
    loop.cycle()
    assert seen == [30]
    assert said(api).timeout_s == 5


def test_a_shorter_one_is_set_before_it_is_attested(loop, api):
    loop.orders.current = replace(ARM, timing=RELAXED)
    loop.cycle()
    loop.cycle()
    loop.orders.current = ARM
    loop.cycle()
    assert said(api).watchdog_s == 30
    assert loop.watchdog.told[-1] == "set 5"
    loop.cycle()
    assert (said(api).watchdog_s, said(api).timeout_s) == (5, 1.5)


def test_a_device_that_fails_is_no_longer_attested(loop, api):
    armed(loop)
    loop.watchdog.fails = True
    loop.cycle()
    loop.cycle()
    assert not said(api).armed


def test_what_was_asked_about_is_attested_by_looking_at_the_processes(loop, api):
    loop.runtime.here, loop.runtime.records = {"runs"}, {"known"}
    loop.orders.current = replace(STAND_DOWN, asks=(Uid("runs"), Uid("known"), Uid("gone")))
    loop.cycle()
    assert said(api).idle == ("gone", "known")
    assert said(api).gone == ("gone",)


def test_a_new_loop_goes_on_with_the_device_that_the_keeper_held(loop, api):
    loop.device = Device(open=True, timeout_s=5)
    loop.orders.current = ARM
    loop.cycle()
    assert said(api).armed
    assert loop.watchdog.told == ["pet"]


def test_it_remembers_that_it_has_held_the_lease_in_this_boot(loop):
    assert remembered(loop.mark, Nonce("me")) == Guard(Nonce("me"))
    loop.cycle()
    loop.orders.current = ARM
    loop.cycle()
    found = remembered(loop.mark, Nonce("me"))
    assert found.held
    assert found.sequence == 2
    assert remembered(loop.mark, Nonce("another boot")) == Guard(Nonce("another boot"))
    loop.mark.write_text("{")
    assert not remembered(loop.mark, Nonce("me")).held


class TestLeaving:
    def leaving(self, loop, clock, *, host_is_going, grace_s=30.0):
        loop.going = lambda: Going.SHUTDOWN if host_is_going else ""
        loop.leave = Leave(clock.now_s, grace_s)

    def test_with_guests_it_stays_armed(self, loop, api, clock):
        armed(loop)
        loop.runtime.here, api.pods = {"pod-1"}, ["pod-1"]
        loop.orders.guests = frozenset({Uid("pod-1")})
        self.leaving(loop, clock, host_is_going=True)
        assert not loop.gone(loop.cycle())
        assert said(api).armed
        clock.now_s += 29
        assert not loop.gone(loop.cycle())

    def test_when_the_host_goes_down_and_none_runs_it_attests_drained(self, loop, api, clock):
        armed(loop)
        self.leaving(loop, clock, host_is_going=True)
        assert loop.gone(loop.cycle())
        assert said(api).drained
        assert loop.watchdog.told == ["close"]

    @pytest.mark.parametrize(
        ("reported", "named"),
        [
            ([RUNS, RUNS], True),
            ([RUNS, ENDED], True),
            ([RUNS], False),
            ([RUNS, {"waiting": {"reason": "PodInitializing"}}], False),
            ([RUNS, {"terminated": {"exitCode": 137, "startedAt": None, "reason": "ContainerStatusUnknown"}}], False),
            ([], False),
        ],
    )
    def test_it_names_the_pods_of_which_nothing_can_start_any_more(self, loop, api, clock, reported, named):
        """Each of their containers had been started before it looked, and none runs."""
        armed(loop)
        api.pods, api.started = ["pod-1"], {"pod-1": reported}
        self.leaving(loop, clock, host_is_going=True)
        assert loop.gone(loop.cycle())
        assert said(api).drained
        assert said(api).left == (("pod-1",) if named else ())

    def test_it_names_none_that_was_started_after_it_asked(self, loop, api, clock):
        armed(loop)
        self.leaving(loop, clock, host_is_going=True)
        looks = []

        def look():
            looks.append(1)
            if len(looks) == 2:  # the last one: just after it a guest starts
                api.pods, api.started = ["late"], {"late": [RUNS, RUNS]}
            return frozenset()

        loop.runtime.running = look
        loop.cycle()
        assert said(api).drained
        assert said(api).left == ()

    def test_it_names_so_many_at_most_as_a_status_may_hold(self, loop, api, clock):
        armed(loop)
        api.pods = [f"pod-{number}" for number in range(2000)]
        api.started = {uid: [RUNS, ENDED] for uid in api.pods}
        self.leaving(loop, clock, host_is_going=True)
        loop.cycle()
        assert len(said(api).left) == 1024

    @pytest.mark.parametrize("host_is_going", [True, False])
    def test_a_guest_that_the_orders_did_not_know_yet_keeps_its_watchdog(self, loop, api, clock, host_is_going):
        armed(loop)
        loop.runtime.here, api.pods = {"new"}, ["new"]
        self.leaving(loop, clock, host_is_going=host_is_going)
        assert not loop.gone(loop.cycle())
        assert not said(api).drained
        assert said(api).armed

    def test_an_agent_that_is_merely_replaced_never_attests_drained(self, loop, api, clock):
        armed(loop)
        self.leaving(loop, clock, host_is_going=False)
        assert loop.gone(loop.cycle())
        assert not said(api).drained
        assert said(api).left == ()

    def test_taken_away_under_guests_it_disarms_before_it_is_killed(self, loop, api, clock):
        armed(loop)
        loop.runtime.here, api.pods = {"pod-1"}, ["pod-1"]
        loop.orders.guests = frozenset({Uid("pod-1")})
        self.leaving(loop, clock, host_is_going=False)
        assert not loop.gone(loop.cycle())
        clock.now_s += 27
        assert loop.gone(loop.cycle())
        assert not said(api).armed
        assert not said(api).drained
        assert loop.watchdog.told[-1] == "close"

    def test_without_an_answer_it_stays(self, loop, api, clock):
        armed(loop)
        self.leaving(loop, clock, host_is_going=True)
        api.silent = True
        assert not loop.gone(loop.cycle())
        assert loop.device.open

    def test_run_ends_when_it_has_left(self, loop, clock):
        loop.orders.current = STAND_DOWN
        self.leaving(loop, clock, host_is_going=True)
        runner = threading.Thread(target=loop.run)
        runner.start()
        runner.join(timeout=10)
        assert not runner.is_alive()


class TestHistory:
    """What it attests so that a restored store is noticed."""

    def orders(self, loop, term, uid="node-1"):
        loop.orders.current = replace(ARM, uid=Uid(uid), highest_term=term)

    def test_the_largest_term_it_has_seen_of_its_node_even_after_a_restart(self, loop, api):
        for term in (7, 3):
            self.orders(loop, term)
            loop.cycle()
        assert said(api).highest_term == 7
        assert remembered_orders(loop.mark, Nonce("me")) == Seen(Uid("node-1"), 7)
        assert remembered_orders(loop.mark, Nonce("another boot")).term == 0

    def test_another_node_of_its_name_begins_anew(self, loop, api):
        self.orders(loop, 7)
        loop.cycle()
        self.orders(loop, 1, uid="node-2")
        loop.cycle()
        assert said(api).highest_term == 1

    def test_that_its_lease_was_once_older_than_it_had_been_even_after_a_restart(self, loop, api):
        loop.lease.guard = replace(loop.lease.guard, rewound=40)
        loop.cycle()
        assert said(api).rewound == 40
        assert remembered(loop.mark, Nonce("me")).rewound == 40


def test_it_attests_how_long_renewals_take_once_ten_minutes_have_been_seen(loop, api, clock):
    def slow(body):
        clock.now_s += 0.4

    for second in range(590):
        api.next_put = slow if second % 50 == 0 else None
        loop.cycle()
        assert said(api).latency_s == 0
        clock.now_s += 1.0
    clock.now_s += 10.0
    loop.cycle()
    assert said(api).latency_s == 0.4


class TestReady:
    """Whoever it takes over from may be told to go."""

    @pytest.fixture
    def ready(self, loop, tmp_path):
        loop.ready_file = tmp_path / "ready"
        return loop.ready_file

    def test_once_it_has_renewed_and_not_before(self, loop, api, ready):
        loop.orders.current = ARM
        api.silent = True
        loop.cycle()
        assert not ready.exists()
        api.silent = False
        loop.cycle()
        assert ready.exists()

    def test_where_it_is_no_member_yet_there_is_nothing_to_renew(self, loop, api, ready):
        api.lease = None
        loop.orders.current = Orders()
        assert loop.cycle().outcome is Outcome.IDLE
        assert ready.exists()


def test_one_that_is_adrift_is_closed_also_when_its_node_has_left(loop, api):
    """Its watchdog failed to close, and at once its Node and its Lease are deleted: the node is healthy."""
    loop.device = Device(adrift=True)
    loop.orders.current = Orders(member=False, timing=FAST)
    api.lease = None
    assert loop.cycle().outcome is not Outcome.IDLE
    loop.cycle()
    assert loop.watchdog.told == ["open 5", "close"]

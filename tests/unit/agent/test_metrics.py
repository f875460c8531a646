"""Each of the agent's metrics moves when what it tells of happens, and is there to be scraped."""

import pytest

from quorate import __version__
from quorate.agent import answer, metrics
from quorate.agent.api import Unanswered
from quorate.core.types import Uid
from tests.scrape import Scrape, scrape
from tests.unit.agent import test_loop
from tests.unit.agent.test_loop import ARM, FAST, STAND_DOWN, Resetting, armed

loop, clock, api = test_loop.loop, test_loop.clock, test_loop.api
RENEWALS = "quorate_agent_renewals_total"
LATE = "quorate_agent_late_pets_total"
DURATION = "quorate_agent_renewal_duration_seconds"
RENEW_EVERY_S = FAST.renew_s


@pytest.fixture
def see(loop):
    """What a scrape of this loop finds."""
    exposition = metrics.exposition(loop)
    return lambda: Scrape(exposition().decode())


def test_before_the_first_renewal(see):
    found = see()
    assert found.value("quorate_agent_armed") == 0
    assert found.value("quorate_agent_last_renewal_age_seconds") is None
    assert [found.value(RENEWALS, outcome=one) for one in ("renewed", "failed", "lost", "reset", "idle")] == [0] * 5
    assert found.value("quorate_agent_build_info", node="n1", version=__version__) == 1


def test_armed_and_its_time_out(loop, see):
    armed(loop)
    assert (see().value("quorate_agent_armed"), see().value("quorate_agent_watchdog_timeout_seconds")) == (1, 5)
    loop.orders.current = STAND_DOWN
    loop.cycle()
    loop.cycle()
    assert (see().value("quorate_agent_armed"), see().value("quorate_agent_watchdog_timeout_seconds")) == (0, 0)


def test_guests(loop, see):
    loop.orders.guests = frozenset({Uid("u1"), Uid("u2")})
    loop.runtime.here = {"u1", "another-pod"}
    loop.cycle()
    assert see().value("quorate_agent_guests") == 1


def test_renewals_by_outcome_and_their_age(loop, api, clock, see):
    loop.cycle()
    clock.now_s += 3
    api.silent = True
    loop.cycle()
    assert (see().value(RENEWALS, outcome="renewed"), see().value(RENEWALS, outcome="failed")) == (1, 1)
    assert see().value("quorate_agent_last_renewal_age_seconds") == 3
    api.silent = False
    loop.cycle()
    assert see().value("quorate_agent_last_renewal_age_seconds") == 0


def test_a_lease_that_was_taken(loop, api, see):
    armed(loop)
    api.take("fenced/n1-x/me")
    with pytest.raises(Resetting):
        loop.cycle()
    assert see().value(RENEWALS, outcome="reset") == 1


def test_how_long_they_took(loop, api, clock, see):
    def slow(body):
        clock.now_s += 0.3

    loop.cycle()
    api.next_put = slow
    loop.cycle()
    api.silent = True
    loop.cycle()
    found = see()
    assert [found.value(f"{DURATION}_bucket", le=bound) for bound in ("0.005", "0.25", "0.5", "+Inf")] == [1, 1, 2, 2]
    assert found.value(f"{DURATION}_count") == 2, "one that failed has no duration"
    assert found.value(f"{DURATION}_sum") == pytest.approx(0.3)


class TestLatePets:
    def cycles(self, loop, clock, count=3):
        for _ in range(count):
            clock.now_s += RENEW_EVERY_S
            loop.cycle()

    def test_none_while_all_goes_well(self, loop, clock, see):
        armed(loop)
        self.cycles(loop, clock)
        assert see().value(LATE) == 0

    def test_one_renewal_that_was_confirmed_too_late_is_one(self, loop, api, clock, see):
        def slow(body):
            clock.now_s += FAST.timeout_s + 0.01

        armed(loop)
        api.next_put = slow
        self.cycles(loop, clock)
        assert see().value(LATE) == 1

    def test_so_is_a_pet_that_came_long_after_the_one_before(self, loop, clock, see):
        armed(loop)
        clock.now_s += RENEW_EVERY_S + FAST.timeout_s + 0.01
        self.cycles(loop, clock)
        assert see().value(LATE) == 1

    def test_a_request_that_was_lost_is_made_up_for(self, loop, api, clock, see):
        def lost(body):
            clock.now_s += 0.5
            raise Unanswered("timed out")

        armed(loop)
        api.next_put = lost
        self.cycles(loop, clock)
        assert see().value(LATE) == 0

    def test_a_device_that_was_closed_meanwhile_was_not_to_be_petted(self, loop, clock, see):
        armed(loop)
        loop.orders.current = STAND_DOWN
        self.cycles(loop, clock)
        clock.now_s += 100
        loop.orders.current = ARM
        self.cycles(loop, clock)
        assert see().value(LATE) == 0


def test_the_agent_shows_them_beside_its_boot(loop):
    server = answer.serve("127.0.0.1:0", "n1", loop.boot, metrics.exposition(loop))
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        loop.cycle()
        assert scrape(f"{url}/metrics").value(RENEWALS, outcome="renewed") == 1
        assert '"nonce": "me"' in scrape(f"{url}/boot").text
    finally:
        server.shutdown()
        server.server_close()

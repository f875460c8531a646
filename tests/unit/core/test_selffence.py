"""The agent's side of the bargain: who may take the Lease, who must reset, and what the watchdog is told when."""

from dataclasses import replace

import pytest

from quorate.core.selffence import (
    Device,
    Guard,
    LeaseSeen,
    Orders,
    Step,
    Verdict,
    after_renewal,
    attested_armed,
    attested_watchdog_s,
    judge,
    may_pet,
    must_reset,
    next_sequence,
    renewed,
    told_to_reset,
    too_short,
    wants_armed,
)
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Nonce, Uid

FAST, RELAXED = PROFILES[Profile.FAST], PROFILES[Profile.RELAXED]
NEW, HELD = Guard(Nonce("me")), Guard(Nonce("me"), held=True, sequence=9)


def seen(holder, sequence=5):
    return LeaseSeen(Uid("lease"), "1", holder, sequence)


@pytest.mark.parametrize(
    ("holder", "guard", "danger", "verdict"),
    [
        ("me", NEW, False, Verdict.RENEW),
        ("me", HELD, True, Verdict.RENEW),
        ("", NEW, False, Verdict.TAKE),
        ("", HELD, True, Verdict.TAKE),
        ("the boot before", NEW, False, Verdict.TAKE),
        ("fenced/i/the boot before", NEW, False, Verdict.TAKE),
        ("another", HELD, False, Verdict.LOST),
        ("another", HELD, True, Verdict.RESET),
        ("fenced/i/another", HELD, True, Verdict.RESET),
        ("fenced/i/me", NEW, False, Verdict.RESET),
        ("fenced/i/me", HELD, False, Verdict.RESET),
    ],
)
def test_who_may_have_the_lease(holder, guard, danger, verdict):
    assert judge(seen(holder), guard, danger=danger) is verdict


def test_a_missing_lease_is_made_again_unless_its_namespace_ends():
    assert judge(None, HELD, danger=True) is Verdict.CREATE
    assert judge(None, HELD, danger=True, namespace_ends=True) is Verdict.LOST


def test_sequences_only_grow():
    assert next_sequence(HELD, seen("me", 5)) == 10
    assert next_sequence(HELD, seen("me", 50)) == 51
    assert next_sequence(NEW, None) == 1
    assert renewed(NEW, seen("me", 7)) == Guard(Nonce("me"), True, 7, 7, 0, Uid("lease"), "1")


def test_a_renewal_pets_only_while_it_is_younger_than_d():
    assert may_pet(100.0, 100.0 + FAST.timeout_s, FAST)
    assert not may_pet(100.0, 100.01 + FAST.timeout_s, FAST)
    assert not may_pet(100.0, 99.0, FAST)


def test_a_stall_between_check_and_pet_resets():
    assert not must_reset(100.0, 101.0, FAST)
    assert must_reset(100.0, 102.0, FAST)


@pytest.mark.parametrize(
    ("armed", "guests", "leaving", "wanted"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (False, True, False, True),
        (True, False, True, False),
        (False, True, True, True),
    ],
)
def test_armed_while_asked_to_and_never_disarmed_under_a_guest(armed, guests, leaving, wanted):
    assert wants_armed(Orders(member=True, armed=armed), guests_here=guests, leaving=leaving) is wanted


def test_a_person_who_disarms_ha_disarms_over_guests_too():
    orders = Orders(member=True, armed=False, released=True)
    assert not wants_armed(orders, guests_here=True, leaving=False)
    assert not wants_armed(orders, guests_here=True, leaving=True)


class TestDevice:
    def test_a_loop_renews_first_and_opens_after(self):
        assert after_renewal(Device(), True, FAST) is Step.OPEN
        assert not attested_armed(Device(), True)

    def test_an_open_one_is_petted(self):
        opened = Device(open=True, timeout_s=5)
        assert after_renewal(opened, True, FAST) is Step.PET
        assert attested_armed(opened, True)

    def test_one_that_rounds_up_is_set_once(self):
        rounds = Device(open=True, timeout_s=8, asked_s=5)
        assert after_renewal(rounds, True, FAST) is Step.PET
        assert attested_watchdog_s(rounds, True, FAST) == 8
        assert after_renewal(replace(rounds, asked_s=None), True, FAST) is Step.SET, "another process asked, for what?"

    def test_what_it_gave_when_it_was_asked_is_attested_before_it_is_asked_again(self):
        rounds = Device(open=True, timeout_s=8, asked_s=5, needs_s=32)
        assert attested_watchdog_s(rounds, True, RELAXED) == 32
        assert attested_watchdog_s(rounds, False, RELAXED) == 8

    def test_one_that_cannot_be_let_go_is_petted_and_is_no_danger(self):
        stuck = Device(open=True, timeout_s=5, attested_disarmed=True, stuck=True)
        assert after_renewal(stuck, False, FAST) is Step.PET
        assert (stuck.counts, stuck.guards) == (True, False)
        assert after_renewal(stuck, True, FAST) is Step.SET
        assert not attested_armed(stuck, True), "petted without a renewal until it was set"

    @pytest.mark.parametrize(("timeout_s", "fits"), [(30, True), (16, True), (15.9, False), (60, True)])
    def test_a_shorter_time_out_must_leave_room_for_a_lost_request(self, timeout_s, fits):
        words = too_short(timeout_s, RELAXED)
        assert bool(words) is not fits
        assert fits or "asked for 30s it counts only 15.9s" in words

    def test_disarming_is_attested_before_the_device_is_closed(self):
        opened = Device(open=True, timeout_s=5)
        assert not attested_armed(opened, False)
        assert after_renewal(opened, False, FAST) is Step.NOTHING
        assert after_renewal(Device(True, 5, attested_disarmed=True), False, FAST) is Step.CLOSE

    def test_one_that_is_adrift_is_opened_again_or_closed_once_that_is_attested(self):
        adrift = Device(adrift=True)
        assert not attested_armed(adrift, True)
        assert after_renewal(adrift, True, FAST) is Step.OPEN
        assert after_renewal(adrift, False, FAST) is Step.NOTHING
        assert after_renewal(Device(adrift=True, attested_disarmed=True), False, FAST) is Step.CLOSE
        assert after_renewal(Device(attested_disarmed=True), False, FAST) is Step.NOTHING

    def test_a_longer_timeout_is_attested_before_it_is_set(self):
        short = Device(open=True, timeout_s=5)
        assert attested_watchdog_s(short, True, RELAXED) == 30
        assert after_renewal(short, True, RELAXED) is Step.SET

    def test_a_shorter_one_is_set_before_it_is_attested(self):
        long = Device(open=True, timeout_s=30)
        assert attested_watchdog_s(long, True, FAST) == 30
        assert attested_watchdog_s(Device(True, 5), True, FAST) == 5

    def test_a_closed_one_attests_what_is_about_to_be_set(self):
        assert attested_watchdog_s(Device(), True, FAST) == 5
        assert attested_watchdog_s(Device(), False, FAST) == 0


@pytest.mark.parametrize(
    ("orders", "device", "told"),
    [
        (Orders(member=True, reset=Nonce("me")), Device(open=True), True),
        (Orders(member=True, reset=Nonce("me")), Device(), False),
        (Orders(member=True, reset=Nonce("the boot before")), Device(open=True), False),
        (Orders(member=True), Device(open=True), False),
        (Orders(reset=Nonce("me")), Device(open=True), False),
    ],
)
def test_only_the_boot_that_is_named_resets_and_only_under_its_watchdog(orders, device, told):
    assert told_to_reset(orders, HELD, device) is told


def test_orders_of_a_store_that_was_put_back_reset_nothing():
    assert not told_to_reset(Orders(member=True, reset=Nonce("me")), replace(HELD, rewound=9), Device(open=True))

"""The table of the safety document, and the inequalities behind it."""

import pytest

from quorate.core.timing import PROFILES, Profile, Timing, TimingSpec, parse_duration, resolve


@pytest.mark.parametrize(
    ("profile", "renew", "timeout", "watchdog", "suspect", "release"),
    [
        (Profile.FAST, 1, 1.5, 5, 8.6, 14.7),
        (Profile.BALANCED, 2, 2, 8, 13.2, 21.3),
        (Profile.RELAXED, 5, 5, 30, 41.4, 68.7),
        (Profile.PROXMOX, 10, 10, 60, 81.8, 134.4),
    ],
)
def test_profiles(profile, renew, timeout, watchdog, suspect, release):
    timing = PROFILES[profile]
    assert timing == Timing(renew, timeout, watchdog)
    assert timing.suspect_after_s == suspect
    assert timing.release_after_s == release
    assert timing.problems() == ()


def test_release_covers_two_watchdogs_after_the_last_renewal():
    """A stall between check and pet is bounded by one watchdog, the death after it by another."""
    for timing in PROFILES.values():
        assert timing.release_after_s > timing.timeout_s + 2 * (timing.watchdog_s + 1)
        assert timing.suspect_after_s > timing.timeout_s + timing.watchdog_s + timing.renew_s


def test_a_watchdog_that_one_lost_request_would_fire_is_refused_with_its_arithmetic():
    (problem,) = Timing(1, 1.5, 4).problems()
    assert problem == (
        "watchdog 4s is shorter than renewEvery + 2 x timeout + 1s = 1s + 2 x 1.5s + 1s = 5s: "
        "one lost request would cost the node"
    )


def test_auto_goes_by_the_number_of_api_servers():
    assert resolve(TimingSpec(), 1).profile is Profile.RELAXED
    assert resolve(TimingSpec(), 3).profile is Profile.BALANCED
    assert "3 API server addresses" in resolve(TimingSpec(), 3).why


def test_an_unusable_custom_profile_falls_back_and_says_so():
    found = resolve(TimingSpec(Profile.CUSTOM, Timing(1, 1.5, 4)), 3)
    assert found.profile is Profile.BALANCED
    assert found.problem.startswith("spec.timing.custom: watchdog 4s is shorter")
    assert resolve(TimingSpec(Profile.CUSTOM), 3).problem.startswith("spec.timing.custom is missing")


def test_a_usable_custom_profile_is_followed():
    custom = Timing(2, 2, 10)
    assert resolve(TimingSpec(Profile.CUSTOM, custom), 1).timing == custom


def test_widening_takes_the_larger_of_each():
    assert Timing(1, 1.5, 5).widened(timeout_s=2, watchdog_s=3) == Timing(1, 2, 5)


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("500ms", 0.5), ("1m30s", 90), ("1.5s", 1.5), ("2h", 7200)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1d", "1s "])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)

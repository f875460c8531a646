"""An API server that becomes slow: Auto goes to slower profiles and comes back, others say so, and nothing swings."""

from dataclasses import replace

import pytest

from quorate.core.cluster import resolved_timing
from quorate.core.latency import finding
from quorate.core.plan import plan
from quorate.core.status import ClusterStatus
from quorate.core.timing import PROFILES, Profile, TimingSpec
from quorate.core.types import Instant
from tests.unit.core.worlds import SPEC, WALL, beat, node, world

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def found(latency_s=0.0, profile=Profile.AUTO, before=None, wall=WALL, api_servers=3):
    nodes = tuple(node(name, beat=beat(name, latency_s=latency_s)) for name in ("n1", "n2", "n3"))
    made = world(nodes=nodes, wall=Instant(wall), api_servers=api_servers)
    status = ClusterStatus(quorate=True, ever_quorate=True, timing=before)
    spec = replace(SPEC, timing=TimingSpec(profile))
    return replace(made, cluster=replace(made.cluster, spec=spec, status=status))


def profile_of(made):
    return resolved_timing(made).profile


def status_of(made):
    """What the plan would record of the times."""
    (write,) = [one for one in plan(made).statuses if one.ref.kind == "Cluster"]
    return write.status.timing


def test_what_is_fast_or_not_known_yet_changes_nothing():
    assert profile_of(found(0.0)) is Profile.BALANCED
    assert profile_of(found(0.66)) is Profile.BALANCED
    assert resolved_timing(found(0.66)).slowed_to is None


def test_above_a_third_of_d_auto_goes_one_profile_slower_and_says_why():
    made = found(0.67)
    assert profile_of(made) is Profile.RELAXED
    recorded = status_of(made)
    assert (recorded.profile, recorded.slowed_to, recorded.slowed_at) == ("Relaxed", "Relaxed", WALL)
    assert recorded.why == (
        "Auto: 3 API server addresses in EndpointSlice default/kubernetes would allow Balanced, but renewals were slow"
    )


def test_the_same_measure_does_not_make_it_slower_again_before_its_window_is_over():
    recorded = status_of(found(1.7))
    for minutes, profile in ((1, Profile.RELAXED), (9, Profile.RELAXED), (10, Profile.PROXMOX)):
        assert profile_of(found(1.7, before=recorded, wall=WALL + minutes * MINUTE_MS)) is profile


def test_it_comes_back_after_an_hour_with_room_to_spare():
    recorded = status_of(found(0.67))
    later = WALL + HOUR_MS
    assert profile_of(found(0.3, before=recorded, wall=later - 1)) is Profile.RELAXED
    assert profile_of(found(0.3, before=recorded, wall=later)) is Profile.BALANCED
    assert profile_of(found(0.4, before=recorded, wall=later)) is Profile.RELAXED, "above d/6 of Balanced"
    assert profile_of(found(0.0, before=recorded, wall=later)) is Profile.RELAXED, "nothing is known"


def test_one_step_of_two_at_a_time():
    recorded = replace(status_of(found(0.67)), slowed_to="Proxmox")
    assert profile_of(found(0.3, before=recorded, wall=WALL + HOUR_MS)) is Profile.RELAXED
    assert profile_of(found(9.0, before=recorded, wall=WALL + HOUR_MS)) is Profile.PROXMOX, "there is no slower one"


def test_with_one_api_server_it_starts_from_relaxed():
    assert profile_of(found(0.67, api_servers=1)) is Profile.RELAXED
    assert profile_of(found(1.7, api_servers=1)) is Profile.PROXMOX


@pytest.mark.parametrize("profile", [Profile.FAST, Profile.BALANCED, Profile.RELAXED, Profile.PROXMOX])
def test_any_other_profile_keeps_its_times_and_says_so(profile):
    timeout_s = PROFILES[profile].timeout_s
    made = found(timeout_s * 0.34, profile=profile)
    timing = resolved_timing(made)
    assert timing.timing == PROFILES[profile]
    said = finding(made, timing)
    assert (said.holds, said.reason) == (False, "SlowRenewals")
    assert said.message.startswith("renewals of n1, n2, n3 took longer than d/3 = ")
    assert "choose a slower spec.timing.profile" in said.message
    assert finding(found(timeout_s * 0.33, profile=profile), timing).holds


def test_a_boot_that_is_over_says_nothing():
    nodes = (node("n1", status={"nonce": "n1.2"}, beat=beat("n1", latency_s=1.0)), node("n2"), node("n3"))
    made = replace(found(), nodes=nodes)
    assert profile_of(made) is Profile.BALANCED

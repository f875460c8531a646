"""Heartbeats: what a beat is, when it was seen, and what follows from its age."""

from dataclasses import replace

from quorate.core import beats
from quorate.core.liveness import armed_now, held_against, read
from quorate.core.status import Arming, NodeStatus, WatchdogStatus
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Answer, NodeName, Nonce, Uid, WatchdogKind
from quorate.core.world import Attestation, Beat, NodeView

FAST = PROFILES[Profile.FAST]
SAID = Attestation(Uid("lease"), 1, True, "External", 5, 1.5, 60, "machine", 1, 1)


def lease(
    before: Beat | None, sequence: int, now_s: float, *, holder: str = "a", version: str = "", uid: str = "lease"
):
    said = replace(SAID, sequence=sequence, lease_uid=Uid(uid))
    version = version or str(sequence)
    return beats.saw(before, uid=Uid(uid), resource_version=version, holder=holder, attestation=said, now_s=now_s)


def node(beat: Beat | None, **changes: object) -> NodeView:
    return NodeView(
        NodeName("n1"), Uid("n"), "prod", **{"beat": beat, "status": NodeStatus(nonce=Nonce("a")), **changes}
    )


def test_an_object_that_was_found_is_no_sign_of_life():
    found = lease(None, 7, 100.0)
    assert not found.moved
    assert read(node(found), FAST, 101.0).alive is Answer.NOT_YET
    assert read(node(found), FAST, 100.0 + FAST.suspect_after_s + 0.1).alive is Answer.NO


def test_a_new_sequence_is_a_beat():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    pulse = read(node(seen), FAST, 106.0)
    assert pulse.alive is Answer.YES
    assert pulse.age_s == 1.0
    assert pulse.suspect_at_s == 105.0 + FAST.suspect_after_s
    assert pulse.release_at_s == 105.0 + FAST.release_after_s


def test_another_field_is_no_beat_but_the_version_to_swap():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    labelled = lease(seen, 8, 150.0, version="99")
    assert labelled.seen_s == 105.0
    assert labelled.resource_version == "99"


def test_an_old_copy_put_back_is_no_beat():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    restored = lease(seen, 3, 150.0, version="99")
    assert restored.seen_s == 105.0
    assert restored.attestation.sequence == 8
    assert restored.resource_version == "99"


def test_the_same_version_twice_changes_nothing():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    assert lease(seen, 8, 200.0) is seen


def test_a_lease_made_anew_starts_its_own_clock_and_needs_its_own_attestation():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    again = lease(seen, 9, 120.0, uid="other")
    assert again.seen_s == 120.0
    assert read(node(again), FAST, 121.0).alive is Answer.YES
    forged = beats.saw(seen, uid=Uid("third"), resource_version="9", holder="a", attestation=SAID, now_s=130.0)
    assert read(node(forged), FAST, 131.0).alive is Answer.NO


def test_who_held_it_and_when_is_remembered_through_a_fencing():
    seen = lease(lease(None, 7, 100.0), 8, 105.0)
    fenced = lease(seen, 8, 120.0, holder="fenced/i/a", version="20")
    back = lease(fenced, 9, 140.0, holder="b")
    assert fenced.fenced == ("i", "a")
    assert fenced.nonce is None
    assert read(node(fenced), FAST, 120.5).alive is Answer.NO
    assert back.sighting("a").last_s == 105.0
    assert back.sighting("b").first_s == 140.0


def test_sightings_are_bounded_and_keep_the_newest():
    seen = None
    for number in range(20):
        seen = lease(seen, number, float(number), holder=f"boot{number}")
    assert len(seen.sightings) == beats.KEPT_SIGHTINGS
    assert seen.sighting("boot19") is not None


def test_a_missing_lease_counts_from_when_it_was_missed():
    pulse = read(node(None, lease_missing_s=100.0), FAST, 103.0)
    assert pulse.alive is Answer.NO
    assert pulse.release_at_s == 100.0 + FAST.release_after_s
    assert read(node(None), FAST, 103.0).release_at_s is None


def test_a_longer_watchdog_that_was_attested_is_held_against_the_profile():
    """A profile made shorter must not release a node that still runs with the longer one."""
    slow = replace(SAID, watchdog_s=60, timeout_s=10)
    seen = beats.saw(None, uid=Uid("lease"), resource_version="1", holder="a", attestation=slow, now_s=100.0)
    assert held_against(node(seen), FAST).release_after_s > PROFILES[Profile.RELAXED].release_after_s


def test_what_the_boot_before_attested_is_held_against_it_too():
    status = NodeStatus(nonce=Nonce("a"), watchdog=WatchdogStatus("External", True, 60, 10))
    assert held_against(node(None, status=status), FAST).watchdog_s == 60


def test_an_unarmed_node_is_suspected_after_three_missed_renewals():
    idle = replace(SAID, armed=False)
    seen = beats.saw(None, uid=Uid("lease"), resource_version="1", holder="a", attestation=idle, now_s=100.0)
    assert read(node(seen), FAST, 100.0).suspect_at_s == 100.0 + 3 * 1 + 1.5


def armed(**changes: object) -> bool:
    status = NodeStatus(nonce=Nonce("a"), arming=Arming(changes.pop("wanted_generation", 1), wanted=True))
    said = replace(SAID, **changes)
    seen = beats.saw(None, uid=Uid("lease"), resource_version="1", holder="a", attestation=said, now_s=100.0)
    return armed_now(node(seen, status=status), (WatchdogKind.EXTERNAL,))


def test_armed_needs_the_current_generation_an_accepted_kind_and_the_nodes_own_boot():
    assert armed()
    assert not armed(armed=False)
    assert not armed(wanted_generation=2)
    assert not armed(watchdog="Softdog")
    assert not armed(lease_uid=Uid("other"))

"""The Lease of a quorum device: only a later renewal is a sign of life."""

from quorate.core.device import DeviceBeat, alive, saw
from quorate.core.types import Answer, Uid

UID = Uid("lease")


def test_an_object_that_was_only_found_is_waited_for_and_then_silent():
    beat = saw(None, uid=UID, renewed="2026-01-01T00:00:00Z", now_s=100.0)
    assert alive(beat, 10.0, 101.0) is Answer.NOT_YET
    assert alive(beat, 10.0, 111.0) is Answer.NO


def test_a_renewal_is_a_vote_for_as_long_as_s():
    beat = saw(DeviceBeat(UID, "1", 100.0), uid=UID, renewed="2", now_s=105.0)
    assert alive(beat, 10.0, 115.0) is Answer.YES
    assert alive(beat, 10.0, 115.1) is Answer.NO


def test_other_fields_and_old_copies_are_no_renewal():
    beat = DeviceBeat(UID, "2", 100.0, moved=True)
    assert saw(beat, uid=UID, renewed="2", now_s=200.0) == beat
    old = saw(beat, uid=UID, renewed="1", now_s=105.0)
    assert (old.seen_s, old.moved) == (100.0, True)
    assert alive(old, 10.0, 111.0) is Answer.NO


def test_a_device_whose_clock_is_set_back_is_heard_by_its_next_renewal():
    """Its age counts on our clock; what its own says need not catch up with what it said before."""
    beat = DeviceBeat(UID, "2026-01-01T12:00:00Z", 100.0, moved=True)
    back = saw(beat, uid=UID, renewed="2026-01-01T11:00:00Z", now_s=105.0)
    again = saw(back, uid=UID, renewed="2026-01-01T11:00:05Z", now_s=110.0)
    assert alive(back, 10.0, 109.0) is Answer.YES
    assert alive(again, 10.0, 119.0) is Answer.YES


def test_an_old_copy_that_is_put_back_and_written_over_loses_no_time():
    beat = DeviceBeat(UID, "7", 100.0, moved=True)
    old = saw(beat, uid=UID, renewed="3", now_s=105.0)
    assert saw(old, uid=UID, renewed="8", now_s=106.0) == DeviceBeat(UID, "8", 106.0, moved=True)


def test_one_that_was_created_anew_is_only_found():
    beat = DeviceBeat(UID, "2", 100.0, moved=True)
    anew = saw(beat, uid=Uid("another"), renewed="3", now_s=105.0)
    assert alive(anew, 10.0, 106.0) is Answer.NOT_YET
    assert alive(saw(anew, uid=Uid("another"), renewed="4", now_s=107.0), 10.0, 108.0) is Answer.YES


def test_without_a_lease_it_is_silent():
    assert alive(None, 10.0, 0.0) is Answer.NO

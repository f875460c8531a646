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
    assert saw(beat, uid=UID, renewed="1", now_s=200.0) == beat


def test_one_that_was_created_anew_is_only_found():
    beat = DeviceBeat(UID, "2", 100.0, moved=True)
    anew = saw(beat, uid=Uid("another"), renewed="3", now_s=105.0)
    assert alive(anew, 10.0, 106.0) is Answer.NOT_YET
    assert alive(saw(anew, uid=Uid("another"), renewed="4", now_s=107.0), 10.0, 108.0) is Answer.YES


def test_without_a_lease_it_is_silent():
    assert alive(None, 10.0, 0.0) is Answer.NO

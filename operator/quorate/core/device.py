"""The quorum device: a vote from outside, by a Lease that somebody renews (corosync: QDevice).

`quorate-system/quorum-device-<name>`, renewed by whoever runs the device. Like a node's, its age counts on this manager's
own clock, from the moment it saw the last new renewal; what another clock says is only compared with itself.
"""

from dataclasses import dataclass
from typing import Final

from quorate.core.quick import replace
from quorate.core.types import Answer, Uid

LEASE_PREFIX: Final = "quorum-device-"


@dataclass(frozen=True, slots=True)
class DeviceBeat:
    """The device's Lease as this manager has seen it: `renewed` is its renewTime, as written.

    `seen_s`: when that renewal was seen first. `moved`: it was seen to be renewed; before, it is only an object.
    """

    uid: Uid
    renewed: str
    seen_s: float
    moved: bool = False


def saw(before: DeviceBeat | None, *, uid: Uid, renewed: str, now_s: float) -> DeviceBeat:
    """A look at the Lease. Only a later renewal is a sign of life: other fields, or an old copy put back, are none.

    Later than what stands there: a device whose clock is set back is heard again with its second renewal after that.
    """
    if before is None or before.uid != uid:
        return DeviceBeat(uid, renewed, now_s)
    if renewed > before.renewed:
        return DeviceBeat(uid, renewed, now_s, moved=True)
    return replace(before, renewed=renewed) if renewed != before.renewed else before


def alive(beat: DeviceBeat | None, suspect_after_s: float, now_s: float) -> Answer:
    """Whether the device votes: it was seen to renew within S. One that was only found is waited for, for S."""
    if beat is None or now_s - beat.seen_s > suspect_after_s:
        return Answer.NO
    return Answer.YES if beat.moved else Answer.NOT_YET

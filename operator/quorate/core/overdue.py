"""A guest that does not stop: what is said, and when its node's agent is asked to reset the node.

A delete is never a stop, so a guest whose kubelet hangs is awaited for ever. `stopTimeout` after the end of its Pod's own
grace period that is said as a problem. With `stopTimeoutPolicy: Fence` the node then has to go, as
with Pacemaker's on-fail=fence: the request is written to Node.status, names the boot that is to end, and that boot's agent
resets the node, whose watchdog is armed. What follows is the way of every lost node (`fencing.py`): it falls silent or
comes back in another boot, and only that releases its guests. The request itself proves nothing.

All guests of that node are lost for one of them, so there are brakes: quorum must survive it, one node at a time, and none
while another is lost. An agent that does not obey within a minute is not asked again in this boot.
"""

from collections.abc import Mapping
from typing import Final

from quorate.core.draft import Draft, Room
from quorate.core.pods import PodView
from quorate.core.quick import replace
from quorate.core.sequence import at_work
from quorate.core.status import Instance, NodeStatus, ResetRequest
from quorate.core.types import Instant, NodeName, StopTimeoutPolicy, clock
from quorate.core.world import GuestView, NodeView, World

OBEYED_WITHIN_MS: Final = 60_000
"""An agent reads its orders every r seconds, at most every 10 s, and obeys at once."""


def deadline(guest: GuestView, pod: PodView | None) -> float | None:
    """When its stop takes too long, on the manager's clock; None while none was asked for.

    Counted by that clock alone: where a node may be reset for it, the API server's clock must not differ from ours.
    `pod`: the one that is to stop. A machine may just have gone on in another one, on a node that is late with nothing.
    """
    return pod.stops_at_s + guest.spec.stop_timeout_s if pod is not None and pod.stops_at_s is not None else None


def await_end(draft: Draft, instance: Instance, why: str = "") -> None:
    """Say what is awaited and, once that takes too long, do about it what the guest's policy says."""
    limit = deadline(draft.guest, draft.pod)
    if limit is None or draft.world.now_s < limit:
        draft.say(f"{why}waiting for the containers on {instance.node} to stop")
        if limit is not None:
            draft.wakes.append(limit + 0.001)
        return
    late = f"{why}it did not stop within stopTimeout {draft.guest.spec.stop_timeout_s:g}s of its grace period"
    if draft.guest.spec.stop_timeout_policy is StopTimeoutPolicy.WAIT:
        draft.stall(
            f"{late}: it is waited for (stopTimeoutPolicy: Wait). Look at the kubelet of {instance.node}, or set "
            "stopTimeoutPolicy to Fence: that resets the node"
        )
        return
    draft.stall(f"{late}: {_asked(draft, instance)}")


def _asked(draft: Draft, instance: Instance) -> str:
    """Ask for the reset, or keep asking; in words what came of it."""
    room, name, sid = draft.room, instance.node, draft.guest.key.sid
    status = room.statuses.get(name)
    if status is None or status.nonce != instance.nonce or status.incident is not None:
        return f"{name} is lost"  # or no Node of ours: the way to Fence is open
    pending = status.reset_request
    if pending is not None and pending.nonce == instance.nonce:
        room.resets.setdefault(name, sid)
        if pending.failed:
            return f"{name} was asked at {clock(pending.at)} UTC to reset itself, and did not: power it off"
        draft.wake_at(_obeyed_by(pending))
        return f"{name} was asked to reset itself"
    held = _held_up(room, name)
    if held:
        return f"{name} is to be reset (stopTimeoutPolicy: Fence), but {held}"
    if name not in room.resets:
        draft.note("NodeResetAsked", f"{name} is asked to reset itself: {sid} does not stop there", warning=True)
        room.resets[name] = sid
    return f"{name} is asked to reset itself"


def _held_up(room: Room, name: NodeName) -> str:
    """Why it must wait; empty: nothing holds it up."""
    if room.brake.wish is not None:
        return "HA is being disarmed"
    if name not in room.armed:
        return "its watchdog is not armed: nothing could prove that it was"
    for other, status in room.statuses.items():
        pending = status.reset_request
        asked = other in room.resets or (pending is not None and not pending.failed)
        if other != name and (status.incident is not None or asked):
            return f"one node at a time: {other} is {'lost' if status.incident is not None else 'being reset'}"
        if other != name and at_work(status.sequence):
            return f"one node at a time: {other} is being switched off and on"
    votes = next((node.votes for node in room.world.nodes if node.name == name), 0)
    if room.quorum.live - votes < room.quorum.needed:
        return f"without it there would be no quorum ({room.quorum.sentence})"
    return ""


def _obeyed_by(request: ResetRequest) -> Instant:
    return Instant(request.at + OBEYED_WITHIN_MS)


def reset_request(world: World, status: NodeStatus, asked_for: Mapping[NodeName, str], node: NodeView) -> NodeStatus:
    """The node's request as it is to be recorded. It is withdrawn when nobody asks for it any more or the boot is over."""
    pending, sid = status.reset_request, asked_for.get(node.name)
    if pending is not None and (status.nonce != pending.nonce or (sid is None and status.incident is None)):
        return replace(status, reset_request=None)
    if pending is None:
        if sid is None or status.nonce is None:
            return status
        request = ResetRequest(f"{node.name}-{world.entropy[:8]}", status.nonce, sid, world.wall)
        return replace(status, reset_request=request)
    if status.incident is None and not pending.failed and world.wall >= _obeyed_by(pending):
        return replace(status, reset_request=replace(pending, failed=True))
    return status

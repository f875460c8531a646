"""Restart and relocate limits: what follows when an instance that should run has ended.

(maxRestart + 1) tries on a node, maxRelocate further nodes, then Error: hands off. 10 s between tries; both counters
clear after 10 s of Ready. An end that somebody planned, and one that the start gate brought about, are not counted.
Source: Proxmox VE HA, "max_restart / max_relocate, exactly".
"""

from typing import Final

from quorate.core.draft import Draft
from quorate.core.quick import replace
from quorate.core.status import Instance
from quorate.core.types import GuestState, Instant

BETWEEN_TRIES_MS: Final = 10_000
CLEAR_AFTER_MS: Final = 10_000


def after_end(draft: Draft, ended: Instance) -> GuestState:
    """Count the end and return the state to go to. The instance has ended as a fact and its Pod is gone."""
    status = replace(draft.status, instance=None, target=None)
    if not ended.counted:
        draft.status = replace(status, node=ended.node)
        draft.say(f"ended on {ended.node} ({ended.ended}): starting again")
        return GuestState.STARTING
    spec, why = draft.guest.spec, _cause(draft)
    next_try = Instant(draft.world.wall + BETWEEN_TRIES_MS)
    if status.restarts < spec.max_restart:
        draft.status = replace(
            status, restarts=status.restarts + 1, target=ended.node, node=ended.node, next_try=next_try
        )
        draft.note("GuestRestarts", f"{why}: restart {status.restarts + 1} of {spec.max_restart} on {ended.node}")
        return GuestState.STARTING
    failed = (*status.failed_nodes, ended.node)
    status = replace(status, failed_nodes=failed, node=ended.node, maintenance_node=None)
    if len(failed) <= spec.max_relocate:
        draft.status = replace(status, restarts=0, next_try=next_try)
        draft.note("GuestRelocates", f"{why}: relocation {len(failed)} of {spec.max_relocate}, away from {ended.node}")
        return GuestState.STARTING
    draft.status = replace(status, next_try=None)
    tried = ", ".join(dict.fromkeys(failed))
    draft.say(
        f"{why}; maxRestart {spec.max_restart} and maxRelocate {spec.max_relocate} are used up (tried: {tried}): "
        "hands off until spec.state is Disabled or the command reset is given"
    )
    draft.note("GuestError", draft.status.message, warning=True)
    return GuestState.ERROR


def clear_when_stable(draft: Draft) -> None:
    """Forget the counters after 10 s of Ready."""
    status = draft.status
    if status.ready_since is None or not (status.restarts or status.failed_nodes or status.next_try):
        return
    stable_at = Instant(status.ready_since + CLEAR_AFTER_MS)
    if draft.world.wall >= stable_at:
        draft.status = replace(status, restarts=0, failed_nodes=(), next_try=None)
    else:
        draft.wake_at(stable_at)


def text(draft: Draft) -> str:
    """Restarts and relocations used, for the printer column: "1/1 0/1"."""
    status, spec = draft.status, draft.guest.spec
    relocations = min(len(status.failed_nodes), spec.max_relocate)
    return f"{status.restarts}/{spec.max_restart} {relocations}/{spec.max_relocate}"


def _cause(draft: Draft) -> str:
    last = draft.status.last_termination
    if last is None:
        return "it failed"
    code = f" with exit code {last.exit_code}" if last.exit_code is not None else ""
    said = f": {last.message}" if last.message else ""
    return f"it failed on {last.node}{code} ({last.reason}){said}"

"""A node that goes down cleanly: what becomes of its guests (Proxmox VE HA: shutdown_policy).

Their end is a fact before any of this counts: the kubelet stopped them, or the agent attested that none is left. So a
frozen guest runs nowhere, and nothing here proves anything; it only waits for its node instead of going elsewhere:

| policy | the host reboots | it powers off, or does not say |
|---|---|---|
| Conditional | Freeze | elsewhere at once |
| Freeze | Freeze | Freeze |
| Failover | elsewhere at once | elsewhere at once |
| Migrate | elsewhere at once, and back when the node is back | the same |

Proxmox VE leaves a guest frozen for ever when its node never returns. Here it starts elsewhere once `freezeTimeout` has
passed, at once when the node is deleted, the policy no longer freezes, or a rule has come that would not let it start there
again, and the message says until when.
"""

from typing import Final

from quorate.core.draft import Draft
from quorate.core.quick import replace
from quorate.core.status import Frozen, Incident, Instance
from quorate.core.stopped import SHUTDOWN_REASONS
from quorate.core.types import HEARD, EvidenceKind, Going, Instant, ShutdownPolicy, clock

WORD_MS: Final = 5_000
"""How long after a guest's end its agent may take to say whether the host comes back: it renews every 3 s at most."""


def after_shutdown(draft: Draft, ended: Instance) -> bool:
    """Its node goes down cleanly and took it along. True: it is to wait in Freeze for that node."""
    last = draft.status.last_termination
    if last is None or last.instance != ended.id or last.reason not in SHUTDOWN_REASONS:
        return False
    return _freeze(draft, ended)


def after_drain(draft: Draft, ended: Instance, incident: Incident) -> bool:
    """Its node was fenced because its agent said farewell, the host on its way down. True: it is to wait for that node."""
    return any(one.kind is EvidenceKind.DRAINED for one in incident.evidence) and _freeze(draft, ended)


def _freeze(draft: Draft, ended: Instance) -> bool:
    spec = draft.world.cluster.spec
    if spec.shutdown_policy is ShutdownPolicy.MIGRATE:
        draft.status = replace(draft.status, maintenance_node=ended.node)
    now = draft.world.wall
    frozen = Frozen(ended.node, ended.nonce, now, Instant(now + round(spec.freeze_timeout_s * 1000)))
    if not _holds(draft, frozen):
        return False
    draft.status = replace(draft.status, frozen=frozen, instance=None, target=None, node=ended.node)
    draft.say(f"{ended.node} goes down cleanly and took it along")
    return True


def waits(draft: Draft) -> bool:
    """Is a frozen guest to wait on? False: it may start, in its old place if that is its target now."""
    frozen = draft.status.frozen
    if frozen is None:
        return False
    home = draft.room.candidate(frozen.node)
    if home is not None and _back(draft, frozen) and draft.rejection(home) is None:
        draft.say(f"{frozen.node} is back: it starts there again")
        draft.status = replace(draft.status, target=frozen.node)
        return False
    kept_away = draft.wish().forbidden.get(frozen.node)
    if kept_away is not None:
        draft.say(f"it does not wait for {frozen.node}: {kept_away}")
        return False
    if not _holds(draft, frozen):
        draft.say(f"it does not wait for {frozen.node}: it starts where it can")
        return False
    draft.wake_at(frozen.until)
    if draft.world.wall < frozen.since + WORD_MS:
        draft.wake_at(Instant(frozen.since + WORD_MS))
    draft.say(
        f"{frozen.node}, where it ran, went down cleanly: it waits for that node (spec.shutdownPolicy "
        f"{draft.world.cluster.spec.shutdown_policy}), at the latest until {clock(frozen.until)} UTC"
    )
    return True


def _holds(draft: Draft, frozen: Frozen) -> bool:
    """Does the policy keep it waiting, with the time it has, the node that there is, and what its host said?"""
    home = draft.room.candidate(frozen.node)
    if draft.world.wall >= frozen.until or home is None or home.view.deleting:
        return False
    match draft.world.cluster.spec.shutdown_policy:
        case ShutdownPolicy.FREEZE:
            return True
        case ShutdownPolicy.CONDITIONAL:
            return _another_boot(draft, frozen) or _reboots(draft, frozen)
    return False


def _reboots(draft: Draft, frozen: Frozen) -> bool:
    """Has its host said that it comes back? While it may still say so it is given a moment."""
    status = draft.room.statuses[frozen.node]
    if status.going is None and status.state in HEARD:
        return draft.world.wall < frozen.since + WORD_MS
    return status.going is Going.REBOOT


def _back(draft: Draft, frozen: Frozen) -> bool:
    """Has it booted, or called its shutdown off?"""
    status = draft.room.statuses[frozen.node]
    stays = status.going is None and status.state in HEARD and draft.world.wall >= frozen.since + WORD_MS
    return stays or _another_boot(draft, frozen)


def _another_boot(draft: Draft, frozen: Frozen) -> bool:
    return draft.room.statuses[frozen.node].nonce != frozen.nonce

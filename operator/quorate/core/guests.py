"""One guest's round: one function per state (Starting, the longest, is in `starting.py`).

Several moves happen in one round: the functions run until the status stands still, and only the actions of the last
pass count, so that every deed follows from the status that is written before it.
"""

from collections.abc import Callable
from typing import Final

from quorate.core import commands, freeze, loss, machine_round, maintenance, tries
from quorate.core.actions import RemovePod, SetFinalizer
from quorate.core.disarm import Hold
from quorate.core.draft import Draft, IllegalMoveError, Room
from quorate.core.fencing import covers
from quorate.core.follow import follow, ready_to_move
from quorate.core.instances import ask, clear_away, incident_of, observe, stop
from quorate.core.launchers import goes_on
from quorate.core.migrating import migrating, way
from quorate.core.moves import move
from quorate.core.quick import replace
from quorate.core.starting import choose_target, move_after_end, starting, taken_away, target_stands
from quorate.core.status import Instance, Timeline
from quorate.core.templates import template_ready
from quorate.core.types import INSTANCE_FINALIZER, DisarmMode, GuestState, Nonce, Stage, UpdatePolicy, Wanted, clock
from quorate.core.world import GuestView

S = GuestState
_RUNNING: Final = (S.STARTING, S.STARTED, S.MIGRATE, S.RELOCATE)
MAX_PASSES: Final = 12
"""More moves than any guest can make in one round: a loop between states is a bug, not a reason to hang."""


def guest_round(room: Room, guest: GuestView) -> Draft:
    """Run one guest's state machine to its fixpoint. Raises IllegalMoveError on a bug: the caller sets it aside."""
    draft = Draft(room, guest, guest.status)
    for _ in range(MAX_PASSES):
        before = draft.status
        draft.actions, draft.wakes, draft.stalled = [], [], ""
        observe(draft)
        _step(draft)
        if draft.status is before or draft.status == before:
            return draft
    raise IllegalMoveError(f"{guest.key.sid} does not settle: {draft.status.state}")


def _step(draft: Draft) -> None:
    """One pass: what holds in every state, then the state's own function."""
    if draft.status.since is None:
        draft.status = replace(draft.status, since=draft.world.wall)
    if draft.want is Wanted.IGNORED:
        if not draft.is_in(S.IGNORED):
            draft.status = replace(draft.status, frozen=None, target=None)  # a target counts as a guest there
            move(draft, S.IGNORED)
        draft.say("ignored: Quorate keeps its hands off")
        _let_go(draft)
        if draft.guest.spec.machine and machine_round.may_leave(draft) and draft.room.brake.hold is not Hold.ALL:
            machine_round.give_back(draft)
        return
    brake = draft.room.brake
    if brake.hold is not Hold.ALL and not draft.is_in(S.FENCE, S.RECOVERY, S.ERROR) and _to_fence(draft):
        return
    if brake.holds(draft.guest.status, draft.status):
        _hold(draft)
        return
    if not draft.room.quorate:
        if not draft.is_in(S.STARTED, S.STOPPED, S.ERROR, S.IGNORED):
            draft.say(f"nothing is done without quorum ({draft.room.quorum.sentence})")
        return
    if draft.guest.spec.machine and draft.guest.deleting and machine_round.may_leave(draft):
        machine_round.leave(draft)
        return
    if draft.guest.spec.machine and machine_round.stands_aside(draft):
        return
    if draft.instance is not None and draft.instance.stopping and draft.is_in(S.QUEUED, S.STOPPED):
        move(draft, S.REQUEST_STOP)
        return
    _STATES[draft.status.state](draft)


def _hold(draft: Draft) -> None:
    """HA is disarmed: the guest stays as it is. With mode Ignore, what somebody deleted by hand may go."""
    brake, instance = draft.room.brake, draft.instance
    commands.refuse(draft, brake.sentence)
    incident = incident_of(draft)
    if draft.is_in(S.ERROR):
        draft.stall(draft.status.message)
    elif incident is not None and instance is not None:
        draft.say(f"{instance.node} is lost ({incident.reason}); nothing is done: {brake.sentence}")
    elif draft.is_in(S.STARTED) and draft.status.ready and draft.want is Wanted.STARTED and instance is not None:
        draft.say(f"runs on {instance.node}")
    elif not _rests(draft):
        draft.say(f"nothing is done with it: {brake.sentence}")
    if brake.hold is Hold.ALL and brake.wish is not None and brake.wish.mode is DisarmMode.IGNORE:
        _let_go(draft)


def _rests(draft: Draft) -> bool:
    """Is it as it is wished to be, so that nothing needs to be said of what is not done?"""
    return draft.is_in(S.STOPPED) and draft.want is not Wanted.STARTED and not draft.guest.deleting


def _let_go(draft: Draft) -> None:
    """Somebody deleted an ignored guest's Pod, and it has stopped as a fact: our finalizer must not hold it.

    Never by force, whatever the evidence: that would be a deed of ours on a guest that is in other hands.
    """
    instance, pod = draft.instance, draft.pod
    if instance is None or not instance.ended:
        return
    if pod is None:
        draft.set_instance(None)
    elif not draft.guest.spec.machine and pod.deleting and pod.uid == instance.uid and draft.room.quorate:
        draft.actions.append(RemovePod(draft.guest.key, pod.uid, pod.resource_version, instance.ended))


def _to_fence(draft: Draft) -> bool:
    """Its node has an open incident for the boot it runs in, or is none of ours any more. True if it moved.

    A guest on a node without a CR counts as in Fence without evidence: nobody watches that node's Lease.
    """
    incident, instance = incident_of(draft), draft.instance
    made = instance is not None and (instance.uid is not None or draft.pod is not None)
    if instance is not None and made and not instance.ended and instance.node not in draft.room.statuses:
        draft.status = replace(draft.status, target=None, node=instance.node)
        draft.say(_no_node(instance))
        move(draft, S.FENCE)
        return True
    if incident is None or instance is None:
        return False
    if instance.ended and not (covers(incident, instance) and draft.is_in(*_RUNNING)):
        return False  # it had stopped before its node was lost
    draft.status = replace(draft.status, target=None, node=instance.node)
    draft.say(f"{instance.node} is lost: {incident.reason}")
    move(draft, S.FENCE)
    timeline = Timeline(incident.id, instance.node, incident.opened)
    draft.status = replace(draft.status, recovery=timeline)
    return True


def _queued(draft: Draft) -> None:
    """Seen for the first time, or tried anew: observe first, then find a node."""
    if draft.want is not Wanted.STARTED:
        move(draft, S.REQUEST_STOP if draft.instance is not None or draft.pod is not None else S.STOPPED)
    elif draft.instance is not None or _can_start(draft):
        move(draft, S.STARTING)


def _can_start(draft: Draft) -> bool:
    prefer = None if _anew(draft) else draft.status.node
    return clear_away(draft) and template_ready(draft) and choose_target(draft, prefer=prefer)


def _anew(draft: Draft) -> bool:
    """Does a guest that a person starts get the best node, and not the one where it was (Proxmox: rebalance-on-start)?"""
    return draft.world.cluster.spec.scheduling.rebalance_on_start


def _started(draft: Draft) -> None:
    instance, pod = draft.instance, draft.pod
    if instance is None:
        move(draft, S.STARTING)
    elif draft.want is not Wanted.STARTED or instance.stopping:
        move(draft, S.REQUEST_STOP)
    elif instance.ended:
        draft.say(f"it ended on {instance.node}: {instance.ended}")
        if clear_away(draft):
            move_after_end(draft, instance)
    elif pod is None or pod.uid != instance.uid:
        ask(draft, instance)
    elif pod.deleting:
        taken_away(draft)
    elif draft.status.migration is not None:
        move(draft, S.MIGRATE)
    elif (to := commands.carry_out(draft)) is not None:
        move(draft, to)
    else:
        _runs(draft, instance)


def _runs(draft: Draft, instance: Instance) -> None:
    """It runs, and nobody asks for its end: does it run where it should, and from the template that it should?"""
    if maintenance.moves(draft) or loss.leave(draft):
        _go(draft)
    elif _update(draft, instance):
        draft.say("its template changed: it is stopped and started with the new one")
        move(draft, S.REQUEST_STOP)
    else:
        tries.clear_when_stable(draft)
        if draft.guest.spec.machine:
            machine_round.keep(draft)
            machine_round.end_migrations(draft)
        if follow(draft):
            if ready_to_move(draft):
                _go(draft)
        elif _for_the_load(draft, instance):
            _go(draft)
        elif not draft.stalled and draft.guest.key.sid not in draft.room.staying.get(instance.node, {}):
            ready = "" if draft.status.ready else ", not Ready"
            draft.say(f"runs on {instance.node}{ready}{maintenance.awaits(draft)}{loss.words(draft)}")


def _go(draft: Draft) -> None:
    """To its target: while it runs, where that can be."""
    to = way(draft)
    if to is not None:
        move(draft, to)


def _for_the_load(draft: Draft, instance: Instance) -> bool:
    """Is it one of those that move because nodes are unevenly loaded, and is its target as good as it was?"""
    target = draft.room.moves.get(draft.guest.key)
    candidate = draft.room.candidate(target) if target is not None else None
    if candidate is None or draft.rejection(candidate) is not None:
        return False
    draft.status = replace(draft.status, target=target)
    draft.say(f"moves from {instance.node} to {target}: the nodes are unevenly loaded")
    return True


def _update(draft: Draft, instance: Instance) -> bool:
    """Has the template changed, is the new one accepted, and should a running guest follow?"""
    if not template_ready(draft):
        return False
    changed = instance.template_hash != draft.status.template_hash
    return changed and draft.guest.spec.update_policy is UpdatePolicy.RECREATE


def _request_stop(draft: Draft) -> None:
    if stop(draft):
        draft.set_instance(None)
        draft.say("stopped")
        move(draft, S.STOPPED)
        if draft.want is Wanted.STARTED:  # for a new template: it starts again where it was, rebalanceOnStart or not
            draft.status = replace(draft.status, target=draft.status.node, interrupted=True)


def _relocate(draft: Draft) -> None:
    if draft.want is not Wanted.STARTED:
        move(draft, S.REQUEST_STOP)
    elif not _waits_for_target(draft) and stop(draft):
        draft.status = replace(draft.status, instance=None, interrupted=True)
        move(draft, S.STARTING)


def _waits_for_target(draft: Draft) -> bool:
    """It runs on until its target has armed its watchdog: that takes seconds, in which it would be down.

    Should the target become one that cannot take it, it was not stopped for nothing.
    """
    instance, target = draft.instance, draft.status.target
    if instance is None or instance.stopping or instance.ended or target is None:
        return False
    if not target_stands(draft):
        draft.status = replace(draft.status, target=None)
        draft.say(f"{target} cannot take it any more: it stays")
        move(draft, S.STARTED if draft.status.ready else S.STARTING)
        return True
    if target in draft.room.armed:
        return False
    draft.say(f"moves to {target}, once that has armed its watchdog")
    draft.wake_when_armed(target)
    return True


def _stopped(draft: Draft) -> None:
    guest = draft.guest
    if draft.pod is not None or draft.instance is not None:
        move(draft, S.REQUEST_STOP)
        return
    if draft.want is Wanted.STARTED:
        if _anew(draft) and draft.status.target is None and draft.status.node is not None:
            draft.status = replace(draft.status, node=None)
        move(draft, S.STARTING)
        return
    if draft.want is Wanted.DISABLED and (draft.status.restarts or draft.status.failed_nodes or draft.status.next_try):
        draft.status = replace(draft.status, restarts=0, failed_nodes=(), next_try=None)
    if draft.status.target is not None:
        draft.status = replace(draft.status, target=None)
    if guest.spec.machine:
        machine_round.halt(draft)
    elif guest.held:
        draft.actions.append(SetFinalizer(guest.key.ref, INSTANCE_FINALIZER, present=False))
    draft.say("stopped, as wished" if draft.want is Wanted.STOPPED else "disabled, as wished")
    commands.carry_out(draft)


def _fence(draft: Draft) -> None:
    """Its node is lost. Nothing moves until evidence releases this instance; meanwhile a target is looked for."""
    instance, incident = draft.instance, incident_of(draft)
    if instance is None:
        move(draft, S.RECOVERY)
    elif instance.ended:
        recovery = draft.status.recovery
        if recovery is not None and recovery.fenced is None:
            fenced = replace(recovery, fenced=draft.world.wall, evidence=instance.ended)
            draft.status = replace(draft.status, recovery=fenced)
        draft.say(f"released: {instance.ended}")
        move(draft, S.RECOVERY if draft.want is Wanted.STARTED else S.REQUEST_STOP)
    elif incident is None and _boot_of(draft, instance) != instance.nonce and not goes_on(draft, instance):
        draft.say(_no_node(instance))
    elif incident is None:
        draft.status = replace(draft.status, target=None, recovery=None)
        which = "another boot, in which it goes on" if goes_on(draft, instance) else "the same boot"
        draft.say(f"{instance.node} is back in {which}: nothing was moved")
        if draft.want is not Wanted.STARTED:
            move(draft, S.REQUEST_STOP)
        else:
            move(draft, S.STARTED if instance.started else S.STARTING)
    else:
        preview = draft.choose(prefer=draft.status.target, avoid=draft.status.failed_nodes)
        target = preview.node if draft.want is Wanted.STARTED else None
        if target != draft.status.target:
            draft.status = replace(draft.status, target=target)
        if incident.stage is Stage.FENCED:
            draft.stall(
                f"{instance.node} is fenced, and what proves it does not speak of this guest: only a new boot of it or a "
                f"person can release it: if it is certainly off, run quorate fence confirm {instance.node}"
            )
            return
        until = f", at the latest {clock(incident.release_by)} UTC" if incident.release_by else ""
        draft.say(f"waiting for proof that {instance.node} is off{until}")


def _boot_of(draft: Draft, instance: Instance) -> Nonce | None:
    """The boot that its node is known to be in; None where it is not known, or there is no such Node."""
    status = draft.room.statuses.get(instance.node)
    return status.nonce if status is not None else None


def _no_node(instance: Instance) -> str:
    return (
        f"{instance.node}, where it ran, has no Node in Quorate that knows the boot {instance.nonce} it ran in: nothing "
        f"can prove that it has stopped. Bring {instance.node} back as it was, or let its kubelet report the end"
    )


def _recovery(draft: Draft) -> None:
    """Released. What is left of the old Pod goes, then a node is chosen."""
    if draft.guest.spec.machine and draft.instance is not None and not draft.instance.ended:
        draft.status = replace(draft.status, recovery=None)
        move(draft, S.STARTING if draft.want is Wanted.STARTED else S.REQUEST_STOP)
        return
    if not clear_away(draft):
        return
    recovery = draft.status.recovery
    if recovery is not None and recovery.released is None:
        recovery = replace(recovery, released=draft.world.wall)
    ended, incident = draft.instance, incident_of(draft)
    draft.status = replace(draft.status, instance=None, recovery=recovery, restarts=0, maintenance_node=None)
    if draft.want is not Wanted.STARTED:
        move(draft, S.STOPPED)
        return
    if ended is not None and incident is not None and freeze.after_drain(draft, ended, incident):
        move(draft, S.FREEZE)
        return
    if choose_target(draft, prefer=draft.status.target, avoid=draft.status.failed_nodes):
        move(draft, S.STARTING)


def _freeze(draft: Draft) -> None:
    """Its node went down cleanly and took it along: it runs nowhere, and waits for that node as the policy says."""
    if draft.pod is not None or draft.instance is not None:
        to = S.REQUEST_STOP
    elif draft.want is not Wanted.STARTED:
        to = S.STOPPED
    elif freeze.waits(draft):
        return
    else:
        to = S.STARTING
    draft.status = replace(draft.status, frozen=None)
    move(draft, to)


def _error(draft: Draft) -> None:
    """Hands off, until a person says Disabled or reset, or (an invalid template) writes another one."""
    if draft.want is Wanted.DISABLED:
        state = commands.leave_error(draft)
        move(draft, S.STOPPED if state is S.QUEUED else state)
        return
    status = draft.status
    if status.rejected_template and status.rejected_template != draft.guest.spec.template.hash:
        move(draft, commands.leave_error(draft))
        return
    to = commands.carry_out(draft)
    if to is not None:
        move(draft, to)
        return
    draft.stalled = draft.status.message


def _ignored(draft: Draft) -> None:
    """Taken back into our hands: what the guest does now is what counts."""
    instance = draft.instance
    if draft.want is not Wanted.STARTED and (instance is not None or draft.pod is not None):
        move(draft, S.REQUEST_STOP)
    elif instance is not None and instance.started and not instance.ended:
        move(draft, S.STARTED)
    else:
        move(draft, S.QUEUED)


_STATES: Final[dict[GuestState, Callable[[Draft], None]]] = {
    S.QUEUED: _queued,
    S.STARTING: starting,
    S.STARTED: _started,
    S.REQUEST_STOP: _request_stop,
    S.STOPPED: _stopped,
    S.MIGRATE: migrating,
    S.RELOCATE: _relocate,
    S.FENCE: _fence,
    S.RECOVERY: _recovery,
    S.FREEZE: _freeze,
    S.IGNORED: _ignored,
    S.ERROR: _error,
}

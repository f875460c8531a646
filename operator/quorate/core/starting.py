"""From a wish to a running guest: wait for what a start needs, draw an instance, make its Pod, see it Ready or failed.

A start needs, in this order: the time of the next try, a clear name, an accepted template, a node, our finalizers on
the HAResource and its Storages, and that node's watchdog armed for the current generation. Then the instance is drawn
and written to the status; only then is its Pod made. Whoever finds the instance without its Pod makes it again under
the same id.
"""

from hashlib import sha256

from quorate.core import freeze, machine_round, maintenance, tries
from quorate.core.actions import CreatePod, SetFinalizer
from quorate.core.draft import Draft
from quorate.core.instances import ask, clear_away, end
from quorate.core.machines import WAITING
from quorate.core.moves import move
from quorate.core.overdue import await_end
from quorate.core.quick import replace
from quorate.core.status import Instance, Termination
from quorate.core.stopped import declared_over, guessed
from quorate.core.templates import reject, template_ready
from quorate.core.types import (
    IN_USE_FINALIZER,
    INSTANCE_FINALIZER,
    GuestState,
    InstanceId,
    Instant,
    Kind,
    NodeName,
    Ref,
    Wanted,
    clock,
)
from quorate.core.volumes import AWAITED
from quorate.core.world import GuestView

S = GuestState


def starting(draft: Draft) -> None:
    instance = draft.instance
    if draft.want is not Wanted.STARTED or (instance is not None and instance.stopping and not instance.failure):
        move(draft, S.REQUEST_STOP if instance is not None or draft.pod is not None else S.STOPPED)
    elif instance is None:
        _prepare(draft)
    elif instance.ended:
        if clear_away(draft):
            move_after_end(draft, instance)
    elif draft.pod is None:
        _make(draft, instance)
    elif draft.status.ready:
        _arrived(draft, instance)
    else:
        _await_ready(draft, instance)


def _prepare(draft: Draft) -> None:
    """No instance yet: wait for the next try, the template, a node, and that node's watchdog; then draw one."""
    status, guest = draft.status, draft.guest
    if status.next_try is not None and draft.world.wall < status.next_try:
        draft.wake_at(status.next_try)
        draft.say(f"{_last_words(draft)}next try at {clock(status.next_try)} UTC")
        return
    if not clear_away(draft) or not template_ready(draft):
        return
    awaited = draft.room.order.awaited(guest)
    if awaited:
        draft.status = replace(draft.status, target=None)
        draft.say(f"starts after {', '.join(f'{other.key.sid} ({_how(other)})' for other in awaited)}")
        return
    if not target_stands(draft) and not choose_target(draft, prefer=status.node, avoid=status.failed_nodes):
        return
    target = draft.status.target
    if target is None:
        return
    if not guest.held:
        draft.actions.append(SetFinalizer(guest.key.ref, INSTANCE_FINALIZER, present=True))
        draft.say("about to start: taking hold of the HAResource")
        return
    if not _holds_storages(draft) or not _has_claims(draft):
        return
    if target not in draft.room.armed:
        draft.say(f"waiting for {target} to arm its watchdog")
        draft.wake_when_armed(target)
        return
    node = draft.room.statuses[target]
    if node.nonce is None:
        return
    drawn = Instance(
        id=InstanceId(sha256(f"{draft.world.entropy}/{guest.uid}".encode()).hexdigest()[:16]),
        node=target,
        nonce=node.nonce,
        template_hash=draft.status.template_hash,
        drawn=draft.world.wall,
    )
    draft.status = replace(draft.status, instance=drawn, node=target, target=None, next_try=None)
    if draft.status.migration_failure is not None:
        draft.status = replace(draft.status, migration_failure=None)
    draft.say(f"starting on {target}")


def _holds_storages(draft: Draft) -> bool:
    """Our finalizer is on every Storage it mounts: one that a guest is about to use cannot be deleted under it.

    The housekeeper says the same at its next look, which may be too late.
    """
    named = dict.fromkeys(mount.storage for mount in draft.guest.spec.mounts)
    loose = [name for name in named if (found := draft.room.storages.get(name)) is not None and not found.held]
    for name in loose:
        draft.actions.append(SetFinalizer(Ref(Kind.STORAGE, name), IN_USE_FINALIZER, present=True))
    refused = [f"{name}: {draft.room.storages[name].trouble}" for name in loose if draft.room.storages[name].trouble]
    if refused:
        draft.stall(
            f"it starts only on what cannot be deleted under it, and no hold was got of Storage {'; '.join(refused)}"
        )
    elif loose:
        draft.say(f"about to start: taking hold of Storage {', '.join(loose)}")
    return not loose


def _has_claims(draft: Draft) -> bool:
    """Has the housekeeper made what its Pod is to mount of NFS Storages?"""
    for mount in draft.guest.spec.mounts:
        storage = draft.room.storages.get(mount.storage)
        if storage is None or storage.nfs is None:
            continue
        namespace = draft.guest.key.namespace
        made = next((one for one in storage.status.volumes if one.namespace == namespace), None)
        if made is None or made.problem:
            why = made.problem if made is not None else AWAITED
            draft.say(f"about to start: waits for the claim of Storage {storage.name} in {namespace}: {why}")
            return False
    return True


def _how(other: GuestView) -> str:
    state = other.status.state
    return "not Ready" if state is S.STARTED else state.lower()


def _make(draft: Draft, instance: Instance) -> None:
    """The instance is recorded and its Pod is not there: make it, as long as its boot is still the one it is for."""
    if instance.uid is not None:
        ask(draft, instance)
        return
    if draft.guest.spec.machine and (instance.stopping or _boot_is_right(draft, instance)):
        machine_round.run(draft, instance)
        return
    refusal = draft.guest.refusal
    if refusal is not None and refusal.instance == instance.id:
        failed = replace(instance, ended="the API server refused its Pod", counted=True, failure=refusal.message)
        if refusal.permanent:
            reject(draft, refusal.message, instance.template_hash)
            return
        last = Termination(instance.node, instance.id, "Refused", draft.world.wall, None, refusal.message, counted=True)
        draft.status = replace(draft.status, instance=failed, last_termination=last)
        move_after_end(draft, failed)
        return
    if not _boot_is_right(draft, instance):
        node = draft.room.statuses.get(instance.node)
        if node is None or node.nonce != instance.nonce:
            draft.set_instance(None)  # never made, and the boot it was for is over
        else:
            draft.say(f"waiting for {instance.node} to be heard from with its watchdog armed")
        return
    draft.actions.append(CreatePod(draft.guest.key, instance))
    draft.say(f"starting on {instance.node}")
    recovery = draft.status.recovery
    if recovery is not None and recovery.ready is None and recovery.created is None:
        draft.status = replace(draft.status, recovery=replace(recovery, created=draft.world.wall))


def _boot_is_right(draft: Draft, instance: Instance) -> bool:
    """Is its node armed, and in the boot that it was drawn for?"""
    armed = instance.node in draft.room.armed
    return armed and draft.room.statuses[instance.node].nonce == instance.nonce


def _await_ready(draft: Draft, instance: Instance) -> None:
    pod = draft.pod
    if pod is None:
        return
    if pod.uid != instance.uid:
        ask(draft, instance)
        if not draft.guest.spec.machine or instance.uid is None:
            clear_away(draft)
        return
    if instance.stopping:  # it failed by our judgement; await its end as a fact
        end(draft, pod)
        await_end(draft, instance, f"{instance.failure}: ")
        return
    if pod.deleting:
        taken_away(draft)
        return
    if declared_over(pod) and not guessed(pod):
        # PodGC, before its kubelet reported anything: no failed try of the guest's, but this Pod will never be Ready.
        draft.say(f"its Pod was declared {pod.phase} ({pod.reason or 'no reason'}): it is stopped and started again")
        draft.set_instance(replace(instance, stopping=True))
        return
    if machine_round.ran_before(draft, instance):
        _arrived(draft, instance)
        return
    if maintenance.leave(draft):
        move(draft, S.RELOCATE)
        return
    deadline = Instant(instance.drawn + round(draft.guest.spec.start_timeout_s * 1000))
    if draft.world.wall >= deadline:
        limit = f"{draft.guest.spec.start_timeout_s:g}s"
        waiting = _waiting_for(draft)
        failure = f"not Ready within startTimeout {limit}{': ' + waiting if waiting else ''}"
        draft.set_instance(replace(instance, failure=failure, stopping=True))
        return
    draft.wake_at(deadline)
    waiting = _waiting_for(draft)
    draft.say(f"starting on {instance.node}" + (f": {waiting}" if waiting else ""))
    if draft.guest.spec.machine:
        machine_round.bind(draft, instance)


def _arrived(draft: Draft, instance: Instance) -> None:
    recovery = draft.status.recovery
    draft.status = replace(draft.status, node=instance.node, target=None)
    draft.say(f"runs on {instance.node}")
    if recovery is not None and recovery.ready is None:
        seconds = (draft.world.wall - recovery.suspected) / 1000
        done = replace(recovery, ready=draft.world.wall, duration_s=round(seconds, 1))
        draft.status = replace(draft.status, recovery=done)
        draft.note("GuestRecovered", f"it runs on {instance.node}, {seconds:.1f}s after {recovery.node} was suspected")
    move(draft, S.STARTED)


def taken_away(draft: Draft) -> None:
    """Somebody else asked for its end: an eviction, a drain, `kubectl delete pod`. A planned move, not a failure."""
    draft.say("its Pod was deleted by somebody else: it is started again")
    draft.status = replace(draft.status, target=None)
    move(draft, S.RELOCATE)


def move_after_end(draft: Draft, ended: Instance) -> None:
    """Apply the restart and relocate limits, or wait for a node that went down cleanly; staying in Starting is no move."""
    if freeze.after_shutdown(draft, ended):
        move(draft, S.FREEZE)
        return
    to = tries.after_end(draft, ended)
    if to is not draft.status.state:
        move(draft, to)


def target_stands(draft: Draft) -> bool:
    """Is the target that was chosen in an earlier round still allowed?"""
    target = draft.status.target
    candidate = draft.room.candidate(target) if target is not None else None
    return candidate is not None and draft.rejection(candidate) is None


def choose_target(draft: Draft, *, prefer: NodeName | None, avoid: tuple[NodeName, ...] = ()) -> bool:
    """Choose a target. When all that is left are nodes it failed on, the least bad of those. False: none is allowed."""
    choice = draft.choose_from_all(prefer=prefer, avoid=avoid)
    if choice.node is None:
        draft.status = replace(draft.status, target=None)
        draft.say(f"no node can run it: {choice.reasons or 'the cluster has no nodes'}")
        return False
    draft.status = replace(draft.status, target=choice.node)
    return True


def _waiting_for(draft: Draft) -> str:
    """What the kubelet says a container is waiting for."""
    pod = draft.pod
    if pod is None:
        return ""
    for container in pod.containers:
        if container.state == "waiting" and container.reason not in {"", "PodInitializing", "ContainerCreating"}:
            return f"{container.name}: {container.reason}" + (f": {container.message}" if container.message else "")
    machine = draft.guest.machine
    if machine is not None and machine.run is not None and pod.ready and machine.run.phase in WAITING:
        return f"KubeVirt says {machine.run.phase}: virt-handler has started nothing in its launcher yet"
    return pod.reason and f"{pod.reason}: {pod.message}"


def _last_words(draft: Draft) -> str:
    last = draft.status.last_termination
    if last is None:
        return ""
    code = f" (exit code {last.exit_code})" if last.exit_code is not None else ""
    return f"failed on {last.node}{code}: "

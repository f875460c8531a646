"""What a virtual machine needs beside what every guest does: KubeVirt makes its Pod, and keeps its object.

a node is chosen, the instance drawn and recorded -> run strategy Once, the template annotated with the instance -> KubeVirt
makes the launcher, which waits for our scheduler -> its uid is recorded -> it is bound to that node. To stop it the run
strategy becomes Halted. Nothing is started before no launcher and no run of it is left, whatever has ended them.
"""

from typing import Final

from quorate.core.actions import (
    BindLauncher,
    EndMigration,
    HaltMachine,
    ReturnMachine,
    RunMachine,
    SetFinalizer,
    TakeMachine,
)
from quorate.core.conditions import Finding
from quorate.core.draft import Draft
from quorate.core.fencing import covers
from quorate.core.launchers import launcher_of, vanished
from quorate.core.machines import HALTED, ONCE, SCHEDULER, MachineView
from quorate.core.migration import name_of
from quorate.core.overdue import await_end
from quorate.core.quick import replace
from quorate.core.removal import Removal
from quorate.core.status import Instance, Termination
from quorate.core.stuck import taken_over
from quorate.core.types import INSTANCE_FINALIZER, GuestState, Instant, Wanted
from quorate.core.workload_pods import incident_of, instance_of
from quorate.core.workloads import PodRecord

S = GuestState
CONDITION: Final = "RunStrategyKept"
MANUAL: Final = "Manual"
_STOPPED: Final = frozenset({Wanted.STOPPED, Wanted.DISABLED})


def problem(draft: Draft) -> str:
    """Why nothing can be done with the machine, and what to do; "" if it can."""
    machine, key = draft.guest.machine, draft.guest.key
    if machine is None:
        return ""
    what = f"VirtualMachine {key.namespace}/{machine.name}"
    if machine.absent:
        return f"{machine.absent}; {what} is waited for"
    if machine.taken:
        return f"{what} is under HA by {machine.taken} already, which is older: delete one of the two HAResources"
    if not machine.there:
        return f"there is no {what}: create it, or delete this HAResource"
    if machine.owner:
        return (
            f"{what} is managed by {machine.owner}, which would undo what Quorate does with it: take it out of that, or "
            "delete this HAResource"
        )
    if machine.deleting:
        return f"{what} is being deleted: delete this HAResource as well, or make the machine again"
    return machine.problem and f"{what}: {machine.problem}"


def ready_to_start(draft: Draft) -> bool:
    """Is there a machine that may be started?"""
    if draft.guest.machine is None:
        draft.say("waiting for the first list of the virtual machines in its namespace")
        return False
    wrong = problem(draft)
    if wrong:
        draft.stall(wrong)
    return not wrong


def stands_aside(draft: Draft) -> bool:
    """Nothing of it is ours, and nothing may become so: say why. True: that is all."""
    if draft.instance is not None or draft.guest.deleting or draft.is_in(S.RECOVERY, S.FENCE):
        return False
    if draft.is_in(S.ERROR):
        return False
    return not ready_to_start(draft)


# -- the run strategy ---------------------------------------------------------------------------------------------------


def _holds(draft: Draft) -> bool:
    """Our finalizer is on the HAResource before its machine is touched: the strategy must be given back."""
    if not draft.guest.held and not draft.guest.deleting:
        draft.actions.append(SetFinalizer(draft.guest.key.ref, INSTANCE_FINALIZER, present=True))
    return draft.guest.held


def halt(draft: Draft) -> None:
    """Let KubeVirt stop it, and start nothing of it."""
    machine = draft.guest.machine
    if machine is None or machine.uid is None or machine.absent or machine.taken or machine.owner:
        return
    if (machine.strategy != HALTED or machine.kept is None) and _holds(draft):
        draft.actions.append(HaltMachine(draft.guest.key, machine.name, machine.uid, machine.resource_version))


def keep(draft: Draft) -> None:
    """It runs: KubeVirt is not to start it again by itself, and nobody but us to say where."""
    machine = draft.guest.machine
    if machine is None or machine.uid is None or problem(draft):
        return
    ours = (machine.strategy, machine.scheduler) == (ONCE, SCHEDULER) and machine.kept is not None
    if not ours and _holds(draft):
        if machine.kept is not None and machine.strategy != ONCE:
            draft.note("RunStrategyChanged", _changed(machine, ONCE), warning=True)
        draft.actions.append(TakeMachine(draft.guest.key, machine.name, machine.uid, machine.resource_version))


def _changed(machine: MachineView, wanted: str) -> str:
    return (
        f"the run strategy of VirtualMachine {machine.name} was changed to {machine.strategy or 'none'} by somebody else, "
        f"and is set back to {wanted}: change spec.state of the HAResource instead"
    )


def finding(draft: Draft) -> Finding | None:
    """The condition, for as long as the run strategy is not what it is to be."""
    machine, instance = draft.guest.machine, draft.instance
    if machine is None or machine.uid is None or machine.kept is None or draft.want is Wanted.IGNORED:
        return None
    if draft.is_in(S.STARTED) and instance is not None and not instance.stopping and machine.strategy != ONCE:
        return Finding(CONDITION, False, "ChangedByOthers", _changed(machine, ONCE))
    if draft.is_in(S.STOPPED) and draft.want in _STOPPED and machine.strategy != HALTED:
        return Finding(CONDITION, False, "ChangedByOthers", _changed(machine, HALTED))
    return None


def give_back(draft: Draft) -> bool:
    """Give the run strategy back. The machine goes on as it is: one that rests is not started by it, nor one that runs
    stopped. True: nothing of it is ours any more.
    """
    machine = draft.guest.machine
    if machine is None:
        draft.say("waiting for the first list of the virtual machines in its namespace")
        return False
    if machine.uid is None or machine.absent or machine.taken or machine.kept is None:
        return True
    if not draft.room.quorate:
        return False
    stays = machine.rests and (draft.guest.spec.wanted in _STOPPED or draft.guest.spec.wanted is Wanted.IGNORED)
    kept = HALTED if stays else machine.kept
    strategy = MANUAL if kept == HALTED and not machine.rests else kept
    draft.actions.append(
        ReturnMachine(draft.guest.key, machine.name, machine.uid, machine.resource_version, strategy=strategy)
    )
    draft.say(f"the run strategy of VirtualMachine {machine.name} is given back: {strategy}")
    return False


def may_leave(draft: Draft) -> bool:
    """Is the machine out of danger? While its old launcher is unproven nobody may come to start it elsewhere."""
    instance, pod = draft.instance, draft.pod
    if instance is None:
        return True
    lost = incident_of(draft.room, instance) is not None or draft.status.migration is not None
    return not lost and not instance.ended and pod is not None and pod.uid == instance.uid


def leave(draft: Draft) -> None:
    """The HAResource is deleted: the machine stays, and is KubeVirt's alone again."""
    if give_back(draft) and draft.guest.held:
        draft.actions.append(SetFinalizer(draft.guest.key.ref, INSTANCE_FINALIZER, present=False))


# -- start --------------------------------------------------------------------------------------------------------------


def run(draft: Draft, instance: Instance) -> None:
    """The instance is recorded, and no launcher of it is there yet."""
    machine = draft.guest.machine
    if machine is None or machine.uid is None:
        ready_to_start(draft)
        return
    deadline = Instant(instance.drawn + round(draft.guest.spec.start_timeout_s * 1000))
    if instance.stopping:
        _never_bound(draft, instance, machine)
    elif draft.world.wall >= deadline:
        said = f" (KubeVirt says {machine.said})" if machine.said else ""
        failure = f"KubeVirt made no launcher within startTimeout {draft.guest.spec.start_timeout_s:g}s{said}"
        draft.set_instance(replace(instance, failure=failure, stopping=True))
    elif (machine.instance, machine.strategy) == (instance.id, ONCE):
        draft.wake_at(deadline)
        draft.say(f"starting on {instance.node}: waiting for KubeVirt to make its launcher")
    elif not machine.rests:
        clear_away(draft)
    else:
        draft.actions.append(
            RunMachine(draft.guest.key, machine.name, machine.uid, machine.resource_version, instance=instance)
        )
        draft.say(f"starting on {instance.node}")
        recovery = draft.status.recovery
        if recovery is not None and recovery.ready is None and recovery.created is None:
            draft.status = replace(draft.status, recovery=replace(recovery, created=draft.world.wall))


def ran_before(draft: Draft, instance: Instance) -> bool:
    """Did it run when it came under HA? Paused or with a failing probe it is not Ready: no failed start of ours."""
    machine = draft.guest.machine
    if machine is None or machine.run is None or machine.kept is not None:
        return False
    return instance.started and not instance.stopping and machine.run.phase == "Running"


def bind(draft: Draft, instance: Instance) -> None:
    """Its launcher is there: it is bound to the node of the instance, as long as that is in the boot it is for."""
    pod, launcher = draft.pod, launcher_of(draft.guest.machine, instance.uid)
    if pod is None or pod.uid != instance.uid or launcher is None or pod.bound or instance.stopping or pod.deleting:
        return
    node = draft.room.statuses.get(instance.node)
    if node is None or node.nonce != instance.nonce:
        draft.say(f"{instance.node} has booted again: it is started anew")
        draft.set_instance(replace(instance, stopping=True))
    elif instance.node not in draft.room.armed:
        draft.say(f"waiting for {instance.node} to be heard from with its watchdog armed")
    elif not launcher.waits:
        draft.say(f"starting on {instance.node}: its launcher {launcher.name} waits for another scheduler")
    else:
        draft.actions.append(
            BindLauncher(draft.guest.key, launcher.name, pod.uid, pod.resource_version, instance.node, instance.id)
        )
        draft.say(f"starting on {instance.node}: its launcher is bound")


# -- stop ---------------------------------------------------------------------------------------------------------------


def stop(draft: Draft) -> bool:
    """Bring the instance to its end. True when it has ended as a fact, and nothing of the machine is left."""
    instance, pod, machine = draft.instance, draft.pod, draft.guest.machine
    if instance is None or instance.ended:
        return clear_away(draft)
    if not instance.stopping:
        instance = replace(instance, stopping=True)
        draft.set_instance(instance)
    halt(draft)
    if instance.uid is None and machine is not None:
        _never_bound(draft, instance, machine)
    elif pod is not None and pod.uid == instance.uid:
        await_end(draft, instance)
    return False


def _never_bound(draft: Draft, instance: Instance, machine: MachineView) -> None:
    """No launcher of it was ever seen, so none was bound: whatever KubeVirt may still make of it waits, and is deleted."""
    halt(draft)
    ended = replace(instance, ended="no launcher was ever bound for it", counted=bool(instance.failure))
    if machine.absent:
        draft.say(problem(draft))
        return
    draft.status = replace(draft.status, instance=ended)
    if instance.failure:
        last = Termination(
            instance.node, instance.id, "StartTimeout", draft.world.wall, None, instance.failure, counted=True
        )
        draft.status = replace(draft.status, last_termination=last)


def clear_away(draft: Draft) -> bool:
    """Is nothing left of it that runs or may begin to? If not, see to that, and say what is awaited."""
    machine = draft.guest.machine
    if machine is None or machine.absent:
        ready_to_start(draft)
        return False
    if machine.taken or (machine.owner and machine.kept is None):
        return True  # none of ours: a start says why it does not begin
    if draft.instance is None and _runs_unknown(draft, machine):
        return False
    halt(draft)
    torn_out = vanished(replace(draft.guest, status=draft.status))
    halted = not machine.there or machine.strategy == HALTED
    if machine.rests and halted and draft.status.migration is None and not torn_out:
        return True
    end_migrations(draft)
    removal = Removal(draft)
    for record in draft.status.pods:
        _remove(draft, removal, record)
    other = draft.status.migration
    if removal.awaited:
        draft.say(removal.awaited[0])
    elif other is not None and launcher_of(machine, other.uid) is None:
        draft.say(
            f"it may run on {other.node}, to which it was being migrated: waiting for the word of that node's agent"
        )
    elif torn_out:
        one = torn_out[0]
        draft.say(
            f"launcher {one.name} is gone without proof of its end: waiting for the word of the agent of {one.node}"
        )
    elif machine.launchers:
        names = ", ".join(sorted(one.name for one in machine.launchers))
        draft.say(f"waiting for launcher {names} to be gone")
    elif machine.run is not None:
        draft.say(f"waiting for KubeVirt to be done with the last run of {machine.name}")
    else:
        draft.say(f"VirtualMachine {machine.name} is taken in hand: run strategy {HALTED}")
    return False


def end_migrations(draft: Draft) -> None:
    """Call off every migration of ours that is under way, but one that still may succeed."""
    machine, one = draft.guest.machine, draft.status.migration
    kept = name_of(draft, one) if one is not None and not one.failed else ""
    for job in machine.migrations if machine is not None else ():
        if job.ours and not job.over and not job.deleting and job.name != kept:
            draft.actions.append(EndMigration(draft.guest.key, job.name, job.uid))


def _runs_unknown(draft: Draft, machine: MachineView) -> bool:
    """A launcher runs that is nobody's instance yet: it is not stopped before it is known which boot it belongs to."""
    known = {record.uid: record for record in draft.status.pods}
    for launcher in machine.launchers:
        record = known.get(launcher.pod.uid)
        if record is not None and not record.nonce and not launcher.made.over:
            draft.say(f"launcher {launcher.name} runs on {record.node}, of which no agent has been heard yet")
            return True
    return False


def _remove(draft: Draft, removal: Removal, record: PodRecord) -> None:
    launcher, incident = launcher_of(draft.guest.machine, record.uid), incident_of(draft.room, record)
    node = draft.world.node(record.node)
    if launcher is None or incident is None or node is None:
        return
    if covers(incident, instance_of(draft.world, record)) is None:
        removal.awaited.append(f"launcher {record.name} is on {record.node}, which is lost: waiting for proof")
    elif taken_over(node, incident):
        removal.awaited.append(f"{record.node} has booted again: waiting for its kubelet to end launcher {record.name}")
    elif draft.room.quorate:
        removal.step(node, launcher.made, record, incident)

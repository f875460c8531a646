"""The state Migrate: a virtual machine goes to another node while it runs.

target armed -> recorded, with the boot of the target -> KubeVirt is asked -> the launcher there is recorded, and bound ->
handed over -> the source has ended. Where that cannot be, it is stopped and started there, as every container is.
"""

from hashlib import sha256
from typing import Final

from quorate.core.actions import BeginMigration, BindLauncher
from quorate.core.draft import Draft
from quorate.core.launchers import has_ended, launcher_of
from quorate.core.machine_round import end_migrations
from quorate.core.machines import SUCCEEDED, MachineMigration
from quorate.core.migration import job_of, name_of
from quorate.core.moves import move
from quorate.core.quick import replace
from quorate.core.starting import target_stands
from quorate.core.status import Instance, Migration
from quorate.core.types import GuestState, InstanceId, Instant, Wanted, clock

S = GuestState
TRIES: Final = 2
"""So many live migrations may fail before a machine that has to leave is stopped and started elsewhere."""
AGAIN_MS: Final = 10_000


def fixed(draft: Draft) -> str:
    """Why it cannot be migrated live now; "" if it can."""
    machine, instance = draft.guest.machine, draft.instance
    if not draft.guest.spec.machine:
        return "a container has no live migration"
    if machine is None or machine.run is None or instance is None or machine.run.phase != "Running":
        return "KubeVirt does not say that it runs"
    launcher = launcher_of(machine, instance.uid)
    if launcher is None or not launcher.waits:
        return "it was begun before it came under HA: from its next start on it can be"
    if any(not one.over and not one.ours for one in machine.migrations):
        return "a migration that is not Quorate's is under way"
    return machine.run.fixed


def _last_is_left(draft: Draft) -> bool:
    """Has KubeVirt not said yet that an earlier migration of ours is over? Until then it takes no other one."""
    machine = draft.guest.machine
    return machine is not None and any(one.ours and not one.over for one in machine.migrations)


def _left(draft: Draft) -> str:
    """The name of a launcher of an earlier migration that its kubelet has not seen end; "" if there is none.

    Its boot may be proven dead and it be done with as a side of that migration: as long as the Pod stands, whoever boots
    there may have it in hand, and no other launcher is bound beside it.
    """
    machine, instance = draft.guest.machine, draft.instance
    launchers = machine.launchers if machine is not None else ()
    own = instance.uid if instance is not None else None
    return next((one.name for one in launchers if one.pod.uid != own and one.pod.bound and not has_ended(one)), "")


def unread(draft: Draft) -> str:
    """Why nothing can be known of it for now; "" if it can. It is not stopped for that: how it may move will be seen."""
    machine = draft.guest.machine
    return machine.absent if machine is not None else "the virtual machines in its namespace are not listed yet"


def way(draft: Draft) -> GuestState | None:
    """How a guest that runs goes to its target. None: not yet, and it has been said why."""
    if not draft.guest.spec.machine:
        return S.RELOCATE
    if unknown := unread(draft):
        node = draft.instance.node if draft.instance is not None else ""
        draft.say(f"runs on {node}; it moves to {draft.status.target} once it is known how: {unknown}")
        return None
    if _last_is_left(draft):
        end_migrations(draft)
        draft.say(f"{draft.status.message}, once KubeVirt says that its last migration is over")
        return None
    failure, why = draft.status.migration_failure, fixed(draft)
    if failure is not None and failure.tries >= TRIES:
        why = f"{failure.tries} live migrations have failed, the last one because {failure.why}"
    if why:
        draft.say(f"{draft.status.message}; it is stopped for that: {why}")
        return S.RELOCATE
    if failure is not None and draft.world.wall < (again := Instant(failure.at + AGAIN_MS)):
        draft.wake_at(again)
        node = draft.instance.node if draft.instance is not None else ""
        draft.say(f"runs on {node}; its migration failed ({failure.why}) and is tried again at {clock(again)} UTC")
        return None
    return S.MIGRATE


def migrating(draft: Draft) -> None:
    """The state's function."""
    instance, under_way = draft.instance, draft.status.migration
    if draft.want is not Wanted.STARTED or (instance is not None and instance.stopping):
        move(draft, S.REQUEST_STOP)
    elif instance is None:
        move(draft, S.STARTING)
    elif instance.ended:
        move(draft, S.STARTED)
    elif under_way is None:
        _prepare(draft, instance)
    else:
        _carry_on(draft, instance, under_way)


def _prepare(draft: Draft, instance: Instance) -> None:
    """It is there, or has failed, or is still to begin."""
    target = draft.status.target
    if target is not None and target != instance.node and not target_stands(draft):
        draft.say(f"{target} cannot take it any more: it stays")
        target = None
    if target is None or target == instance.node:
        draft.status = replace(draft.status, target=None, node=instance.node)
        move(draft, S.STARTED if draft.status.ready else S.STARTING)
        return
    node = draft.room.statuses[target]
    if target not in draft.room.armed or node.nonce is None:
        draft.say(f"migrates to {target}, once that has armed its watchdog")
        draft.wake_when_armed(target)
    elif unknown := unread(draft):
        draft.say(f"migrates to {target}, once it is known whether it can: {unknown}")
    elif _last_is_left(draft):
        end_migrations(draft)
        draft.say(f"migrates to {target}, once KubeVirt says that its last migration is over")
    elif left := _left(draft):
        draft.say(f"migrates to {target}, once launcher {left} of an earlier migration is gone")
    elif why := fixed(draft):
        draft.say(f"moves from {instance.node} to {target}; it is stopped for that: {why}")
        move(draft, S.RELOCATE)
    else:
        drawn = InstanceId(sha256(f"{draft.world.entropy}/{draft.guest.uid}/to".encode()).hexdigest()[:16])
        draft.status = replace(draft.status, migration=Migration(drawn, target, node.nonce, draft.world.wall))
        draft.say(f"migrates from {instance.node} to {target}")


def _carry_on(draft: Draft, instance: Instance, one: Migration) -> None:
    job, machine = job_of(draft, one), draft.guest.machine
    if one.failed:
        end_migrations(draft)
        draft.say(f"its migration to {one.node} is over ({one.failed}): waiting for its launcher there to be gone")
        return
    if job is not None and job.phase == SUCCEEDED:
        draft.say(f"runs on {one.node} by now: waiting for its launcher on {instance.node} to end")
        return
    limit = Instant(one.began + round(draft.guest.spec.start_timeout_s * 1000))
    if draft.world.wall >= limit:
        late = f"it took longer than startTimeout {draft.guest.spec.start_timeout_s:g}s"
        draft.status = replace(draft.status, migration=replace(one, failed=late))
        return
    draft.wake_at(limit)
    if job is None and one.job is None and machine is not None:
        draft.actions.append(BeginMigration(draft.guest.key, name_of(draft, one), machine.name, one.id))
    elif one.uid is not None:
        _bind(draft, one)
    draft.say(f"migrates from {instance.node} to {one.node}{_progress(job)}")


def _progress(job: MachineMigration | None) -> str:
    return f" (KubeVirt says {job.phase})" if job is not None and job.phase else ""


def _bind(draft: Draft, one: Migration) -> None:
    """The launcher on the target is recorded: let it run there, as long as that is in the boot that was recorded."""
    launcher, node = launcher_of(draft.guest.machine, one.uid), draft.room.statuses.get(one.node)
    if launcher is None or launcher.pod.bound or launcher.pod.deleting or not launcher.waits:
        return
    if node is not None and node.nonce == one.nonce and one.node in draft.room.armed:
        pod = launcher.pod
        draft.actions.append(
            BindLauncher(draft.guest.key, launcher.name, pod.uid, pod.resource_version, one.node, one.id)
        )

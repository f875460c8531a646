"""A live migration under way: how far it has come, and when its other side has ended as a fact.

Until then both sides count: the guest may run on either. Its source is the guest's instance; the launcher on the target is
bound only once its uid is in the status. When the source has ended, the instance is the target's (`launchers.py`).
"""

from quorate.core.attested import attested
from quorate.core.draft import Draft
from quorate.core.fencing import covers
from quorate.core.launchers import has_ended, launcher_of
from quorate.core.machines import FAILED, MachineMigration
from quorate.core.quick import replace
from quorate.core.status import CommandResult, GuestStatus, Instance, Migration, MigrationFailure
from quorate.core.stopped import guessed


def side(status: GuestStatus) -> Instance | None:
    """The other side of a migration as an instance, so that evidence is held against it as against any other."""
    one = status.migration
    if one is None:
        return None
    return Instance(one.id, one.node, one.nonce, "", one.began, uid=one.uid, began=True, started=True)


def sides(status: GuestStatus) -> tuple[Instance, ...]:
    """Everything recorded that may be the guest: its instance and, during a migration, the other side of it."""
    return tuple(one for one in (status.instance, side(status)) if one is not None)


def name_of(draft: Draft, under_way: Migration) -> str:
    """The object that KubeVirt does it by: a second one of the same migration cannot be made."""
    return f"{draft.guest.key.name[:40]}-{under_way.id}"


def job_of(draft: Draft, under_way: Migration) -> MachineMigration | None:
    machine = draft.guest.machine
    name = name_of(draft, under_way)
    return next((one for one in machine.migrations if one.name == name), None) if machine is not None else None


def follow(draft: Draft) -> None:
    """Bring the recorded migration up to date. Status only: this is right in every state, with and without quorum."""
    known, machine = draft.status.migration, draft.guest.machine
    if known is None or machine is None or machine.absent:
        return
    job, one = job_of(draft, known), known
    if job is not None and one.job is None:
        one = replace(one, job=job.uid)
    if one.uid is None and one.job is not None:
        target = next((launcher for launcher in machine.launchers if launcher.migration == one.job), None)
        one = replace(one, uid=target.pod.uid) if target is not None else one
    if not one.failed:
        one = replace(one, failed=_failed(draft, one, job))
    if one.failed and _ended(draft, one, job):
        _give_up(draft, one)
    elif one != known:
        draft.status = replace(draft.status, migration=one)


def _failed(draft: Draft, one: Migration, job: MachineMigration | None) -> str:
    """Why it will not succeed any more; "" while it may."""
    instance, refusal = draft.instance, draft.guest.refusal
    lost = draft.room.statuses.get(one.node)
    other = side(replace(draft.status, migration=one))
    if job is not None and job.phase == FAILED:
        return f"KubeVirt reports that it failed{f': {job.reason}' if job.reason else ''}"
    if job is None and one.job is not None:
        return "somebody deleted it"
    if refusal is not None and refusal.instance == one.id:
        return f"the API server refused it: {refusal.message}"
    if instance is None or instance.ended or instance.stopping:
        return "what was to be migrated has ended"
    if other is not None and lost is not None and covers(lost.incident, other) is not None:
        return f"{one.node} was lost"
    return ""


def _ended(draft: Draft, one: Migration, job: MachineMigration | None) -> bool:
    """Is it a fact that nothing of it runs on its target, nor will?"""
    machine, status = draft.guest.machine, draft.room.statuses.get(one.node)
    launchers = machine.launchers if machine is not None else ()
    if one.uid is None:
        waits = job is not None and not job.over
        return not waits and not any(one.job is not None and launcher.migration == one.job for launcher in launchers)
    other = side(replace(draft.status, migration=one))
    if other is not None and status is not None and covers(status.incident, other) is not None:
        return True
    launcher = launcher_of(machine, one.uid)
    if launcher is not None and (has_ended(launcher) or not guessed(launcher.pod)):
        return launcher.pod.bound and has_ended(launcher)
    if launcher is not None and other is not None and one.uid in attested(draft.world, other).idle:
        return True  # its kubelet refused it, or lost it, and no process of it is left
    if launcher is None and other is not None and one.uid in attested(draft.world, other).gone:
        return True
    draft.room.asks.setdefault(one.node, set()).add(one.uid)
    return False


def _give_up(draft: Draft, one: Migration) -> None:
    """It is over, and has failed. The instance is what it was."""
    status, before = draft.status, draft.status.migration_failure
    failure = MigrationFailure((before.tries if before is not None else 0) + 1, draft.world.wall, one.failed[:1024])
    command = status.last_command
    if command is not None and command.verb == "migrate" and command.accepted and one.node in command.result:
        where = draft.instance.node if draft.instance is not None else "where it was"
        words = f"{command.result}: failed, it stays on {where}: {one.failed}"
        command = CommandResult(command.id, command.verb, words[:1024], accepted=False)
    target = None if status.target == one.node else status.target
    draft.status = replace(status, migration=None, migration_failure=failure, target=target, last_command=command)
    draft.note("MigrationFailed", f"to {one.node}: {one.failed}", warning=True)

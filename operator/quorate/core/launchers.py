"""The launchers of a virtual machine: which boot of which node each belongs to, and whose instance it is.

A launcher has no start gate: a kubelet that comes back may start it, unless our NoExecute taint refuses it. So each is
recorded as the Pods of protected workloads are (`workload_pods.py`), and one that another boot has in hand becomes an
instance of that boot: what proves the boot before dead says nothing of it any more.
"""

from quorate.core.attested import attested
from quorate.core.draft import Draft, Room
from quorate.core.fencing import covers
from quorate.core.machines import WAITING, Launcher, MachineView
from quorate.core.pods import PodView
from quorate.core.quick import replace
from quorate.core.status import Instance
from quorate.core.stopped import declared_over, from_pod
from quorate.core.types import HEARD, InstanceId, Nonce, Uid
from quorate.core.workload_pods import incident_of, instance_of, record_of
from quorate.core.workloads import PodRecord
from quorate.core.world import GuestView


def records(room: Room, guest: GuestView) -> tuple[PodRecord, ...]:
    """The launchers that have a node, as they are to be recorded. Status only: right in every state, without quorum too."""
    machine = guest.machine
    if machine is None:
        return guest.status.pods
    before = {record.uid: record for record in guest.status.pods}
    nodes = {node.name: node for node in room.world.nodes}
    found = []
    for launcher in machine.launchers:
        pod = launcher.made
        if pod.node is None or has_ended(launcher):
            continue  # it was never bound, or has ended: nothing of it is to be proven
        record = record_of(room, nodes.get(pod.node), pod, before.get(pod.uid))
        if record is not None:
            found.append(record)
    if not machine.taken:
        found.extend(record for record in vanished(guest) if not _proven(room, record))
    return tuple(sorted(found, key=lambda one: (one.name, one.uid)))


def vanished(guest: GuestView) -> list[PodRecord]:
    """Launchers that were on a node, and are gone without a word of their end: somebody may have torn one out.

    Those of the instance and of the other side of our own migration are none of them: their end is proven elsewhere.
    """
    machine, status = guest.machine, guest.status
    if machine is None or machine.taken:
        return []
    there = {one.pod.uid for one in machine.launchers}
    there |= {one.uid for one in (status.instance, status.migration) if one is not None and one.uid is not None}
    return [record for record in status.pods if record.nonce and record.uid not in there]


def _proven(room: Room, record: PodRecord) -> bool:
    """Is it a fact that nothing of it runs? If not, the agent of its node is asked."""
    status, instance = room.statuses.get(record.node), instance_of(room.world, record)
    if record.uid in attested(room.world, instance).gone:
        return True
    incident = incident_of(room, record)
    if incident is not None:
        return covers(incident, instance) is not None
    if status is not None and status.nonce not in {None, record.nonce} and status.state in HEARD:
        return True  # another boot is the node's by now: whatever ran in that one has ended
    room.asks.setdefault(record.node, set()).add(record.uid)
    return False


def follow(draft: Draft) -> None:
    """Bring the recorded launchers and the instance up to date."""
    kept = records(draft.room, draft.guest)
    if kept != draft.status.pods:
        draft.status = replace(draft.status, pods=kept)
    _tell_agents(draft, kept)
    known = {record.uid: record for record in kept}
    instance, pod = draft.instance, draft.pod
    if instance is not None and instance.uid is not None and (record := known.get(instance.uid)) is not None:
        _goes_on(draft, instance, record)
    elif pod is not None and (record := known.get(pod.uid)) is not None and _is_found(instance, pod, record):
        _found(draft, record, stopping=instance is not None or pod.deleting)
    _identify(draft, known)


def _tell_agents(draft: Draft, records: tuple[PodRecord, ...]) -> None:
    """Each launcher that runs is asked about: it bears no label of ours, and the agent of its node is to stay armed for it.

    Only once its kubelet has reported it started: that nothing of it runs yet must never be taken for its end.
    """
    for record in records:
        launcher = launcher_of(draft.guest.machine, record.uid)
        if launcher is not None and any(one.started for one in launcher.pod.containers if not one.init):
            draft.room.asks.setdefault(record.node, set()).add(record.uid)


def _is_found(instance: Instance | None, pod: PodView, record: PodRecord) -> bool:
    """Does it run, or is about to, and is nobody's instance yet?"""
    ours = instance is not None and (instance.uid is not None or pod.instance == instance.id)
    return bool(record.nonce) and pod.bound and not declared_over(pod) and not ours


def _goes_on(draft: Draft, instance: Instance, record: PodRecord) -> None:
    """Another boot of its node has it in hand."""
    if record.nonce in {"", instance.nonce}:
        return
    stopping = instance.stopping and not instance.ended
    draft.note("InstanceFound", f"launcher {record.name} goes on in another boot of {record.node}: it was not moved")
    draft.set_instance(_instance(draft, record, stopping=stopping))


def _found(draft: Draft, record: PodRecord, *, stopping: bool) -> None:
    word = "to be stopped first" if stopping else "taken over"
    draft.note("InstanceFound", f"launcher {record.name} was found on {record.node}: {word}")
    draft.set_instance(_instance(draft, record, stopping=stopping))


def _instance(draft: Draft, record: PodRecord, *, stopping: bool) -> Instance:
    launcher = launcher_of(draft.guest.machine, record.uid)
    containers = launcher.pod.containers if launcher is not None else ()
    return Instance(
        id=InstanceId(f"{record.uid[:16]}-{record.nonce[:16]}"),
        node=record.node,
        nonce=record.nonce,
        template_hash="",
        drawn=draft.world.wall,
        uid=record.uid,
        began=any(one.started for one in containers),
        started=any(one.started for one in containers if not one.init),
        stopping=stopping,
    )


def _identify(draft: Draft, known: dict[Uid, PodRecord]) -> None:
    """Which launcher is the instance's, and how far it has come."""
    instance, pod = draft.instance, draft.pod
    if instance is None or pod is None:
        return
    if instance.uid is None and pod.instance == instance.id:
        instance = replace(instance, uid=pod.uid)
        record = known.get(pod.uid)
        if record is not None and record.node != instance.node:  # bound by somebody else
            instance = replace(instance, node=record.node, nonce=record.nonce or Nonce(""))
    if instance.uid != pod.uid:
        return
    began = instance.began or any(one.started for one in pod.containers)
    started = instance.started or any(one.started for one in pod.containers if not one.init)
    if (instance.began, instance.started) != (began, started):
        instance = replace(instance, began=began, started=started)
    if instance is not draft.instance:
        draft.set_instance(instance)


def follow_migration(draft: Draft, *, sure: bool) -> None:
    """The instance has ended; did it go on elsewhere, by a live migration? Then it is an instance there.

    `sure`: its own launcher said that it has ended, so whatever is left of that run has it. When its node was lost,
    KubeVirt's word is needed that it had been handed over.
    """
    instance, machine = draft.instance, draft.guest.machine
    if instance is None or machine is None or machine.run is None:
        return
    known = {record.uid: record for record in draft.status.pods}
    for other in machine.launchers:
        record = known.get(other.pod.uid)
        if other.pod.uid == instance.uid or record is None or other.vmi != machine.run.uid or not _lives(other, record):
            continue
        if sure or machine.run.node == record.node:
            draft.note("GuestMigrated", f"it runs on {record.node}, migrated live from {instance.node}")
            draft.set_instance(_instance(draft, record, stopping=instance.stopping and not instance.ended))
            target = None if draft.status.target == record.node else draft.status.target
            draft.status = replace(draft.status, target=target, node=record.node, migration_failure=None)
            under_way = draft.status.migration
            if under_way is not None and under_way.uid == record.uid:
                draft.status = replace(draft.status, migration=None)
            return


def _lives(launcher: Launcher, record: PodRecord) -> bool:
    """Is it on a node, with nothing that says it has ended?"""
    return launcher.pod.bound and bool(record.nonce) and not declared_over(launcher.pod) and not has_ended(launcher)


def has_ended(launcher: Launcher) -> bool:
    """Has its kubelet seen all of it end?"""
    return from_pod(launcher.pod, began=True, started=True) is not None


def is_here(draft: Draft, instance: Instance) -> bool:
    """Does a machine run where its instance is, or where it is being migrated to? True for whatever is no machine.

    Its launcher is Ready before anything runs in it: only KubeVirt says when virt-handler has started what is to run there.
    """
    machine = draft.guest.machine
    run = machine.run if machine is not None else None
    if machine is None or machine.absent or run is None:
        return True
    other = draft.status.migration
    here = run.node in {None, instance.node} or (other is not None and run.node == other.node)
    return here and run.phase not in WAITING


def launcher_of(machine: MachineView | None, uid: Uid | None) -> Launcher | None:
    launchers = machine.launchers if machine is not None else ()
    return next((one for one in launchers if one.pod.uid == uid), None)


def goes_on(draft: Draft, instance: Instance) -> bool:
    """Is it an instance of the boot that has its node now, while the incident of the one before is still open?"""
    if not draft.guest.spec.machine:
        return False
    node = draft.world.node(instance.node)
    return node is not None and node.beat is not None and node.beat.nonce == instance.nonce

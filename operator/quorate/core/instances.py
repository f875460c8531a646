"""A guest's instance, as its Pod, its node and its agent show it: adopt, follow, and recognise the end as a fact."""

from quorate.core import launchers, machine_round, migration, workload_pods
from quorate.core.actions import RemovePod, StopPod
from quorate.core.attested import attested
from quorate.core.draft import Draft
from quorate.core.fencing import covers
from quorate.core.overdue import await_end
from quorate.core.pods import PodView
from quorate.core.quick import replace
from quorate.core.status import Incident, Instance, Termination
from quorate.core.stopped import GUESSED, Fact, declared_over, from_pod, guessed
from quorate.core.types import InstanceId, Nonce, node_ref


def incident_of(draft: Draft) -> Incident | None:
    """The open incident of the boot that the instance belongs to."""
    return workload_pods.incident_of(draft.room, draft.instance) if draft.instance is not None else None


def observe(draft: Draft) -> None:
    """Bring the recorded instance up to date. Status only: this is right in every state, with and without quorum."""
    if draft.guest.spec.machine:
        launchers.follow(draft)
        migration.follow(draft)
        if draft.instance is not None and (draft.instance.ended or proof_of_end(draft) is not None):
            launchers.follow_migration(draft, sure=_ended_by_its_kubelet(draft))
    else:
        _follow_pod(draft)
    _recognise_end(draft)
    pod, instance = draft.pod, draft.instance
    ready = (
        pod is not None
        and instance is not None
        and pod.uid == instance.uid
        and pod.ready
        and launchers.is_here(draft, instance)
        and not pod.deleting
        and not instance.ended
        and instance.node in draft.room.statuses
        and incident_of(draft) is None
    )
    status = draft.status
    if ready != status.ready:
        draft.status = replace(status, ready=ready, ready_since=draft.world.wall if ready else None)


def _ended_by_its_kubelet(draft: Draft) -> bool:
    """Its launcher has ended, and its node was not lost: what ran in it may have been handed over."""
    instance, pod = draft.instance, draft.pod
    ours = instance is not None and pod is not None and pod.uid == instance.uid
    return ours and pod is not None and from_pod(pod, began=True, started=True) is not None


def _follow_pod(draft: Draft) -> None:
    pod, instance = draft.pod, draft.instance
    if pod is None or pod.instance is None:
        return
    if instance is None or (pod.instance != instance.id and instance.uid is None):
        # Nothing is recorded, or the name was taken before ours could be made: what runs under it is what counts.
        draft.set_instance(_adopted(pod, pod.instance, draft))
        return
    if pod.instance != instance.id:
        return
    if instance.uid is not None and instance.uid != pod.uid:
        return
    began = instance.began or any(container.started for container in pod.containers)
    started = instance.started or _main_started(pod)
    if (instance.uid, instance.began, instance.started) != (pod.uid, began, started):
        draft.set_instance(replace(instance, uid=pod.uid, began=began, started=started))


def _adopted(pod: PodView, instance: InstanceId, draft: Draft) -> Instance:
    """An instance made from a Pod that was found. One of an earlier HAResource or another template is to be stopped."""
    guest, known = draft.guest, draft.instance
    hashes = {draft.status.template_hash, guest.spec.template.hash}
    keep = known is None and pod.owner == guest.uid and pod.template_hash in hashes and not pod.deleting
    word = "taken over" if keep else "to be stopped first"
    draft.note("InstanceFound", f"instance {instance} was found on {pod.node}: {word}")
    return Instance(
        id=instance,
        node=pod.node,
        nonce=pod.nonce or Nonce(""),
        template_hash=pod.template_hash,
        drawn=draft.world.wall,
        uid=pod.uid,
        began=any(container.started for container in pod.containers),
        started=_main_started(pod),
        stopping=not keep,
    )


def _main_started(pod: PodView) -> bool:
    return any(container.started for container in pod.containers if not container.init)


def _recognise_end(draft: Draft) -> None:
    instance = draft.instance
    if instance is None or instance.ended:
        return
    fact = proof_of_end(draft)
    if fact is None:
        return
    planned = instance.stopping or (draft.pod is not None and draft.pod.deleting)  # by us, or by somebody else
    counted = bool(instance.failure) or (fact.counted and not planned)
    reason = "StartTimeout" if instance.failure else fact.reason or "Completed"
    message = instance.failure or fact.message
    draft.status = replace(
        draft.status,
        instance=replace(instance, ended=fact.text, counted=counted),
        last_termination=Termination(
            instance.node, instance.id, reason, draft.world.wall, fact.exit_code, message[:1024], counted
        ),
    )


def proof_of_end(draft: Draft) -> Fact | None:
    """One of the four facts that mean "stopped", or None."""
    instance = draft.instance
    if instance is None:
        return None
    incident = incident_of(draft)
    evidence = covers(incident, instance)
    if incident is not None and evidence is not None:
        text = f"{evidence.kind} of {instance.node} in incident {incident.id}"
        return Fact(text, reason="NodeLost", message=evidence.detail, counted=False)
    pod = draft.pod
    if pod is None or pod.uid != instance.uid:
        if instance.uid is not None and instance.uid in attested(draft.world, instance).gone:
            text = "its agent attests that neither runtime nor kubelet knows it"
            return Fact(text, reason="PodVanished", counted=False)
        return None
    fact = from_pod(pod, began=instance.began, started=instance.started)
    if fact is None and guessed(pod):
        if pod.uid in attested(draft.world, instance).idle:
            text = "the kubelet lost it and its agent attests that no process of it is left"
            return Fact(text, reason=GUESSED, message=pod.message)
        draft.room.asks.setdefault(instance.node, set()).add(pod.uid)
    elif fact is None and pod.deleting and declared_over(pod):
        if pod.uid in attested(draft.world, instance).gone:
            text = f"it was declared {pod.phase}, and its agent attests that neither runtime nor kubelet knows it"
            return Fact(text, reason=pod.reason or "PodVanished", message=pod.message, counted=False)
        draft.room.asks.setdefault(instance.node, set()).add(pod.uid)
    return fact


def clear_away(draft: Draft) -> bool:
    """Is the ended instance's Pod gone? If not, ask for its removal and say what is awaited."""
    if draft.guest.spec.machine:
        return machine_round.clear_away(draft)
    pod, instance = draft.pod, draft.instance
    if pod is None:
        return True
    if instance is None or not instance.ended or pod.uid != instance.uid:
        return _clear_other(draft, pod)
    incident = incident_of(draft)
    forced = covers(incident, instance) is not None
    proof = (node_ref(instance.node),) if forced else ()
    draft.actions.append(
        RemovePod(draft.guest.key, pod.uid, pod.resource_version, instance.ended, forced=forced, proof=proof)
    )
    if pod.foreign_finalizers and pod.deleting:
        draft.say(f"waiting for {', '.join(pod.foreign_finalizers)} to let go of Pod {draft.guest.key.name}")
    return False


def _clear_other(draft: Draft, pod: PodView) -> bool:
    """A Pod of another instance stands under the guest's name: stop it gracefully and await it like any other."""
    if pod.instance is None:
        draft.stall(
            f"Pod {draft.guest.key.namespace}/{draft.guest.key.name} exists and is not Quorate's: "
            "delete it, or give the HAResource another name"
        )
        return False
    fact = from_pod(pod, began=False, started=any(c.started for c in pod.containers))
    if fact is not None:
        draft.actions.append(RemovePod(draft.guest.key, pod.uid, pod.resource_version, fact.text))
    elif not pod.deleting:
        draft.actions.append(StopPod(draft.guest.key, pod.uid, pod.resource_version))
    draft.say(f"waiting for another instance of this name, {pod.instance} on {pod.node}, to stop")
    return False


def stop(draft: Draft) -> bool:
    """Bring the instance to its end. True when it has ended as a fact and its Pod is gone."""
    instance, pod = draft.instance, draft.pod
    if draft.guest.spec.machine:
        if instance is not None and instance.uid is not None and (pod is None or pod.uid != instance.uid):
            ask(draft, instance)
        return machine_round.stop(draft)
    if instance is None or instance.ended:
        return clear_away(draft)
    if pod is None and instance.uid is None:
        draft.set_instance(replace(instance, ended="no Pod was ever made for it"))
        return True
    if not instance.stopping:
        instance = replace(instance, stopping=True)
        draft.set_instance(instance)
    if pod is None:
        ask(draft, instance)
    elif pod.uid != instance.uid:
        clear_away(draft)
    else:
        end(draft, pod)
        await_end(draft, instance)
    return False


def end(draft: Draft, pod: PodView) -> None:
    """Ask for its end, in order."""
    if draft.guest.spec.machine:
        machine_round.halt(draft)
    elif not pod.deleting:
        draft.actions.append(StopPod(draft.guest.key, pod.uid, pod.resource_version))


def ask(draft: Draft, instance: Instance) -> None:
    """The Pod object is gone without proof: the agent must say that nothing of that uid runs."""
    if instance.uid is not None:
        draft.room.asks.setdefault(instance.node, set()).add(instance.uid)
    draft.say(
        f"the Pod object is gone without proof of its end: waiting for the agent of {instance.node} to attest that "
        "nothing of it runs"
    )

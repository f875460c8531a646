"""`quorate uninstall --force`: for when nothing can prove any more that the guests have stopped. What it risks is said."""

from typing import Any

from quorate.access.waiting import Deadline
from quorate.cli.output import note
from quorate.cli.removal import found
from quorate.cli.removal.facts import armed, attested
from quorate.cli.removal.found import Found, deleting, listed, named, sid
from quorate.cli.removal.steps import Steps
from quorate.cli.removal.waits import OverdueError, Wait
from quorate.core.types import AGENT_NAMESPACE, IN_USE_FINALIZER, INSTANCE_FINALIZER, MEMBER_FINALIZER
from quorate.kube.resources import CLUSTERS, HARESOURCES, NODES, PODS, STORAGES

Raw = dict[str, Any]
FINALIZERS = (INSTANCE_FINALIZER, MEMBER_FINALIZER, IN_USE_FINALIZER)
DISARM_WITHIN = "1m"
"""So long agents get to disarm by themselves, once nothing asks them to be armed any more."""
STRIP_WITHIN = "1m"


def risks(there: Found) -> list[str]:
    """What going on without proof means, object by object."""
    lines = []
    for raw in there.guests:
        instance = (raw.get("status") or {}).get("instance") or {}
        if instance and not instance.get("ended"):
            lines.append(
                f"! {sid(raw)} may still run on {instance.get('node')}: nothing proves that it has stopped, and nothing "
                "keeps it from running twice if you start it elsewhere"
            )
    known = {sid(raw) for raw in there.guests}
    lines += [
        f"! {sid(raw)} may still run on {raw['spec'].get('nodeName', 'no node yet')}: its Pod is there"
        for raw in there.pods
        if sid(raw) not in known
    ]
    for raw in there.leases:
        said = attested(raw)
        if raw["metadata"]["namespace"] == AGENT_NAMESPACE and armed(raw) and said is not None:
            lines.append(
                f"! {raw['metadata']['name']} is still armed: if its agent does not disarm first it resets itself "
                f"{said.watchdog_s:g}s after namespace {AGENT_NAMESPACE}, and the Leases in it, are gone"
            )
    return lines or ["No guest is known to run and no node to be armed."]


def go(steps: Steps) -> None:
    """Take our finalizers off everything that has one, then the rest in the same order. Raises OverdueError."""
    steps.wait = Wait(steps.api, Deadline(STRIP_WITHIN))
    steps.lift_guards()
    steps.wait.until("our objects to go", lambda: _release(steps))
    steps.untaint()
    steps.wait = Wait(steps.api, Deadline(DISARM_WITHIN))
    try:
        steps.end_agents()
        steps.disarm()
    except OverdueError as error:
        note(f"{error.stands}: going on all the same, as --force asks")
    steps.wait = Wait(steps.api, Deadline(STRIP_WITHIN))
    steps.end_managers()


def _release(steps: Steps) -> list[str]:
    """One pass over our objects and the guests' Pods: delete, and take our finalizers off exactly that version."""
    words = []
    for resource in (HARESOURCES, STORAGES, CLUSTERS, NODES):
        for raw in listed(steps.api, resource):
            if not deleting(raw):
                steps.delete(resource, raw)
            else:
                steps.strip(resource, raw, *FINALIZERS)
            words.append(named(resource, raw))
    for raw in found.guest_pods(steps.api):
        if not deleting(raw):
            steps.delete(PODS, raw)
        elif set(FINALIZERS) & set(raw["metadata"].get("finalizers") or ()):
            steps.strip(PODS, raw, *FINALIZERS)
        else:
            continue  # it is the kubelet's to end it, and ours no more
        words.append(named(PODS, raw))
    return words

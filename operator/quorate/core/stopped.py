"""When has an instance stopped? Stopped is a fact, never a wish.

Phase, empty containerStatuses and an absent object prove nothing: PodGC sets Failed while containers run, a restarted
kubelet fails Pods that run, and people use --force. What counts, in the last version of the Pod with that uid:

1. every container is terminated by the kubelet's own observation, or the Pod was deleted before it was bound to a node
   (the API server binds none that is being deleted);
2. the kubelet itself refused the Pod and no container of it was ever reported started, or an init container ended
   non-zero in a Failed Pod whose main container never started;
3. the agent attests, for a uid it was asked about, that no process of it is left: either the kubelet does not know it
   any more, or its last word was that all containers have terminated, by guess (a Pod that is deleted while its image is
   still being pulled ends like that, measured), or that it refuses a Pod which had run before;
4. there is evidence for the node's boot.

Facts 1 and 2 are here; 3 and 4 need the node and are found in `instances.py`.
"""

from dataclasses import dataclass

from quorate.core.pods import ContainerView, PodView
from quorate.core.types import WRONG_BOOT_EXIT

KUBELET_REFUSALS = frozenset(
    {
        "AppArmor",
        "InvalidNodeInfo",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "OutOfcpu",
        "OutOfephemeral-storage",
        "OutOfmemory",
        "OutOfpods",
        "PodFeatureUnsupported",
        "PodLevelResourcesNotAdmittedReason",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "Sysctl",
        "SysctlForbidden",
        "TaintToleration",
        "Topology",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
    }
)
"""Reasons the kubelet gives when it will not admit a Pod (kubelet lifecycle and admission handlers, 1.34)."""

SHUTDOWN_REASONS = frozenset({"NodeShutdown", "Shutdown", "Terminated"})
"""Pod reasons of a kubelet that ends or refuses Pods because its host goes down (kubelet, 1.32 to 1.34)."""

PLANNED_REASONS = SHUTDOWN_REASONS | {"Evicted", "Preempting"}
"""Pod reasons of an end that somebody planned: the guest did not fail."""

GUESSED = "ContainerStatusUnknown"
"""The kubelet lost the container and assumes its end: within one boot the process may live on."""

LOST = "Unknown"
"""containerd (with exit code 255) lost the container's task: after a reset of the node, or a guess of its own."""


@dataclass(frozen=True, slots=True)
class Fact:
    """How it is known that an instance has stopped, and what the guest's own words were.

    `counted`: a try that failed, for the restart limit. `wrong_boot`: the start gate kept it from running at all.
    """

    text: str
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    counted: bool = True
    wrong_boot: bool = False


def from_pod(pod: PodView, *, began: bool, started: bool) -> Fact | None:
    """Fact 1 or 2, or None while the Pod proves nothing.

    `began`: any container of this uid was once reported started, in this or an earlier version of the Pod; `started`: a
    main one was. A kubelet that refuses a Pod drops the container statuses, so the last version alone is not enough.
    """
    if pod.bound and pod.phase != "Failed" and _any_runs(pod):
        return None  # the usual case of a thousand guests
    main = [container for container in pod.containers if not container.init]
    if not main:
        return None
    if pod.deleting and not pod.bound:
        return Fact("it was deleted before it was bound to a node", reason="NeverBound", counted=False)
    running = _any_runs(pod)
    if not running and all(_observed_end(container) for container in main):
        return _ended(pod, main)
    if pod.phase != "Failed" or started or any(container.started for container in main):
        return None
    broken = next((c for c in pod.containers if c.init and _observed_end(c) and c.exit_code != 0), None)
    if broken is not None and not running:
        return _gate_or_init(broken)
    if pod.reason in KUBELET_REFUSALS and not began and not any(c.started for c in pod.containers):
        text = f"the kubelet refused it: {pod.reason}"
        return Fact(text, reason=pod.reason, message=pod.message)
    return None


def _any_runs(pod: PodView) -> bool:
    for container in pod.containers:  # noqa: SIM110 asked of every guest in every round: a generator costs twice as much
        if container.state == "running":
            return True
    return False


def guessed(pod: PodView) -> bool:
    """Has the kubelet said that all is over, but only guessed it? Then the agent's word makes it a fact.

    A restarted kubelet that refuses a Pod which had run is done with it as well: a Failed Pod is never started again.
    """
    refused = pod.phase == "Failed" and pod.reason in KUBELET_REFUSALS
    over = False
    for container in pod.containers:
        if not container.init:
            if not refused and container.state != "terminated":
                return False
            over = True
    return over


def declared_over(pod: PodView) -> bool:
    """Has somebody, the kubelet or PodGC, said that the Pod is over? That proves nothing, but it never becomes Ready."""
    return pod.phase in {"Failed", "Succeeded"}


def _observed_end(container: ContainerView) -> bool:
    return container.state == "terminated" and container.reason not in {GUESSED, LOST}


def _ended(pod: PodView, main: list[ContainerView]) -> Fact:
    worst = next((container for container in main if container.exit_code), main[0])
    reason = pod.reason or worst.reason
    text = f"every container has terminated ({worst.name}: exit code {worst.exit_code})"
    return Fact(text, worst.exit_code, reason, worst.message or pod.message, counted=pod.reason not in PLANNED_REASONS)


def _gate_or_init(container: ContainerView) -> Fact:
    if container.exit_code == WRONG_BOOT_EXIT:
        return Fact(
            "the start gate found another boot of the node",
            container.exit_code,
            "WrongBoot",
            container.message,
            counted=False,
            wrong_boot=True,
        )
    text = f"init container {container.name} ended with exit code {container.exit_code} and no main container started"
    return Fact(text, container.exit_code, container.reason or "InitFailed", container.message)

"""A Pod that is stuck on a lost node, with evidence for its boot: the steps by which it is removed.

our NoExecute taint, and out-of-service where it has claims -> a graceful deletion -> the Pod removed by force, if its
kubelet has shown no life. The same for the Pods of protected workloads and for the launchers of virtual machines: neither
has a start gate.
"""

from typing import Final

from quorate.core.actions import EvictPod, RemoveStuckPod
from quorate.core.draft import Draft
from quorate.core.status import Incident
from quorate.core.stuck import OFF, SILENT_S, evicts, out_of_service, refuted, showed_life
from quorate.core.workloads import KubeletSeen, PodRecord, WorkloadPod
from quorate.core.world import NodeView

SETTLE_S: Final = 2.0
"""From a Pod's deletion to its removal by force. A kubelet that listed it before that has shown itself by then."""


class Removal:
    """What one guest has stuck on lost nodes. `awaited`: in words, most urgent first."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.awaited: list[str] = []

    def step(
        self, node: NodeView, pod: WorkloadPod, record: PodRecord, incident: Incident, *, looked: bool = True
    ) -> None:
        """The next step with one stuck Pod. Each is seen to have been done before the next is taken.

        `looked`: it is known where its volumes are attached, as far as anybody wants to know.
        """
        claims, seen = bool(pod.claims), incident.kubelet
        lives = seen is None or self._lives(node, pod, record, incident)
        if not evicts(node):
            self.awaited.append(f"{node.name} is tainted, so that nothing starts there again")
        elif claims and not lives and not out_of_service(node):
            self.awaited.append(f"{node.name} is said to be out of service, unless its kubelet has given signs of life")
        elif claims and not looked:
            self.awaited.append(f"looking where the volumes of Pod {pod.name} are attached")
        elif not pod.deleting:
            self.draft.actions.append(
                EvictPod(self.draft.guest.key, pod.name, pod.uid, pod.resource_version, node.name)
            )
            self.awaited.append(f"Pod {pod.name} is removed from {node.name}")
        elif seen is None or lives:
            self.awaited.append(self._alive(node, pod, incident))
        elif (due_s := (pod.ending_s or self.draft.world.now_s) + SETTLE_S) > self.draft.world.now_s:
            self.draft.wakes.append(due_s + 0.001)
            self.awaited.append(f"Pod {pod.name} is removed from {node.name}")
        else:
            self._by_force(node, pod, record, incident, seen)

    def _by_force(
        self, node: NodeView, pod: WorkloadPod, record: PodRecord, incident: Incident, seen: KubeletSeen
    ) -> None:
        boot_id, marks = (seen.boot_id, pod.marks) if seen.again else (record.boot_id, record.marks)
        self.draft.actions.append(
            RemoveStuckPod(
                self.draft.guest.key,
                pod.name,
                pod.uid,
                pod.resource_version,
                node.name,
                incident.id,
                seen.lease,
                boot_id,
                marks,
            )
        )
        if pod.finalizers:
            self.awaited.append(f"waiting for {', '.join(pod.finalizers)} to let go of Pod {pod.name}")
        else:
            self.awaited.append(f"Pod {pod.name} is removed from {node.name}")

    def _lives(self, node: NodeView, pod: WorkloadPod, record: PodRecord, incident: Incident) -> bool:
        """Has its kubelet given any sign of life since its node was lost?"""
        seen, boot_id = incident.kubelet, node.kube.boot_id if node.kube is not None else ""
        if seen is None or showed_life(node, incident):
            return True
        if seen.again:
            return boot_id != seen.boot_id
        return not record.boot_id or (boot_id, pod.marks) != (record.boot_id, record.marks)

    def _alive(self, node: NodeView, pod: WorkloadPod, incident: Incident) -> str:
        silent = any(one.kind in OFF for one in incident.evidence)
        if refuted(node, incident):
            return (
                f"the kubelet of {node.name} gave signs of life after somebody had said that {node.name} is off, so Pod "
                f"{pod.name} may run there: what counts is its own word that it has ended, or another boot"
            )
        confirm = "" if silent else f" If it is certainly off, run quorate fence confirm {node.name}."
        signs = (
            f"what the kubelet of {node.name} did when {node.name} was lost is not known"
            if incident.kubelet is None
            else f"the kubelet of {node.name} gave signs of life after {node.name} was lost"
        )
        return (
            f"{signs}, so Pod {pod.name} may run there: "
            f"what counts is its own word that it has ended, or another boot.{confirm} Once somebody has said that it is "
            f"off, its kubelet must be silent for {SILENT_S:g} s"
        )

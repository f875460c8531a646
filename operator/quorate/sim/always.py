"""A kubelet's rules for Pods that others made, which are to run always (`restartPolicy: Always`).

They have no start gate. After a reboot they are started again, unless they are being deleted when they are first listed, or
our NoExecute taint refuses them (measured on real kubelets: 2.7 s after the boot; refused 8 of 8 times).
"""

from typing import TYPE_CHECKING, Any, Final

from quorate.core.selectors import Toleration, untolerated
from quorate.core.types import GuestKey, Uid
from quorate.sim.controllers import claims_in, taints_of
from quorate.sim.machine import Container, Phase
from quorate.sim.server import KUBE_NODES

if TYPE_CHECKING:
    from quorate.sim.kubelet import Kubelet
    from quorate.sim.machine import Machine
    from quorate.sim.world import Simulation

Json = dict[str, Any]
AGAIN_S: Final = 0.5
LEASES_EVERY_S: Final = 10.0
KUBELETS: Final = "kube-node-lease"
_FINAL: Final = frozenset({"Failed", "Succeeded"})


def is_always(pod: Json) -> bool:
    return bool(pod["spec"].get("restartPolicy") == "Always")


def look(kubelet: "Kubelet", pod: Json, container: Container | None) -> None:
    """Take the next step with one Pod."""
    uid = Uid(pod["metadata"]["uid"])
    over = "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in _FINAL
    if container is not None:
        _carry_on(kubelet, pod, container, ending=over or kubelet.shutting_down)
    elif over:
        kubelet.is_over(pod)
    elif kubelet.shutting_down:
        kubelet.tell(uid, {"phase": "Failed", "reason": "NodeShutdown"})
    elif not admitted(kubelet, pod):
        kubelet.tell(uid, {"phase": "Failed", "reason": "TaintToleration", "message": "Taint"})
    elif not _attached(kubelet, pod):
        kubelet.machine.engine.after(AGAIN_S, kubelet.look, uid, owner=kubelet.process)
    else:
        metadata = pod["metadata"]
        kubelet.machine.disk.add(uid)
        key = GuestKey(metadata["namespace"], metadata["name"])
        kubelet.machine.start_gate(key, uid, kubelet.machine.nonce)  # nobody asks


def admitted(kubelet: "Kubelet", pod: Json) -> bool:
    node = kubelet.machine.link.server.store.find(KUBE_NODES, ("", kubelet.machine.name))
    tolerations = [
        Toleration(t.get("key", ""), t.get("operator", "Equal"), t.get("value", ""), t.get("effect", ""))
        for t in pod["spec"].get("tolerations") or []
    ]
    taints = [taint for taint in taints_of(node or {"spec": {}}) if taint.effect == "NoExecute"]
    return untolerated(taints, tolerations) is None


def _attached(kubelet: "Kubelet", pod: Json) -> bool:
    """Are its volumes attached here? The volume of a claim bears its name."""
    store = kubelet.machine.link.server.store
    for claim in claims_in(pod):
        name = f"csi-pv-{pod['metadata']['namespace']}-{claim}"
        found = store.find(store.resources["volumeattachments.storage.k8s.io"], ("", name))
        if found is None or found["spec"]["nodeName"] != kubelet.machine.name:
            return False
        if not (found.get("status") or {}).get("attached"):
            return False
    return True


def _carry_on(kubelet: "Kubelet", pod: Json, container: Container, *, ending: bool) -> None:
    machine, uid = kubelet.machine, container.uid
    if ending:
        machine.stop_guest(container)
    match container.phase:
        case Phase.PASSED:
            machine.start_guest(container)
            kubelet.look(uid)
        case Phase.RUNNING:
            kubelet.tell(uid, _running(pod, container))
        case Phase.ENDED if ending:
            kubelet.tell(uid, _terminated(pod, container))
            machine.disk.discard(uid)
            kubelet.delete(pod)
        case Phase.ENDED:
            machine.containers.pop(uid, None)
            machine.engine.after(AGAIN_S, kubelet.look, uid, owner=kubelet.process)


def _main(pod: Json, container: Container, state: Json) -> Json:
    """One status. Every start has an id of its own, and counts."""
    known: Json = next(iter(pod["status"].get("containerStatuses") or []), {})
    ours = f"sim://{container.uid}/{container.serial}"
    before = known.get("containerID")
    restarts = known.get("restartCount", 0) + (0 if before in {None, ours} else 1)
    return {"name": "main", "containerID": ours, "restartCount": restarts, "state": state}


def _running(pod: Json, container: Container) -> Json:
    return {
        "phase": "Running",
        "containerStatuses": [_main(pod, container, {"running": {"startedAt": "2027-01-15T08:00:00Z"}})],
        "conditions": [{"type": "Ready", "status": "True" if container.ready else "False"}],
    }


def _terminated(pod: Json, container: Container) -> Json:
    ended = {"exitCode": container.code, "reason": "Error", "startedAt": "2027-01-15T08:00:00Z"}
    return {
        "phase": "Failed" if container.code else "Succeeded",
        "containerStatuses": [_main(pod, container, {"terminated": ended})],
        "conditions": [{"type": "Ready", "status": "False"}],
    }


# -- the kubelet's own Lease --------------------------------------------------------------------------------------------


def renew(simulation: "Simulation", machine: "Machine") -> None:
    """A kubelet renews its own Lease, and says which boot it runs in. It goes on as long as it lives."""
    store, kubelet = simulation.server.store, machine.kubelet
    if kubelet is None or not kubelet.process.alive:
        return
    if machine.link.up and not simulation.server.weather.down:
        lease = store.resources["leases.coordination.k8s.io"]
        spec = {"holderIdentity": machine.name, "renewTime": simulation.moment()}
        if store.find(lease, (KUBELETS, machine.name)) is None:
            store.create(lease, KUBELETS, {"metadata": {"name": machine.name}, "spec": spec})
        else:
            store.update(lease, (KUBELETS, machine.name), lambda old: old | {"spec": spec})
        found = store.find(KUBE_NODES, ("", machine.name))
        said = {"nodeInfo": {"bootID": f"{machine.name}-{machine.boots}"}}
        if found is not None and simulation.setting.boot_ids and found["status"].get("nodeInfo") != said["nodeInfo"]:
            store.update(
                KUBE_NODES, ("", machine.name), lambda old: old | {"status": old["status"] | said}, status=True
            )
    simulation.engine.after(LEASES_EVERY_S, renew, simulation, machine, owner=kubelet.process)

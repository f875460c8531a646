"""Workloads of a simulation: what other controllers do with them, what people wish of them, and what is expected."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from quorate.core.types import GUEST_LABEL, OUT_OF_SERVICE_TAINT, GuestKey, Wanted
from quorate.sim import controllers
from quorate.sim.server import KUBE_NODES, OURS, PODS
from quorate.sim.store import Event, Resource, status_of
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation, WorkloadSetting

Json = dict[str, Any]
LOOKS_EVERY_S: Final = 0.5
NAMESPACE: Final = "default"


class StandIns:
    """The StatefulSet controller, the scheduler and the attach-detach controller, in one. `made`: Pods by name."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.made: Counter[str] = Counter()
        store = simulation.server.store
        store.listeners.append(self._hear)
        self.kinds: dict[str, Resource] = {
            "Pod": PODS,
            "StatefulSet": store.resources["statefulsets.apps"],
            "PersistentVolumeClaim": store.resources["persistentvolumeclaims"],
            "VolumeAttachment": store.resources["volumeattachments.storage.k8s.io"],
        }

    def _hear(self, event: Event) -> None:
        new = event.new
        made = event.resource is PODS and event.old is None
        if made and new is not None and GUEST_LABEL not in (new["metadata"].get("labels") or {}):
            self.made[new["metadata"]["name"]] += 1

    def begin(self) -> None:
        """Make the workloads, and their HAResources."""
        for name, setting in self.simulation.setting.workloads.items():
            self.simulation.server.store.create(self.kinds["StatefulSet"], NAMESPACE, _stateful_set(name, setting))
            if setting.protected:
                self.protect(name, name)
        self._look()

    def protect(self, name: str, workload: str) -> None:
        """A person puts it under HA."""
        spec = {"guest": {"workload": {"kind": "StatefulSet", "name": workload}}}
        body = {"metadata": {"name": name}, "spec": spec}
        self.simulation.server.store.create(OURS["haresources"], NAMESPACE, body)

    def _look(self) -> None:
        """They do one thing after the other, while there is an API server."""
        store, engine = self.simulation.server.store, self.simulation.engine
        if not self.simulation.server.weather.down:
            seen = controllers.Seen(
                sets=store.listed(self.kinds["StatefulSet"]),
                pods=store.listed(PODS),
                nodes=store.listed(KUBE_NODES),
                claims=store.listed(self.kinds["PersistentVolumeClaim"]),
                attachments=store.listed(self.kinds["VolumeAttachment"]),
            )
            for step in controllers.steps(seen):
                self._take(step)
        engine.after(LOOKS_EVERY_S, self._look)

    def _take(self, step: controllers.Step) -> None:
        store, kind = self.simulation.server.store, self.kinds[step.kind]
        place = (step.namespace, step.name)
        if step.verb == "create":
            store.create(kind, step.namespace, step.body)
        elif step.verb == "attach":
            store.update(kind, place, lambda old: old | {"status": {"attached": True}}, status=True)
        else:
            store.delete(kind, place)

    # -- what is so -------------------------------------------------------------------------------------------------

    def where(self, pod: str) -> list[str]:
        """Where a Pod of that name really runs."""
        return self.simulation.truth.where(GuestKey(NAMESPACE, pod))

    def down(self) -> list[str]:
        """Protected Pods that do not run, and HAResources that are not whole."""
        found = []
        store = self.simulation.server.store
        for one in store.listed(self.kinds["StatefulSet"]):
            name, replicas = one["metadata"]["name"], one["spec"].get("replicas", 1)
            resource = self.simulation.guest(name)
            if resource is None or resource["spec"].get("state", Wanted.STARTED) != Wanted.STARTED:
                continue
            said = status_of(resource)
            idle = [pod for pod in (f"{name}-{number}" for number in range(replicas)) if not self.where(pod)]
            if idle or not said.get("ready"):
                found.append(f"{name} is {said.get('state')}, {idle or 'none'} down: {said.get('message')}")
        return found


def _stateful_set(name: str, setting: "WorkloadSetting") -> Json:
    template: Json = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "db"}]}}
    if setting.heedless:
        template["spec"]["tolerations"] = [{"operator": "Exists"}]
    spec: Json = {"replicas": setting.replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    if setting.claims:
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


# -- words --------------------------------------------------------------------------------------------------------------


def _standins(simulation: "Simulation") -> StandIns:
    if simulation.standins is None:
        raise AssertionError("a sentence about workloads in a scenario without any")
    return simulation.standins


@word("scale WORKLOAD to NUMBER", fault="workload scaled")
def scale(simulation: "Simulation", workload: str, number: int) -> None:
    store, kind = simulation.server.store, _standins(simulation).kinds["StatefulSet"]
    store.update(kind, (NAMESPACE, workload), lambda old: old | {"spec": old["spec"] | {"replicas": number}})


@word("scale WORKLOAD to zero", fault="workload scaled")
def scale_to_zero(simulation: "Simulation", workload: str) -> None:
    scale(simulation, workload, 0)


@word("delete pod POD", fault="workload's Pod deleted")
def delete_pod_of_workload(simulation: "Simulation", pod: str) -> None:
    if simulation.find(PODS, NAMESPACE, pod) is not None:
        simulation.server.store.delete(PODS, (NAMESPACE, pod))


@word("protect WORKLOAD once more")
def protect_once_more(simulation: "Simulation", workload: str) -> None:
    """Another HAResource, a moment younger, means the same workload."""
    _standins(simulation).protect(f"{workload}-too", workload)


@word("hold pod POD by a finalizer of others")
def hold_pod(simulation: "Simulation", pod: str) -> None:
    found = simulation.find(PODS, NAMESPACE, pod)
    if found is not None and "deletionTimestamp" not in found["metadata"]:
        held = ["example.com/backup"]
        change = lambda old: old | {"metadata": old["metadata"] | {"finalizers": held}}  # noqa: E731
        simulation.server.store.update(PODS, (NAMESPACE, pod), change)


@word("let go of pod POD")
def let_go_of_pod(simulation: "Simulation", pod: str) -> None:
    if simulation.find(PODS, NAMESPACE, pod) is not None:
        change = lambda old: old | {"metadata": old["metadata"] | {"finalizers": []}}  # noqa: E731
        simulation.server.store.update(PODS, (NAMESPACE, pod), change)


@word("stop of pod POD hangs")
def stop_hangs(simulation: "Simulation", pod: str) -> None:
    """Told to end, it does not."""
    simulation.hanging.add(pod)


# -- hopes --------------------------------------------------------------------------------------------------------------


def pod_on(simulation: "Simulation", pod: str, node: str) -> bool:
    return _standins(simulation).where(pod) == [node]


def pod_runs(simulation: "Simulation", pod: str) -> bool:
    return len(_standins(simulation).where(pod)) == 1


def pod_nowhere(simulation: "Simulation", pod: str) -> bool:
    return not _standins(simulation).where(pod)


def pod_made(simulation: "Simulation", pod: str, times: int) -> bool:
    return _standins(simulation).made[pod] == times


def pod_ending(simulation: "Simulation", pod: str) -> bool:
    found = simulation.find(PODS, NAMESPACE, pod)
    return found is not None and "deletionTimestamp" in found["metadata"]


def is_out_of_service(simulation: "Simulation", node: str) -> bool:
    return simulation.tainted(node, OUT_OF_SERVICE_TAINT)


def twice(simulation: "Simulation", workload: str, text: str) -> bool:
    """What the second HAResource of a workload says."""
    message = str(status_of(simulation.guest(f"{workload}-too")).get("message", ""))
    return text in message.replace(",", " ").replace(":", " ").split()


def attached_to(simulation: "Simulation", pod: str, node: str) -> bool:
    kind = _standins(simulation).kinds["VolumeAttachment"]
    found = simulation.find(kind, "", f"csi-pv-{NAMESPACE}-data-{pod}")
    return found is not None and found["spec"]["nodeName"] == node

"""A kubelet: starts what is bound to its node, ends what is deleted, and says what it sees.

The rules are those measured on real ones (`Never` is not started again after a reboot, unless nothing of it was ever
reported and the runtime's records are gone; what is being deleted when it is first listed is never started; a Pod whose
object is gone is an orphan and is stopped).
"""

from typing import Any, Final

from quorate.core.stopped import GUESSED, LOST
from quorate.core.types import NONCE_ANNOTATION, WRONG_BOOT_EXIT, Uid
from quorate.kube.guests.pod import GATE
from quorate.kube.machines import is_launcher
from quorate.sim import always
from quorate.sim.engine import Process
from quorate.sim.machine import Container, Machine, Phase
from quorate.sim.server import PODS
from quorate.sim.store import Event
from quorate.sim.virtual import is_target, key_of
from quorate.sim.watches import Watch

Json = dict[str, Any]
REPORT_TIMEOUT_S: Final = 10.0
RETRY_S: Final = 0.5
HEARTBEAT_S: Final = 10.0
_FINAL: Final = frozenset({"Failed", "Succeeded"})
_MERGE: Final = "application/merge-patch+json"


class Kubelet:
    """The kubelet of one node, from its start to its end. `heard_s`: when the API server heard of it last."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.process = Process(machine.engine, machine.rate)
        self.pods: dict[Uid, Json] = {}
        self._watch = Watch(machine.link, self.process, (PODS.table,), self._wants, self._heard, self._listed)
        self._told: dict[Uid, Json] = {}
        self._telling: set[Uid] = set()
        self.shutting_down = False
        machine.changed = self.look

    def begin(self) -> None:
        self._watch.begin()

    def end(self) -> None:
        """It is killed, or its machine is off."""
        self._watch.end()
        self.machine.changed = lambda _: None

    def shut_down(self) -> None:
        """The node goes down in order: it says so, refuses what comes now, and every guest is told to end."""
        self.shutting_down = True
        condition = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
        body = {"status": {"conditions": [condition]}}
        path = f"/api/v1/nodes/{self.machine.name}/status"
        self.machine.link.send(self.process, "PATCH", path, body, None, REPORT_TIMEOUT_S, lambda *_: None, _MERGE)
        for uid in list(self.pods):
            self.look(uid)

    # -- what the API server says -----------------------------------------------------------------------------------

    def _wants(self, event: Event) -> bool:
        found = event.new or event.old
        return found is not None and found["spec"].get("nodeName") == self.machine.name

    def _heard(self, event: Event) -> None:
        found = event.new or event.old
        uid = Uid(found["metadata"]["uid"]) if found is not None else Uid("")
        if event.new is None:
            self.pods.pop(uid, None)
        else:
            self.pods[uid] = event.new
        self.look(uid)

    def _listed(self) -> None:
        store = self.machine.link.server.store
        found = [pod for pod in store.listed(PODS) if pod["spec"].get("nodeName") == self.machine.name]
        self.pods = {Uid(pod["metadata"]["uid"]): pod for pod in found}
        for uid in sorted({*self.pods, *self.machine.containers, *self.machine.disk}):
            self.look(uid)

    # -- what it does -----------------------------------------------------------------------------------------------

    def look(self, uid: Uid) -> None:
        """Look at one Pod once, and take the next step."""
        pod, container = self.pods.get(uid), self.machine.containers.get(uid)
        if pod is None:
            self._orphan(uid, container)
        elif always.is_always(pod):
            always.look(self, pod, container)
        elif container is not None:
            self._carry_on(pod, container)
        elif "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in _FINAL:
            self.is_over(pod)
        elif _was_started(pod) and pod["spec"].get("restartPolicy") == "Never":
            self.tell(uid, _ended(pod, 255, LOST))  # it ran in another boot
        elif self.shutting_down:
            self.tell(uid, {"phase": "Failed", "reason": "NodeShutdown"})
        elif is_launcher(pod) and not always.admitted(self, pod):
            self.tell(uid, {"phase": "Failed", "reason": "TaintToleration", "message": "Taint"})
        else:
            self.machine.disk.add(uid)
            gates = [one for one in pod["spec"].get("initContainers") or [] if one["name"] == GATE]
            made_for = (pod["metadata"].get("annotations") or {}).get(NONCE_ANNOTATION, "")
            nonce = made_for if gates else self.machine.nonce  # nobody asks
            self.machine.start_gate(key_of(pod), uid, nonce)
            self.machine.containers[uid].standby = is_target(pod)
            self.tell(uid, _status(pod, "Pending", _running(GATE), _waiting()))

    def _orphan(self, uid: Uid, container: Container | None) -> None:
        """Nobody knows it any more."""
        self._told.pop(uid, None)
        if container is not None and container.phase not in {Phase.ENDED, Phase.WRONG_BOOT}:
            self.machine.stop_guest(container)
            return
        self.machine.containers.pop(uid, None)
        self.machine.disk.discard(uid)

    def is_over(self, pod: Json) -> None:
        """Deleted or in a final phase before this boot's runtime knew anything of it: it is never started."""
        uid = Uid(pod["metadata"]["uid"])
        if pod["status"].get("phase") not in _FINAL or not _all_terminated(pod):
            if _was_started(pod):
                self.tell(uid, _ended(pod, 255, LOST))
            elif "deletionTimestamp" in pod["metadata"] and pod["status"].get("phase") not in _FINAL:
                self.tell(uid, _ended(pod, 137, GUESSED, started=False))
        self.machine.disk.discard(uid)
        self.delete(pod)

    def _carry_on(self, pod: Json, container: Container) -> None:
        uid = container.uid
        ending = self.shutting_down or "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in _FINAL
        if ending:
            self.machine.stop_guest(container)
        match container.phase:
            case Phase.GATE:
                self.tell(uid, _status(pod, "Pending", _running(GATE), _waiting()))
            case Phase.PASSED:
                self.machine.start_guest(container)
                self.look(uid)
            case Phase.WRONG_BOOT:
                gate = {"name": GATE, "state": {"terminated": _exit(WRONG_BOOT_EXIT, "Error")}}
                self.tell(uid, _status(pod, "Failed", gate, _waiting()))
                self.delete(pod)
            case Phase.RUNNING:
                self.tell(uid, _status(pod, "Running", _passed(), _running("main"), ready=container.ready))
            case Phase.ENDED:
                status = _ended(pod, container.code, "Completed" if container.code == 0 else "Error")
                if self.shutting_down and "deletionTimestamp" not in pod["metadata"]:
                    status |= {"phase": "Failed", "reason": "Terminated"}  # in response to imminent node shutdown
                self.tell(uid, status)
                self.machine.disk.discard(uid)
                self.delete(pod)

    # -- what it says -----------------------------------------------------------------------------------------------

    def tell(self, uid: Uid, status: Json) -> None:
        """Bring the reported status up to date; only the newest counts. What others wrote over it is written again."""
        pod = self.pods[uid]
        status = _named(pod, status)
        on_its_way = uid in self._telling and self._told.get(uid) == status
        if on_its_way or all(pod["status"].get(key) == value for key, value in status.items()):
            return
        self._told[uid] = status
        if uid not in self._telling:
            self._telling.add(uid)
            self._send(uid)

    def _send(self, uid: Uid) -> None:
        pod, status = self.pods.get(uid), self._told.get(uid)
        if pod is None or status is None:
            self._telling.discard(uid)
            return
        body = {"metadata": {"uid": uid}, "status": status}

        def answered(code: int, _: Json) -> None:
            if code in {404, 409, 200} and self._told.get(uid) == status:
                self._telling.discard(uid)
            elif code in {404, 409, 200}:
                self._send(uid)
            else:
                self.machine.engine.after(RETRY_S, self._send, uid, owner=self.process)

        self.machine.link.send(
            self.process, "PATCH", f"{_path(pod)}/status", body, None, REPORT_TIMEOUT_S, answered, _MERGE
        )

    def delete(self, pod: Json) -> None:
        """The last step of a Pod that is being deleted: nothing of it is left here."""
        if "deletionTimestamp" not in pod["metadata"] or not pod["metadata"].get("deletionGracePeriodSeconds"):
            return
        uid = pod["metadata"]["uid"]
        if uid in self._telling:  # first what it has to say
            self.machine.engine.after(RETRY_S, self.look, Uid(uid), owner=self.process)
            return
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}

        def answered(code: int, _: Json) -> None:
            if code not in {200, 404, 409}:
                self.machine.engine.after(RETRY_S, self.look, Uid(uid), owner=self.process)

        self.machine.link.send(self.process, "DELETE", _path(pod), body, None, REPORT_TIMEOUT_S, answered)


def _named(pod: Json, status: Json) -> Json:
    """The main container by the name that the Pod gives it."""
    name = pod["spec"]["containers"][0]["name"]
    mains = status.get("containerStatuses")
    return status if name == "main" or mains is None else status | {"containerStatuses": [mains[0] | {"name": name}]}


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _statuses(pod: Json) -> list[Json]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _was_started(pod: Json) -> bool:
    """Has anything of it ever been reported as started?"""
    return any("running" in one["state"] or _started(one["state"].get("terminated")) for one in _statuses(pod))


def _started(ended: Json | None) -> bool:
    return bool(ended and ended.get("startedAt"))


def _all_terminated(pod: Json) -> bool:
    mains = pod["status"].get("containerStatuses") or []
    return bool(mains) and all("terminated" in one["state"] for one in mains)


def _running(name: str) -> Json:
    return {"name": name, "state": {"running": {"startedAt": "2027-01-15T08:00:00Z"}}}


def _waiting() -> Json:
    return {"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}


def _passed() -> Json:
    return {"name": GATE, "state": {"terminated": _exit(0, "Completed")}}


def _exit(code: int, reason: str, *, started: bool = True) -> Json:
    ended = {"exitCode": code, "reason": reason}
    return ended | {"startedAt": "2027-01-15T08:00:00Z"} if started else ended


def _status(pod: Json, phase: str, gate: Json, main: Json, *, ready: bool = False) -> Json:
    return {
        "phase": phase if pod["status"].get("phase") not in _FINAL else pod["status"]["phase"],
        "initContainerStatuses": [gate],
        "containerStatuses": [main],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }


def _ended(pod: Json, code: int, reason: str, *, started: bool = True) -> Json:
    ended = _exit(code, reason, started=started)
    gates = pod["status"].get("initContainerStatuses") or []
    gate = _passed() if started or not gates else {"name": GATE, "state": {"terminated": ended}}
    main = {"name": "main", "state": {"terminated": ended}}
    return _status(pod, "Succeeded" if code == 0 else "Failed", gate, main)

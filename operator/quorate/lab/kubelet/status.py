"""The status that a kubelet reports for a pod, in its exact shape: container states, phase, conditions. Pure.

Follows kubelet_pods.go (convertToAPIContainerStatuses, getPhase), status/generate.go and status_manager.go (TerminatePod)
of Kubernetes 1.34. What matters most to Quorate: a container is reported terminated only when the runtime saw its end;
one that the runtime has lost is `ContainerStatusUnknown`, a guess; one that a reset of the node ended is 255 `Unknown`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.lab.kubelet.decide import FINAL_PHASES, Json, containers, init_containers, is_due, policy
from quorate.lab.records import EXITED, RUNNING, STARTING, Record

_GUESS: Final = "ContainerStatusUnknown"
_LOST_EXIT: Final = 137
_RESET_EXIT: Final = 255
"""What containerd says of a container that was running when the machine lost power: exit code 255, reason Unknown."""
_NO_TIMES: Final = {"startedAt": None, "finishedAt": None}
_OWN_CONDITIONS: Final = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kubelet knows beside the pod itself.

    `before`: the status it reported last, or found. `ready`: answers of readiness probes, by container; one without
    an entry has no probe. `waiting`: (reason, message) of containers that cannot be started yet. `booted_at`: when this
    boot began. `messages`: last words of failed containers, by container id.
    """

    records: Mapping[str, Record]
    boot: int
    booted_at: str
    address: str
    before: Json
    now: str
    ready: Mapping[str, bool] = field(default_factory=dict)
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)


def pod_status(pod: Json, seen: Seen, *, final: bool = False) -> Json:
    """The status as a merge patch body: None takes a field away. `final`: nothing of the pod runs or will run."""
    inits = [_container_status(pod, one, seen, init=True) for one in init_containers(pod)]
    mains = [_container_status(pod, one, seen, init=False) for one in containers(pod)]
    before_phase = seen.before.get("phase")
    left = before_phase in FINAL_PHASES  # a final phase is never left
    phase = before_phase if left else _phase(pod, inits, mains, final=final)
    if final:
        _guess_missing(inits, mains)
        phase = phase if phase == "Succeeded" else "Failed"
    status: Json = {
        "phase": phase,
        "reason": seen.before.get("reason") if phase == before_phase else None,
        "message": seen.before.get("message") if phase == before_phase else None,
        "hostIP": seen.address,
        "hostIPs": [{"ip": seen.address}],
        "podIP": seen.address,
        "podIPs": [{"ip": seen.address}],
        "startTime": seen.before.get("startTime") or seen.now,
        "initContainerStatuses": inits or None,
        "containerStatuses": mains,
    }
    status["conditions"] = _conditions(pod, status, seen)
    return status


def refused(reason: str, message: str) -> Json:
    """The status of a pod that is not admitted: the container statuses go, whatever they said (rejectPod)."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "initContainerStatuses": None,
        "containerStatuses": None,
    }


def _container_status(pod: Json, container: Json, seen: Seen, *, init: bool) -> Json:
    name = container["name"]
    record = seen.records.get(name)
    old = _old(seen.before, name)
    if record is None:
        return _without_record(pod, container, old, seen)
    status: Json = {
        "name": name,
        "image": container["image"],
        "imageID": f"lab/{container['image']}",
        "containerID": _container_id(record),
        "restartCount": record.attempt,
        "state": _state(record, seen),
        "lastState": dict(record.last or {}),
        "ready": False,
        "started": False,
    }
    terminated = status["state"].get("terminated")
    if terminated is not None and is_due(pod, _as_ended(record, seen.boot), init=init) and name in seen.waiting:
        status["lastState"], status["state"] = status["state"], _waiting(*seen.waiting[name])
    elif record.state == RUNNING and record.boot == seen.boot:
        status["started"] = True
        status["ready"] = not init and seen.ready.get(name, True)
    elif init and terminated is not None:
        status["ready"] = terminated["exitCode"] == 0
    return status


def _without_record(pod: Json, container: Json, old: Json | None, seen: Seen) -> Json:
    """The runtime knows nothing: never started, or lost."""
    name = container["name"]
    default = "PodInitializing" if init_containers(pod) else "ContainerCreating"
    status: Json = {
        "name": name,
        "image": container["image"],
        "imageID": "",
        "restartCount": (old or {}).get("restartCount", 0),
        "state": _waiting(*seen.waiting.get(name, (default, ""))),
        "lastState": (old or {}).get("lastState") or {},
        "ready": False,
        "started": False,
    }
    if old is None:
        return status
    if "terminated" in old["state"]:
        return old
    if "running" in old["state"] and not status["lastState"]:
        gone = "The container could not be located when the pod was deleted.  The container used to be Running"
        status["lastState"] = _guessed(gone)
        if "deletionTimestamp" not in pod["metadata"]:
            status["restartCount"] += 1
    return status


def _state(record: Record, seen: Seen) -> Json:
    if record.state == EXITED or record.boot != seen.boot:
        return ended_state(record, seen.booted_at, seen.messages.get(record.id, ""))
    if record.state == STARTING:
        return _waiting("ContainerCreating", "")
    return {"running": {"startedAt": record.started_at}}


def ended_state(record: Record, booted_at: str, last_words: str) -> Json:
    """The ContainerState of a container that ended as the runtime saw, or with an earlier boot of the node."""
    ended: Json = {"containerID": _container_id(record), "startedAt": record.started_at or None}
    if record.state != EXITED:
        return {"terminated": {"exitCode": _RESET_EXIT, "reason": "Unknown", "finishedAt": booted_at, **ended}}
    ended |= {"exitCode": record.exit_code, "reason": record.reason, "finishedAt": record.finished_at}
    message = ": ".join(part for part in (record.message, last_words) if part)
    return {"terminated": ended | ({"message": message} if message else {})}


def was_ready(status: Json, container: str) -> bool:
    """Did this status call the container ready?"""
    return bool((_old(status, container) or {}).get("ready"))


def _phase(pod: Json, inits: list[Json], mains: list[Json], *, final: bool) -> str:
    """getPhase. A container that waits but has run counts as stopped."""
    never = policy(pod) == "Never"
    pending = 0
    for status in inits:
        code = _exit_code(status)
        if code is None:
            pending += 1
        elif code != 0 and never:
            return "Failed"
    running = sum("running" in status["state"] for status in mains)
    stopped = [status for status in mains if "running" not in status["state"] and _exit_code(status) is not None]
    succeeded = sum((status["state"].get("terminated") or {}).get("exitCode") == 0 for status in stopped)
    if pending or running + len(stopped) < len(mains):
        return "Pending"
    if running:
        return "Running"
    if final or never:
        return "Succeeded" if succeeded == len(stopped) else "Failed"
    if policy(pod) == "OnFailure" and succeeded == len(stopped):
        return "Succeeded"
    return "Running"


def _guess_missing(inits: list[Json], mains: list[Json]) -> None:
    """TerminatePod: once a pod has initialised, a container without an end gets a guessed one."""
    message = "The container could not be located when the pod was terminated"
    begun = any("waiting" not in status["state"] or status["lastState"] for status in mains)
    if not inits or begun or _exit_code(inits[-1]) == 0:
        for status in mains:
            if "terminated" not in status["state"]:
                status["state"] = _guessed(message)
    tried = max((i for i, one in enumerate(inits) if "waiting" not in one["state"] or one["lastState"]), default=0)
    for status in inits[: tried + 1]:
        if "terminated" not in status["state"]:
            status["state"] = _guessed(message)


def _conditions(pod: Json, status: Json, seen: Seen) -> list[Json]:
    """Foreign conditions stay as the object has them, the kubelet's own are computed; a time moves with the status."""
    old = {one["type"]: one for one in seen.before.get("conditions") or []}
    own = dict(zip(_OWN_CONDITIONS, _own_conditions(status, seen), strict=True))
    found = [one for one in (pod.get("status") or {}).get("conditions") or [] if one["type"] not in own]
    for kind, (holds, reason, message) in own.items():
        value = "True" if holds else "False"
        same = kind in old and old[kind]["status"] == value
        since = old[kind].get("lastTransitionTime") if same else seen.now
        condition = {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": since}
        found.append(condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {}))
    return found


def _own_conditions(status: Json, seen: Seen) -> list[tuple[bool, str, str]]:
    inits, mains = status["initContainerStatuses"] or [], status["containerStatuses"]
    incomplete = [one["name"] for one in inits if not one["ready"]]
    begun = any("waiting" not in one["state"] for one in mains)
    if status["phase"] == "Succeeded":
        initialized = (True, "PodCompleted", "")
    elif begun or not incomplete:
        initialized = (True, "", "")
    else:
        names = " ".join(incomplete)
        initialized = (False, "ContainersNotInitialized", f"containers with incomplete status: [{names}]")
    unready = [one["name"] for one in mains if not one["ready"]]
    if status["phase"] in FINAL_PHASES:
        ready = (False, "PodFailed" if status["phase"] == "Failed" else "PodCompleted", "")
    elif unready:
        ready = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    else:
        ready = (True, "", "")
    sandbox = any(record.live(seen.boot) for record in seen.records.values())
    return [(sandbox, "", ""), initialized, ready, ready, (True, "", "")]


def _exit_code(status: Json) -> int | None:
    ended = status["state"].get("terminated") or status["lastState"].get("terminated")
    return ended["exitCode"] if ended is not None and "running" not in status["state"] else None


def _as_ended(record: Record, boot: int) -> Record | None:
    return record if record.boot == boot else None


def _old(before: Json, name: str) -> Json | None:
    known: list[Any] = [*(before.get("initContainerStatuses") or []), *(before.get("containerStatuses") or [])]
    return next((one for one in known if one["name"] == name), None)


def _waiting(reason: str, message: str) -> Json:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def _guessed(message: str) -> Json:
    return {"terminated": {"exitCode": _LOST_EXIT, "reason": _GUESS, "message": message, **_NO_TIMES}}


def _container_id(record: Record) -> str:
    return f"lab://{record.id}"

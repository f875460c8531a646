"""What a kubelet does next for one pod, from what the API server and the runtime say. Pure.

Follows computePodActions and the pod worker of Kubernetes 1.34: init containers one after another, then all the others;
a pod with `Never` of which anything ran in an earlier boot is not started again; nothing starts in a pod that is
terminating or in a final phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.lab.records import EXITED, Record

Json = dict[str, Any]
FINAL_PHASES = frozenset({"Failed", "Succeeded"})


@dataclass(frozen=True, slots=True)
class Start:
    """Start these containers; `attempt` is how often each was started before."""

    containers: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop what runs: the pod is to end."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of it runs and nothing will: say so for the last time."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until something changes."""


Step = Start | Stop | Finish | Rest


def next_step(pod: Json, records: Mapping[str, Record], boot: int, *, ending: bool) -> Step:
    """The next step. `ending`: deleted, gone, in a final phase, refused, or the node shuts down."""
    if any(record.live(boot) for record in records.values()) and ending:
        return Stop()
    if ending:
        return Finish()
    if policy(pod) == "Never" and any(record.boot != boot for record in records.values()):
        return Rest()
    now = {name: record for name, record in records.items() if record.boot == boot}
    for container in init_containers(pod):
        record = now.get(container["name"])
        if record is not None and record.state == EXITED and record.exit_code == 0:
            continue
        return _start_if_due(pod, [container], now)
    return _start_if_due(pod, containers(pod), now)


def _start_if_due(pod: Json, candidates: list[Json], now: Mapping[str, Record]) -> Step:
    due = tuple(one for one in candidates if is_due(pod, now.get(one["name"]), init=one in init_containers(pod)))
    return Start(due) if due else Rest()


def is_due(pod: Json, record: Record | None, *, init: bool) -> bool:
    """Is this container to be started, now or after its back-off?"""
    if record is None:
        return True
    if record.state != EXITED:
        return False
    if policy(pod) == "Never":
        return False
    return record.exit_code != 0 or (policy(pod) == "Always" and not init)


def policy(pod: Json) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def init_containers(pod: Json) -> list[Json]:
    return pod["spec"].get("initContainers") or []


def containers(pod: Json) -> list[Json]:
    return pod["spec"].get("containers") or []


def grace_s(pod: Json | None) -> int:
    """How long its containers may take to end, at least a second (calculateEffectiveGracePeriod)."""
    if pod is None:
        return 1
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    wished = pod["spec"].get("terminationGracePeriodSeconds")
    return max(1, asked if asked is not None else wished if wished is not None else 30)

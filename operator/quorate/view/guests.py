"""A guest in the report: what is wished, where it is and goes, and what it waits for."""

from collections.abc import Sequence

from quorate.core import workloads
from quorate.core.conditions import some
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, MachineKey, Wanted
from quorate.core.workloads import NOTHING_RUNS, PROTECTED, WorkloadKind
from quorate.view.report import GuestReport, Health
from quorate.view.snapshot import Raw, name_of, read_status, spec_of


def key_of(raw: Raw) -> GuestKey:
    kind = MachineKey if (spec_of(raw).get("guest") or {}).get("virtualMachine") is not None else GuestKey
    return kind(str(raw["metadata"].get("namespace", "")), name_of(raw))


def workload_of(raw: Raw) -> str:
    """What an HAResource protects, as people say it; "" for a guest that Quorate runs itself."""
    meant = (spec_of(raw).get("guest") or {}).get("workload")
    if meant is None:
        return ""
    if meant.get("name"):
        return f"{meant.get('kind', WorkloadKind.STATEFUL_SET)} {meant['name']}"
    selector = meant.get("selector") or {}
    if not any(selector.values()):
        return "every StatefulSet"
    labels = (selector.get("matchLabels") or {}).items()
    return f"every StatefulSet with {','.join(f'{key}={value}' for key, value in labels) or 'the labels it names'}"


def machine_of(raw: Raw) -> str:
    """The VirtualMachine that an HAResource keeps running, by its name; "" for anything else."""
    return str(((spec_of(raw).get("guest") or {}).get("virtualMachine") or {}).get("name") or "")


def sid_of(raw: Raw) -> str:
    """The name that people see."""
    return workloads.sid_of(key_of(raw)) if workload_of(raw) else key_of(raw).sid


def _places(status: GuestStatus) -> str:
    """Where it is: of a workload every node that has a Pod of it."""
    nodes = sorted({one.node for one in status.pods})
    return some(nodes, 3) if status.pods else status.node or ""


def guest_report(raw: Raw) -> GuestReport:
    status, problem = read_status(raw, GuestStatus)
    want = "Deleted" if raw["metadata"].get("deletionTimestamp") else str(spec_of(raw).get("state", Wanted.STARTED))
    health, why = _judge(status, problem, want)
    return GuestReport(
        guest=status.guest or sid_of(raw),
        want=want,
        state=str(status.state),
        since=status.since,
        ready=status.ready,
        node=_places(status),
        target=status.target or "",
        preview=status.state is GuestState.FENCE,
        tries=status.tries,
        why=why,
        recovery=status.recovery,
        health=health,
    )


def _judge(status: GuestStatus, problem: str, want: str) -> tuple[Health, str]:
    """How a guest is. The manager's own word on it is the condition Ready: as wished."""
    if problem:
        return Health.DEGRADED, problem
    if want == Wanted.IGNORED and status.state is GuestState.IGNORED:
        return Health.HEALTHY, status.message
    if status.state is GuestState.FENCE:
        return Health.CRITICAL, status.message
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    if ready is None:
        return Health.DEGRADED, status.message or "the manager has not looked at it yet"
    if ready.status != "True":
        return Health.DEGRADED, status.message
    bare = next((one for one in status.conditions if one.type == PROTECTED and one.status != "True"), None)
    if bare is not None and bare.reason != NOTHING_RUNS:
        return Health.DEGRADED, f"{status.message}; {bare.message}"
    return Health.HEALTHY, "" if bare is None and status.state is GuestState.STARTED else status.message


def cluster_of(raw: Raw, clusters: Sequence[str]) -> str | None:
    """The Cluster that looks after a guest, None if that cannot be told (the manager says why)."""
    status, _ = read_status(raw, GuestStatus)
    asked = status.cluster_name or str(spec_of(raw).get("clusterName") or "")
    if asked:
        return asked if asked in clusters else None
    return clusters[0] if len(clusters) == 1 else None

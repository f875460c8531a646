"""A member of a Cluster in the report: how it is, whether it is heard, and what an incident of it waits for."""

from typing import Final

from quorate.core.status import Incident, NodeStatus
from quorate.core.types import HEARD, TAKEN, Instant, NodeName, NodeState, Stage, node_ref
from quorate.view import words
from quorate.view.report import Attention, Health, NodeReport
from quorate.view.snapshot import Raw, name_of, read_status, renewed, spec_of

QUIET: Final = "renews its Lease"
"""What the manager says of a node that there is nothing to say of."""
CONCERNS: Final = ("WatchdogAccepted", "AgentCurrent")
"""Conditions of a node that should hold."""


def node_report(
    raw: Raw, lease: Raw | None, *, now: Instant, suspect_after_s: float, quorate: bool
) -> tuple[NodeReport, tuple[Attention, ...]]:
    """One member, and the lines that an open incident of it deserves."""
    status, problem = read_status(raw, NodeStatus)
    holder = str(spec_of(lease).get("holderIdentity") or "") if lease is not None else ""
    beat = renewed(lease)
    taken = holder.startswith("fenced/")
    fresh = beat is not None and now - beat <= suspect_after_s * 1000 and bool(holder) and not taken
    incident = status.incident
    health, why = _judge(status, problem, quorate=quorate)
    report = NodeReport(
        name=name_of(raw),
        state=str(status.state),
        since=status.since,
        votes=status.votes if raw.get("status") else int(spec_of(raw).get("votes", 1)),
        heard=status.state in HEARD or fresh,
        renewed=beat,
        taken=taken,
        watchdog=_watchdog(status),
        watchdog_text=status.watchdog_text,
        release_by=incident.release_by if incident is not None and incident.stage not in TAKEN else None,
        guests=status.guests,
        incident=incident.id if incident is not None else "",
        why=why,
        health=health,
    )
    if incident is None or incident.stage in TAKEN:
        return report, ()
    return report, (_lost(report, incident, quorate=quorate),)


def _judge(status: NodeStatus, problem: str, *, quorate: bool) -> tuple[Health, str]:
    """How a node is, and why it is not as wished."""
    if problem:
        return Health.DEGRADED, problem
    if status.incident is not None:
        return _incident(status, status.incident, quorate=quorate)
    if status.state is NodeState.MAINTENANCE:
        stalled = any(one.type == "Stalled" and one.status == "True" for one in status.conditions)
        return Health.DEGRADED if stalled else Health.HEALTHY, status.message
    if status.state is not NodeState.ONLINE:
        return Health.DEGRADED, status.message or "the manager has not looked at it yet"
    failing = [one.message for one in status.conditions if one.type in CONCERNS and one.status != "True"]
    if failing:
        return Health.DEGRADED, "; ".join(failing)
    # Whatever else the manager says of a node that is online (it is leaving, its status is odd) is worth a look.
    return (Health.HEALTHY, "") if status.message == QUIET else (Health.DEGRADED, status.message)


def _incident(status: NodeStatus, incident: Incident, *, quorate: bool) -> tuple[Health, str]:
    kinds = ", ".join(one.kind for one in incident.evidence)
    if incident.stage in TAKEN:
        if status.guests:
            return Health.DEGRADED, f"fenced ({kinds}): its guests are released"
        return Health.DEGRADED, f"fenced ({kinds}): {status.message.removeprefix('fenced: ')}"
    if not quorate:
        return Health.CRITICAL, "nothing is done without quorum"
    if incident.stage is Stage.PROVEN:
        return Health.CRITICAL, f"proven dead ({kinds}): its Lease is being taken"
    if incident.release_by is not None:
        return Health.CRITICAL, "waiting for its Lease to expire"
    return Health.CRITICAL, "waiting for a new boot of it, or for a person"


def _lost(report: NodeReport, incident: Incident, *, quorate: bool) -> Attention:
    """The line of an incident whose guests are not released yet."""
    waiting = words.plural(report.guests, "guest")
    verb = "waits" if report.guests == 1 else "wait"
    finding = f"lost ({incident.reason}), {waiting} {verb} for proof that it is off"
    confirm = f"If it is certainly off: quorate fence confirm {report.name}"
    who = str(node_ref(NodeName(report.name)))
    if not quorate:
        return Attention(Health.CRITICAL, who, f"{finding}; nothing is done without quorum")
    if incident.release_by is None:
        return Attention(Health.CRITICAL, who, finding, remedy=confirm)
    then = f"{'it recovers' if report.guests == 1 else 'they recover'} elsewhere"
    return Attention(Health.CRITICAL, who, finding, until=incident.release_by, then=then)


def _watchdog(status: NodeStatus) -> str:
    """armed, standby, not accepted, none; "-" once the boot that it watched is over."""
    if status.incident is not None and status.incident.stage in TAKEN:
        return "-"
    if status.watchdog is None:
        return "none"
    accepted = next((one for one in status.conditions if one.type == "WatchdogAccepted"), None)
    if accepted is not None and accepted.reason == "KindNotAccepted":
        return "not accepted"
    return "armed" if status.watchdog.armed else "standby"

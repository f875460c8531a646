"""A Storage in the report."""

from quorate.core.status import StorageStatus
from quorate.view.report import Health, StorageReport
from quorate.view.snapshot import Raw, name_of, read_status, spec_of

AS_WISHED = frozenset({"Available", "Disabled"})


def storage_report(raw: Raw) -> StorageReport:
    status, problem = read_status(raw, StorageStatus)
    why = problem or status.message or "the manager has not looked at it yet"
    healthy = status.state in AS_WISHED and not problem
    return StorageReport(
        name=name_of(raw),
        type=str(spec_of(raw).get("type", "")),
        shared=status.shared,
        nodes=status.nodes,
        state=status.state or "Unknown",
        used_by=status.used_by,
        why=why,
        health=Health.HEALTHY if healthy else Health.DEGRADED,
    )

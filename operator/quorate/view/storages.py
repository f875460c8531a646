"""Storages in the report, and as `quorate storage status` draws them."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.status import StorageStatus
from quorate.view.columns import Row, columns, hanging
from quorate.view.report import Health, StorageReport
from quorate.view.snapshot import Raw, name_of, read_status, spec_of

AS_WISHED = frozenset({"Available", "Disabled"})
LABEL = 12


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
        content=status.content,
        used=status.used,
        unreached=status.unreached,
        volumes=status.volumes,
    )


@dataclass(frozen=True, slots=True)
class StoragesView:
    """All of them, one in a line."""

    storages: tuple[StorageReport, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.storages:
            yield Text("there is no Storage yet: quorate storage add NAME --nfs SERVER:/EXPORT")
            return
        headings = ("STORAGE", "TYPE", "SHARED", "CONTENT", "NODES", "USED", "STATUS")
        yield from columns(console, headings, [_row(one) for one in self.storages])


@dataclass(frozen=True, slots=True)
class StorageView:
    """One of them, with everything that is known of it."""

    storage: StorageReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for label, text in _facts(self.storage):
            yield from hanging(console, Text(f"{label:<{LABEL}}", style="bold"), text)


def _facts(one: StorageReport) -> Iterator[tuple[str, str]]:
    yield "Storage", f"{one.name}  {one.type}, {'shared' if one.shared else 'of each node'}"
    yield "Status", f"{one.state.lower()}: {one.why}"
    yield "Content", one.content or "-"
    yield "Nodes", f"{one.nodes or '?'} reach it" if one.type == "NFS" else one.nodes or "-"
    for away in one.unreached:
        yield "", f"{away.node} does not: {away.why}"
    if one.type == "NFS":
        yield "Used", one.used or "not known without a mount"
    for at, volume in enumerate(one.volumes):
        state = volume.problem or "bound"
        yield "" if at else "Claims", f"{volume.namespace}/{volume.claim} of volume {volume.volume}: {state}"
    yield "Used by", ", ".join(one.used_by) or "nobody"


def _row(one: StorageReport) -> Row:
    cells = (
        one.name,
        one.type,
        "yes" if one.shared else "no",
        one.content or "-",
        one.nodes or "-",
        one.used or "-",
        one.state.lower(),
    )
    healthy = one.health is Health.HEALTHY
    return Row(cells=tuple(Text(cell) for cell in cells), why=one.why, marked=not healthy)

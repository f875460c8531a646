"""What people asked of the guests under HA: `quorate list`. Specs only; how a guest is stands in the report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.types import Wanted
from quorate.view import words
from quorate.view.columns import Row, columns
from quorate.view.guests import cluster_of, machine_of, sid_of, workload_of
from quorate.view.snapshot import Raw, Snapshot, name_of, spec_of


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """One guest under HA. `cluster` is empty where it cannot be told; `storage` is NAME:PATH each.

    `workload`: what it protects where that runs; its limits mean nothing then. `machine`: the VirtualMachine that it keeps
    running.
    """

    guest: str
    cluster: str
    state: str
    max_restart: int
    max_relocate: int
    update_policy: str
    images: tuple[str, ...] = ()
    workload: str = ""
    machine: str = ""
    storage: tuple[str, ...] = ()
    failback: bool = True
    comment: str = ""
    deleting: bool = False


def settings(snapshot: Snapshot) -> tuple[GuestSettings, ...]:
    """Of every guest in the snapshot, by name."""
    names = sorted(name_of(raw) for raw in snapshot.clusters)
    return tuple(sorted((_one(raw, names) for raw in snapshot.guests), key=lambda guest: guest.guest))


def _one(raw: Raw, clusters: Sequence[str]) -> GuestSettings:
    """The defaults are those of the schema, for whoever was stored before a field had one."""
    spec = spec_of(raw)
    container = ((spec.get("guest") or {}).get("container") or {}).get("spec") or {}
    return GuestSettings(
        guest=sid_of(raw),
        cluster=cluster_of(raw, clusters) or "",
        state=str(spec.get("state", Wanted.STARTED)),
        max_restart=int(spec.get("maxRestart", 1)),
        max_relocate=int(spec.get("maxRelocate", 1)),
        update_policy=str(spec.get("updatePolicy", "Recreate")),
        images=tuple(str(one.get("image", "")) for one in container.get("containers") or ()),
        workload=workload_of(raw),
        machine=machine_of(raw),
        storage=tuple(f"{one.get('name')}:{one.get('path')}" for one in spec.get("storage") or ()),
        failback=bool(spec.get("failback", True)),
        comment=str(spec.get("comment", "")),
        deleting=bool(raw["metadata"].get("deletionTimestamp")),
    )


@dataclass(frozen=True, slots=True)
class SettingsView:
    """Draws them as a table."""

    guests: tuple[GuestSettings, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.guests:
            yield Text("no guest is under HA yet: quorate add NAME --image IMAGE")
            return
        headings = ("GUEST", "WANT", "RESTARTS", "RELOCATIONS", "CLUSTER", "WHAT RUNS", "STORAGE")
        yield from columns(console, headings, list(_rows(self.guests)), why="COMMENT")


def _rows(guests: Iterable[GuestSettings]) -> Iterable[Row]:
    for guest in guests:
        cells = (
            guest.guest,
            "deleted" if guest.deleting else words.state(guest.state),
            "-" if guest.workload else str(guest.max_restart),
            "-" if guest.workload else str(guest.max_relocate),
            guest.cluster or "-",
            guest.workload or (f"VirtualMachine {guest.machine}" if guest.machine else ", ".join(guest.images)) or "-",
            ", ".join(guest.storage) or "-",
        )
        yield Row(cells=tuple(Text(cell) for cell in cells), why=guest.comment)

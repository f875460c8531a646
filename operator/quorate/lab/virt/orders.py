"""What handler and launcher tell each other, in two files of the launcher's root directory, and how machines misbehave.

Standard library only: every launcher pays for it.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

RUNS_ANNOTATION: Final = "lab.quorate.dev/runs"
"""Of the machine's template: the command that is the guest, for a shell; absent: it idles."""
START_ANNOTATION: Final = "lab.quorate.dev/start"
"""Of a VirtualMachine: `fails` (its guest ends at once) or `hangs` (it never gets to run)."""
STOP_ANNOTATION: Final = "lab.quorate.dev/stop"
"""Of a VirtualMachine: `hangs` (its guest does not listen to the power button)."""
MIGRATION_ANNOTATION: Final = "lab.quorate.dev/migration"
"""Of a VirtualMachine: seconds (1 unless it says so), `fails`, `hangs`, or `dies` (its guest ends in the middle)."""

COMMAND: Final = "QUORATE_LAUNCHER_RUNS"
"""In the environment of a launcher: what is to run as the guest."""
ADDRESS: Final = "QUORATE_LAUNCHER_ADDRESS"
"""And the address of its node."""

WAITING: Final = "waiting"
RUNNING: Final = "running"
MOVED: Final = "moved"
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Migration:
    """One live migration as its source is told of it."""

    uid: str
    address: str
    port: int
    takes_s: float = 1.0
    how: str = ""
    """fails, hangs or dies; empty: it works."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What the handler wishes of a launcher; it only ever grows, but for the migration."""

    start: bool = False
    how: str = ""
    """fails: the guest ends at once."""
    stop: bool = False
    stops: str = ""
    """hangs: only SIGKILL ends the guest."""
    incoming: str = ""
    """The uid of the migration whose target this is."""
    migration: Migration | None = None
    abort: str = ""
    """The uid of the migration to give up."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a launcher says of itself, in which boot of its node."""

    boot: str
    state: str = WAITING
    exit_code: int = 0
    port: int = 0
    """Where the target of a migration listens, once it does."""
    migration: str = ""
    """The uid of the one that it has begun as its source."""
    failure: str = ""
    """Why that one failed, once it has."""


def write(path: Path, what: Orders | Report) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(what)))
    fresh.replace(path)


def read_orders(path: Path) -> Orders:
    """None yet: no wishes."""
    found = _read(path)
    migration = found.pop("migration", None)
    return Orders(**found, migration=Migration(**migration) if migration else None)


def read_report(path: Path) -> Report | None:
    """None before the launcher has said anything."""
    found = _read(path)
    return Report(**{one.name: found[one.name] for one in fields(Report)}) if found else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def orders_in(root: Path) -> Path:
    """Where a launcher with that root directory finds its orders."""
    return root / "launcher" / "orders.json"


def report_in(root: Path) -> Path:
    """Where it reports."""
    return root / "launcher" / "report.json"

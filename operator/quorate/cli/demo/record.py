"""What became of each step: for the timeline at the end, and for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Record:
    """One step that was played. Times are seconds since the story began.

    `proxmox_s`: what the same step takes with Proxmox VE at its best (its locks live for 120 s), None where the step
    has no waiting in it.
    """

    step: str
    title: str
    started_s: float
    finished_s: float
    ok: bool
    detail: str
    proxmox_s: float | None = None

    @property
    def seconds(self) -> float:
        return round(self.finished_s - self.started_s, 1)

    def as_json(self) -> dict[str, Any]:
        """{step, started_s, finished_s, seconds, ok, detail}."""
        return {
            "step": self.step,
            "started_s": round(self.started_s, 1),
            "finished_s": round(self.finished_s, 1),
            "seconds": self.seconds,
            "ok": self.ok,
            "detail": self.detail,
        }


def timeline(records: Sequence[Record]) -> Table:
    """Each step and what was seen, with its duration beside Proxmox's."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("STEP", ratio=1)
    table.add_column("TOOK", justify="right", no_wrap=True)
    table.add_column("PROXMOX VE", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for record in records:
        theirs = f"{record.proxmox_s:.1f}s" if record.proxmox_s is not None else "-"
        verdict = Text("ok", "green") if record.ok else Text("FAILED", "bold red")
        step = Text.assemble(record.title, "\n", (record.detail, "dim"))
        table.add_row(step, f"{record.seconds:.1f}s", theirs, verdict)
    return table

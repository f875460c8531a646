"""A protected workload, for who asks why it is as it is: its Pods and their nodes, its conditions, its last recovery."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.status import GuestStatus
from quorate.core.types import clock
from quorate.view import words
from quorate.view.columns import Row, columns, hanging
from quorate.view.guests import sid_of, workload_of
from quorate.view.snapshot import read_status


@dataclass(frozen=True, slots=True)
class WorkloadPicture:
    """How it is. `states`: of the nodes, by name."""

    raw: Mapping[str, Any]
    states: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        status, problem = read_status(self.raw, GuestStatus)
        does = problem or f"{words.state(status.state)}: {status.message or 'the manager has not looked at it yet'}"
        yield from hanging(console, Text(f"{sid_of(self.raw)}  "), does)
        yield Text(f"It protects {workload_of(self.raw)}, which its own controller runs and moves.")
        for one in status.conditions:
            if one.type not in {"Ready", "Reconciling", "Stalled"}:
                holds = "yes" if one.status == "True" else "no"
                yield from hanging(console, Text(f"{one.type} {holds}: "), one.message)
        if status.pods:
            yield Text()
            rows = [
                Row(
                    (
                        Text(one.name),
                        Text(one.node),
                        Text(words.state(self.states.get(one.node, "-"))),
                        Text("yes" if one.ready else "no"),
                    )
                )
                for one in status.pods
            ]
            yield from columns(console, ("POD", "NODE", "NODE IS", "READY"), rows)
        if status.recovery is not None:
            yield Text()
            yield from _recovery(console, status)


def _recovery(console: Console, status: GuestStatus) -> RenderResult:
    told = status.recovery
    if told is None:
        return
    yield Text(f"Its last recovery, after {told.node} was lost (UTC):")
    steps = (
        (told.suspected, "suspected"),
        (told.fenced, f"proven dead ({told.evidence})"),
        (told.released, "its Lease taken: stuck Pods may be removed"),
        (told.removed, "no Pod stuck there any more"),
        (told.detached, f"detached: {', '.join(told.volumes)}"),
        (told.attached, "attached elsewhere"),
        (told.ready, "every Pod Ready again" + (f", {told.duration_s:.1f}s in all" if told.duration_s else "")),
    )
    yield from columns(
        console, ("TIME", "STEP"), [Row((Text(clock(at)), Text(text))) for at, text in steps if at is not None]
    )

"""What a person sees while the story is played: the whole picture on a terminal, lines of what changes in a pipe."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from quorate.cli.demo.record import Record
from quorate.view.report import Report
from quorate.view.table import StatusView, attention_text

RULE: Final = "-" * 78


class Screen(Protocol):
    """Where the story is shown."""

    def begin(self, number: int, title: str) -> None:
        """A step begins."""
        ...

    def draw(self, report: Report) -> None:
        """How everything is now."""
        ...

    def end(self, record: Record) -> None:
        """The step is over."""
        ...


class Picture:
    """On a terminal: the status above, the steps below, drawn in place."""

    def __init__(self, live: Live, titles: Sequence[str]) -> None:
        self._live = live
        self._titles = titles
        self._records: list[Record] = []
        self._began_s = time.monotonic()
        self._report: Report | None = None

    def begin(self, number: int, title: str) -> None:  # noqa: ARG002 it knows all titles
        self._began_s = time.monotonic()
        self._show()

    def draw(self, report: Report) -> None:
        self._report = report
        self._show()

    def end(self, record: Record) -> None:
        self._records.append(record)
        self._show()

    def _show(self) -> None:
        parts: list[RenderableType] = [StatusView(self._report)] if self._report is not None else []
        self._live.update(Group(*parts, Text(RULE, "dim"), *self._steps()), refresh=True)

    def _steps(self) -> Iterator[Text]:
        for number, title in enumerate(self._titles):
            if number < len(self._records):
                record = self._records[number]
                word, style = ("ok", "green") if record.ok else ("FAILED", "bold red")
                yield Text.assemble((f"{word:>6} ", style), f"{record.seconds:6.1f}s  {title}")
            elif number == len(self._records):
                yield Text.assemble(("   now ", "bold"), (f"{time.monotonic() - self._began_s:6.1f}s  {title}", "bold"))
            else:
                yield Text(f"{'':17}{title}", "dim")


class Lines:
    """In a pipe: a line for each step, and for what it awaits whenever that changes."""

    def __init__(self, screen: Console, count: int) -> None:
        self._screen = screen
        self._count = count
        self._began_s = time.monotonic()
        self._awaited: set[tuple[str, str]] = set()

    def begin(self, number: int, title: str) -> None:
        self._awaited.clear()
        self._say(f"{number}/{self._count}  {title}")

    def draw(self, report: Report) -> None:
        lines = [line for cluster in report.clusters for line in cluster.attention]
        for line in lines:
            if (line.object, line.finding) not in self._awaited:
                self._say(f"       {attention_text(line, report.now)}")
        self._awaited = {(line.object, line.finding) for line in lines}

    def end(self, record: Record) -> None:
        self._say(f"       {'ok' if record.ok else 'FAILED'} after {record.seconds:.1f}s: {record.detail}")

    def _say(self, text: str) -> None:
        self._screen.print(f"{time.monotonic() - self._began_s:6.1f}s  {text}", soft_wrap=True, markup=False)


@contextmanager
def shown(screen: Console, titles: Sequence[str]) -> Iterator[Screen]:
    """The way of showing that fits where it goes."""
    if not screen.is_terminal:
        yield Lines(screen, len(titles))
        return
    with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        yield Picture(live, titles)

"""Rows of cells with a reason at the end. A reason that has no room beside its row stands below it, whole.

Nothing is cut off and there are no boxes, so that it reads well in a pipe and aloud. Without a terminal lines are as long
as they are: grep then finds what belongs together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quorate.view import words

WHY_AT_LEAST: Final = 36
"""A last column narrower than this is harder to read than a line of its own."""
GAP: Final = 2
UNBOUNDED: Final = 100_000
"""The width of a pipe."""


@dataclass(frozen=True, slots=True)
class Row:
    """`marked`: it needs attention and begins with "!"."""

    cells: tuple[Text, ...]
    why: str = ""
    marked: bool = False


def width_of(console: Console) -> int:
    """The room there is for a line."""
    return console.width if console.is_terminal else UNBOUNDED


def columns(console: Console, headings: Sequence[str], rows: Sequence[Row], *, why: str = "WHY") -> list[Text]:
    """The lines of a table. `why` is the heading of the last column, which wraps."""
    table = Table(*headings, box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_edge=False)
    for row in rows:
        table.add_row(*map(_one_line, row.cells))
    heading, *lines = _lines(console, table)
    start = max(line.cell_len for line in (heading, *lines)) + GAP
    beside = width_of(console) - start - GAP >= WHY_AT_LEAST
    if beside and any(row.why for row in rows):
        heading = _padded(heading, start).append(why, style="bold")
    laid_out = [Text("  ").append_text(heading)]
    for row, line in zip(rows, lines, strict=True):
        marked = Text.assemble(("! ", "bold red") if row.marked else "  ").append_text(line)
        if beside and row.why:
            laid_out += hanging(console, _padded(marked, start + GAP), row.why)
        else:
            laid_out.append(marked)
            laid_out += hanging(console, Text("    "), row.why) if row.why else []
    return laid_out


def hanging(console: Console, label: Text, text: Text | str) -> list[Text]:
    """A label and a text beside it; what does not fit goes on below the beginning of the text."""
    indent = label.cell_len
    body = text if isinstance(text, Text) else Text(words.visible(text))
    first, *rest = body.wrap(console, max(20, width_of(console) - indent)) or [Text()]
    lines = [label.copy().append_text(first), *(Text(" " * indent).append_text(line) for line in rest)]
    for line in lines:
        line.rstrip()
    return lines


def side_by_side(left: Iterable[Text], right: Iterable[Text], *, start: int) -> list[Text]:
    """Two short lists of lines, the right one beginning at that column."""
    ours, theirs = list(left), list(right)
    height = max(len(ours), len(theirs))
    ours += [Text()] * (height - len(ours))
    theirs += [Text()] * (height - len(theirs))
    return [_padded(one, start).append_text(two) if two else one for one, two in zip(ours, theirs, strict=True)]


def _one_line(cell: Text) -> Text:
    """A cell is told by people and by other programs, too."""
    said = words.line(cell.plain)
    return cell if said == cell.plain else Text(said, style=cell.style)


def _padded(line: Text, width: int) -> Text:
    padded = line.copy()
    padded.append(" " * max(0, width - line.cell_len))
    return padded


def _lines(console: Console, table: Table) -> list[Text]:
    """The table's lines at its own width, without what it pads them with."""
    options = console.options.update(width=UNBOUNDED)
    found = []
    for segments in console.render_lines(table, options, pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        found.append(line)
    return found

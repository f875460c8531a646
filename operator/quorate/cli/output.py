"""What is printed where: results to standard output, everything that is said about them to standard error."""

import json
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.view.words import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class PveFormat(StrEnum):
    """The same, and `pve`: the line shapes of Proxmox VE's own tools, for scripts that read those."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    PVE = "pve"


Output = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
PveOutput = Annotated[PveFormat, typer.Option("--output", "-o", help="How to print it; pve: as Proxmox VE does.")]


def say(sentence: str) -> None:
    """What was done, and what happens next."""
    print(visible(sentence))


def note(sentence: str) -> None:
    """Something beside the result."""
    print(visible(sentence), file=sys.stderr)


def data(value: Mapping[str, Any], form: Format | PveFormat) -> str:
    """A result for programs."""
    if form == Format.JSON:
        return json.dumps(value, indent=2)
    import yaml

    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100).rstrip("\n")


def console() -> "Console":
    """Standard output for tables. Colours and widths are rich's business, NO_COLOR included; what is told is made safe."""
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        """What is drawn holds no control characters but its own."""

        def render(self, *given: Any, **options: Any) -> "Iterable[Segment]":
            for text, style, control in super().render(*given, **options):
                yield Segment(text if control else visible(text), style, control)

    return Safe(highlight=False)

"""Help pages that read like documentation: plain text, commands and options in named sections, examples last.

The program may run as `quorate` or as `kubectl quorate`; examples are written for the first and shown for the one in use.
"""

import re
from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

LOOK: Final = "See how it is"
GUESTS: Final = "Guests under HA"
CLUSTER: Final = "The cluster"
PARTS: Final = "Parts of Quorate"
ACCESS: Final = "Access options"
LAST: Final = (PARTS, "Options", ACCESS)
"""Sections that come after all others, in this order."""
_TYPE = re.compile(r" <[^>]*>(\.\.\.)?$")


def program_name(invoked_as: str) -> str:
    """What to call ourselves: kubectl runs plugins under their file name."""
    name = Path(invoked_as).name
    return "kubectl quorate" if name == "kubectl-quorate" else "quorate"


class _Page:
    """What the pages of a verb and of a group have in common."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As kubectl writes it: an argument that is needed has no braces."""
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [re.sub(r"[{}]", "", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands, arguments and options under the headings that they were given."""
        found: dict[str, list[tuple[str, str]]] = {}
        for heading, record in [*_commands(self, formatter), *_options(self, ctx)]:
            found.setdefault(heading, []).append(record)
        for heading in sorted(found, key=lambda name: LAST.index(name) if name in LAST else -1):
            with formatter.section(heading):
                formatter.write_dl(found[heading])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, as they are to be typed here."""
        epilog = getattr(self, "epilog", None)
        if epilog:
            examples = re.sub(r"\bquorate\b", str(ctx.find_root().info_name), epilog)
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in examples.splitlines()))


def _commands(group: Any, formatter: Any) -> list[tuple[str, tuple[str, str]]]:
    commands = getattr(group, "commands", {})
    room = formatter.width - 6 - max((len(name) for name in commands), default=0)
    return [
        (getattr(command, "rich_help_panel", None) or "Commands", (name, command.get_short_help_str(room)))
        for name, command in commands.items()
        if not command.hidden
    ]


def _options(command: Any, context: Any) -> list[tuple[str, tuple[str, str]]]:
    records = []
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None:
            continue
        if param.param_type_name == "argument":
            # The types of arguments are plain from their names.
            records.append(("Arguments", (_TYPE.sub("", record[0]), record[1])))
        else:
            records.append((getattr(param, "rich_help_panel", None) or "Options", record))
    return records


class Verb(_Page, TyperCommand):
    """One command."""


class Verbs(_Page, TyperGroup):
    """The program, or a command with verbs of its own."""

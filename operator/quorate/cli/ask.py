"""Asking before what is dangerous. Without a terminal and without -y nothing dangerous is done."""

import sys
from collections.abc import Sequence

import typer

from quorate.access.errors import UsageError
from quorate.cli.output import note


def confirm(meaning: Sequence[str], question: str, *, yes: bool) -> None:
    """Show what it means, then ask. Raises UsageError without a terminal, typer.Abort when the answer is no."""
    for line in meaning:
        note(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on, so nothing was done. Say -y if you are sure")
    typer.confirm(question, err=True, abort=True)

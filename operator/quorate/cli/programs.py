"""Parts of Quorate that are programs of their own, started through this one; and its version."""

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final

import typer

from quorate import __version__
from quorate.access.errors import USAGE
from quorate.cli.help import Verb
from quorate.cli.output import Format, Output, data, say
from quorate.cli.session import Session, verb

PASSED_ON: Final[dict[str, Any]] = {"allow_extra_args": True, "ignore_unknown_options": True}
ARGPARSE_USAGE: Final = 2
VERSION_EXAMPLES: Final = ("quorate version", "quorate version -o json")


def register(app: typer.Typer, section: str) -> None:
    for function in (lab, sim, manager, agent):
        app.command(cls=Verb, context_settings=PASSED_ON, add_help_option=False, rich_help_panel=section)(function)
    verb(app, version, examples=VERSION_EXAMPLES, section=section)


def lab(context: typer.Context) -> int:
    """Run a cluster on this machine, with power switches."""
    from quorate.cli.lab import app

    command = typer.main.get_command(app)
    code = command.main(list(context.args), prog_name=context.command_path, standalone_mode=False)
    return code if isinstance(code, int) else 0


def sim(context: typer.Context) -> int:
    """Play a cluster in virtual time, and let everything go wrong."""
    from quorate.cli.sim import app

    command = typer.main.get_command(app)
    code = command.main(list(context.args), prog_name=context.command_path, standalone_mode=False)
    return code if isinstance(code, int) else 0


def manager(context: typer.Context) -> int:
    """Run the manager, which decides (Proxmox: CRM)."""
    from quorate.kube import manager as program

    return run(program.main, context.args)


def agent(context: typer.Context) -> int:
    """Run the agent of this node (Proxmox: LRM, watchdog-mux)."""
    from quorate.agent import __main__ as program

    return run(program.main, context.args)


def run(program: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a program with these arguments. argparse ends with 2 what is 64 for us."""
    try:
        code = program(list(arguments))
    except SystemExit as ended:
        if ended.code != ARGPARSE_USAGE:
            raise
        code = ARGPARSE_USAGE
    return USAGE if code == ARGPARSE_USAGE else code


def version(_session: Session, *, output: Output = Format.TABLE) -> None:
    """Show the version of this program."""
    if output is Format.TABLE:
        say(f"quorate {__version__}")
    else:
        say(data({"quorate": __version__, "python": platform.python_version()}, output))

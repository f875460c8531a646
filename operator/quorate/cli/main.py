"""The program: its verbs, and how it ends. See `errors.py` for the exit codes."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final, NamedTuple

import typer

from quorate import __version__
from quorate.access.errors import INTERNAL, INTERRUPTED, USAGE, CliError
from quorate.cli import completion
from quorate.cli.help import CLUSTER, GUESTS, LOOK, PARTS, Verbs, program_name
from quorate.cli.output import note, say
from quorate.cli.session import Session, with_session

PLAIN: Final = {"max_content_width": 100}


def _version(said: bool) -> None:
    if said:
        say(f"quorate {__version__}")
        raise typer.Exit


def quorate(
    _session: Session,
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and end.")
    ] = False,
) -> None:
    """Proxmox-style high availability for Kubernetes.

    A guest that must run exactly once keeps running exactly once: nodes vote, and a node that is lost is proven dead
    before its guests start elsewhere.
    """


class Registered(NamedTuple):
    """The verbs of one module, which registers them under that heading."""

    module: str
    section: str
    names: tuple[str, ...]
    register: str = "register"


VERBS: Final = (
    Registered("status", LOOK, ("status",)),
    Registered("lists", LOOK, ("nodes",), "register_nodes"),
    Registered("lists", LOOK, ("list",), "register_guests"),
    Registered("history", LOOK, ("history",)),
    Registered("foretell", LOOK, ("explain", "what-if")),
    Registered("dashboard", LOOK, ("dashboard",)),
    Registered("add", GUESTS, ("add",)),
    Registered("guests", GUESTS, ("set", "migrate", "relocate", "reset")),
    Registered("remove", GUESTS, ("remove",)),
    Registered("storage", GUESTS, ("storage",)),
    Registered("clusters", CLUSTER, ("cluster",)),
    Registered("maintenance", CLUSTER, ("maintenance",)),
    Registered("rules", CLUSTER, ("rules",)),
    Registered("disarm", CLUSTER, ("disarm", "arm")),
    Registered("fence", CLUSTER, ("fence",)),
    Registered("drill", CLUSTER, ("drill",)),
    Registered("programs", PARTS, ("lab", "sim", "manager", "agent", "version")),
    Registered("install", PARTS, ("install",)),
    Registered("uninstall", PARTS, ("uninstall",)),
    Registered("completion", PARTS, ("completion",)),
)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The program with all its verbs, or with those alone that the words of a command line can mean: the others need not
    be loaded.
    """
    app = typer.Typer(
        cls=Verbs, rich_markup_mode=None, no_args_is_help=True, add_completion=False, context_settings=PLAIN
    )
    app.callback(epilog=EXAMPLES)(with_session(quorate))
    meant = [one for one in VERBS if set(one.names).intersection(words)]
    for one in meant or VERBS:
        getattr(import_module(f"quorate.cli.{one.module}"), one.register)(app, one.section)
    return app


EXAMPLES: Final = """\
quorate lab up                        a cluster of three nodes on this machine
quorate cluster create prod           every worker node joins and votes
quorate add web --image nginx:1.29    keep this container running, exactly once
quorate status -w                     watch it
quorate relocate web node2 --wait     move it by hand"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    completion.prepare()
    command = typer.main.get_command(build(() if completion.asked() else words))
    try:
        code = command.main(words, prog_name=program_name(sys.argv[0]), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CliError as error:
        note(f"error: {error}")
        return _traced(words, error.code)
    except typer.TyperException as error:
        _show(error)
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone, and so may have whoever listens
        return 0
    except Exception as bug:  # noqa: BLE001 - the last one to hear of it: a person, not the interpreter
        note(f"internal error: {type(bug).__name__}: {bug}. This is a bug in Quorate: please report it, with --debug")
        return _traced(words, INTERNAL)


def _show(error: typer.TyperException) -> None:
    """A wrong command line: what is wrong with it, and where to read more. Without a command: the help itself."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if message.startswith("Usage: ") or context is None:
        note(message)
    else:
        found = message.strip().rstrip(".").replace("Value error, ", "")
        note(f"error: {found}{'' if found.endswith('?') else '.'} See: {context.command_path} --help")


def _traced(words: Sequence[str], code: int) -> int:
    """That exit code; with --debug the traceback of the error that led to it first."""
    if "--debug" in words:
        traceback.print_exc()
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Completion of words on the command line: of verbs and options, and of what there is in the cluster.

`quorate completion SHELL` prints the script of typer, which asks this program again for each Tab. kubectl asks
`kubectl_complete-quorate`, if that is on PATH, with the words so far, and reads the answer as Cobra writes it: a line for
each candidate (a Tab before its help), then a colon and a number that says what the shell is to do besides.

Names are read from the API server at each Tab. Who cannot be asked quickly is not asked twice, and nothing is said about
it: no names come.
"""

import io
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from quorate.cli.output import say
from quorate.cli.session import SHARED, Session, verb

if TYPE_CHECKING:
    from quorate.access.client import Api

ASKED: Final = "_QUORATE_COMPLETE"
"""The variable by which the scripts say that words are to be completed."""
NO_FILES: Final = ":4"
"""Cobra's directive: what is listed is all there is, names of files are none of it."""
EXAMPLES: Final = (
    "source <(quorate completion bash)                                    in ~/.bashrc",
    "source <(quorate completion zsh)                                      in ~/.zshrc, after compinit",
    "quorate completion fish > ~/.config/fish/completions/quorate.fish     once",
)
Names: TypeAlias = Callable[[typer.Context, str], list[str]]


class Shell(StrEnum):
    """Which of them."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer, section: str) -> None:
    verb(app, completion, examples=EXAMPLES, section=section)


def completion(
    _session: Session, *, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
) -> None:
    """Print a script that completes words at the Tab key.

    It completes verbs, options, guests, nodes and rules. kubectl 1.26 or newer completes kubectl quorate by itself, once
    its own completion is set up: it asks kubectl_complete-quorate, which is installed beside kubectl-quorate.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # typer's own --show-completion uses it

    say(get_completion_script(prog_name="quorate", complete_var=ASKED, shell=shell))


def asked() -> bool:
    """Is it a shell that asks, and not a person?"""
    return ASKED in os.environ


def prepare() -> None:
    """Teach typer the shells, if one of them asks."""
    if asked():
        from typer.completion import completion_init  # type: ignore[attr-defined] # it would come with options that we have not

        completion_init()


def kubectl(arguments: Sequence[str] | None = None) -> int:
    """The program `kubectl_complete-quorate`: the words after `kubectl quorate`, the last of which is to be completed."""
    from quorate.cli.main import main

    words = list(sys.argv[1:] if arguments is None else arguments)
    question = {
        ASKED: "complete_fish",  # of the shells' ways to ask and answer the one without anything of a shell in it
        "_TYPER_COMPLETE_ARGS": shlex.join(["quorate", *(words or [""])]),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    said = io.StringIO()
    os.environ |= question
    with redirect_stdout(said), redirect_stderr(io.StringIO()), suppress(SystemExit):
        main([])
    sys.stdout.write(f"{said.getvalue().rstrip()}\n{NO_FILES}\n".lstrip("\n"))
    return 0


# -- names ----------------------------------------------------------------------------------------------------------


def guests(context: typer.Context, incomplete: str) -> list[str]:
    """Guests under HA: by their name in the namespace that is meant, else as NAMESPACE/NAME."""

    def named(api: "Api", session: Session) -> Iterator[str]:
        here = session.namespace or session.login.namespace
        for found in _metadata(api, "haresources"):
            full = f"{found['namespace']}/{found['name']}"
            yield found["name"] if found["namespace"] == here and "/" not in incomplete else full

    return _offered(context, incomplete, named)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Members of any Cluster."""
    return _offered(context, incomplete, lambda api, _: (one["name"] for one in _metadata(api, "nodes")))


def guests_and_nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Either."""
    return [*guests(context, incomplete), *nodes(context, incomplete)]


def nodes_in_a_row(context: typer.Context, incomplete: str) -> list[str]:
    """The next of several nodes with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    said = set(before.split(","))
    return [f"{before}{comma}{name}" for name in nodes(context, last) if name not in said]


def storages(context: typer.Context, incomplete: str) -> list[str]:
    """Storages."""
    return _offered(context, incomplete, lambda api, _: (one["name"] for one in _metadata(api, "storages")))


def clusters(context: typer.Context, incomplete: str) -> list[str]:
    """Clusters."""
    return _offered(context, incomplete, lambda api, _: (one["name"] for one in _metadata(api, "clusters")))


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """Rules of all Clusters."""

    def named(api: "Api", _: Session) -> Iterator[str]:
        for found in _items(api, "clusters"):
            yield from (rule["name"] for rule in found["spec"].get("rules") or ())

    return _offered(context, incomplete, named)


def _items(api: "Api", plural: str) -> list[dict[str, Any]]:
    from quorate.core.types import GROUP, VERSION

    return api.items(f"/apis/{GROUP}/{VERSION}/{plural}")


def _metadata(api: "Api", plural: str) -> Iterator[dict[str, Any]]:
    return (found["metadata"] for found in _items(api, plural))


def _offered(context: typer.Context, incomplete: str, named: Callable[["Api", Session], Iterator[str]]) -> list[str]:
    """Those that begin so. Whatever goes wrong: none, for a shell has no place to say it."""
    from quorate.access.client import Api

    session = Session()
    for place in (context.parent, context):
        if place is not None:
            session = session.overridden({name: place.params.get(name) for name in SHARED})
    try:
        api = Api(session.login, budget_s=0.0, patience_s=2.0)
        return sorted(name for name in named(api, session) if name.startswith(incomplete))
    except Exception:  # noqa: BLE001 - at a Tab nobody reads an error, and a traceback would tear the line apart
        return []

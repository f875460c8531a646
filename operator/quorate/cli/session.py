"""What every verb has: the way to the API server, chosen by options that may stand before or after the verb.

    quorate --context prod status        quorate status --context prod

A verb is a function whose first parameter is the Session; `verb` registers it with the shared options and its examples.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from quorate.cli.help import ACCESS, Verb

if TYPE_CHECKING:
    from quorate.access.client import Api
    from quorate.access.kubeconfig import Login
    from quorate.core.types import GuestKey

Function: TypeAlias = Callable[..., int | None]
"""A verb: its first parameter is the Session, the others are typer's."""

Context = Annotated[str | None, typer.Option(metavar="NAME", help="Context of the kubeconfig.", rich_help_panel=ACCESS)]
Kubeconfig = Annotated[
    str | None, typer.Option(metavar="FILE", help="Kubeconfig, as for kubectl.", rich_help_panel=ACCESS)
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of guests.", rich_help_panel=ACCESS)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=ACCESS)]
SHARED: Final[dict[str, tuple[Any, Any]]] = {
    "context": (Context, None),
    "kubeconfig": (Kubeconfig, None),
    "namespace": (Namespace, None),
    "debug": (Debug, False),
}


@dataclass
class Session:
    """One run of the program."""

    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None
    debug: bool = False

    @cached_property
    def login(self) -> "Login":
        """Raises KubeconfigError."""
        from quorate.access import kubeconfig

        return kubeconfig.load(self.kubeconfig, self.context)

    @cached_property
    def api(self) -> "Api":
        """The API server that is meant; asked for the first time when something is read."""
        from quorate.access.client import Api

        return Api(self.login)

    def guest(self, text: str) -> "GuestKey":
        """The guest that was named on the command line. Raises UsageError."""
        from quorate.access.names import guest_key

        return guest_key(text, self.namespace, self.login.namespace)

    def overridden(self, options: dict[str, Any]) -> "Session":
        """With what was said after the verb."""
        return replace(self, **{name: value for name, value in options.items() if value})


def verb(
    app: typer.Typer,
    function: Function,
    *,
    name: str = "",
    examples: Sequence[str] = (),
    table: Sequence[str] = (),
    section: str = "Commands",
) -> None:
    """Register a verb: its help is its docstring with a table below it, its exit code what it returns."""
    words = inspect.cleandoc(function.__doc__ or "")
    app.command(
        name or function.__name__,
        cls=Verb,
        help=f"{words}\n\n{as_it_is(table)}" if table else words,
        epilog="\n".join(examples) or None,
        rich_help_panel=section,
    )(with_session(function))


def as_it_is(lines: Sequence[str]) -> str:
    """Lines that a help page keeps as they are (the sign for that is typer's, and holds for one paragraph)."""
    return "\n".join(["\b", *(line or "\n\b" for line in lines)])


def with_session(function: Function) -> Function:
    """The function as typer is to see it: the Session gone from its parameters, the shared options added."""

    def run(typer_context: typer.Context, **values: Any) -> int | None:
        said = {name: values.pop(name) for name in SHARED}
        typer_context.obj = (typer_context.obj or Session()).overridden(said)
        return function(typer_context.obj, **values)

    context = inspect.Parameter("typer_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    _, *own = inspect.signature(function).parameters.values()
    parameters = [context, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *_shared()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    return run


def _shared() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in SHARED.items()
    ]

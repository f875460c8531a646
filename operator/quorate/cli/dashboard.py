"""`quorate dashboard`: the one page for the whole cluster, in a browser."""

import logging
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.access.errors import UsageError
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb

if TYPE_CHECKING:
    from quorate.access.kubeconfig import Login
    from quorate.dashboard.server import Options

MAX_PORT: Final = 65535
EXAMPLES: Final = (
    "quorate dashboard                            for you, on this machine",
    "quorate dashboard --listen 127.0.0.1:8080    on a port of your choice",
    "quorate dashboard --lab lab                  with the power switches of a lab",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, dashboard, examples=EXAMPLES, section=section)


def dashboard(
    session: Session,
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where; port 0 is any that is free.")
    ] = "127.0.0.1:0",
    sign_in: Annotated[
        bool,
        typer.Option("--token-sign-in", help="Everybody signs in with a token of their own, and acts by it."),
    ] = False,
    lab: Annotated[
        str, typer.Option("--lab", metavar="NAME", help="Also switch power and network of this lab's nodes.")
    ] = "",
    certificate: Annotated[str, typer.Option(metavar="FILE", help="Serve https with this certificate (PEM).")] = "",
    key: Annotated[str, typer.Option(metavar="FILE", help="The key of that certificate.")] = "",
) -> None:
    """Show the whole cluster on one page, in a browser.

    The page is for you alone: it listens on this machine only, and the address that is printed lets one browser in, once.
    What you do there is done with your kubeconfig, and what it may not do is not shown.
    """
    from quorate.dashboard.server import Options

    if session.namespace is not None:
        raise UsageError(
            f"-n {session.namespace}: the page shows every namespace. Type {session.namespace}/ in its filter"
        )
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise UsageError(f"--listen: {listen!r} is not ADDRESS:PORT. Write for example 127.0.0.1:8080")
    run(session.login, Options(host.strip("[]"), int(port), sign_in, lab, certificate, key))


def run(login: "Login", options: "Options") -> None:
    """Serve the page until Ctrl-C. Raises CliError."""
    from quorate.dashboard.server import serve

    def tell(address: str) -> None:
        say(f"Open {address}")
        sys.stdout.flush()  # a pipe would keep it

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    note("Ctrl-C ends it.")
    serve(login, options, tell)

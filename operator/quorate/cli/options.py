"""Options that several verbs share."""

from typing import Annotated

import typer

from quorate.cli import completion

Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Wait no longer than this.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="The Cluster; may be left out while there is only one.",
        autocompletion=completion.clusters,
    ),
]

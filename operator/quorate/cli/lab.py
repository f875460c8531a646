"""`quorate lab`: a whole cluster on this machine, with power switches and network plugs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quorate.access.errors import CliError, UsageError
from quorate.cli.help import Verb, Verbs
from quorate.cli.output import Format, Output, console, data, note, say
from quorate.core.timing import Profile

# A help page writes the program's own name, here `quorate lab`, in place of the word `quorate` in examples.
UP_EXAMPLES: Final = """\
quorate up                             three nodes, two managers, an embedded API server
quorate up --control-plane real        the same on kube-apiserver and etcd
quorate up --name two --profile fast   a second lab, with a Cluster already made
quorate up --profile fast --dashboard  and its page in a browser, with power switches"""
NODE_EXAMPLES: Final = """\
quorate node node1 power-off           pull the plug
quorate node node2 network-off         cut it off from the API server
quorate node node3 freeze              stop all of it, as a hypervisor might"""
DEMO_EXAMPLES: Final = """\
quorate demo                           watch it on a terminal
quorate demo --control-plane real --json times.json"""

app = typer.Typer(
    cls=Verbs,
    name="lab",
    help="Run a cluster on this machine: real manager and agents, virtual nodes to power off, cut and freeze.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
ControlPlane = Annotated[
    str,
    typer.Option(
        "--control-plane",
        metavar="KIND",
        help="embedded, or real: kube-apiserver and etcd, from $KUBEBUILDER_ASSETS, PATH or the cache.",
    ),
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Which lab: several run side by side.")]
NAME: Final = "lab"


@contextmanager
def _errors() -> Iterator[None]:
    """What went wrong with a lab, as the program reports it."""
    from quorate.lab.errors import LabError, MisuseError

    try:
        yield
    except MisuseError as error:
        raise UsageError(str(error)) from error
    except LabError as error:
        raise CliError(str(error)) from error


@app.command(cls=Verb, epilog=UP_EXAMPLES)
def up(
    name: Name = NAME,
    nodes: Annotated[int, typer.Option("--nodes", help="How many virtual nodes.")] = 3,
    managers: Annotated[int, typer.Option("--managers", help="How many manager replicas.")] = 2,
    control_plane: ControlPlane = "embedded",
    profile: Annotated[
        Profile | None,
        typer.Option(
            "--profile",
            case_sensitive=False,
            metavar="PROFILE",
            help="Also create a Cluster named like the lab: auto, fast, balanced, relaxed or proxmox.",
        ),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Then show it in a browser, until Ctrl-C; the lab goes on.")
    ] = False,
) -> None:
    """Start a lab.

    It comes back when the API server answers and the nodes are Ready, and says how to reach it.
    """
    with _errors():
        from quorate.lab import client
        from quorate.lab.options import Options

        if profile is Profile.CUSTOM:
            raise UsageError("--profile custom: apply a Cluster with spec.timing.custom once the lab is up")
        timing = str(profile) if profile is not None else ""
        options = Options(name=name, nodes=nodes, managers=managers, control_plane=control_plane, profile=timing)
        found = client.up(options, tell=note)
    say(f"lab {name} is up: {nodes} nodes, {managers} managers, {control_plane} API server")
    say(f"export KUBECONFIG={found['kubeconfig']}")
    if dashboard:
        _show(name, found["kubeconfig"])


def _show(name: str, kubeconfig: str) -> None:
    """The lab's page, until Ctrl-C."""
    from quorate.access.kubeconfig import load
    from quorate.cli.dashboard import run
    from quorate.dashboard.server import Options

    run(load(kubeconfig, None), Options(lab=name))
    note(f"the lab goes on: quorate lab down --name {name} ends it")


@app.command(cls=Verb)
def down(name: Name = NAME) -> None:
    """End a lab and remove all of it, also after a crash."""
    with _errors():
        from quorate.lab import client

        killed = client.down(name)
    rest = f" ({killed} processes that it had left behind were killed)" if killed else ""
    say(f"lab {name} is gone{rest}")


@app.command(cls=Verb)
def status(name: Name = NAME, output: Output = Format.TABLE) -> None:
    """Show a lab: its nodes, its processes, its API server."""
    with _errors():
        from quorate.lab import client

        found = client.status(name)
    if output is not Format.TABLE:
        say(data(found, output))
        return
    _print(found)


@app.command(cls=Verb, epilog=NODE_EXAMPLES)
def node(
    node_name: Annotated[str, typer.Argument(metavar="NODE")],
    verb: Annotated[
        str,
        typer.Argument(
            metavar="VERB", help="power-off, power-on, shutdown, reboot, network-off, network-on, freeze or thaw."
        ),
    ],
    name: Name = NAME,
) -> None:
    """Switch a node's power or network, or freeze it. It returns when that is so."""
    with _errors():
        from quorate.lab import client

        found = client.act(name, node_name, verb)
    state = "power off" if found["power"] == "off" else f"power on, {found['state']}"
    say(f"{node_name}: {state}, network {found['network']}, boot {found['boot']}")


@app.command(cls=Verb, epilog=DEMO_EXAMPLES)
def demo(
    name: Name = "demo",
    control_plane: ControlPlane = "embedded",
    report: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the steps and their times there.")
    ] = None,
) -> int:
    """Play the story, and check every step of it.

    In a lab of its own, three nodes with the timing Fast lose one, then another: no quorum. A person says expected 1;
    the nodes come back; the guest is moved home, and one that cannot start ends in Error. Every step is checked
    through the API and by an observer that samples the processes themselves; exit code 0 only if each went as it
    should. It takes less than 100 seconds.
    """
    with _errors():
        from quorate.cli.demo.play import play
        from quorate.lab.options import Options

        return play(Options(name=name, control_plane=control_plane), report)


def _print(found: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    out = console()
    out.print(f"Lab {found['name']}: {found['phase']}, {found['controlPlane']} API server")
    if found["problem"]:
        out.print(found["problem"])
    out.print(f"KUBECONFIG={found['kubeconfig']}", soft_wrap=True)
    nodes = Table("NODE", "POWER", "STATE", "NETWORK", "BOOT", "ADDRESS", "PID", box=box.SIMPLE_HEAD)
    for one in found["nodes"]:
        cells = (one[key] for key in ("name", "power", "state", "network", "boot", "address", "pid"))
        nodes.add_row(*("-" if cell is None else str(cell) for cell in cells))
    out.print(nodes)
    processes = Table("PROCESS", "STATE", "PID", "RESTARTS", box=box.SIMPLE_HEAD)
    for one in found["processes"]:
        state = "running" if one["pid"] is not None else f"ended with {one['exitCode']}"
        processes.add_row(one["name"], state, str(one["pid"] or "-"), str(one["restarts"]))
    out.print(processes)

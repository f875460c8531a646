"""`quorate install`: what is to be applied, as YAML."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.access.errors import UsageError
from quorate.cli.output import note
from quorate.cli.session import Session, verb

if TYPE_CHECKING:
    from quorate.cli.manifests import Raw

EXAMPLES: Final = (
    "quorate install --print | kubectl apply -f -",
    "quorate install --print --image registry.example.org/quorate/operator:0.1.0 > quorate.yaml",
    "quorate install --print --managers 2 --watchdog linux:/proc/1/root/dev/watchdog1",
    "quorate install --print --overlay kind",
)
WATCHDOG: Final = "--watchdog="
GATE_IMAGE: Final = "QUORATE_IMAGE"


class Overlay(StrEnum):
    """Of manifests/overlays."""

    PRODUCTION = "production"
    KIND = "kind"


def register(app: typer.Typer, section: str) -> None:
    verb(app, install, examples=EXAMPLES, section=section)


def install(
    _session: Session,
    *,
    printed: Annotated[bool, typer.Option("--print", help="Print the manifests.")] = False,
    overlay: Annotated[Overlay, typer.Option(help="For machines of their own, or for a kind cluster.")] = (
        Overlay.PRODUCTION
    ),
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="Image of managers, agents, start gates.")] = None,
    manager_image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Image of managers, if another: the one with fence agents.")
    ] = None,
    watchdog: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="linux:DEVICE, linux:DIRECTORY, external:SOCKET or none, on every node."),
    ] = None,
    managers: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many managers.")] = None,
) -> None:
    """Print what is to be applied to a cluster.

    Nothing is applied by itself: read it, keep it in Git, or pipe it into kubectl apply -f -. The same as
    kubectl apply -k manifests/overlays/production. Take it out again with quorate uninstall.
    """
    import yaml

    from quorate.cli import manifests

    if not printed:
        raise UsageError("quorate install applies nothing by itself: quorate install --print | kubectl apply -f -")
    made = manifests.built(overlay)
    if watchdog is not None:
        _set_watchdog(_workload(made, "DaemonSet"), watchdog)
    if image is not None:
        _set_agent_image(made, image)
    if (of_managers := manager_image or image) is not None:
        _container(_workload(made, "Deployment"))["image"] = of_managers
    if managers is not None:
        _workload(made, "Deployment")["spec"]["replicas"] = managers
        if managers == 1:
            note("note: while a single manager is moved or lost, no guest is recovered; two are better")
    print(yaml.safe_dump_all(made, sort_keys=False, allow_unicode=True, width=100), end="")


def _workload(made: "list[Raw]", kind: str) -> "Raw":
    return next(one for one in made if one["kind"] == kind)


def _container(workload: "Raw") -> "Raw":
    found: Raw
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return found


def _set_agent_image(made: "list[Raw]", image: str) -> None:
    """Start gates run it as well: it is on every node already."""
    _container(_workload(made, "DaemonSet"))["image"] = image
    for variable in _container(_workload(made, "Deployment"))["env"]:
        if variable["name"] == GATE_IMAGE:
            variable["value"] = image


def _set_watchdog(agents: "Raw", spec: str) -> None:
    """Raises UsageError: the agents would end at once."""
    from quorate.agent import drivers

    try:
        drivers.named(spec, "", shared_kernel=True)
    except ValueError as error:
        raise UsageError(str(error)) from error
    container = _container(agents)
    container["args"] = [WATCHDOG + spec if one.startswith(WATCHDOG) else one for one in container["args"]]

"""What people ask of virtual machines on the command line: to put one under HA, and to take it out again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quorate.access.errors import CliError, NotFoundError
from quorate.core.machines import KEPT_ANNOTATION, SCHEDULER
from quorate.core.types import GuestKey
from quorate.kube.resources import MACHINES

if TYPE_CHECKING:
    from quorate.access.client import Api


@dataclass(frozen=True, slots=True)
class Found:
    """A VirtualMachine as its owner has it. `missing`: why nothing is known of it, "" if it is."""

    missing: str = ""
    strategy: str = ""
    """Its own run strategy, whether Quorate has it in hands now or not."""
    runs: bool = False
    owner: str = ""


def look(api: "Api", key: GuestKey, name: str) -> Found:
    """What is known of it. Whoever may not look at it leaves that to the manager."""
    try:
        raw = api.get(MACHINES.path(name, key.namespace))
    except NotFoundError:
        return Found(missing=_missing(api, key, name))
    except CliError:
        return Found()
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    kept = (metadata.get("annotations") or {}).get(KEPT_ANNOTATION)
    own = str(spec.get("runStrategy") or ("Always" if spec.get("running") else "Halted"))
    owner: dict[str, Any] = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), {})
    return Found(
        strategy=kept if kept is not None else own,
        runs=bool(status.get("created")),
        owner=f"{owner.get('kind')} {owner.get('name')}" if owner else "",
    )


def _missing(api: "Api", key: GuestKey, name: str) -> str:
    try:
        api.items(MACHINES.path(namespace=key.namespace))
    except NotFoundError:
        return "KubeVirt is not installed here (the API server serves no kubevirt.io/v1)"
    except CliError:
        pass
    return f"there is no VirtualMachine {name} in namespace {key.namespace} yet"


def refuse_owned(key: GuestKey, name: str, found: Found) -> None:
    """Two that steer one machine would fight over it. Raises CliError."""
    if found.owner:
        raise CliError(
            f"{key.sid}: VirtualMachine {name} belongs to {found.owner}, which starts and stops it. Take it out of there "
            "first, or leave its availability to that"
        )


def taken_over(found: Found) -> str:
    """What follows from its being put under HA, once it is there."""
    runs = "it runs on where it is" if found.runs else "it is started"
    if not found.strategy:
        return runs
    return (
        f"{runs}, its run strategy {found.strategy} kept until it leaves HA, and only Quorate ({SCHEDULER}) places it"
    )


def given_back(name: str, found: Found) -> list[str]:
    """What it means to take it out of HA, in lines."""
    runs = "runs on" if found.runs else "stays as it is"
    if found.missing:
        return [f"its HAResource is deleted. {found.missing}: nothing else is to be done."]
    strategy = f" Its run strategy is {found.strategy} again, as before." if found.strategy else ""
    if found.runs and found.strategy == "Halted":
        strategy = " Its run strategy becomes Manual: it was Halted, which would stop it."
    return [
        f"its HAResource is deleted. VirtualMachine {name} {runs}, with its disks.{strategy}",
        "When its node is lost after that, KubeVirt waits for somebody who says that the node is off, as without Quorate.",
    ]

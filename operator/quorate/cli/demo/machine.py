"""The part of the story that is a virtual machine: beside the container, moved while it runs, and recovered with it.

KubeVirt is the lab's stand-in; where the API server has none of its kinds they are defined first.
"""

from typing import Any, Final

from quorate.access.commands import give
from quorate.access.errors import NotFoundError
from quorate.cli.demo.stage import Look, Stage, StepError
from quorate.core.machines import KEPT_ANNOTATION
from quorate.core.types import GuestState, MachineKey
from quorate.kube.resources import CLAIMS, HARESOURCES, MACHINE_RUNS, MACHINES, Resource
from quorate.lab.files import LabFiles
from quorate.lab.journal import Journal, read_journal
from quorate.lab.virt.kinds import definitions
from quorate.lab.virt.orders import RUNS_ANNOTATION
from quorate.sim.virt_objects import DISKS

WIN: Final = MachineKey("default", "win")
DISK: Final = "win-disk"
STRATEGY: Final = "Halted"
JOURNAL: Final = "journal"
SOON_S: Final = 20.0
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WRITES: Final = f"exec python3 -m quorate.lab.guest --file {DISKS.lstrip('/')}/disk/{JOURNAL}"


def runs(look: Look, nodes: tuple[str, ...]) -> bool:
    """Started and Ready on one of these, and meant to stay."""
    status = look.guest(WIN)
    return status.state is GuestState.STARTED and status.ready and status.node in nodes and status.target is None


def observed(stage: Stage, *nodes: str) -> str:
    """It runs on one of these, by the API, by the observer and by its own journal; returns which."""

    def confirmed(look: Look) -> bool:
        seen = stage.seen_running(WIN)
        return runs(look, nodes) and seen == [look.guest(WIN).node] == stage.wrote_on(DISK, JOURNAL)[-1:]

    look = stage.until(f"{WIN.sid} to run on {' or '.join(nodes)}", confirmed, 2 * SOON_S)
    return str(look.guest(WIN).node)


def add(stage: Stage) -> str:
    """A machine that rests comes under HA."""
    try:
        stage.api.items(MACHINES.path())
    except NotFoundError:
        _define(stage)
    size = {"requests": {"storage": "1Gi"}}
    stage.apply(CLAIMS, DISK, {"accessModes": ["ReadWriteMany"], "resources": size}, namespace=WIN.namespace)
    stage.apply(MACHINES, WIN.name, _spec(), namespace=WIN.namespace)
    stage.apply(HARESOURCES, WIN.name, {"guest": {"virtualMachine": {"name": WIN.name}}}, namespace=WIN.namespace)
    where = observed(stage, "node1", "node2", "node3")
    kept = (_read(stage, MACHINES)["metadata"].get("annotations") or {}).get(KEPT_ANNOTATION)
    if kept != STRATEGY:
        raise StepError(f"{WIN.sid} runs, and its run strategy {STRATEGY} was not kept for afterwards: {kept}")
    return f"{WIN.sid} runs on {where} and writes to its disk without a pause"


def migrate(stage: Stage, node: str) -> str:
    """It moves to that node while it runs: to KubeVirt it is the same instance."""
    source, before = stage.look().guest(WIN).node, _read(stage, MACHINE_RUNS)["metadata"]["uid"]
    give(stage.api, WIN, "migrate", node)
    observed(stage, node)
    after = _read(stage, MACHINE_RUNS)["metadata"]["uid"]
    if after != before:
        raise StepError(f"{WIN.sid} came to run on {node} by a stop and a start, not while it ran")
    return f"{WIN.sid} went from {source} to {node} while it ran, and was seen on one of them at a time"


def journal(files: LabFiles) -> Journal:
    """What it wrote."""
    return read_journal(files.claims / WIN.namespace / DISK / JOURNAL)


def _read(stage: Stage, resource: Resource) -> dict[str, Any]:
    return stage.api.get(resource.path(WIN.name, WIN.namespace))


def _define(stage: Stage) -> None:
    for definition in definitions():
        stage.api.create(_CRDS, definition)

    def served(_: Look) -> bool:
        try:
            stage.api.items(MACHINES.path())
        except NotFoundError:
            return False
        return True

    stage.until("KubeVirt's kinds to be served", served, SOON_S)


def _spec() -> dict[str, Any]:
    domain = {"devices": {"disks": [{"name": "disk", "disk": {"bus": "virtio"}}]}, "memory": {"guest": "64Mi"}}
    volume = {"name": "disk", "persistentVolumeClaim": {"claimName": DISK}}
    spec = {"domain": domain, "volumes": [volume], "terminationGracePeriodSeconds": 1}
    return {
        "runStrategy": STRATEGY,
        "template": {"metadata": {"annotations": {RUNS_ANNOTATION: _WRITES}}, "spec": spec},
    }

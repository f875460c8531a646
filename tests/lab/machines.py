"""A virtual machine in a lab, on the stand-ins for KubeVirt: made, told to misbehave, and what is seen of it."""

from typing import Any

from quorate.core.types import GuestKey
from quorate.kube.resources import CLAIMS, HARESOURCES, PODS
from quorate.lab.journal import read_journal
from quorate.lab.virt.orders import RUNS_ANNOTATION
from tests import kubevirt
from tests.lab.scene import Scene

Json = dict[str, Any]
WIN = GuestKey("default", "win")
KUBEVIRT = "/apis/kubevirt.io/v1"
DISK = "win-disk"
WRITES = "exec python3 -m quorate.lab.guest --file var/run/kubevirt-private/vmi-disks/disk/journal"


def path(plural: str, name: str = "") -> str:
    return f"{KUBEVIRT}/namespaces/{WIN.namespace}/{plural}{'/' + name if name else ''}"


def install(scene: Scene) -> None:
    """KubeVirt's own CRDs; the embedded server has its kinds from the start."""
    if scene.api.token:
        kubevirt.install(scene.api)


def make(scene: Scene, strategy: str = "Always", modes: str = "ReadWriteMany", **annotations: str) -> None:
    """A machine that writes its journal on a disk that all nodes reach. Annotations: those of `virt/orders`."""
    size = {"requests": {"storage": "1Gi"}}
    if not scene.raw(CLAIMS, DISK, WIN.namespace):
        scene.create(CLAIMS, DISK, {"accessModes": [modes], "resources": size}, WIN.namespace)
    volume = {"name": "disk", "persistentVolumeClaim": {"claimName": DISK}}
    domain = {"devices": {"disks": [{"name": "disk", "disk": {"bus": "virtio"}}]}, "memory": {"guest": "64Mi"}}
    template = {
        "metadata": {"annotations": {RUNS_ANNOTATION: WRITES}},
        "spec": {"domain": domain, "volumes": [volume], "terminationGracePeriodSeconds": 1},
    }
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": WIN.name, "annotations": annotations},
        "spec": {"runStrategy": strategy, "template": template},
    }
    scene.api.post(path("virtualmachines"), body).ok()


def found(scene: Scene, plural: str, name: str = WIN.name) -> Json:
    """The object; empty when there is none."""
    answer = scene.api.get(path(plural, name))
    return {} if answer.code == 404 else dict(answer.ok())


def machine(scene: Scene) -> Json:
    return found(scene, "virtualmachines")


def instance(scene: Scene) -> Json:
    return found(scene, "virtualmachineinstances")


def phase(scene: Scene) -> str:
    return str((instance(scene).get("status") or {}).get("phase") or "")


def machine_node(scene: Scene) -> str:
    """Where KubeVirt says that it is."""
    return str((instance(scene).get("status") or {}).get("nodeName") or "")


def launchers(scene: Scene) -> list[Json]:
    items: list[Json] = scene.api.get(
        PODS.path(namespace=WIN.namespace), labelSelector="kubevirt.io=virt-launcher"
    ).ok()["items"]
    return items


def ask(scene: Scene, **fields: Any) -> None:
    """Change the machine's spec."""
    scene.api.merge(path("virtualmachines", WIN.name), {"spec": fields}).ok()


def misbehave(scene: Scene, **annotations: str | None) -> None:
    """misbehave(scene, migration="hangs"): what virt/orders says of it."""
    named = {f"lab.quorate.dev/{key}": value for key, value in annotations.items()}
    scene.api.merge(path("virtualmachines", WIN.name), {"metadata": {"annotations": named}}).ok()


def runs_on(scene: Scene) -> list[str]:
    """Where the observer sees its guest run now."""
    return scene.seen_on(WIN)


def journal_is_whole(scene: Scene) -> bool:
    """Never did two write it at once."""
    journal = scene.files.claims / WIN.namespace / DISK / "journal"
    return not journal.exists() or read_journal(journal).violations == ()


# -- under HA -----------------------------------------------------------------------------------------------------------


def protect(scene: Scene, name: str = WIN.name, **spec: Any) -> None:
    """Put the machine under HA."""
    scene.create(HARESOURCES, name, {"guest": {"virtualMachine": {"name": WIN.name}}, **spec}, WIN.namespace)


async def until_runs(scene: Scene, node: str = "") -> str:
    """By Quorate, by KubeVirt and by the observer, on that node or any; returns where."""

    def agreed() -> str:
        status = scene.guest(WIN)
        where = str(status.node or "")
        said = (machine(scene).get("status") or {}).get("printableStatus")
        here = scene.runs(where, WIN) and where == machine_node(scene) and phase(scene) == said == "Running"
        return where if here and runs_on(scene) == [where] and node in {"", where} else ""

    found: str = await scene.until(f"the machine to run{' on ' * bool(node)}{node}", agreed)
    return found


def moves(scene: Scene) -> Json:
    """What KubeVirt says of its last migration."""
    state: Json = (instance(scene).get("status") or {}).get("migrationState") or {}
    return state


def kept(scene: Scene) -> tuple[str, str | None]:
    """The machine's run strategy, and the one that it had before."""
    one = machine(scene)
    annotations: dict[str, str] = one["metadata"].get("annotations") or {}
    return str(one["spec"].get("runStrategy")), annotations.get("quorate.dev/run-strategy")

"""A container of a pod spec as an order for the runtime: argv, environment, root directory, volumes.

A container's root is a directory of its own: the working directory, with a symbolic link at each mount path (/data is
$QUORATE_ROOT/data). Claims are directories shared by all nodes, like NFS; host paths are inside the node's own disk.
"""

import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quorate.core.types import INSTANCE_ANNOTATION
from quorate.lab import processes
from quorate.lab.kubelet.decide import Json
from quorate.lab.records import Record
from quorate.lab.virt.orders import ADDRESS, COMMAND, RUNS_ANNOTATION
from quorate.sim.virt_objects import DOMAIN_ANNOTATION, LAUNCHER_LABEL

IDLE: Final = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait; done"]
"""What stands in for an image's own command, which nobody knows here."""
_REFERENCE: Final = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_SUBSCRIPT: Final = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")


class UnsupportedError(Exception):
    """The spec asks for something that this stand-in does not play; the message names it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node keeps things, and who it is."""

    node: str
    address: str
    disk: Path
    claims: Path

    def pod(self, uid: str) -> Path:
        """A pod's volumes and roots, as in /var/lib/kubelet/pods."""
        return self.disk / "pods" / uid

    def forget(self, uid: str) -> None:
        """Remove what a pod that is gone has left on the disk, the container records last of all."""
        shutil.rmtree(self.pod(uid), ignore_errors=True)
        shutil.rmtree(self.disk / "containers" / uid, ignore_errors=True)


def order(pod: Json, container: Json, place: Place, before: Record | None, *, init: bool) -> Json:
    """What the runtime is told. Makes the root and links the volumes. Raises UnsupportedError."""
    metadata = pod["metadata"]
    root = root_of(pod, container, place)
    _mount(pod, container, place, root)
    attempt = before.attempt + 1 if before is not None else 0
    names = f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
    environ = _environ(pod, container, place, root, init=init)
    directory = root / (container.get("workingDir") or "/").lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    return {
        "op": "start",
        "pod": metadata["uid"],
        "container": container["name"],
        "id": uuid.uuid4().hex,
        "attempt": attempt,
        "last": None,
        "log": str(place.disk / "log" / "pods" / names / container["name"] / f"{attempt}.log"),
        "argv": argv(container, environ),
        "env": environ,
        "cwd": str(directory),
    }


def argv(container: Json, environ: Mapping[str, str]) -> list[str]:
    """command and args with $(NAME) expanded; without a command something that idles until it is told to end."""
    if not container.get("command"):
        return list(IDLE)
    return [expand(part, environ) for part in [*container["command"], *(container.get("args") or [])]]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Kubernetes' expansion: $(NAME) of a known variable, $$ is a dollar, anything else stays."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return environ.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def exec_environ(pod: Json, container: Json, place: Place) -> dict[str, str]:
    """The environment of a command that is run in a running container, as a probe is."""
    return {**_environ(pod, container, place, root_of(pod, container, place), init=False), processes.ROLE: "probe"}


def root_of(pod: Json, container: Json, place: Place) -> Path:
    """The container's root directory."""
    return place.pod(pod["metadata"]["uid"]) / "root" / str(container["name"])


def is_launcher(pod: Json) -> bool:
    """Is it that of a virtual machine?"""
    return (pod["metadata"].get("labels") or {}).get(LAUNCHER_LABEL) == "virt-launcher"


def claims_of(pod: Json) -> list[str]:
    """The names of the claims that the pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if one.get("persistentVolumeClaim")]


def _environ(pod: Json, container: Json, place: Place, root: Path, *, init: bool) -> dict[str, str]:
    metadata = pod["metadata"]
    annotations, launches = metadata.get("annotations") or {}, is_launcher(pod)
    instance = annotations.get(INSTANCE_ANNOTATION, metadata["uid"])
    guest = annotations.get(DOMAIN_ANNOTATION, metadata["name"]) if launches else metadata["name"]
    found = {
        # The interpreter that has quorate comes first, so that `python3 -m quorate…` works in a guest.
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(root),
        "HOSTNAME": metadata["name"],
        "QUORATE_ROOT": str(root),
    }
    for variable in container.get("env") or []:
        found[variable["name"]] = _value(variable, pod, place, found)
    if launches:
        found |= {ADDRESS: place.address, COMMAND: annotations.get(RUNS_ANNOTATION, "")}
    return found | {
        processes.GUEST: f"{metadata['namespace']}/{guest}",
        processes.POD: metadata["uid"],
        processes.INSTANCE: instance,
        # A launcher runs no guest yet: the one that it starts is marked as one.
        processes.ROLE: "init" if init else "launcher" if launches else "main",
    }


def _value(variable: Json, pod: Json, place: Place, known: Mapping[str, str]) -> str:
    source = variable.get("valueFrom")
    if source is None:
        return expand(variable.get("value") or "", known)
    if "fieldRef" not in source:
        raise UnsupportedError(
            f"env {variable['name']}: valueFrom.{next(iter(source))} is not played here, use fieldRef"
        )
    return field(source["fieldRef"]["fieldPath"], pod, place)


def field(path: str, pod: Json, place: Place) -> str:
    """The downward API. Raises UnsupportedError."""
    metadata = pod["metadata"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.split(".")[1]])
        case "spec.nodeName":
            return place.node
        case "spec.serviceAccountName":
            return str(pod["spec"].get("serviceAccountName") or "")
        case "status.hostIP" | "status.podIP" | "status.hostIPs" | "status.podIPs":
            return place.address
    raise UnsupportedError(f"fieldPath {path} is not played here")


def _mount(pod: Json, container: Json, place: Place, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    volumes = {one["name"]: one for one in pod["spec"].get("volumes") or []}
    for mount in container.get("volumeMounts") or []:
        target = _volume(volumes[mount["name"]], pod, place) / (mount.get("subPath") or "")
        target.mkdir(parents=True, exist_ok=True)
        link = root / mount["mountPath"].strip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)


def _volume(volume: dict[str, Any], pod: Json, place: Place) -> Path:
    if claim := volume.get("persistentVolumeClaim"):
        return place.claims / str(pod["metadata"]["namespace"]) / str(claim["claimName"])
    if host := volume.get("hostPath"):
        return place.disk / "host" / str(host["path"]).lstrip("/")
    kinds = [key for key in volume if key != "name"]
    if kinds not in ([], ["emptyDir"]):
        raise UnsupportedError(
            f"volume {volume['name']}: {kinds[0]} is not played here, use persistentVolumeClaim, hostPath or emptyDir"
        )
    return place.pod(pod["metadata"]["uid"]) / "volumes" / str(volume["name"])

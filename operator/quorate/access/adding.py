"""Putting a guest under HA: the HAResource, and what it will have to wait for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorate.access.errors import CliError, ConflictError, NotFoundError
from quorate.access.names import the_cluster
from quorate.api import parse
from quorate.core.place import storage_problem
from quorate.core.types import GROUP, VERSION, GuestKey
from quorate.kube.resources import CLUSTERS, HARESOURCES, STORAGES

if TYPE_CHECKING:
    from quorate.access.client import Api
    from quorate.access.reader import Reader


def create(api: "Api", key: GuestKey, name: str, body: dict[str, Any]) -> None:
    """Put it under HA. Raises CliError."""
    try:
        api.create(HARESOURCES.path(namespace=key.namespace), body)
    except ConflictError as error:
        raise CliError(f"{name} is under HA already. Change it with quorate set, see it with quorate status") from error
    except NotFoundError as error:
        raise CliError(
            f"{name}: there is no namespace {key.namespace}. Make it: kubectl create namespace {key.namespace}"
        ) from error


def resource(key: GuestKey, template: dict[str, Any], cluster: str) -> dict[str, Any]:
    """The HAResource of a guest."""
    spec: dict[str, Any] = {"guest": {"container": template}}
    if cluster:
        spec["clusterName"] = cluster
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "HAResource",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": spec,
    }


def from_image(name: str, image: str, command: Sequence[str]) -> dict[str, Any]:
    """One container, named like the guest."""
    container: dict[str, Any] = {"name": name, "image": image}
    if command:
        container["command"] = list(command)
    return {"spec": {"containers": [container]}}


def obstacles(api: "Reader", body: dict[str, Any], key: GuestKey) -> list[str]:
    """What it will have to wait for. Raises CliError for what can never run."""
    try:
        spec = parse.guest(body).spec
        known = api.items(STORAGES.path()) if spec.mounts else []
        storages = {one.name: one for one in map(parse.storage, known)}
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error
    if spec.template.problem:
        raise CliError(f"{key.sid}: {spec.template.problem}")
    problem = storage_problem(spec, key.namespace, storages)
    found = [problem] if problem is not None else []
    try:
        the_cluster(api.items(CLUSTERS.path()), spec.cluster_name or None)
    except CliError as error:
        found.append(str(error))
    return found

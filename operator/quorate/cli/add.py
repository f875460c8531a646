"""`quorate add`: put a guest under HA."""

from typing import Annotated, Any, Final

import typer

from quorate.cli.errors import CliError, ConflictError, NotFoundError, UsageError
from quorate.cli.guests import Comment, Failback, Relocations, Restarts, State, settings
from quorate.cli.options import ClusterName
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import GROUP, VERSION, GuestKey, Wanted
from quorate.kube.resources import CLUSTERS, HARESOURCES, STORAGES

EXAMPLES: Final = (
    "quorate add web --image nginx:1.29",
    "quorate add shop/worker --image busybox --max-restart 3 -- sh -c 'while true; do work; done'",
    "quorate add db -n shop -f pod.yaml --storage media:/srv/media",
    "kubectl get pod old -o yaml | quorate add new -f - --state stopped",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, add, examples=EXAMPLES, section=section)


def add(
    session: Session,
    guest: Annotated[str, typer.Argument(metavar="GUEST", help="NAME, NAMESPACE/NAME or ct:NAMESPACE/NAME.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="What the container runs, with --image.")
    ] = None,
    *,
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="Run one container of this image.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Or run this Pod or pod template; - reads it.")
    ] = None,
    state: State = None,
    max_restart: Restarts = None,
    max_relocate: Relocations = None,
    storage: Annotated[
        list[str] | None, typer.Option(metavar="NAME:PATH", help="Mount this Storage there; repeatable.")
    ] = None,
    failback: Failback = None,
    comment: Comment = None,
    cluster: ClusterName = None,
) -> None:
    """Put a guest under HA (ha-manager add).

    Quorate makes its Pod and keeps it running exactly once. When its node dies it starts on another one, as soon as
    it is certain that it runs nowhere else. When it fails by itself it is restarted (--max-restart, 1) and then
    tried on other nodes (--max-relocate, 1); after that it is in Error, and left alone until a person has looked.
    """
    key = session.guest(guest)
    body = resource(key, _template(key, image, file, command or []), cluster or "")
    body["spec"] |= settings(state, max_restart, max_relocate, comment, failback)
    if storage:
        body["spec"]["storage"] = mounts(storage)
    waits = obstacles(session, body, key)
    for obstacle in waits:
        note(f"note: it cannot start yet: {obstacle}")
    try:
        session.api.create(HARESOURCES.path(namespace=key.namespace), body)
    except ConflictError as error:
        raise CliError(
            f"{key.sid} is under HA already. Change it with quorate set, see it with quorate status"
        ) from error
    except NotFoundError as error:
        raise CliError(
            f"{key.sid}: there is no namespace {key.namespace}. Make it: kubectl create namespace {key.namespace}"
        ) from error
    wanted = "it is started" if state in {None, Wanted.STARTED} else f"it is kept {str(state).lower()}"
    follows = f"{wanted} once that is mended" if waits else wanted
    say(f"{key.sid} is under HA. Next: {follows}; watch it with quorate status -w")


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


def mounts(texts: list[str]) -> list[dict[str, str]]:
    """`NAME:PATH` each. Raises UsageError."""
    found = []
    for text in texts:
        name, colon, path = text.partition(":")
        if not colon or not name or not path.startswith("/"):
            raise UsageError(f"--storage: {text!r} is not NAME:PATH. Write for example media:/srv/media")
        found.append({"name": name, "path": path})
    return found


def _template(key: GuestKey, image: str | None, file: str | None, command: list[str]) -> dict[str, Any]:
    from quorate.cli import template

    if (image is None) == (file is None):
        raise UsageError(f"{key.sid}: what should it run? Give either --image IMAGE or -f FILE")
    if file is not None:
        if command:
            raise UsageError(f"{key.sid}: a COMMAND belongs to --image; with -f it stands in the file")
        return template.from_file(file)
    return template.from_image(key.name, str(image), command)


def obstacles(session: Session, body: dict[str, Any], key: GuestKey) -> list[str]:
    """What it will have to wait for. Raises CliError for what can never run."""
    from quorate.api import parse
    from quorate.cli.names import the_cluster
    from quorate.core.place import storage_problem

    try:
        spec = parse.guest(body).spec
        known = session.api.items(STORAGES.path()) if spec.mounts else []
        storages = {one.name: one for one in map(parse.storage, known)}
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error
    if spec.template.problem:
        raise CliError(f"{key.sid}: {spec.template.problem}")
    problem = storage_problem(spec, key.namespace, storages)
    found = [problem] if problem is not None else []
    try:
        the_cluster(session.api.items(CLUSTERS.path()), spec.cluster_name or None)
    except CliError as error:
        found.append(str(error))
    return found

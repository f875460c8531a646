"""`quorate add`: put a guest under HA."""

from typing import Annotated, Any, Final

import typer

from quorate.access import names
from quorate.access.errors import UsageError
from quorate.cli import machines, workloads
from quorate.cli.guests import Comment, Failback, Relocations, Restarts, State, settings
from quorate.cli.options import ClusterName
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import GuestKey, Wanted
from quorate.core.workloads import sid_of

EXAMPLES: Final = (
    "quorate add web --image nginx:1.29",
    "quorate add shop/worker --image busybox --max-restart 3 -- sh -c 'while true; do work; done'",
    "quorate add db -n shop -f pod.yaml --storage media:/srv/media",
    "quorate add sts/db -n shop               protect a StatefulSet where it runs",
    "quorate add gold -n shop --selector tier=gold",
    "quorate add vm/win -n shop               keep a virtual machine of KubeVirt running exactly once",
    "kubectl get pod old -o yaml | quorate add new -f - --state stopped",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, add, examples=EXAMPLES, section=section)


def add(
    session: Session,
    guest: Annotated[
        str,
        typer.Argument(
            metavar="GUEST", help="NAME, NAMESPACE/NAME or ct:NAMESPACE/NAME; vm/NAME; sts/NAME or deploy/NAME."
        ),
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="What the container runs, with --image.")
    ] = None,
    *,
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="Run one container of this image.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Or run this Pod or pod template; - reads it.")
    ] = None,
    selector: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,…", help="Or protect every StatefulSet with these labels.")
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

    A StatefulSet that runs already (sts/NAME, or all with the labels of --selector) is protected where it is: its own
    controller makes its Pods, and Quorate removes those that are stuck on a node that is proven dead.

    A virtual machine of KubeVirt (vm/NAME) stays what it is: Quorate starts, stops, migrates and recovers it, and has its
    run strategy in hands meanwhile.
    """
    from quorate.access import adding

    key = session.guest(guest)
    protects, machine = workloads.wanted(guest, selector), names.machine(guest)
    only: dict[str, object] = {"--image": image, "-f": file, "COMMAND": command, "--storage": storage}
    if machine is not None:
        _refuse_others(guest, only, "a virtual machine, which says itself what it runs and where its disks are")
        wishes = settings(state, max_restart, max_relocate, comment, failback)
        _keep_running(session, key, machine, wishes, cluster or "")
        return
    if protects is not None:
        only |= {"--failback": failback is not None}
        limits = {"--max-restart": max_restart is not None, "--max-relocate": max_relocate is not None}
        _refuse_others(guest, {**only, **limits}, "a workload, which its own controller runs")
        _protect(session, key, protects, settings(state, None, None, comment), cluster or "")
        return
    body = adding.resource(key, _template(key, image, file, command or []), cluster or "")
    body["spec"] |= settings(state, max_restart, max_relocate, comment, failback)
    if storage:
        body["spec"]["storage"] = mounts(storage)
    waits = adding.obstacles(session.api, body, key)
    for obstacle in waits:
        note(f"note: it cannot start yet: {obstacle}")
    adding.create(session.api, key, key.sid, body)
    wanted = "it is started" if state in {None, Wanted.STARTED} else f"it is kept {str(state).lower()}"
    follows = f"{wanted} once that is mended" if waits else wanted
    say(f"{key.sid} is under HA. Next: {follows}; watch it with quorate status -w")


def _protect(session: Session, key: GuestKey, target: dict[str, Any], wishes: dict[str, Any], cluster: str) -> None:
    """Put what runs already under HA."""
    from quorate.access import adding

    body, name = adding.resource(key, {}, cluster), sid_of(key)
    body["spec"] |= {"guest": {"workload": target}, **wishes}
    absent = workloads.missing(session.api, key, target)
    if absent:
        note(f"note: nothing is protected yet: {absent}")
    adding.create(session.api, key, name, body)
    follows = "it is protected once that is there" if absent else "its Pods are protected where they are"
    say(f"{name} is under HA. Next: {follows}; whether all are, quorate explain {key.namespace}/{key.name} says")


def _refuse_others(text: str, given: dict[str, object], what: str) -> None:
    """What only a container has. Raises UsageError."""
    meaningless = [name for name, value in given.items() if value]
    if meaningless:
        means = "means" if len(meaningless) == 1 else "mean"
        raise UsageError(f"{text}: {', '.join(meaningless)} {means} nothing for {what}")


def _keep_running(session: Session, key: GuestKey, name: str, wishes: dict[str, Any], cluster: str) -> None:
    """Put a virtual machine under HA."""
    from quorate.access import adding

    body, found = adding.resource(key, {}, cluster), machines.look(session.api, key, name)
    body["spec"] |= {"guest": {"virtualMachine": {"name": name}}, **wishes}
    machines.refuse_owned(key, name, found)
    waits = [*([found.missing] if found.missing else []), *adding.obstacles(session.api, body, key)]
    for obstacle in waits:
        note(f"note: it cannot start yet: {obstacle}")
    adding.create(session.api, key, key.sid, body)
    started = wishes.get("state", Wanted.STARTED) == Wanted.STARTED
    wanted = machines.taken_over(found) if started else f"it is kept {str(wishes['state']).lower()}"
    follows = "it is started once that is mended" if waits and started else wanted
    say(f"{key.sid} is under HA. Next: {follows}; watch it with quorate status -w")


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
    from quorate.access import adding
    from quorate.cli import template

    if (image is None) == (file is None):
        raise UsageError(f"{key.sid}: what should it run? Give either --image IMAGE or -f FILE")
    if file is not None:
        if command:
            raise UsageError(f"{key.sid}: a COMMAND belongs to --image; with -f it stands in the file")
        return template.from_file(file)
    return adding.from_image(key.name, str(image), command)

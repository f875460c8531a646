"""`quorate storage add|status`: places where guests' disks live (pvesm)."""

from typing import Annotated, Any, Final

import typer

from quorate.access.errors import CliError, ConflictError, NotFoundError, UsageError
from quorate.cli import completion
from quorate.cli.clusters import labels
from quorate.cli.help import Verbs
from quorate.cli.output import Format, Output, console, data, say
from quorate.cli.session import Session, verb
from quorate.core.types import GROUP, VERSION, Content, OnLoss
from quorate.kube.resources import STORAGES

ADD_EXAMPLES: Final = (
    "quorate storage add media --nfs nas.example.org:/export/guests -n shop",
    "quorate storage add media --nfs 10.0.0.9:/guests --option nfsvers=4.2 --on-loss relocate",
    "quorate storage add fast --class ssd --size 20Gi -n shop,lab",
    "quorate storage add old --claim shop/data -n shop",
    "quorate storage add scratch --local /srv/scratch --node-selector disk=ssd",
    "quorate storage add iso --nfs nas:/iso --content iso --dry-run > iso.yaml",
)
STATUS_EXAMPLES: Final = (
    "quorate storage status                  all of them",
    "quorate storage status media            and who does not reach it, what is made of it, who uses it",
)


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    verb(group, add, examples=ADD_EXAMPLES)
    verb(group, status, examples=STATUS_EXAMPLES)
    app.add_typer(group, name="storage", rich_help_panel=section, help="Where guests' disks live: add one, see all.")


def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Storage.")],
    *,
    nfs: Annotated[str | None, typer.Option(metavar="SERVER:/EXPORT", help="A directory of an NFS server.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="OPTION", help="Of mount.nfs, with --nfs; repeatable.")
    ] = None,
    claim: Annotated[str | None, typer.Option(metavar="NS/NAME", help="A PersistentVolumeClaim that is there.")] = None,
    of_class: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="A StorageClass: each guest gets a claim of its own.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="SIZE", help="Of such a claim, with --class; 8Gi.")] = None,
    local: Annotated[str | None, typer.Option(metavar="PATH", help="A directory of each node.")] = None,
    content: Annotated[
        list[Content] | None,
        typer.Option(case_sensitive=False, metavar="CONTENT", help="rootdir, images, iso; repeatable."),
    ] = None,
    on_loss: Annotated[
        OnLoss | None,
        typer.Option(
            case_sensitive=False, metavar="POLICY", help="When its node misses it, a guest: ignore, relocate."
        ),
    ] = None,
    node_selector: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only nodes with this label have it; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the object, and make nothing.")] = False,
) -> None:
    """Add a place where guests' disks live (pvesm add).

    Guests of the namespaces that -n names may use it (several with commas), by its name: quorate add --storage
    NAME:PATH. Of an NFS export the volume and the claim are made where they are used; every node's agent looks whether it
    reaches the server, and no guest starts where it does not. The same as applying a Storage object.
    """
    spec = _source({"--nfs": nfs, "--claim": claim, "--class": of_class, "--local": local}, option or [], size)
    spec["allowedNamespaces"] = _namespaces(session)
    if content:
        spec["content"] = [str(one) for one in dict.fromkeys(content)]
    if on_loss is not None:
        spec["onLoss"] = str(on_loss)
    if node_selector:
        spec["nodes"] = {"matchLabels": labels(node_selector)}
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Storage", "metadata": {"name": name}, "spec": spec}
    _check(body)
    if dry_run:
        say(data(body, Format.YAML))
        return
    try:
        session.api.create(STORAGES.path(), body)
    except ConflictError as error:
        raise CliError(
            f"Storage {name} exists already. See it with quorate storage status {name}, change it with kubectl edit qs "
            f"{name}"
        ) from error
    namespaces = ", ".join(spec["allowedNamespaces"])
    say(
        f"Storage {name} is added, for guests in {namespaces}. Next: see who reaches it with quorate storage status "
        f"{name}; use it with quorate add GUEST --storage {name}:/PATH"
    )


def _source(given: dict[str, str | None], options: list[str], size: str | None) -> dict[str, Any]:
    """The type and what belongs to it. Raises UsageError."""
    said = {option: value for option, value in given.items() if value is not None}
    if len(said) != 1:
        found = f"found {' and '.join(said)}" if said else "found none"
        raise UsageError(f"say where it is by one of {', '.join(given)} ({found})")
    ((option, value),) = said.items()
    if options and option != "--nfs":
        raise UsageError(f"--option belongs to --nfs, and this is {option}")
    if size is not None and option != "--class":
        raise UsageError(f"--size belongs to --class, and this is {option}")
    match option:
        case "--nfs":
            server, export = nfs_export(value)
            several = [one for text in options for one in text.split(",") if one]
            where = {"server": server, "export": export, **({"options": several} if several else {})}
            return {"type": "NFS", "nfs": where}
        case "--claim":
            namespace, slash, name = value.partition("/")
            if not (slash and namespace and name):
                raise UsageError(f"--claim: {value!r} is not NAMESPACE/NAME. Write for example shop/data")
            return {"type": "Claim", "claim": {"namespace": namespace, "name": name}}
        case "--class":
            return {"type": "StorageClass", "storageClass": {"name": value, **({"size": size} if size else {})}}
    return {"type": "Local", "local": {"path": value}}


def nfs_export(text: str) -> tuple[str, str]:
    """SERVER:/EXPORT; an IPv6 address in brackets. Raises UsageError."""
    server, colon, export = text.partition(":/")
    if not colon or not server:
        raise UsageError(f"--nfs: {text!r} is not SERVER:/EXPORT. Write for example nas.example.org:/export/guests")
    return server.removeprefix("[").removesuffix("]"), f"/{export}"


def _namespaces(session: Session) -> list[str]:
    said = session.namespace or session.login.namespace or "default"
    return list(dict.fromkeys(one for one in said.split(",") if one))


def _check(body: dict[str, Any]) -> None:
    """Raises CliError, naming the field, what was found and what is allowed."""
    from quorate.api import parse

    try:
        parse.storage(body)
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error


def status(
    session: Session,
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=completion.storages, metavar="NAME", help="That one, with everything about it."),
    ] = None,
    *,
    output: Output = Format.TABLE,
) -> None:
    """Show the places where guests' disks live (pvesm status).

    How many nodes reach each, how full it is where its server says so, and what is wrong. With a name also which nodes do
    not reach it and why, the claims that are made of it, and the guests that use it.
    """
    from quorate.api.wire import to_wire
    from quorate.view.storages import StoragesView, StorageView, storage_report

    if name is None:
        found = sorted((storage_report(raw) for raw in session.api.items(STORAGES.path())), key=lambda one: one.name)
        if output is Format.TABLE:
            console().print(StoragesView(tuple(found)), soft_wrap=True)
        else:
            say(data({"storages": [to_wire(one) for one in found]}, output))
        return
    report = storage_report(_fetch(session, name))
    if output is Format.TABLE:
        console().print(StorageView(report), soft_wrap=True)
    else:
        say(data(to_wire(report), output))


def _fetch(session: Session, name: str) -> dict[str, Any]:
    try:
        return session.api.get(STORAGES.path(name))
    except NotFoundError as error:
        known = (
            ", ".join(sorted(one["metadata"]["name"] for one in session.api.items(STORAGES.path()))) or "there is none"
        )
        raise CliError(f"no Storage is named {name!r} (known: {known}). Add one: quorate storage add --help") from error
